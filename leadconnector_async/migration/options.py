"""The options of a migration that its plan fixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from ..errors import ConfigurationError
from ..rules.checks import read_checks
from .mapping.directories import Directory, read_owners
from .mapping.file import MappingFile, read_mapping_file
from .mapping.meaning import IdRule, Meaning
from .matching import PhoneRule
from .select import Selection
from .tables.inputs import Sources

MatchBy: TypeAlias = Literal["auto", "id", "email-phone"]
MATCHES: Final[tuple[MatchBy, ...]] = ("auto", "id", "email-phone")
_IDS: Final[Mapping[MatchBy, IdRule]] = {"auto": "some", "id": "all", "email-phone": "none"}
TagsRule: TypeAlias = Literal["add", "replace"]
EmptyRule: TypeAlias = Literal["keep", "clear"]
RowCount: TypeAlias = Annotated[int, Meta(ge=1)]
_NO_FILE: Final = MappingFile()


class MigrationOptions(Struct, frozen=True, kw_only=True):
    """What is done with rows. A plan fixes it; limits, the token and the like are the client's.

    Attributes:
        columns: The target of columns by header, or several, e.g. `{"Work e-mail": "email"}`; other columns go by their
            headers.
        mapping: A mapping file; it names all columns that are sent, and may say how files and their words are read.
        ignore: Headers of columns that are not sent.
        owners: A CSV file of users, with a column `id` and any of `email` and `name`, for columns that name owners.
        default_country: Country of phone numbers without a country code, as two letters, e.g. `US`.
        date_order: How dates such as 03/04/2020 are meant: `mdy` or `dmy`.
        keep_placeholders: Whether to send texts such as `N/A`, `NULL` and `-`, which else count as empty cells.
        strict: Whether to send nothing while any cell or row cannot be sent.
        create_fields: Whether to create custom fields that columns need and the location lacks, as single-line text.
        empty: What an empty cell does: `keep` what is stored, or `clear` it.
        tags: `add` tags to those that a contact has, or `replace` them.
        only_new: Whether to send only rows whose contact did not exist before the load.
        only_existing: Whether to send only rows whose contact existed before the load.
        fill_empty: Whether to send only fields that were empty.
        skip_unchanged: Whether to leave out rows that would change nothing.
        phone_conflict: What is done about rows of several people with one phone: the phone is set after all rows
            (`second-pass`), the row is left out (`skip`), or it is sent as it is and may overwrite (`allow`).
        match: How rows find their contacts: by the `id` of the contact, by `email-phone` as the service's upsert does,
            or `auto`: by its id where a row has one and a sample of them is of this location, else by email and phone.
            A row with an id updates that contact and never creates one.
        create_nameless: Whether a row with a name, and neither id, email nor phone, makes a contact. It is sent once in
            a run, and again in each other run, as nothing finds it.
        limit: The number of rows to load, from the first; None for all.
        snapshot: Whether to keep contacts as they were before the load, so that an undo can restore them.

    Raises:
        ConfigurationError: One has no meaning, or they contradict each other.
    """

    columns: Mapping[str, str | Sequence[str]] = {}
    mapping: Path | None = None
    ignore: Sequence[str] = ()
    owners: Path | None = None
    default_country: str | None = None
    date_order: str | None = None
    keep_placeholders: bool = False
    strict: bool = False
    create_fields: bool = False
    empty: EmptyRule = "keep"
    tags: TagsRule = "add"
    only_new: bool = False
    only_existing: bool = False
    fill_empty: bool = False
    skip_unchanged: bool = False
    phone_conflict: PhoneRule = "second-pass"
    match: MatchBy = "auto"
    create_nameless: bool = False
    limit: RowCount | None = None
    snapshot: bool = False

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            check_option(field.name, getattr(self, field.name), field.type)
        if self.only_new and self.only_existing:
            raise ConfigurationError("`only_new` and `only_existing` leave no row to send: give only one of them")
        if self.only_new and self.fill_empty:
            raise ConfigurationError(
                "`fill_empty` is about contacts that exist, and `only_new` leaves those alone: give only one of them"
            )
        if self.fill_empty and self.tags == "replace":
            raise ConfigurationError(
                "`fill_empty` overwrites nothing, but `tags='replace'` does: give only one of them"
            )
        if self.fill_empty and self.empty == "clear":
            raise ConfigurationError("`fill_empty` overwrites nothing, but `empty='clear'` does: give only one of them")
        if self.match == "id" and self.create_nameless:
            raise ConfigurationError(
                "`match='id'` creates no contact, but `create_nameless` does: give only one of them"
            )
        if self.match == "id" and self.only_new:
            raise ConfigurationError("`match='id'` and `only_new` leave no row to send: give only one of them")

    @property
    def selection(self) -> Selection:
        """Which rows, and which of their fields, are sent."""
        return Selection(
            only_new=self.only_new,
            only_existing=self.only_existing,
            fill_empty=self.fill_empty,
            skip_unchanged=self.skip_unchanged,
        )

    def read_meaning(self) -> Meaning:
        """Read the mapping and owners files, and return what columns and cells mean.

        Raises:
            ConfigurationError: A file cannot be read, or something has no meaning.
        """
        file = _NO_FILE if self.mapping is None else read_mapping_file(self.mapping)
        more = {column: target for column, target in file.columns.items() if column not in self.columns}
        return Meaning(
            columns={**self.columns, **more},
            values=file.values,
            is_whole=self.mapping is not None,
            ignored=frozenset(self.ignore),
            checks=read_checks(
                self.default_country or file.settings.get("default_country"),
                self.date_order or file.settings.get("date_order"),
                keep_placeholders=self.keep_placeholders,
            ),
            empties_fields=self.empty == "clear",
            empties_tags=self.empty == "clear" and self.tags == "replace",
            owners=Directory("owner") if self.owners is None else read_owners(self.owners),
            ids=_IDS[self.match],
            takes_nameless=self.create_nameless,
        )

    def complete(self, sources: Sources) -> Sources:
        """Return sources with what the mapping file says of how files are read.

        Raises:
            ConfigurationError: The mapping file cannot be read.
        """
        if self.mapping is None:
            return sources
        said = read_mapping_file(self.mapping).settings
        how = {"delimiter": said.get("delimiter"), "usual_encoding": said.get("encoding")}
        given = {name: value for name, value in how.items() if value is not None}
        return msgspec.structs.replace(sources, reading=msgspec.structs.replace(sources.reading, **given))

    def describe(self, meaning: Meaning) -> dict[str, str]:
        """Return what must be the same when a load goes on; `CHANGED` has a sentence for each."""
        mapped = [meaning.columns, meaning.is_whole, sorted(meaning.ignored), meaning.owners.describe()]
        mapped += [meaning.values] if meaning.values else []
        return {
            "mapping": _text([*mapped, self.create_fields]),
            "checks": _text(meaning.checks),
            "tags": self.tags,
            "phone_conflict": self.phone_conflict,
            "match": " ".join([self.match] * (self.match != "auto") + ["nameless"] * self.create_nameless),
            "limit": "" if self.limit is None else str(self.limit),
            "empty": self.empty,
            "snapshot": "kept" if self.snapshot else "",
            "selection": " ".join(self.selection.names()),
        }


CHANGED: Final = {
    "files": "was made for another file, or the file has changed since",
    "mapping": "was made with another mapping of columns to fields",
    "checks": "was made with another `date_order`, `default_country` or `keep_placeholders`",
    "tags": "was made with another `tags`",
    "phone_conflict": "was made with another `phone_conflict`",
    "match": "was made with another `match` or `create_nameless`",
    "limit": "was made with another `limit`",
    "empty": "was made with another `empty`",
    "snapshot": "was made with another `snapshot`",
    "selection": "was made with other settings of `only_new`, `only_existing`, `fill_empty` and `skip_unchanged`",
}
"""How to say what of a run is not the same."""


def check_option(name: str, value: object, kind: Any) -> None:
    """Refuse the value of an option that is not of its type: Python does not, and it would count as another one.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        words = f"write {', '.join(get_args(kind))}" if get_origin(kind) is Literal else str(error)
        raise ConfigurationError(f"`{name}` {value!r} is not valid; {words}") from None


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
