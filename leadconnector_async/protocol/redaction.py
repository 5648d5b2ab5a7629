"""Remove the credentials we sent from the answers that come back. Pure.

Echo services, error pages and gateways repeat requests. This runs on an answer as it arrives, before anything of it is
read, shortened or stripped: once a text is cut in the middle of a token, no search finds that token in it.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from multidict import CIMultiDict

from .answers import Response

MASK: Final = "[redacted]"
# Shorter secrets are not looked for: they are words that stand in other texts too, and no token of the service is one.
_FEWEST_CHARS: Final = 8
# So many characters in a row are a part of a secret and no coincidence. A server may cut what it repeats.
_PIECE: Final = 12
# One character of a text in any of its spellings, or what stands between two characters of a text that was wrapped.
# Backslashes multiply where JSON is quoted in JSON; their number is bounded, so that the search stays linear.
_UNIT: Final = re.compile(
    rb"(?:%|\\{1,8}u00|\\{1,8}x|&\#x)(?P<hex>[0-9a-fA-F]{2});?"
    rb"|&\#(?P<decimal>[0-9]{2,3});|&(?P<name>amp|quot|apos|lt|gt);"
    rb"|(?P<gap>\\{1,8}[nrt]|[\s\0]+)|\\{1,8}(?P<escaped>[^\\])|(?P<plain>[^%\\&\s\0]+)|(?P<other>.)",
    re.S,
)
_END: Final = 24  # characters at the end of a secret by which it is quickly found
_NAMED: Final = {b"amp": b"&", b"quot": b'"', b"apos": b"'", b"lt": b"<", b"gt": b">"}
_JSON_ESCAPES: Final = str.maketrans({"/": r"\/"} | {char: f"\\u{ord(char):04x}" for char in "=&<>'+"})


class Redactor:
    """Replaces secrets in answers by `MASK`.

    They are found as they were sent, and URL-encoded, JSON- or HTML-escaped, in base64 (also as a part of what was
    encoded), in another case, and broken into lines.

    Args:
        secrets: What was sent as a credential. Those of fewer than 8 characters are left alone.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= _FEWEST_CHARS]
        self._ends = {spelling[-_END:] for secret in self._secrets for spelling in _spell(secret)}
        self._pieces: Mapping[int, frozenset[bytes]] | None = None

    def clean(self, response: Response) -> Response:
        """Return an answer without the secrets.

        In a success only whole secrets are replaced: a new token may begin as the one that it was asked for with. Of
        its headers nothing but numbers and dates is ever read. In any other answer parts of a secret are replaced too.
        """
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            if not any(end in response.body for end in self._ends):
                return response
            return Response(response.status, response.headers, _mask(response.body, self._whole()))
        headers = CIMultiDict((name, self.clean_text(value)) for name, value in response.headers.items())
        return Response(response.status, headers, self._clean_bytes(response.body))

    def clean_text(self, text: str) -> str:
        """Return a text without the secrets and without parts of them."""
        return self._clean_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _clean_bytes(self, data: bytes) -> bytes:
        if self._pieces is None:
            self._pieces = _group(piece for form in self._forms() for piece in _cut(form, _PIECE))
        return _mask(data, self._pieces)

    def _whole(self) -> Mapping[int, frozenset[bytes]]:
        return _group(self._forms())

    def _forms(self) -> Iterator[bytes]:
        """Yield each secret, and what is left of it in base64, as `_mask` compares them: without case and gaps."""
        for secret in self._secrets:
            data = secret.encode("utf-8", "surrogatepass")
            for form in (data, *_in_base64(data)):
                yield bytes(form).lower()


def _spell(secret: str) -> Iterator[bytes]:
    """Yield the spellings of a whole secret that servers use most; one of them is quickly found."""
    for text in (secret, quote(secret, safe="", errors="replace"), secret.translate(_JSON_ESCAPES)):
        yield text.encode("utf-8", "surrogatepass")
    yield from _in_base64(secret.encode("utf-8", "surrogatepass"))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """Yield what a text in base64 has in it if the secret is a part of what was encoded.

    Three bytes become four characters. So that depends on how many bytes stand before the secret (0, 1 or 2 beyond a
    multiple of three), and the characters that hold bits of a neighbour are left out.
    """
    for before, mixed in ((0, 0), (1, 2), (2, 3)):
        data = bytes(before) + secret
        whole = data[: len(data) // 3 * 3]
        yield from {encode(whole)[mixed:] for encode in (b64encode, urlsafe_b64encode)}


def _cut(form: bytes, size: int) -> Iterator[bytes]:
    """Yield all parts of a text that have so many bytes, or the text itself where it has fewer."""
    size = min(size, len(form))
    return (form[start : start + size] for start in range(len(form) - size + 1))


def _group(pieces: Iterable[bytes]) -> Mapping[int, frozenset[bytes]]:
    """Group by length."""
    found: dict[int, set[bytes]] = {}
    for piece in pieces:
        found.setdefault(len(piece), set()).add(piece)
    return {size: frozenset(same) for size, same in found.items()}


def _mask(data: bytes, pieces: Mapping[int, frozenset[bytes]]) -> bytes:
    """Replace each run that is covered by pieces. Takes time in proportion to the data."""
    plain, starts, ends = _read_plainly(data)
    spans = sorted(
        (starts[first], ends[first + size - 1])
        for size, same in pieces.items()
        for first in range(len(plain) - size + 1)
        if plain[first : first + size] in same
    )
    masked, done = bytearray(), 0
    for start, end in spans:
        if start >= done:
            masked += data[done:start] + MASK.encode()
        done = max(done, end)
    return bytes(masked + data[done:]) if spans else data


def _read_plainly(data: bytes) -> tuple[bytes, list[int], list[int]]:
    """Return data in lower case without escapes and gaps, and where each of its bytes starts and ends in the data."""
    plain, starts, ends = bytearray(), list[int](), list[int]()
    for unit in _UNIT.finditer(data):
        kind, (start, end) = unit.lastgroup, unit.span()
        if kind == "plain":
            plain += unit[0]
            starts += range(start, end)
            ends += range(start + 1, end + 1)
        elif kind != "gap":
            plain += _read_unit(str(kind), unit[str(kind)])
            starts.append(start)
            ends.append(end)
    return bytes(plain).lower(), starts, ends


def _read_unit(kind: str, text: bytes) -> bytes:
    """Return the one byte that a unit stands for."""
    if kind == "hex":
        return bytes.fromhex(text.decode())
    if kind == "decimal":
        return bytes([min(int(text), 255)])
    return _NAMED.get(text, text) if kind == "name" else text
