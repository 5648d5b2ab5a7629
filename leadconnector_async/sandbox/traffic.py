"""What the sandbox saw and did, to look at afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Arrival(Struct, frozen=True):
    """A call as the sandbox saw it.

    Attributes:
        time: When it was counted, on the sandbox's monotonic clock, in seconds.
        status: What it was answered, or 0 where it was not.
        fault: The fault it met, or None.
    """

    time: float
    method: str
    path: str
    location_id: str
    status: int
    fault: str | None


class Applied(Struct, frozen=True):
    """A call that was carried out, whatever became of its answer.

    Attributes:
        sent: The body of the request.
        answered: The body of the answer, as it is without a fault. Contacts in it are the stored ones themselves: copy
            them to see later how they were at the time.
        fault: The fault that the answer met, or None.
    """

    method: str
    path: str
    sent: Mapping[str, Any]
    answered: Mapping[str, Any]
    fault: str | None
