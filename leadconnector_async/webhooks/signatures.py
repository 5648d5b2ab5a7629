"""Check that the vendor signed a body.

Sources: the vendor's webhook guide, https://marketplace.gohighlevel.com/docs/webhook/WebhookIntegrationGuide, and its
earlier one, docs/oauth/WebhookAuthentication.md of https://github.com/GoHighLevel/highlevel-api-docs
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from msgspec import Struct

from ..errors import ConfigurationError, UsageError, WebhookError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey: TypeAlias = Ed25519PublicKey | RSAPublicKey

_VENDOR_ED25519: Final = "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg="
VENDOR_RSA: Final = (
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAokvo/r9tVgcfZ5DysOSCFrm602qYV0MaAiNnX9O8KxMbiyRKWeL9JpCpVpt4XHIc"
    "BOK4u3cLSqJGOLaPuXw6dO0t6Q/ZVdAV5Phz+ZtzPL16iCGeK9po6D6JHBpbi989mmzMryUnQJezlYJ3DVfBcsedpinheNnyYeFXolrJvcsj"
    "DtfAeRx5ByHQmTnSdFUzuAnC9/GepgLT9SM4nCpvuxmZMxrJt5Rw+VUaQ9B8JSvbMPpez4peKaJPZHBbU3OdeCVx5klVXXZQGNHOs8gF3kvo"
    "V5rTnXV0IknLBXlcKKAQLZcY/Q9rG6Ifi9c+5vqlvHPCUJFT5XUGG5RKgOKUJ062fRtN+rLYZUV+BjafxQauvC8wSWeYja63VSUruvmNj8xk"
    "x2zE/Juc+yjLjTXpIocmaiFeAO6fUtNjDeFVkhf5LNb59vECyrHD2SQIrhgXpO4Q3dVNA5rw576PwTzNh/AMfHKIjE4xQA1SZuYJmNnmVZLI"
    "ZBlQAF9Ntd03rfadZ+yDiOXCCs9FkHibELhCHULgCsnuDJHcrGNd5/Ddm5hxGQ0ASitgHeMZ0kcIOwKDOzOU53lDza6/Y09T7sYJPQe7z0cv"
    "j7aE4B+Ax1ZoZGPzpJlZtGXCsu9aTEGEnKzmsFqwcSsnw3JB31IGKAykT1hhTiaCeIY/OwwwNUY2yvcCAwEAAQ=="
)
_HEADERS: Final = {"x-ghl-signature": "ed25519", "x-wh-signature": "rsa"}
"""The headers and whose keys they go with, the newer one first."""
_NO_SIGNATURE: Final = ("", "n/a")


class HasItems(Protocol):
    """A mapping of headers, such as those of aiohttp, Starlette, Django and the standard library."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values."""


WebhookHeaders: TypeAlias = HasItems | Iterable[tuple[str | bytes, str | bytes]]
"""The headers of a request: a mapping, or pairs as in ASGI."""


class WebhookKeys(Struct, frozen=True, kw_only=True):
    """The keys to trust: the vendor's by default. With several keys of a kind, any of them will do.

    Args:
        ed25519: Public keys for the header `x-ghl-signature`, as PEM or as the base64 inside it.
        rsa: Those for the older header `x-wh-signature`, which the vendor no longer sends: by default it counts for
            nothing. `VENDOR_RSA` is the vendor's.

    Raises:
        ConfigurationError: There is no key at all, or not a tuple of texts. Keys themselves are read when first used.
    """

    ed25519: tuple[str, ...] = (_VENDOR_ED25519,)
    rsa: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("ed25519", "rsa"):
            given: object = getattr(self, kind)
            if not isinstance(given, tuple) or not all(isinstance(key, str) for key in given):
                raise ConfigurationError(f"the keys of {kind} are to be a tuple of texts, such as (key,)")
        if not self.ed25519 and not self.rsa:
            raise ConfigurationError("there is no key, so that no delivery could ever be believed; give at least one")


def check_signature(body: bytes, headers: WebhookHeaders, keys: WebhookKeys) -> None:
    """Check that a body was signed by one of the keys.

    Where both headers are given, the newer one decides alone: one that is wrong is never made good by the older.

    Raises:
        WebhookError: It was not.
        ConfigurationError: A key is none, or the extra is not installed.
    """
    signatures = _read_signatures(headers)
    if not signatures:
        raise WebhookError(
            "the delivery is not signed: it has neither x-ghl-signature nor x-wh-signature (what the actions of a "
            "workflow send has none)",
            reason="unsigned",
        )
    known = [header for header in signatures if getattr(keys, _HEADERS[header])]
    if not known:
        raise WebhookError(
            f"no key is given for {', '.join(signatures)}, its only signature (WebhookKeys takes them)",
            reason="bad_signature",
        )
    header = known[0]
    signature = _read_base64(header, signatures[header])
    kind = _HEADERS[header]
    if not any(_is_by(_read_key(kind, key), signature, body) for key in getattr(keys, kind)):
        raise WebhookError(
            f"{header} is not the vendor's signature of this body; was the body read as the bytes that came?",
            reason="bad_signature",
        )


def _read_signatures(headers: WebhookHeaders) -> dict[str, str]:
    """Return the signatures by their headers, the newer one first."""
    found: dict[str, str] = {}
    for name, value in _read_pairs(headers):
        header = _text(name).lower()
        if header in _HEADERS:
            signature = _text(value).strip()
            if found.setdefault(header, signature) != signature:
                raise WebhookError(f"{header} is given twice", reason="bad_signature")
    return {name: found[name] for name in _HEADERS if found.get(name, "").lower() not in _NO_SIGNATURE}


def _read_pairs(headers: WebhookHeaders) -> list[tuple[str | bytes, str | bytes]]:
    try:
        return [(name, value) for name, value in (headers.items() if hasattr(headers, "items") else headers)]
    except (TypeError, ValueError):
        raise UsageError(
            f"headers are to be a mapping, or pairs of name and value, not {type(headers).__name__}"
        ) from None


def _text(part: str | bytes) -> str:
    if isinstance(part, bytes):
        return part.decode("latin-1")
    if not isinstance(part, str):
        raise UsageError(f"headers are to hold texts or bytes, not {type(part).__name__}")
    return part


def _read_base64(header: str, text: str) -> bytes:
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: it is not ASCII
        signature = b""
    # Some of the last letter's bits count for nothing: only one of the spellings is taken. Nothing here is secret, so
    # that nothing can be learnt from the time a comparison takes; the verification itself is cryptography's.
    if not signature or base64.b64encode(signature).decode() != text:
        raise WebhookError(f"{header} is not base64", reason="bad_signature")
    return signature


@lru_cache(maxsize=64)
def _read_key(kind: str, text: str) -> PublicKey:
    """Read a public key.

    Raises:
        ConfigurationError: It is no key of this kind (the message does not repeat it: it might be a private one).
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
    except ImportError:
        raise ConfigurationError(
            'webhooks need the package cryptography: pip install "leadconnector-async[webhooks]"'
        ) from None
    text = text.replace("\\n", "\n")  # as environment variables often have it
    try:
        is_pem = "-----BEGIN" in text
        key = load_pem_public_key(text.encode()) if is_pem else load_der_public_key(base64.b64decode(text))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if kind == "ed25519" and isinstance(key, Ed25519PublicKey):
        return key
    if kind == "rsa" and isinstance(key, RSAPublicKey):
        return key
    raise ConfigurationError(f"a key given for {kind} is no public key of that kind; give it as PEM or base64")


def _is_by(key: PublicKey, signature: bytes, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, body)
        else:
            key.verify(signature, body, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
