"""Who created a contact where the answer to a try was lost: that try, or somebody else.

An upsert creates a contact by right only if an answer said `new: true`. If the answer to a try was lost and a later
one says `new: false`, the lost try may have created the contact, or it was there before. The lost try is taken to have
created it only if all of this holds:

- the try may have arrived: a refused connection or a 429 leaves no doubt;
- `dateAdded` lies within that very try, by the server's clock, widened by what is not known of that clock and by two
  seconds. A contact that was created while we waited to try again is somebody else's;
- the contact holds no name, email, phone, address or custom field but those that were sent. What the service fills in
  by itself proves nothing, nor do tags, which workflows add.

This is an inference all the same: somebody else may have sent the same just then.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ..calls.call import Tries
from ..calls.server_clock import CLOCK_TOLERANCE, ServerClock, read_time
from ..models import Contact, ContactUpsert
from ..models.compare import holds_only_what_was_sent

Span: TypeAlias = tuple[float, float]
"""The earliest beginning and the latest end of a try by the server's clock, in seconds since 1970."""


class EarlierTries(Struct, frozen=True):
    """Tries of earlier sessions that may have been applied although no answer said so.

    Attributes:
        spans: When each was under way; None where that is not known.
        found: The contact as it was before this session sent anything; None where there was none, or nobody looked.
    """

    spans: tuple[Span | None, ...] = ()
    found: Contact | None = None


NO_EARLIER_TRIES = EarlierTries()


def was_created_by_lost_try(
    tries: Tries,
    sent: ContactUpsert,
    stored: Contact,
    server_clock: ServerClock,
    earlier: EarlierTries = NO_EARLIER_TRIES,
) -> bool | None:
    """Decide whether a try whose answer was lost created a contact.

    Args:
        tries: Those of a call whose last answer said that the contact is not new.
        sent: What the call sent.
        stored: The contact in that answer.
        server_clock: The server's time.
        earlier: What earlier sessions sent. This session has written over what they left, so the contact that was found
            before is the evidence; without one, they are not taken to have created it.

    Returns:
        True or False; None where it cannot be told, or no try is in doubt.
    """
    found = earlier.found if earlier.found is not None and earlier.found.id == stored.id else None
    verdicts = [_is_from(doubt.span_by(server_clock), stored, sent, stored) for doubt in tries.doubts]
    verdicts += [_is_from(span, stored, sent, found) for span in earlier.spans]
    if True in verdicts:
        return True
    return False if verdicts and None not in verdicts else None


def _is_from(span: Span | None, stored: Contact, sent: ContactUpsert, evidence: Contact | None) -> bool | None:
    added = read_time(stored.date_added)
    if span is None or added is None:
        return None
    if added < span[0] - CLOCK_TOLERANCE:
        return False
    # Later than the try: it may have arrived late, so this is no proof that it did not create the contact.
    if evidence is None or added > span[1] + CLOCK_TOLERANCE:
        return None
    is_ours = holds_only_what_was_sent(sent, evidence) and holds_only_what_was_sent(sent, stored)
    return True if is_ours else None
