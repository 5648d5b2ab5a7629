"""What is known of a run when it is over: when it ended, by the server's clock, and whether a contact changed since."""

from __future__ import annotations

from typing import Final

from ..client import LeadConnector
from ..journal import Journal
from ..models import Contact
from ..server_clock import CLOCK_TOLERANCE, read_time

_ENDED_AT: Final = "ended_at"


def note_end(journal: Journal, client: LeadConnector) -> None:
    """Note in the journal of a run that nothing more of it is on its way.

    Raises:
        JournalError: It could not be written.
    """
    span = client.server_clock.span(client.clock.monotonic())
    if span is not None:
        journal.note({_ENDED_AT: repr(span[1])})


def read_end(journal: Journal) -> float | None:
    """Return when a run had ended, in seconds since 1970 by the server's clock; None where that is not known.

    Raises:
        JournalError: The journal cannot be read.
    """
    noted = journal.told(_ENDED_AT)
    known = [time for time in (journal.arrived_until(), None if noted is None else float(noted)) if time is not None]
    return max(known, default=None)


def changed_since(contact: Contact, ended_at: float | None) -> bool | None:
    """Whether a contact was changed after a run, by its `dateUpdated`; None where that cannot be told.

    What changed it may be a person, or an automation that the run itself has set off.
    """
    updated = read_time(contact.date_updated)
    if updated is None or ended_at is None:
        return None
    return updated > ended_at + CLOCK_TOLERANCE
