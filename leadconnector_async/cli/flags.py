"""The flag of each option that messages name: below the command line, they name options as Python does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

from ..protocol.answers import clean_text

FLAGS: Final = {
    # MigrationOptions
    "columns": "--map",
    "mapping": "--mapping",
    "ignore": "--ignore",
    "owners": "--owners",
    "default_country": "--default-country",
    "date_order": "--date-order",
    "keep_placeholders": "--keep-placeholders",
    "strict": "--strict",
    "create_fields": "--create-fields",
    "empty": "--empty",
    "tags": "--tags",
    "only_new": "--only-new",
    "only_existing": "--only-existing",
    "fill_empty": "--fill-empty",
    "skip_unchanged": "--skip-unchanged",
    "phone_conflict": "--phone-conflict",
    "match": "--match",
    "create_nameless": "--create-nameless",
    "limit": "--limit",
    "snapshot": "--snapshot",
    # Sources and samples
    "sql": "--sql",
    "database": "--from",
    "format": "--format",
    "encoding": "--encoding",
    "sheet": "--sheet",
    "sample": "--sample",
    # Migration, the client, exports, loads on a cluster
    "Migration.open": "--resume",
    "compare": "--compare",
    "as_planned": "--as-planned",
    "folder": "--out",
    "is_resumed": "--resume",
    "is_for_spreadsheets": "--for-spreadsheets",
    "location_id": "--location",
    "max_failures": "--max-failures",
    "out": "--out",
    "proxy": "--proxy",
    "resume": "--resume",
    "SQLiteTokenStore": "--store",
}
"""Flags by the names that messages use: of arguments, of attributes of options, and of what else Python calls."""

# A name in backticks, perhaps with a literal, as `errors.option` writes it: there is no other backtick within.
_OPTION: Final = re.compile(r"`([A-Za-z_.]+)(?:=([^`]+))?`")
_PLAIN: Final = re.compile(r"[\w.,:/@%+-]+")


def with_flags(text: str) -> str:
    """Return a message with the flags of the options that it names; what is no option stays as it is."""
    return _OPTION.sub(_flag, text) if "`" in text else text


def _flag(match: re.Match[str]) -> str:
    name, literal = match.groups()
    if name not in FLAGS:
        return match[0]
    try:
        words = [FLAGS[name]] if literal is None else [*_words(FLAGS[name], ast.literal_eval(literal))]
    except (ValueError, SyntaxError):  # a text from elsewhere that looks like one
        return match[0]
    return " ".join(words)


def _words(flag: str, value: object) -> Iterator[str]:
    """Yield a flag with a value; again for each of several."""
    if isinstance(value, Mapping):
        value = [f"{key}={item}" for key, item in value.items()]
    if isinstance(value, list):
        yield from (f"{flag} {_quote(str(item))}" for item in value)
    else:
        yield f"{flag} {_plain_or_quoted(str(value))}"


def _plain_or_quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quote(text)


def _quote(text: str) -> str:
    """Quote a text for a shell; it may come from a file, so what a terminal would obey is taken out."""
    return '"' + re.sub(r'(["\\$`])', r"\\\1", clean_text(text)) + '"'
