"""What a load left in each contact that it wrote to, so that `undo` can see whether somebody has touched it since.

`dateUpdated` alone does not show that. Setting tags in bulk moves it, and the answer does not say to when; an edit that
was made shortly before hides behind that. So a trace holds checksums of the contact's fields and tags as well. Where a
contact cannot be shown to be as the load left it, `why_kept` says so, and it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import Struct

from ..calls.server_clock import CLOCK_TOLERANCE, read_time
from ..models import Contact, ContactUpdate, ContactUpsert
from ..models.fields import FIELDS, GROUPS, given_fields
from ..models.normal import normal_tags

Span: TypeAlias = tuple[float, float]
"""The earliest and the latest time at which something happened, by the server's clock, in seconds since 1970."""

# Tags are compared one by one.
_TRACED: Final = [field for field in FIELDS if field.is_traced]
_FIELDS: Final = tuple(field.name for field in _TRACED)
_PLACES: Final = {name: place for place, name in enumerate(_FIELDS)}
_NORMAL_FORMS: Final = [field.normal for field in _TRACED]
# What some answers do not name is not known after them, rather than empty.
_NOT_ALWAYS_NAMED: Final = [place for place, field in enumerate(_TRACED) if field.is_unsure]
_values_of: Final = attrgetter(*_FIELDS)
_DND_FIELDS: Final = tuple(field.name for field in _TRACED if field.kind in ("switch", "channels", "inbound"))
_DND_CHANGE: Final = "do not disturb"
UNSEEN_CHANGE: Final = "nothing that its fields show"
"""What is counted where a contact's date of change moved and no field did: a note or an opportunity, for one."""
_MOST_TAG_CHARS: Final = 80


class Written(Struct, frozen=True, gc=False):
    """A write whose answer held the whole contact.

    Attributes:
        sent: What was sent; only fields that it names may have changed by it.
        stored: The contact in the answer.
        span: When it can have been applied; None where the server's time was not known yet.
    """

    sent: ContactUpsert | ContactUpdate
    stored: Contact
    span: Span | None


class Kept(Struct, frozen=True):
    """Why an undo leaves a contact as it is.

    Attributes:
        reason: In words.
        changes: Each way in which it changed, in words by which contacts can be counted: a field's name in Python,
            `do not disturb`, `tag added: NAME`, `tags removed`; none where that is not known.
    """

    reason: str
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.reason


class Trace(Struct, frozen=True, kw_only=True, gc=False):
    """What the load left of a contact.

    Attributes:
        updated_at: Its `dateUpdated` in the last answer that held it, in seconds since 1970; None where it had none.
        span: When the load wrote to it with no answer that says what `dateUpdated` became, or None.
        fields: A checksum of each of the fields that are compared; 0 where it is empty.
        tags: A checksum of each of its tags.
        touched: Fields that somebody else changed between two writes of the load.
    """

    updated_at: float | None
    span: Span | None
    fields: tuple[int, ...]
    tags: frozenset[int]
    touched: tuple[str, ...] = ()

    def why_kept(self, contact: Contact) -> Kept | None:
        """Say why a contact is not known to be as the load left it; None where it is."""
        updated_at = read_time(contact.date_updated)
        if self.touched:
            reason = f"somebody else changed it while the load was at work: {_spell(self.touched)}"
            return Kept(reason, self._changes(contact))
        if updated_at is None or (self.updated_at is None and self.span is None):
            return Kept("it is not known whether it changed since the load last wrote to it")
        if updated_at != self.updated_at:
            if not self._is_in_span(updated_at):
                changes = self._changes(contact) or (UNSEEN_CHANGE,)
                reason = f"it changed after the load last wrote to it, at {contact.date_updated}: {_spell(changes)}"
                return Kept(reason, changes)
            if changed := _changed(self.fields, _checksums(contact)):
                return Kept(f"it does not hold what the load left: {_spell(changed)}", self._changes(contact))
        if changes := self._changed_tags(contact):
            return Kept(f"its tags are not those that the load left: {_spell(changes)}", changes)
        return None

    def _changes(self, contact: Contact) -> tuple[str, ...]:
        """Return in which ways a contact is not as the load left it, or was not in between."""
        changed = dict.fromkeys((*self.touched, *_changed(self.fields, _checksums(contact))))
        fields = dict.fromkeys(_DND_CHANGE if name in _DND_FIELDS else name for name in changed if name != "tags")
        tags = self._changed_tags(contact) or (("tags",) if "tags" in changed else ())
        return (*fields, *tags)

    def _changed_tags(self, contact: Contact) -> tuple[str, ...]:
        """Return what became of the tags. Those that are gone have no names here: of them only checksums are known."""
        there = {_checksum(tag): tag for tag in sorted(_tags_of(contact))}
        added = [f"tag added: {tag[:_MOST_TAG_CHARS]}" for checksum, tag in there.items() if checksum not in self.tags]
        return (*added, *(["tags removed"] if self.tags - there.keys() else []))

    def is_latest(self, contact: Contact) -> bool:
        """Whether nobody is known to have written to a contact, as it was read now, after the load; not so either where
        that cannot be told."""
        updated_at = read_time(contact.date_updated)
        return updated_at is not None and (updated_at == self.updated_at or self._is_in_span(updated_at))

    def changed(self, contact: Contact) -> frozenset[str]:
        """Return the fields, by their names in Python, that do not hold what the load left or that somebody else
        changed between two of its writes; one that holds the same again is not noticed. Tags are not looked at."""
        return frozenset((*self.touched, *_changed(self.fields, _checksums(contact))))

    def _is_in_span(self, moment: float) -> bool:
        return self.span is not None and (self.span[0] - CLOCK_TOLERANCE <= moment <= self.span[1] + CLOCK_TOLERANCE)

    def tagged(self, tags: Iterable[str], span: Span | None) -> Trace:
        """Return what is left once tags were added to it."""
        return msgspec.structs.replace(self, tags=self.tags | _tag_checksums(tags), span=_join(self.span, span))


