"""A request that is ready to be sent, and what all requests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar
from urllib.parse import quote

from msgspec import Struct

from ..errors import ConfigurationError, UsageError
from ..version import __version__

T = TypeVar("T")

API_VERSIONS: Final = ("2021-07-28", "2023-02-21", "v3")
USER_AGENT: Final = f"leadconnector-async/{__version__}"


class Request(Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """One call, ready to be sent any number of times.

    Attributes:
        path: Path below the base URL, quoted, with its query.
        headers: All but the token.
        location_id: Whose limits it counts against.
        repeatable: Whether it does no harm when it is applied twice.
        read: Turns the body of a 2xx answer into the value of the call; raises ValueError where it is not one.
        secrets: Credentials in its body, which no text of the answer may repeat.
        issues_tokens: Whether a 2xx answer holds a new token.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    location_id: str
    repeatable: bool
    read: Callable[[bytes], T]
    secrets: tuple[str, ...] = ()
    issues_tokens: bool = False


class Scope(Struct, frozen=True, gc=False):
    """What every call is made with: the location whose limits it counts against, and the API version."""

    location_id: str
    version: str


def _headers(version: str) -> dict[str, str]:
    return {
        "Version": version,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
    }


HEADERS: Final = {version: _headers(version) for version in API_VERSIONS}
"""What each version is sent with, but for the token."""


def check_api_version(version: str) -> str:
    """Return the version where it is one of `API_VERSIONS`, else raise ConfigurationError."""
    if version not in API_VERSIONS:
        raise ConfigurationError(f"api_version {version!r} is unknown; use one of {', '.join(API_VERSIONS)}")
    return version


def build_request(
    method: str,
    path: str,
    scope: Scope,
    read: Callable[[bytes], T],
    *,
    body: bytes | None = None,
    is_repeatable: bool = True,
) -> Request[T]:
    """Make a request of a path that is quoted already."""
    return Request(
        method=method,
        path=path,
        headers=HEADERS[scope.version],
        body=body,
        location_id=scope.location_id,
        repeatable=is_repeatable,
        read=read,
    )


def fill_path(template: str, **ids: str) -> str:
    """Put ids into a path, each quoted: `fill_path("/contacts/{contact_id}", contact_id="...")`.

    Raises:
        UsageError: An id is no text, is empty, or would lead to another path.
    """
    return template.format(**{name: _quote_id(name, value) for name, value in ids.items()})


def _quote_id(name: str, value: str) -> str:
    what = name.removesuffix("_id").replace("_", " ")
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"the {what}'s id is empty; pass the id that the service returned")
    if value in (".", ".."):  # quoting leaves these, and they would climb to another path
        raise UsageError(f"{value!r} is no id of a {what}")
    return _quote(value, f"the {what}'s id")


def add_query(path: str, **parameters: str | int | None) -> str:
    """Append what is given as a query; names are spelled as the API does.

    Raises:
        UsageError: A value cannot be written in UTF-8.
    """
    given = [f"{name}={_quote(str(value), name)}" for name, value in parameters.items() if value is not None]
    return f"{path}?{'&'.join(given)}" if given else path


def _quote(value: str, what: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise UsageError(f"{what} holds a character that cannot be written in UTF-8") from None
