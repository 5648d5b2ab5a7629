"""What a load left in each contact that it wrote to, so that `undo` can see whether somebody has touched it since.

`dateUpdated` alone does not show that. Setting tags in bulk moves it, and the answer does not say to when; an edit that
was made shortly before hides behind that. So a trace holds checksums of the contact's fields and tags as well. Where a
contact cannot be shown to be as the load left it, `why_kept` says so, and it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import UNSET, Struct

from ..calls.server_clock import CLOCK_TOLERANCE, read_time
from ..models import Contact, ContactUpdate, ContactUpsert
from ..models.normal import normal_email, normal_phone

Span: TypeAlias = tuple[float, float]
"""The earliest and the latest time at which something happened, by the server's clock, in seconds since 1970."""

_NAMES: Final = frozenset(("first_name", "last_name", "name"))
_DND: Final = frozenset(("dnd", "dnd_settings"))
# Left out: what no contact holds; `name`, which is made of its parts; `tags`, which are compared one by one.
_NOT_COMPARED: Final = ("location_id", "create_new_if_duplicate_allowed", "name", "tags")
# No load sends these, but others can change them.
_OTHERS_ONLY: Final = "type business_id ssn keyword attachments bounce_email unsubscribe_email".split()
_FIELDS: Final = (*(name for name in ContactUpsert.__struct_fields__ if name not in _NOT_COMPARED), *_OTHERS_ONLY)
# Some answers do not name it. Where they do not, it is not known, rather than empty.
_NOT_ALWAYS_NAMED: Final = "gender"
_SETTINGS: Final = ("dnd_settings", "inbound_dnd_settings")
_values_of: Final = attrgetter(*_FIELDS)
_DND_FIELDS: Final = (*_DND, "inbound_dnd_settings")
_DND_CHANGE: Final = "do not disturb"
UNSEEN_CHANGE: Final = "nothing that its fields show"
"""What is counted where a contact's date of change moved and no field did: a note or an opportunity, for one."""
_MOST_TAG_CHARS: Final = 80
_DAY_CHARS: Final = len("2000-01-31")


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
        there = {_checksum_of_text(tag.strip().lower()): tag for tag in contact.tags or ()}
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
        tags=_tag_checksums(stored.tags),
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
    names = {name for name in sent.__struct_fields__ if getattr(sent, name) is not UNSET}
    groups = [group for group in (_NAMES, _DND) if not group.isdisjoint(names)]
    return frozenset(names).union(*groups)


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
    place = _FIELDS.index(_NOT_ALWAYS_NAMED)
    return (*after[:place], after[place] or before[place], *after[place + 1 :])


def _checksums(contact: Contact) -> tuple[int, ...]:
    values = zip(_FIELDS, _values_of(contact), strict=True)
    return tuple([_checksum(name, value) if value else 0 for name, value in values])  # most are empty


def _checksum(name: str, value: Any) -> int:
    """Return a checksum that is the same for all forms in which answers may have a value."""
    if isinstance(value, str):
        return _checksum_of_text(_normal_text(name, value))
    if name in _SETTINGS:  # what is open, in no words, is as good as not named
        value = {key: each for key, each in value.by_channel().items() if each != type(each)(status="inactive")}
    if name == "custom_fields":
        value = sorted((field.id, _plain(field.value)) for field in value if field.value not in (None, "", []))
    return crc32(msgspec.json.encode(value, order="sorted", enc_hook=repr)) if value else 0


def _checksum_of_text(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"))  # 0 of an empty one


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()


def _normal_text(name: str, text: str) -> str:
    match name:
        case "email":
            return normal_email(text)
        case "phone":
            return normal_phone(text)
        case "date_of_birth":
            return text[:_DAY_CHARS]  # some answers have a time behind it
    return text.strip()


def _tag_checksums(tags: Iterable[str] | None) -> frozenset[int]:
    return frozenset([_checksum_of_text(tag.strip().lower()) for tag in tags or ()])
