"""Address books as vCards (.vcf): 2.1, 3.0 and 4.0, as phones, iCloud, Google and Outlook write them.

Source: RFC 2426 (3.0), RFC 6350 (4.0) and the vCard 2.1 specification of the versit Consortium, whose quoted-printable
values phones still write.
"""

from __future__ import annotations

import quopri
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from ...errors import ConfigurationError
from .file import File
from .table import Record, Table
from .text import Encoding, Lines, open_text, why_no_text

_MOST_CHARS: Final = 100_000
_GROUP: Final = re.compile(r"[\w-]{1,60}\.", re.ASCII)
_PARAMETERS: Final = re.compile(r';((?:"[^"]*"|[^;"])*)')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_MARK: Final = re.compile(r"\\.|[;,]", re.DOTALL)
_DAY: Final = re.compile(r"(\d{4}-?\d\d-?\d\d)T.*", re.DOTALL)
_NAMES: Final = ("Last Name", "First Name", "Middle Name")
_ADDRESS: Final = ("Address2", "Street", "City", "State", "Postal Code", "Country")  # after the post-office box
_TEXTS: Final = {"BDAY": "Birthday", "TITLE": "Job Title", "NOTE": "Notes", "URL": "Website", "CATEGORIES": "Tags"}
_LISTS: Final = {"EMAIL": ("Email", 3), "TEL": ("Phone", 5)}
_READ: Final = frozenset((*_TEXTS, *_LISTS, "N", "FN", "ORG", "ADR", "BEGIN", "END"))
COLUMNS: Final = (
    *("First Name", "Middle Name", "Last Name", "Name", "Company", "Job Title"),
    *(name if number == 1 else f"{name} {number}" for name, most in _LISTS.values() for number in range(1, most + 1)),
    *("Street", "Address2", "City", "State", "Postal Code", "Country", "Website", "Birthday", "Tags", "Notes"),
)
"""All columns that cards can have; a table has those that some card of it fills."""


class VCardTable(Table):
    """A card a row, under headers that people write.

    Args:
        file: The file.
        encoding: Its encoding.

    Raises:
        ConfigurationError: It holds no card, or none that says anything of a contact.
    """

    row_word = "card"

    def __init__(self, file: File, encoding: Encoding) -> None:
        self.file = file
        self.name = file.name
        self._encoding = encoding
        filled, is_empty = set[str](), True
        for card in self._cards():
            filled |= card.values.keys()
            is_empty = False
        if is_empty:
            raise ConfigurationError(f"{self.name}: holds no vCard; each begins with BEGIN:VCARD")
        self.columns = [name for name in COLUMNS if name in filled]
        if not self.columns:
            raise ConfigurationError(f"{self.name}: its vCards hold no names, emails or phones")

    def rows(self) -> Iterator[Record]:
        """Yield all cards."""
        for number, card in enumerate(self._cards(), 1):
            yield Record(number, [card.values.get(name, "") for name in self.columns], card.error)

    def _cards(self) -> Iterator[_Card]:
        properties: list[_Property] | None = None
        with open_text(self.file, self._encoding) as text:
            for one in _read_properties(Lines(text, self.name)):
                if one.name == "BEGIN" and one.value.strip().upper() == "VCARD":
                    if properties is not None:
                        yield _Card({}, "ends without END:VCARD")
                    properties = []
                elif one.name == "END" and properties is not None:
                    yield _card_of(properties)
                    properties = None
                elif properties is not None:
                    properties.append(one)
        if properties is not None:
            yield _Card({}, "ends without END:VCARD")


class _Property(Struct, frozen=True):
    name: str
    parameters: str
    value: str

    @property
    def is_preferred(self) -> bool:
        """Whether it is the one to use of several."""
        return re.search(r"(?:^|[;,=])PREF(?:[;,]|=1\b|$)", self.parameters) is not None


class _Card(Struct, frozen=True):
    values: dict[str, str]
    error: str | None = None


# ---------------------------------------------------------------------------------------------- lines


