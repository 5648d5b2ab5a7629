"""Which column goes where, as a file that a person can read, correct and give back. TOML."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import msgspec
from msgspec import Struct

from ...errors import ConfigurationError
from ...protocol.answers import clean_text
from ...protocol.text import INVISIBLE
from ...rules.consent import CHANNELS
from ..tables import Reading, Table
from ..tables.text import read_small_text
from .columns import NOT_KNOWN, ColumnMap, has_identity
from .meaning import NOTHING_SAID, Meaning
from .rows import input_columns, map_columns, propose_fields
from .targets import FIELDS, read_targets

_TAB_MARK: Final = "\t"
_MOST_SAMPLE_CHARS: Final = 32
_SAMPLED_ROWS: Final = 200
_HEAD: Final = """\
# Which column goes to which field of a contact{preset}. Correct it, and give it back{colon}
{usage}#
# Only columns that are not commented out are sent. Of several columns for one field the first that is filled is
# sent, in the order in which they stand here; of columns for "tags" all are.
{fields}
# Others: "custom:NAME" (a custom field, by name, key or id), "owner" and "location". Columns of one address have the
# same word after an @, such as "city@home": an address is sent whole or not at all. A column for several fields has
# them in a list: "Phone" = ["phone", "custom:Phone as given"].
#
# Consent: "opt-out:CHANNEL" (yes or a date closes the channel), "opt-in:CHANNEL" (no does), "dnd:CHANNEL" (yes, or the
# API's own words). Channels: {channels}, or all. Columns whose headers say that
# people opted out are read even where they are not here, unless they say "ignore". "opt-out:Call,SMS@Phone 2" is
# about the number in the column Phone 2 alone.

[columns]
"""
_TAIL: Final = """
[settings]
{settings}
# What the words of a column stand for, for each column that has its own; words that are not here stay as they are.
{values}"""
_EXAMPLES: Final = {
    "encoding": ("cp1252", "of text files, but for those that begin with a byte order mark"),
    "delimiter": (";", "between the cells of text files, or tab"),
    "default_country": ("US", "of phone numbers that name no country"),
    "date_order": ("dmy", "or mdy: what 03/04/1990 means, and whether 25.09.1990 is a date"),
}
_VALUES: Final = """\
# [values."Status"]
# "Aktiv" = "subscribed"
# "Abgemeldet" = "unsubscribed"
"""


class MappingFile(Struct, frozen=True, kw_only=True):
    """What a mapping file says.

    Attributes:
        columns: The target of each column that is to be sent, or several, the preferred ones first.
        settings: What else it says, by name: `encoding`, `delimiter`, `default_country`, `date_order`.
        values: By column what its words stand for.
    """

    columns: dict[str, str | list[str]] = {}
    settings: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}


def read_mapping_file(path: Path) -> MappingFile:
    """Read a mapping file.

    Raises:
        ConfigurationError: It cannot be read, or says something that has no meaning; the sentence says where.
    """
    try:
        found = tomllib.loads(read_small_text(path))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, or a number too long
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"mapping file {path}: cannot be read ({reason})") from None
    columns, settings, values = (_table(path, found, name) for name in _TABLES)
    strange = [*(found.keys() - set(_TABLES)), *(settings.keys() - _EXAMPLES.keys())]
    if strange or not columns:
        what = f"{strange[0]!r} has no meaning in it" if strange else "there is no table [columns] in it"
        raise ConfigurationError(f"mapping file {path}: {what}; leadconnector map FILE writes one to start from")
    with _placed(path):
        Reading(delimiter=settings.get("delimiter"), usual_encoding=settings.get("encoding"))
    for column, said in columns.items():
        with _placed(path, column):
            read_targets(column, said)
    return MappingFile(columns=columns, settings=settings, values=values)


_TABLES: Final[Mapping[str, tuple[Any, str]]] = {
    "columns": (dict[str, str | list[str]], '"Column" = "email"'),
    "settings": (dict[str, str], 'date_order = "dmy"'),
    "values": (dict[str, dict[str, str]], '"Yes, please" = "yes", below [values."Column"]'),
}


def _table(path: Path, found: Mapping[str, Any], name: str) -> Any:
    kind, example = _TABLES[name]
    try:
        return msgspec.convert(found.get(name, {}), kind)
    except msgspec.ValidationError:
        raise ConfigurationError(f"mapping file {path}: [{name}] must hold lines such as {example}") from None


@contextmanager
def _placed(path: Path, column: str | None = None) -> Iterator[None]:
    """Say in which file, and of which column of it, something has no meaning."""
    try:
        yield
    except ConfigurationError as error:
        where = "" if column is None else f", column {column!r}"
        raise ConfigurationError(f"mapping file {path}{where}: {error}") from None


def write_mapping(
    tables: Sequence[Table],
    meaning: Meaning = NOTHING_SAID,
    *,
    settings: Mapping[str, str] | None = None,
    usage: Callable[[str], str] | None = None,
) -> Iterator[str]:
    """Write what would be sent of tables, line by line, with the columns that would not be commented out.

    Args:
        tables: A column that several have is told once.
        meaning: What the user says already.
        settings: What the user says of how files and cells are read, by name.
        usage: Returns how to give the file back, for the head of the file, from the names of the tables as words of
            a shell.
    """
    maps = [map_columns(table, meaning) for table in tables]
    presets = dict.fromkeys(columns.preset.name for columns in maps if columns.preset is not None)
    files = clean_text(shlex.join(table.name for table in tables))
    yield _HEAD.format(
        colon="." if usage is None else ":",
        usage=f"#   {usage(files)}\n" if usage is not None else "",
        preset=f" (it looks like an export of {', '.join(presets)})" if presets else "",
        fields=fill(f"Fields: {', '.join(FIELDS)}.", 118, initial_indent="# ", subsequent_indent="# "),
        channels=", ".join(CHANNELS),
    )
    told: set[str] = set()
    for table, columns in zip(tables, maps, strict=True):
        samples = _samples(table)
        for name, line in _lines(
            columns, dict(zip(*input_columns(table), strict=True)), propose_fields(table, meaning)
        ):
            if name not in told:
                told.add(name)
                yield f"{line}{_comment(samples.get(name, ()))}\n"
    yield _TAIL.format(settings="".join(_settings(tables, settings or {})), values=_values(meaning) or _VALUES)


def _settings(tables: Sequence[Table], said: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each setting: one that is said, else the one that was found, or an example, as a comment."""
    found = {
        "delimiter": {table.delimiter for table in tables} - {None},
        "encoding": {table.encoding for table in tables},
    }
    for name, (example, why) in _EXAMPLES.items():
        shown = found.get(name, set()) - {None}
        value = said.get(name) or (str(shown.pop()) if len(shown) == 1 else example)
        mark = "" if name in said else "# "
        yield f"{mark}{name} = {_quote('tab' if value == _TAB_MARK else value)}  # {why}\n"


