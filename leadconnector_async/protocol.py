"""The API without a network: what to send for each call, and what an answer means. No asyncio, no aiohttp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from .answers import Response, read_error
from .errors import ConfigurationError, InvalidResponseError, UsageError
from .models import Contact, ContactUpdate, ContactUpsert, UpsertResult, decode_contact, decode_upsert, encode_contact
from .version import __version__

T = TypeVar("T")

API_VERSIONS: Final = ("2021-07-28", "2023-02-21", "v3")
USER_AGENT: Final = f"leadconnector-async/{__version__}"

# ---------------------------------------------------------------------------------------------- what goes out


class Request(Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """One call, ready to be sent any number of times.

    Attributes:
        path: Path below the base URL, quoted.
        headers: All but the token.
        location_id: Whose limits it counts against.
        repeatable: Whether it does no harm when it is applied twice.
        read: Turns the body of a 2xx answer into the value of the call; raises ValueError where it is not one.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    location_id: str
    repeatable: bool
    read: Callable[[bytes], T]


def _headers(version: str) -> dict[str, str]:
    return {
        "Version": version,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
    }


_HEADERS: Final = {version: _headers(version) for version in API_VERSIONS}


def check_api_version(version: str) -> str:
    """Return the version where it is one of `API_VERSIONS`, else raise ConfigurationError."""
    if version not in API_VERSIONS:
        raise ConfigurationError(f"api_version {version!r} is unknown; use one of {', '.join(API_VERSIONS)}")
    return version


def build_upsert(contact: ContactUpsert, version: str) -> Request[UpsertResult]:
    """POST /contacts/upsert, for a contact whose `location_id` is set."""
    is_repeatable = contact.create_new_if_duplicate_allowed is not True
    return _build_post("/contacts/upsert", contact, version, decode_upsert, is_repeatable=is_repeatable)


def build_create(contact: ContactUpsert, version: str) -> Request[Contact]:
    """POST /contacts/, for a contact whose `location_id` is set."""
    return _build_post("/contacts/", contact, version, decode_contact, is_repeatable=False)


def _build_post(
    path: str, contact: ContactUpsert, version: str, read: Callable[[bytes], T], *, is_repeatable: bool
) -> Request[T]:
    return Request(
        method="POST",
        path=path,
        headers=_HEADERS[version],
        body=encode_contact(contact, v3=version == "v3"),
        location_id=str(contact.location_id),
        repeatable=is_repeatable,
        read=read,
    )


def build_update(contact_id: str, changes: ContactUpdate, location_id: str, version: str) -> Request[Contact]:
    """PUT /contacts/{id}."""
    body = encode_contact(changes, v3=version == "v3")
    return _build_by_id("PUT", contact_id, "", body, location_id, version, decode_contact)


def build_get(contact_id: str, location_id: str, version: str) -> Request[Contact]:
    """GET /contacts/{id}."""
    return _build_by_id("GET", contact_id, "", None, location_id, version, decode_contact)


def build_delete(contact_id: str, location_id: str, version: str) -> Request[None]:
    """DELETE /contacts/{id}."""
    return _build_by_id("DELETE", contact_id, "", None, location_id, version, _read_success)


def build_tags(method: str, contact_id: str, tags: list[str], location_id: str, version: str) -> Request[list[str]]:
    """POST (add) or DELETE (remove) /contacts/{id}/tags."""
    body = msgspec.json.encode({"tags": tags})
    return _build_by_id(method, contact_id, "/tags", body, location_id, version, _read_tags)


def _build_by_id(
    method: str,
    contact_id: str,
    below: str,
    body: bytes | None,
    location_id: str,
    version: str,
    read: Callable[[bytes], T],
) -> Request[T]:
    if not contact_id or not isinstance(contact_id, str):
        raise UsageError("the contact's id is empty; pass the id that an upsert returned")
    return Request(
        method=method,
        path=f"/contacts/{quote(contact_id, safe='')}{below}",
        headers=_HEADERS[version],
        body=body,
        location_id=location_id,
        repeatable=True,
        read=read,
    )


# ---------------------------------------------------------------------------------------------- what comes back


class _TagsAnswer(Struct, frozen=True):
    tags: list[str]


class _SuccessAnswer(Struct, frozen=True):
    # The misspelling is the service's own up to v3.
    succeded: bool | None = None
    succeeded: bool | None = None


_TAGS: Final = msgspec.json.Decoder(_TagsAnswer)
_SUCCESS: Final = msgspec.json.Decoder(_SuccessAnswer)


def _read_tags(body: bytes) -> list[str]:
    return _TAGS.decode(body).tags


def _read_success(body: bytes) -> None:
    answer = _SUCCESS.decode(body)
    if not (answer.succeded or answer.succeeded):
        raise ValueError("it does not say that it succeeded")


def read_response(request: Request[T], response: Response) -> T:
    """Return the value of a call, or raise what its answer means.

    Raises:
        InvalidResponseError: 2xx, but not what the API promises; or a status that is neither success nor error.
        APIError: The API refused, as the class at hand says.
    """
    status = response.status
    if status >= HTTPStatus.BAD_REQUEST:
        raise read_error(response)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise InvalidResponseError(
            f"the service answered {status}, which no call of this API should get", status=status
        )
    try:
        return request.read(response.body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        kind = "an empty body" if not response.body.strip() else f"a body that cannot be read ({error})"
        raise InvalidResponseError(f"the service answered {status} with {kind}", status=status) from None
