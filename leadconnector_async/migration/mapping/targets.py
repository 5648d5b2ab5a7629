"""What a column can be for, and what its cells are made of."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import Struct

from ...errors import ConfigurationError
from ...models.dnd import ALL
from ...models.fields import UPSERT_FIELDS, Kind
from ...models.identity import is_contact_id
from ...rules.consent import CHANNELS, CLOSED, KINDS, Consent, ConsentKind, judge, plain, read_answer
from ...rules.problems import Fixed, UnusableCellError

CUSTOM_PREFIX: Final = "custom:"
DND_PREFIX: Final = "dnd:"
CONSENT_PREFIXES: Final = tuple(f"{kind}:" for kind in KINDS)
ADDRESS: Final = tuple(field.wire for field in UPSERT_FIELDS if field.is_address)
"""The fields of an address, which are sent together or not at all."""
_JOINED: Final = {
    "middleName": ("name", "middle"),
    "address2": ("address1", "line"),
    "houseNumber": ("address1", "number after"),
    "streetNumber": ("address1", "number before"),
    "fullAddress": ("address1", "whole"),
}
"""Columns that give a part of a field, or all of an address: the field and the part, by what people call them."""
_JOINED_NAMES: Final = {parts: name for name, parts in _JOINED.items()}
_ALIASES: Final = {"owner": "assignedTo", "location": "locationId", "ignore": "", "": ""}


class Target(Struct, frozen=True):
    """What a column is for.

    Attributes:
        field: The field on the wire.
        part: Of `customFields` the field's name, key or id; of `dndSettings` the channel; empty for all of it. Of
            consent the channels with a comma between, or `all`. Of a column that gives a part of a field, which.
        group: Of an address, which: columns of one address are used together, or not at all. Of an opt-out of one phone
            alone, that phone's column.
        consent: Of consent, whether yes closes the channels (`opt-out`) or no does (`opt-in`).
    """

    field: str
    part: str = ""
    group: str = ""
    consent: ConsentKind | None = None

    @property
    def slot(self) -> str:
        """What columns share of which only one can be sent."""
        if self.consent is not None:
            return f"{self.consent}:{self.part}"
        if not self.part:
            return self.field
        if (self.field, self.part) in _JOINED_NAMES:
            return _JOINED_NAMES[self.field, self.part]
        return f"{CUSTOM_PREFIX if self.field == 'customFields' else DND_PREFIX}{self.part}"

    @property
    def is_custom_field(self) -> bool:
        """Whether it is one custom field."""
        return self.field == "customFields" and bool(self.part)

    @property
    def is_joined(self) -> bool:
        """Whether its cells are joined with those of others to one text: middle names, further lines of an address."""
        return (self.field, self.part) in _JOINED_NAMES

    @property
    def is_consent(self) -> bool:
        """Whether it closes channels."""
        return self.field in ("dnd", "dndSettings")

    @property
    def text(self) -> str:
        """How people write it."""
        return f"{self.slot}@{self.group}" if self.group else self.slot


def consent_target(consent: Consent) -> Target:
    """Return what a column about consent is for; it has channels."""
    field = "dnd" if ALL in consent.channels else "dndSettings"
    return Target(field, ",".join(consent.channels), consent=consent.kind)


def read_target(text: str) -> Target | None:
    """Read a target as people write it: a field in any spelling, `custom:NAME`, `dnd:CHANNEL`, `opt-out:CHANNEL`,
    `opt-in:CHANNEL`, `owner`, `location`, and `middleName`, `address2`, `houseNumber`, `streetNumber`, `fullAddress`,
    which are joined to the name and to the street.

    Of an address, what follows an @ is the name of its group: `city@home`. Of an opt-out, it is the column of the one
    phone that it is about: `opt-out:Call@Phone 2`.

    Returns:
        The target; None where the column is not to be sent (`ignore`, or nothing).

    Raises:
        ConfigurationError: There is no such field.
    """
    text = text.strip()
    text, _, group = text.partition("@") if not text.lower().startswith(CUSTOM_PREFIX) else (text, "", "")
    prefix, _, rest = text.partition(":")
    if prefix.lower() + ":" == CUSTOM_PREFIX and rest.strip():
        return Target("customFields", rest.strip())
    if prefix.lower() + ":" == DND_PREFIX and rest:
        return Target("dndSettings", _read_channel_name(rest, CHANNELS))
    kind = next((kind for kind in KINDS if rest and plain(kind) == plain(prefix)), None)
    if kind is not None:
        names = [_read_channel_name(name, (*CHANNELS, ALL)) for name in rest.split(",")]
        target = consent_target(Consent(kind, (ALL,) if ALL in names else tuple(dict.fromkeys(names))))
        return msgspec.structs.replace(target, group=group.strip())
    joined = _JOINED_SPELLINGS.get(plain(text))
    if joined is not None:
        return Target(*joined, group=group.strip())
    field = _ALIASES.get(text.lower(), _SPELLINGS.get(plain(text)))
    if field is None:
        near = get_close_matches(text, [*FIELDS, *_JOINED, "owner", "location"], 1, 0.5)
        others = "custom:NAME, dnd:CHANNEL, opt-out:CHANNEL and opt-in:CHANNEL"
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIELDS)}, {others}"
        raise ConfigurationError(f"{text!r} is not a field of a contact; {hint}")
    return Target(field, group=group.strip()) if field else None


def read_targets(column: str, said: str | Sequence[str]) -> list[Target]:
    """Read what a column is sent to, one target or several; none where it is not to be sent.

    Raises:
        ConfigurationError: There is no such field, or the column is to be sent and not to be sent.
    """
    texts = [said] if isinstance(said, str) else said
    found = [read_target(text) for text in texts]
    targets = [target for target in dict.fromkeys(found) if target is not None]
    if targets and None in found:
        raise ConfigurationError(f"the column {column!r} is both sent and ignored; leave one of them out")
    return targets


def _read_channel_name(text: str, known: Sequence[str]) -> str:
    channel = {name.lower(): name for name in known}.get(text.strip().lower())
    if channel is None:
        raise ConfigurationError(f"{text.strip()!r} is not a channel; there are {', '.join(known)}")
    return channel


FIELDS: Final = tuple(field.wire for field in UPSERT_FIELDS)
_SPELLINGS: Final = {plain(wire): wire for wire in FIELDS}
_JOINED_SPELLINGS: Final = {plain(name): parts for name, parts in _JOINED.items()}


# ---------------------------------------------------------------------------------------------- cells to values


def read_flag(cell: str) -> bool:
    """Read yes or no."""
    is_yes = read_answer(cell)
    if is_yes is None:
        raise _neither_yes_nor_no(cell)
    return is_yes


_NO_STATES: Final = frozenset(
    "active inactive cancelled canceled bounced complained subscribed unsubscribed unconfirmed confirmed pending "
    "enabled disabled archived deleted open closed new verified unverified valid invalid blocked cleaned suppressed "
    "aktiv inaktiv actif inactif activo inactivo attivo inattivo ativo inativo actief inactief".split()
)


def read_state(cell: str) -> str:
    """Read a state of a country: columns called so may hold the state of a subscription.

    Raises:
        UnusableCellError: It is a word for such a status, or a text longer than any name of a state.
    """
    if cell.lower() in _NO_STATES:
        raise UnusableCellError("is a status, not a state of a country")
    if len(cell) > _MOST_STATE_CHARS:
        raise UnusableCellError("is longer than the name of any state; is it in the right column?")
    return cell


_MOST_STATE_CHARS: Final = 1000


def _neither_yes_nor_no(cell: str) -> UnusableCellError:
    return UnusableCellError(f"{cell[:40]!r} is neither yes nor no (true, false, 1 and 0 are fine, too)")


def read_contact_id(cell: str) -> str:
    """Read the id of a contact."""
    if not is_contact_id(cell):
        raise UnusableCellError("is not the id of a contact, which has 20 letters and digits")
    return cell


_SEPARATOR: Final = re.compile(r":::|[,;|\n]")


def read_tags(cell: str) -> list[str]:
    """Read tags between any of , ; | ::: and line ends, in quotes or not, or as JSON."""
    if cell.startswith("["):
        return read_json(cell, list[str])  # type: ignore[no-any-return]
    return [tag for tag in split_list(cell) if not _is_of_system(tag)]


def split_list(cell: str) -> list[str]:
    """Split a cell that holds several values; what stands in quotes is one."""
    if '"' in cell:
        parts = next(csv.reader([cell.replace("\n", ",")], skipinitialspace=True))
        return [part.strip() for part in parts if part.strip()]
    return [part.strip() for part in _SEPARATOR.split(cell) if part.strip()]


def _is_of_system(tag: str) -> bool:
    """Whether a label is one that Google puts on each contact, such as "* myContacts"."""
    return tag.startswith("* ")


def read_json(cell: str, kind: Any) -> Any:
    """Read JSON of a kind."""
    try:
        return msgspec.json.decode(cell, type=kind)
    except msgspec.DecodeError as error:
        raise UnusableCellError(f"{cell[:40]!r} is not the JSON that belongs here ({error})") from None


_OPENS_NOTHING: Final = "would open the channel, which nothing in a file does"


def read_dnd(cell: str) -> bool | None:
    """Read whether no channel at all may be used: yes or no; None where nothing is said, or no."""
    return None if _closes(cell) is None else True


def read_channel(cell: str) -> dict[str, str] | Fixed | None:
    """Read whether a channel must not be used: yes or no, the API's own word, or the time since when.

    "No" leaves the channel as it is on the service: what another system does not know is no leave to write to somebody
    who has opted out here.
    """
    return Fixed(None, _OPENS_NOTHING, "skipped") if cell.lower() == "inactive" else _closes(cell)


def _closes(cell: str) -> dict[str, str] | None:
    if cell.lower() in ("active", "permanent"):
        return {"status": cell.lower()}
    verdict = judge(cell, "opt-out")
    if verdict == "unread":
        raise _neither_yes_nor_no(cell)
    return dict(CLOSED) if verdict == "closes" else None


_READERS: Final[dict[Kind, Callable[[str], Any]]] = {
    "switch": read_dnd,
    "option": read_flag,
    "tags": read_tags,
    "channels": lambda cell: read_json(cell, dict[str, Any]),
    "inbound": lambda cell: read_json(cell, dict[str, Any]),
    "custom": lambda cell: read_json(cell, list[dict[str, Any]]),
}
VALUE_READERS: Final = {field.wire: _READERS[field.kind] for field in UPSERT_FIELDS if field.kind in _READERS}
"""Of fields that are no text: what makes their value of a cell. It raises `UnusableCellError` with the reason."""