def _values(meaning: Meaning) -> str:
    return "\n".join(
        f"[values.{_quote(column)}]\n" + "".join(f"{_quote(word)} = {_quote(to)}\n" for word, to in words.items())
        for column, words in meaning.values.items()
    )


def describe_mapping(table: Table, meaning: Meaning = NOTHING_SAID) -> dict[str, Any]:
    """Return what would be sent of a table, for machines.

    Returns:
        `name`; `looks_like`, whose export it is, or None; `columns`: of each `name`, `target` and `reason`, of
        which one is None.
    """
    columns = map_columns(table, meaning)
    targets = columns.texts
    reasons = {unsent.name: unsent.reason for unsent in columns.unsent}
    return {
        "name": table.name,
        "looks_like": None if columns.preset is None else columns.preset.name,
        "columns": [
            {"name": name, "target": targets.get(name), "reason": reasons.get(name)} for name in input_columns(table)[0]
        ],
    }


def _lines(columns: ColumnMap, headers: Mapping[str, str], proposed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each column and its line. What cells show of an unknown column is proposed, and takes effect as it stands
    where no other column says who a contact is."""
    sent = columns.targets
    for name, targets in sent.items():
        texts = [_quote(target.text) for target in targets]
        yield name, f"{_quote(name)} = {texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'}"
    for unsent in columns.unsent:
        if headers[unsent.name] in sent and headers[unsent.name] != unsent.name:
            # A column of the same header is sent, and what is said of that would hold for this one, too.
            yield unsent.name, f"{_quote(unsent.name)} = {_quote('ignore')}  # {unsent.reason}"
            continue
        if unsent.reason == NOT_KNOWN and unsent.name in proposed:
            mark = "# " if has_identity(columns) else ""
            yield unsent.name, f"{mark}{_quote(unsent.name)} = {_quote(proposed[unsent.name])}  # by its cells"
            continue
        target = f"custom:{unsent.name}" if unsent.reason == NOT_KNOWN else ""
        reason = "" if unsent.reason == NOT_KNOWN else f"  # {unsent.reason}"
        yield unsent.name, f"# {_quote(unsent.name)} = {_quote(target)}{reason}"


def _quote(text: str) -> str:
    """Write a text as TOML; JSON's form is one of its own, but for one character. What nobody sees is escaped."""
    shown = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return INVISIBLE.sub(lambda found: "".join(f"\\U{ord(char):08x}" for char in found[0]), shown)


def _comment(samples: Iterable[str]) -> str:
    text = "; ".join(samples)
    return f"  # {text}" if text else ""


def _samples(table: Table) -> dict[str, list[str]]:
    """Return up to three cells of each column, of those that are not empty; text of a file is data, also here."""
    names, _ = input_columns(table)
    found: dict[str, list[str]] = {name: [] for name in names}
    for record in islice(table.rows(), _SAMPLED_ROWS):
        for name, cell in zip(names, record.cells if record.error is None else (), strict=False):
            text = clean_text(" ".join(cell.split()))[:_MOST_SAMPLE_CHARS]
            if text and len(found[name]) < 3 and text not in found[name]:
                found[name].append(text)
    return found
