"""The rules of each field: functions that check a value before it is sent, in a list for each field.

A rule takes the text as the rules before it left it, and the checks that are wanted. It returns the text to go on with,
or a `Fixed` where people should know what it changed, or raises `UnusableCellError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from ..models.fields import UPSERT_FIELDS, Kind
from .checks import Checks
from .dates import birthday, calendar_day
from .emails import email_address
from .phones import e164, one_number
from .places import country_code, time_zone
from .problems import ACTIONS, Action, Fixed, LeftOutError, UnknownOptionError, UnusableCellError
from .texts import no_filler, not_too_long, web_address, without_decimals


class Rule(Protocol):
    """Checks a text."""

    def __call__(self, cell: str, checks: Checks) -> str | Fixed:
        raise NotImplementedError


_RULES: Final[Mapping[Kind, Sequence[Rule]]] = {
    "text": [not_too_long],
    "word": [no_filler, not_too_long],
    "email": [email_address],
    "phone": [one_number, e164],
    "day": [calendar_day, birthday],
    "country": [country_code],
    "zone": [time_zone],
    "url": [web_address, not_too_long],
}
_OF_FIELD: Final[Mapping[str, Sequence[Rule]]] = {"postalCode": [without_decimals, not_too_long]}
RULES: Final = {
    field.wire: _OF_FIELD.get(field.wire, _RULES[field.kind]) for field in UPSERT_FIELDS if field.kind in _RULES
}
"""The rules of each field of a contact, in the order in which they are asked."""
CUSTOM_RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "DATE": [calendar_day],
    "PHONE": _RULES["phone"],
    "EMAIL": _RULES["email"],
}
"""The rules of custom fields, by the service's word for their kind."""
FREE_TEXT: Final = frozenset(field.wire for field in UPSERT_FIELDS if field.kind in ("text", "word", "tags", "custom"))
"""Fields that may hold any text, so that a placeholder can be sent as well."""

# Without a wrong email, the phone alone would decide whose contact is written. Without a wrong location or
# do-not-disturb setting, the opposite of what was meant would happen. Broken JSON means that columns have moved.
_REFUSING: Final = ("email", "location", "switch", "channels", "inbound", "option", "tags", "custom")
REFUSING: Final = frozenset(field.wire for field in UPSERT_FIELDS if field.kind in _REFUSING)
"""Fields of which a cell that cannot be used keeps its row from being sent; of all others the cell is left out."""


def action_of(field: str) -> Action:
    """Return what becomes of a cell of a field that cannot be used."""
    return "refused" if field in REFUSING else "skipped"


def action_for(reason: UnusableCellError, usual: Action) -> Action:
    """Return what becomes of a cell that cannot be used for a reason, given what usually becomes of such cells."""
    if isinstance(reason, UnknownOptionError):
        return "missing"
    return "skipped" if isinstance(reason, LeftOutError) else usual


def apply_rules(rules: Sequence[Rule], text: str, checks: Checks) -> str | Fixed:
    """Ask rules in turn.

    Raises:
        UnusableCellError: One says that the text cannot be sent.
    """
    fixed: list[Fixed] = []
    for rule in rules:
        found = rule(text, checks)
        if isinstance(found, Fixed):
            if found.value is None:
                return found
            fixed.append(found)
            text = found.value
        else:
            text = found
    if not fixed:
        return text
    return Fixed(
        text, "; ".join([one.sentence for one in fixed]), min([one.action for one in fixed], key=ACTIONS.index)
    )


def _reader_of_two(rules: Sequence[Rule], checks: Checks) -> Callable[[str], str | Fixed]:
    """Make one function of two rules, which does what `apply_rules` does in half the time."""
    first, second = rules

    def read(text: str) -> str | Fixed:
        found = first(text, checks)
        return second(found, checks) if isinstance(found, str) else apply_rules(rules, text, checks)

    return read


def reader_of(rules: Sequence[Rule], checks: Checks) -> Callable[[str], str | Fixed]:
    """Make one function of rules; it is called for each cell of a column."""
    if len(rules) == 1:
        return partial(rules[0], checks=checks)
    if len(rules) == 2:
        return _reader_of_two(rules, checks)
    return lambda text: apply_rules(rules, text, checks)