def trace_of(written: Written) -> Trace:
    """Return what the first write of a load to a contact left."""
    stored = written.stored
    updated_at = read_time(stored.date_updated)
    return Trace(
        updated_at=updated_at,
        span=written.span if updated_at is None else None,
        fields=_checksums(stored),
        tags=frozenset(map(_checksum, _tags_of(stored))),
    )


def follow(before: Trace, written: Written) -> Trace:
    """Return what a further write left. Fields that it did not send must be as the write before left them, or somebody
    else has changed them in between."""
    after = trace_of(written)
    if before.updated_at is not None and after.updated_at is not None and after.updated_at < before.updated_at:
        return before  # its answer came late: the other one was applied after it
    sent = _names_sent(written.sent)
    touched = [name for name in _changed(before.fields, after.fields) if name not in sent]
    if "tags" not in sent and before.tags != after.tags:
        touched.append("tags")
    return msgspec.structs.replace(
        after, fields=_known_of(before.fields, after.fields), touched=(*before.touched, *touched)
    )


def _names_sent(sent: ContactUpsert | ContactUpdate) -> frozenset[str]:
    """Return the fields that a write may have changed."""
    names = frozenset(field.name for field in given_fields(sent))
    return names.union(*(group for group in GROUPS if not group.isdisjoint(names)))


def _join(one: Span | None, other: Span | None) -> Span | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _spell(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


# ---------------------------------------------------------------------------------------------- checksums


def _changed(before: tuple[int, ...], after: tuple[int, ...]) -> list[str]:
    if len(before) != len(_FIELDS):  # written by another version
        return ["unknown fields"]
    known = _known_of(before, after)
    return [name for name, one, other in zip(_FIELDS, before, known, strict=True) if one != other]


def _known_of(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    """Return what is known after an answer: a field that it need not name, and does not, is as before."""
    if len(before) != len(_FIELDS):
        return after
    known = list(after)
    for place in _NOT_ALWAYS_NAMED:
        known[place] = after[place] or before[place]
    return tuple(known)


def _checksums(contact: Contact) -> tuple[int, ...]:
    values = zip(_NORMAL_FORMS, _values_of(contact), strict=True)
    found = [_checksum(normal(value)) if value else 0 for normal, value in values]  # most are empty
    for name, value in contact.unreadable.items():  # which must not pass for nothing
        if name in _PLACES:
            found[_PLACES[name]] = _checksum(value)
    return tuple(found)


def _tags_of(contact: Contact) -> Set[str]:
    """Return the tags in their normal form; what could not be read of them is one more, in JSON."""
    tags = normal_tags(contact.tags)
    unread = contact.unreadable.get("tags")
    return tags if unread is None else tags | {msgspec.json.encode(unread).decode()}


def _checksum(value: Any) -> int:
    """Return a checksum of a value in its normal form; 0 of an empty one."""
    if isinstance(value, str):
        return crc32(value.encode("utf-8", "surrogatepass"))
    return crc32(msgspec.json.encode(value, order="sorted", enc_hook=repr)) if value else 0


def _tag_checksums(tags: Iterable[str] | None) -> frozenset[int]:
    return _checksums_of_tags(tuple(tags)) if tags else frozenset()


@lru_cache(maxsize=1024)  # contacts share few sets of tags
def _checksums_of_tags(tags: tuple[str, ...]) -> frozenset[int]:
    return frozenset(map(_checksum, normal_tags(tags)))