def _read_properties(lines: Lines) -> Iterator[_Property]:
    """Yield the properties that say something of a contact; of others, such as photos, nothing is kept."""
    parts: list[str] = []
    is_wanted = goes_on = False
    for raw in lines:
        line = raw.rstrip("\r\n")
        if goes_on or (line[:1] in (" ", "\t") and parts):
            parts += [line if goes_on else line[1:]] if is_wanted else []
        else:
            yield from _property_of(parts) if is_wanted else ()
            parts, is_wanted = [line], _name_of(line) in _READ
        goes_on = line.endswith("=") and "QUOTED-PRINTABLE" in parts[0].upper()
        if goes_on and is_wanted:
            parts[-1] += "\n"  # a soft break, which decoding takes out
    yield from _property_of(parts) if is_wanted else ()


def _name_of(line: str) -> str:
    head = re.split(r"[;:]", line, maxsplit=1)[0].strip()
    group = _GROUP.match(head)
    return (head[group.end() :] if group else head).upper()


def _property_of(parts: Sequence[str]) -> Iterator[_Property]:
    line = "".join(parts)
    head, colon, value = _split_head(line)
    if colon and len(line) <= _MOST_CHARS:
        parameters = ";".join(_PARAMETERS.findall(head)).upper()
        yield _Property(_name_of(line), parameters, _decode(value, parameters))


def _split_head(line: str) -> tuple[str, str, str]:
    """Part a line at the first colon outside quotes."""
    is_quoted = False
    for place, one in enumerate(line):
        if one == '"':
            is_quoted = not is_quoted
        elif one == ":" and not is_quoted:
            return line[:place], one, line[place + 1 :]
    return line, "", ""


def _decode(value: str, parameters: str) -> str:
    if "QUOTED-PRINTABLE" not in parameters:
        return value
    charset = re.search(r"CHARSET=([\w.:-]+)", parameters)
    try:
        raw = quopri.decodestring(value.encode("utf-8", "surrogateescape"))
        return raw.decode(charset[1] if charset else "utf-8", "replace")
    except LookupError:
        return value


# ---------------------------------------------------------------------------------------------- cards


def _card_of(properties: Sequence[_Property]) -> _Card:
    found = defaultdict[str, list[str]](list)
    for one in sorted(properties, key=lambda one: not one.is_preferred):
        if one.value.strip():
            found[one.name].append(one.value)
    values = {
        **_names(found),
        **_list_values(found),
        **_address(found["ADR"][0] if found["ADR"] else ""),
        **{column: _text(name, found[name]) for name, column in _TEXTS.items() if found[name]},
    }
    filled = {name: value.strip() for name, value in values.items() if value.strip()}
    error = next((why for value in filled.values() if (why := why_no_text(value)) is not None), None)
    return _Card(filled, error)


def _names(found: defaultdict[str, list[str]]) -> dict[str, str]:
    parts = _split(found["N"][0], ";") if found["N"] else []
    values = {name: _plain(part) for name, part in zip(_NAMES, parts, strict=False)}
    company = _plain(_split(found["ORG"][0], ";")[0]) if found["ORG"] else ""
    whole = _plain(found["FN"][0]) if found["FN"] else ""
    if not any(part.strip() for part in values.values()) and whole != company:
        values = {"Name": whole}
    return values | {"Company": company}


def _list_values(found: defaultdict[str, list[str]]) -> dict[str, str]:
    return {
        column if number == 1 else f"{column} {number}": _plain(value)
        for name, (column, most) in _LISTS.items()
        for number, value in enumerate(found[name][:most], 1)
    }


def _address(value: str) -> dict[str, str]:
    parts = [", ".join(_plain(part).split("\n")) for part in _split(value, ";")]
    return dict(zip(_ADDRESS, parts[1:], strict=False))


def _text(name: str, values: Sequence[str]) -> str:
    if name == "CATEGORIES":
        return ", ".join(_plain(part).strip() for value in values for part in _split(value, ","))
    value = _plain(values[0])
    day = _DAY.fullmatch(value.strip()) if name == "BDAY" else None
    return day[1] if day else value


def _split(value: str, mark: str) -> list[str]:
    """Part a value at each mark that no backslash escapes."""
    begin, parts = 0, []
    for match in _MARK.finditer(value):
        if match[0] == mark:
            parts.append(value[begin : match.start()])
            begin = match.end()
    return [*parts, value[begin:]]


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)
