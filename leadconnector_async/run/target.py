"""The service that a run loads into: the address of its API, by which an undo knows that it asks the same one."""

from __future__ import annotations

from urllib.parse import urlsplit

_SCHEME_END = "://"


def is_same_target(noted: str, target: str) -> bool:
    """Whether a run was loaded into a service.

    Args:
        noted: What the run noted: an address with scheme, port and path; runs of earlier versions noted the host alone.
        target: The address of the service, as of `LeadConnector.target`.
    """
    if noted == target or _SCHEME_END in noted or _SCHEME_END not in target:
        return noted == target
    return urlsplit(target).hostname == noted


def describe_target(target: str) -> str:
    """Return an address for people, without its scheme."""
    return target.partition(_SCHEME_END)[2] or target
