"""What the options of the command line say of columns and cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import ConfigurationError
from ..migration.mapping_file import MappingFile, read_mapping_file
from ..migration.meaning import Meaning
from ..migration.people import Directory, read_owners
from ..migration.rules.checks import read_checks
from ..migration.targets import read_target

_NO_FILE = MappingFile(columns={}, settings={})


class Saying(Struct, frozen=True, kw_only=True):
    """The options, as they were written."""

    maps: Sequence[str] = ()
    mapping: Path | None = None
    ignored: Sequence[str] = ()
    owners: Path | None = None
    default_country: str | None = None
    date_order: str | None = None
    is_strict: bool = False
    creates_fields: bool = False
    empties_fields: bool = False
    empties_tags: bool = False

    def words(self) -> list[str]:
        """Return them as words of a command."""
        given: list[tuple[str, object]] = [("--map", text) for text in self.maps]
        given += [("--mapping", self.mapping)]
        given += [("--ignore", text) for text in self.ignored]
        given += [("--owners", self.owners), ("--default-country", self.default_country)]
        given += [("--date-order", self.date_order)]
        words = [word for name, value in given if value is not None for word in (name, str(value))]
        words += ["--empty", "clear"] * self.empties_fields
        return words + ["--strict"] * self.is_strict + ["--create-fields"] * self.creates_fields


def read_meaning(saying: Saying) -> Meaning:
    """Read the files that the options name, and what they say.

    Raises:
        ConfigurationError: A file cannot be read, or an option has no meaning.
    """
    file = _NO_FILE if saying.mapping is None else read_mapping_file(saying.mapping)
    maps = dict(_read_map(text) for text in saying.maps)
    return Meaning(
        columns=maps | {column: target for column, target in file.columns.items() if column not in maps},
        is_whole=saying.mapping is not None,
        ignored=frozenset(saying.ignored),
        checks=read_checks(
            saying.default_country or file.settings.get("default_country"),
            saying.date_order or file.settings.get("date_order"),
        ),
        empties_fields=saying.empties_fields,
        empties_tags=saying.empties_tags,
        owners=Directory("owner") if saying.owners is None else read_owners(saying.owners),
    )


def _read_map(text: str) -> tuple[str, str]:
    column, sign, target = text.rpartition("=")
    if not sign or not column.strip():
        raise ConfigurationError(f'--map {text!r} has no meaning; write --map "Column=field"')
    try:
        read_target(target)
    except ConfigurationError as error:
        raise ConfigurationError(f"--map {text!r}: {error}") from None
    return column.strip(), target.strip()
