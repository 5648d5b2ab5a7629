"""What it takes to make a contact again what it was before a run: decided field by field, without a call.

A field goes back only where the run sent it, and only while it holds what the run wrote: what somebody changed since
is left alone. A channel is opened only where nobody has written to the contact since: who closes a channel that is
closed already leaves nothing else to see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from ..bulk.traces import Trace
from ..models import Contact, ContactUpsert, CustomField, DndSetting, InboundDndSetting
from ..models.compare import CUSTOM_PREFIX
from ..models.dnd import CHANNELS
from ..models.fields import (
    CHANNEL_KINDS,
    FIELD_OF,
    NAMES,
    PART_KINDS,
    UPSERT_FIELDS,
    AnySetting,
    AnySettings,
    ContactField,
    given_fields,
    is_empty,
    is_same_value,
    words_of,
)
from ..models.normal import normal_tags
from .mapping.custom_fields import FieldDefinitions, empty_field_value
from .tables.table import text_of

_PLAIN: Final = [one for one in UPSERT_FIELDS if one.is_stored and one.kind not in PART_KINDS and one.name not in NAMES]
_SETTINGS: Final = [field for field in UPSERT_FIELDS if field.kind in CHANNEL_KINDS]
_CUSTOM: Final = "custom_fields"
_CHANGED: Final = "it changed since the run"
_NOT_KNOWN: Final = "what it held before is not known"
_UNREADABLE: Final = "what it holds now cannot be read"
_STAYS_CLOSED: Final = "the API cannot close it as it was closed before, but it stays closed"
_CLOSED_OTHERWISE: Final = "the API cannot close it as it was closed before, so it is closed as `active`"
_MAY_BE_CLOSED: Final = "somebody changed the contact after the run and may have closed this, so it stays closed"
_NOT_TRACED: Final = (
    "it is not known when the run last wrote to it; somebody may have closed this since, so it stays closed"
)
_CLOSED_FOR_GOOD: Final = "it is closed permanently, and the API cannot change that"
_STRANGE_BESIDE: Final = "the update might lose a setting of another channel, so this one stays closed"


class Left(Struct, frozen=True):
    """A field that does not go back, why not, and whether that is as the service has no way to do it."""

    field: str
    reason: str
    is_lost: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"

    @property
    def is_changed(self) -> bool:
        """Whether it stays because somebody changed it since the run."""
        return self.reason.startswith(_CHANGED)


class Restoration(Struct, kw_only=True):
    """What is to be done.

    Attributes:
        changes: For an update of the contact, by names in Python.
        company_name: What an update cannot change, and an upsert can; `UNSET` where it stays.
        left: What stays as it is.
    """

    changes: dict[str, Any] = {}
    company_name: Any = UNSET
    left: list[Left] = []

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.changes) or self.company_name is not UNSET


class Sent(Struct, frozen=True, kw_only=True):
    """What a run sent of a contact.

    Attributes:
        rows: In the order in which they were applied.
        adds_tags: Whether tags were added to those it had; else each row replaced them.
        custom_fields: Those of its location; None where they are not known.
    """

    rows: Sequence[ContactUpsert]
    adds_tags: bool
    custom_fields: FieldDefinitions | None = None

    def values(self, name: str) -> list[Any]:
        """Return what was sent for a field."""
        return [value for row in self.rows if (value := getattr(row, name)) is not UNSET]


def find_restoration(
    before: Contact,
    now: Contact,
    sent: Sent,
    *,
    trace: Trace | None = None,
    emptied: Collection[str] = (),
    is_forced: bool = False,
) -> Restoration:
    """Decide what it takes to undo what a run did to a contact.

    Args:
        before: As it was; a field that it does not tell is left alone.
        now: As it is.
        sent: What the run sent of it.
        trace: What the run left of it; None where that is not known.
        emptied: Fields that the undoing itself may have emptied; they go back where they are empty.
        is_forced: Whether fields that somebody changed since go back, too.
    """
    return _Comparison(before, now, sent, trace, emptied, is_forced).run()


class _Comparison:
    def __init__(
        self,
        before: Contact,
        now: Contact,
        sent: Sent,
        trace: Trace | None,
        emptied: Collection[str],
        is_forced: bool,
    ) -> None:
        self._before = before
        self._now = now
        self._sent = sent
        self._emptied = emptied
        self._changed = frozenset[str]() if trace is None else trace.changed(now)
        self._why_closed = _NOT_TRACED if trace is None else None if trace.is_latest(now) else _MAY_BE_CLOSED
        self._is_forced = is_forced
        self._found = Restoration()

    def run(self) -> Restoration:
        self._look_at_names()
        for field in _PLAIN:
            self._look_at(field)
        for field in _SETTINGS:
            self._look_at_settings(field)
        self._look_at_tags()
        self._look_at_custom_fields()
        return self._found

    def _leave(self, name: str, reason: str, *, is_lost: bool = False) -> None:
        self._found.left.append(Left(name, reason, is_lost))

    def _is_known(self, *names: str) -> bool:
        """Whether what fields held is known, and what they hold now."""
        for name in names:
            if not self._before.knows(name):
                self._leave(name, _NOT_KNOWN, is_lost=True)
                return False
            if not self._now.knows(name):
                self._leave(name, f"{_UNREADABLE}: {text_of(self._now.unreadable.get(name))!r}")
                return False
        return True

    # ------------------------------------------------------------------------------------------ plain fields

    def _look_at(self, field: ContactField) -> None:
        name = field.name
        values, now = self._sent.values(name), getattr(self._now, name)
        if not values or not self._is_known(name):
            return
        old = getattr(self._before, name)
        if (old or None) == (now or None):
            return
        if not (self._is_forced or self._is_ours(field, values, now) or (name in self._emptied and not now)):
            self._leave_changed(name, now, is_as_before=field.normal(old) == field.normal(now))
        elif field.kind == "switch" and self._stays_closed(name):
            return
        elif field.restored_by == "upsert":
            self._found.company_name = old or ""
        elif not field.restored_by or (not old and field.empty_update is UNSET):
            self._leave(name, "the service has no way to change it back", is_lost=True)
        else:
            self._found.changes[name] = old or field.empty_update

    def _is_ours(self, field: ContactField, values: Iterable[Any], now: Any) -> bool:
        is_same = field.comparer()
        return field.name not in self._changed and any(value == now or is_same(value, now) for value in values)

    def _leave_changed(self, name: str, now: Any, *, is_as_before: bool) -> None:
        """Leave what the run did not write, and say so unless it is what was there before, in another form."""
        if not is_as_before:
            self._leave(name, _changed(now))

    def _look_at_names(self) -> None:
        """Look at a name and its two parts, which change together."""
        if not any(self._sent.values(name) for name in NAMES) or not self._is_known(*NAMES):
            return
        old, now = _names(self._before), _names(self._now)
        if old == now:
            return
        is_ours = self._changed.isdisjoint(NAMES) and self._are_names_as_sent(old, now)
        if not self._is_forced and not is_ours:
            self._leave("name", _changed(" ".join(now[:2])))
            return
        self._found.changes |= dict(zip(NAMES, old, strict=True))

    def _are_names_as_sent(self, old: tuple[str, ...], now: tuple[str, ...]) -> bool:
        split = [(value or "").strip().partition(" ") for value in self._sent.values("name")]
        firsts = [*self._sent.values("first_name"), *(first for first, _, _ in split), old[0]]
        lasts = [*self._sent.values("last_name"), *(last.strip() for _, _, last in split), old[1]]
        is_first, is_last = (FIELD_OF[name].comparer() for name in NAMES[:2])
        return any(is_first(first, now[0]) for first in firsts) and any(is_last(last, now[1]) for last in lasts)

    def _stays_closed(self, name: str) -> bool:
        """Whether a channel that was open stays closed, as somebody may have closed it since; say so then."""
        if self._is_forced or self._why_closed is None:
            return False
        self._leave(name, self._why_closed)
        return True

    # ------------------------------------------------------------------------------------------ wishes

    def _look_at_settings(self, field: ContactField) -> None:
        """Look at what was said of not disturbing, channel by channel; one without a word is one that may be used."""
        name = field.name
        sent: dict[str, list[AnySetting]] = {}
        for value in self._sent.values(name):
            for channel, setting in value.by_channel().items():
                sent.setdefault(channel, []).append(setting)
        if not sent or not self._is_known(name):
            return
        old, now = _channels(getattr(self._before, name)), _channels(getattr(self._now, name))
        open_one = (InboundDndSetting if field.kind == "inbound" else DndSetting)(status="inactive")
        back: dict[str, AnySetting] = {}
        for channel, settings in sent.items():
            if words_of(old.get(channel)) != words_of(now.get(channel)):
                goal = self._goal_of(f"{name}.{channel}", old.get(channel, open_one), now.get(channel), settings)
                back |= {} if goal is None else {channel: goal}
        if back := self._without_risk(name, back, now):
            # The service may replace all channels by those that are sent: the others go along as they are.
            echo = {channel: setting for channel, setting in now.items() if _is_sendable(channel, setting)}
            self._found.changes[name] = msgspec.to_builtins(echo | back)

    def _goal_of(
        self, name: str, old: AnySetting, now: AnySetting | None, sent: Iterable[AnySetting]
    ) -> AnySetting | None:
        """Return what a channel that is not as it was is to be; None where it stays as it is."""
        was, held = words_of(old), words_of(now)
        # What was to be permanent is `active`, as the service takes that alone.
        ours = {words_of(one) for setting in sent for one in (setting, setting.as_settable())}
        ours |= {(status, *was[1:]) for status, *_ in ours}  # where the service keeps the words of before
        if held[0] == "permanent":
            self._leave(name, _CLOSED_FOR_GOOD)
        elif not self._is_forced and held not in ours:
            self._leave(name, _changed(held[0]))
        elif old.is_settable:
            opens = not old.is_closed and now is not None and now.is_closed
            return None if opens and self._stays_closed(name) else old
        elif now is not None and now.is_closed:
            self._leave(name, _STAYS_CLOSED, is_lost=True)
        else:
            self._leave(name, _CLOSED_OTHERWISE, is_lost=True)
            return old.as_settable()
        return None

    def _without_risk(
        self, name: str, back: dict[str, AnySetting], now: Mapping[str, AnySetting]
    ) -> dict[str, AnySetting]:
        """Leave out what would open a channel while another one holds what cannot be sent with it."""
        if all(_is_sendable(channel, setting) for channel, setting in now.items()):
            return back
        for channel in [channel for channel, setting in back.items() if not setting.is_closed]:
            del back[channel]
            self._leave(f"{name}.{channel}", _STRANGE_BESIDE)
        return back

    # ------------------------------------------------------------------------------------------ tags

    def _look_at_tags(self) -> None:
        """Take each tag for itself: those that the run added go, those that it removed come back, others stay.

        Rows of one contact that share no email or phone may have been applied in any order.
        """
        if not self._sent.values("tags") or not self._is_known("tags"):
            return
        old, now = self._before.tags or [], self._now.tags or []
        rows = [normal_tags(row.tags) for row in self._sent.rows if row.tags is not UNSET]
        added = set[str]().union(*rows) - set(old)
        removed = set[str]() if self._sent.adds_tags else set(old) - rows[0].intersection(*rows)
        back = [tag for tag in old if tag in removed or tag in now]
        back += [tag for tag in now if tag not in added and tag not in old]
        if set(back) != set(now):
            self._found.changes["tags"] = back

    # ------------------------------------------------------------------------------------------ custom fields

    def _look_at_custom_fields(self) -> None:
        sent = [field for row in self._sent.rows for field in row.custom_fields or ()]
        if not sent or not self._is_known(_CUSTOM):
            return
        old = {field.id: field.value for field in self._before.custom_fields or ()}
        now = {field.id: field.value for field in self._now.custom_fields or ()}
        back = []
        for field_id, values in self._by_id(sent).items():
            was, held = old.get(field_id), now.get(field_id)
            if was == held:
                continue
            ours = values[-1:] if _CUSTOM in self._changed else values  # which of them somebody changed is not known
            if self._is_forced or any(is_same_value(value, held, exactly=True) for value in ours):
                back.append({"id": field_id, "field_value": self._empty_of(field_id, held) if was is None else was})
            else:
                is_as_before = is_same_value(was, held, exactly=True)
                self._leave_changed(CUSTOM_PREFIX + field_id, held, is_as_before=is_as_before)
        if back:
            self._found.changes[_CUSTOM] = back

    def _by_id(self, sent: Iterable[CustomField]) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {}
        for field in sent:
            definitions = self._sent.custom_fields
            known = None if definitions is None else definitions.find(str(field.id or field.key))
            if known is not None or field.id:
                values.setdefault(known.id if known else str(field.id), []).append(
                    msgspec.to_builtins(field.field_value)
                )
            elif definitions is None:
                self._leave(f"{CUSTOM_PREFIX}{field.key}", "which custom field it is is not known", is_lost=True)
        return values

    def _empty_of(self, field_id: str, held: Any) -> Any:
        known = None if self._sent.custom_fields is None else self._sent.custom_fields.find(field_id)
        return ([] if isinstance(held, list) else "") if known is None else empty_field_value(known.data_type)


def fields_changed(row: ContactUpsert) -> frozenset[str]:
    """Return the fields that a row may change and that can go back, by their names in Python."""
    names = frozenset(field.name for field in given_fields(row) if field.is_stored)
    return names if names.isdisjoint(NAMES) else names.union(NAMES)


def _names(contact: Contact) -> tuple[str, str, str]:
    first, last = contact.first_name or "", contact.last_name or ""
    return first, last, contact.name or f"{first} {last}".strip()


def _channels(value: AnySettings | None) -> Mapping[str, AnySetting]:
    return {} if value is None else value.by_channel()


def _is_sendable(channel: str, setting: AnySetting) -> bool:
    """Whether a stored channel can be sent as it is."""
    is_known = channel in CHANNELS.values() or channel == "all"
    return is_known and (setting.is_settable or setting.status == "permanent")


def _changed(now: Any) -> str:
    return f"{_CHANGED}, and is empty now" if is_empty(now) else f"{_CHANGED}, and holds {text_of(now)!r} now"
