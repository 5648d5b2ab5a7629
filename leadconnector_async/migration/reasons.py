"""What is known of why something came out as it did, in words for people."""

from __future__ import annotations

from ..errors import AuthenticationError, LocationRefusedError, StopRequestedError
from ..report import BatchReport


def why_stopped(report: BatchReport) -> str | None:
    """Say what ended a load early, if it was no wish of the user's."""
    if report.stopped is None or isinstance(report.stopped, StopRequestedError):
        return None
    if isinstance(report.stopped, AuthenticationError):
        return f"the service refused the token ({report.stopped}); check it"
    more = f" ({len(report.closed_locations) - 1} more take none, either)" if len(report.closed_locations) > 1 else ""
    if isinstance(report.stopped, LocationRefusedError):
        return f"{report.stopped}{more}; give the token access to it, or correct its id, then go on"
    return f"{report.stopped}{more}"


def why_not_applied(field: str) -> str:
    """Say what is known of why the service takes a contact without a field."""
    if field in ("phone", "email"):
        return "another contact holds it"
    if field == "gender":
        return "the service drops it on a contact that exists"
    if field == "dnd_settings":
        return "the API can neither change a channel that is closed permanently, nor close one so"
    if field.startswith("custom_fields."):
        return "there is no such field, or no such option"
    return "the service took the contact without it"
