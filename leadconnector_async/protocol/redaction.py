"""Remove the credentials we sent from the answers that come back. Pure.

Echo services, error pages and gateways repeat requests. This runs on an answer as it arrives, before anything of it is
read, shortened or stripped: once a text is cut in the middle of a token, no search finds that token in it.

A secret is looked for in two readings of an answer. The exact one undoes escapes and drops white space and control
characters. The bare one keeps letters and digits alone, so that nothing that stands between two characters of a secret
hides it: a tag, an invisible character, the end of an item of a list.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import compress
from string import ascii_letters, digits
from typing import Final, TypeAlias

from multidict import CIMultiDict

from .answers import Response

Pieces: TypeAlias = Mapping[int, frozenset[bytes]]
"""What to look for, by its length."""

MASK: Final = "[redacted]"
# Shorter secrets are not looked for: they are words that stand in other texts too, and no token of the service is one.
_FEWEST_CHARS: Final = 8
# So many characters in a row are a part of a secret and no coincidence. A server may cut what it repeats.
_PIECE: Final = 12

# One character in another spelling. Backslashes multiply where JSON is quoted in JSON, and `%25` where an address is
# quoted in an address. All repetitions are bounded, so that the search stays linear. Each branch begins with a literal:
# only so does `re` skip quickly what begins none.
_ESCAPES: Final = rb"""
    %(?P<percent>[0-9a-fA-F]{2})
    |&\#[xX]0{0,6}(?P<hex>[0-9a-fA-F]{2})(?![0-9a-fA-F]);?
    |&\#0{0,6}(?P<decimal>[0-9]{1,3})(?![0-9]);?
    |&(?P<name>amp|quot|apos|lt|gt|period|lowbar|plus|sol|equals|colon);
    |&(?P<unseen>\#[xX]?[0-9a-fA-F]{3,8}|shy|nbsp|zwn?j|ZeroWidthSpace);
    |\\\\{0,7}(?:
        (?:u00|U000000|x|u\{0{0,6})(?P<code>[0-9a-fA-F]{2})\}?
        |(?P<octal>[01][0-7]{2})
        |(?P<control>u[0-9a-fA-F]{4}|[nrtbf])
        |(?P<escaped>[^\\])
    )
"""
_EXACT: Final = re.compile(_ESCAPES, re.X | re.S)
_BARE: Final = re.compile(
    rb"<(?P<tag>/?[a-zA-Z][^<>]{0,200}|!--[^<>]{0,200})>|%(?:25){1,8}(?P<again>[0-9a-fA-F]{2})|" + _ESCAPES, re.X | re.S
)
_NAMED: Final = {
    b"amp": b"&",
    b"quot": b'"',
    b"apos": b"'",
    b"lt": b"<",
    b"gt": b">",
    b"period": b".",
    b"lowbar": b"_",
    b"plus": b"+",
    b"sol": b"/",
    b"equals": b"=",
    b"colon": b":",
}

_LOWER: Final = bytes(range(256)).lower()
_BARE_CHARS: Final = (ascii_letters + digits).encode()
_SPACES: Final = bytes([*range(0x21), 0x7F])
_KEPT: Final = {  # by reading: 1 for each byte that is kept
    _EXACT: bytes(byte not in _SPACES for byte in range(256)),
    _BARE: bytes(byte in _BARE_CHARS for byte in range(256)),
}

# A success is looked at with a handful of searches in its bare text. `_HIDING` may start another spelling, or a tag: it
# becomes a zero byte, for which one search is enough.
_HIDING: Final = b"%&<\\"
_MARKED: Final = bytes(0 if byte in _HIDING else _LOWER[byte] for byte in range(256))
_NOT_LOOKED_AT: Final = bytes(byte for byte in range(256) if byte not in _BARE_CHARS + _HIDING)
_NOT_BARE: Final = bytes(byte for byte in range(256) if byte not in _BARE_CHARS)
_HEADER_OF_JWT: Final = re.compile(
    r"(?<![^.\s])eyJ[^.\s]*+\."
)  # of all tokens of a service the same, and of others' too


class Redactor:
    """Replaces secrets in answers by `MASK`.

    They are found as they were sent, and URL-encoded (also more than once), JSON- or HTML-escaped, as hexadecimal
    digits, in base64 (also twice, and as a part of what was encoded), in another case, and with anything in between
    that is neither letter nor digit, or that a page does not show.

    Args:
        secrets: What was sent as a credential. Those of fewer than 8 characters are left alone.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret.encode("utf-8", "surrogatepass") for secret in secrets if len(secret) >= _FEWEST_CHARS]
        self._signs = tuple({sign for secret in secrets if len(secret) >= _FEWEST_CHARS for sign in _signs_of(secret)})
        self._pieces: tuple[Pieces, Pieces] | None = None

    def clean(self, response: Response, *, issues_tokens: bool = False) -> Response:
        """Return an answer without the secrets and without parts of them.

        Of the headers of a success nothing but numbers and dates is ever read: they stay as they are.

        Args:
            response: The answer.
            issues_tokens: Whether a success holds a new token, which may begin as the one that it was asked for with.
                Only whole secrets are replaced in it.
        """
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            if not self._is_suspect(response.body):
                return response
            body = _mask(response.body, *self._whole()) if issues_tokens else self._clean_bytes(response.body)
            return Response(response.status, response.headers, body)
        headers = CIMultiDict((name, self.clean_text(value)) for name, value in response.headers.items())
        return Response(response.status, headers, self._clean_bytes(response.body))

    def clean_text(self, text: str) -> str:
        """Return a text without the secrets and without parts of them."""
        return self._clean_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _is_suspect(self, body: bytes) -> bool:
        """Whether a success may hold a secret, or the beginning or the end of one.

        Nearly all hold none, and this is all that is done with them: each search costs a call half a microsecond.
        """
        bare = body.translate(_MARKED, _NOT_LOOKED_AT)
        if b"\0" in bare:
            bare += _BARE.sub(_read_escape, body).translate(_LOWER, _NOT_BARE)
        for sign in self._signs:  # noqa: SIM110  (a generator would cost as much as two of the searches)
            if sign in bare:
                return True
        return False

    def _clean_bytes(self, data: bytes) -> bytes:
        if self._pieces is None:
            forms = (form for secret in self._secrets for form in _forms_of(secret))
            bare_forms = (form for secret in self._secrets for form in _bare_forms_of(secret))
            self._pieces = _group(_cut_all(forms)), _group(_cut_all(bare_forms))
        return _mask(data, *self._pieces)

    def _whole(self) -> tuple[Pieces, Pieces]:
        forms = (form for secret in self._secrets for form in _forms_of(secret))
        bare_forms = (form for secret in self._secrets for form in _bare_forms_of(secret))
        return _group(forms), _group(bare_forms)


# ---------------------------------------------------------------------------------------------- what to look for


def _signs_of(secret: str) -> Iterator[bytes]:
    """Yield what the bare text of a success holds where it holds a secret as it was sent, or in base64.

    Where the text stands in it with characters that were escaped, that is looked at once more without the escapes.
    """
    data = _HEADER_OF_JWT.sub("", secret, count=1).encode("utf-8", "surrogatepass")
    bare = _make_bare(data)
    yield from (bare[:_PIECE], bare[-_PIECE:])
    yield from (_make_bare(form)[:_PIECE] for form in _in_base64(data))


def _forms_of(secret: bytes) -> Iterator[bytes]:
    """Yield a secret, and what is left of it in base64, as the exact reading has them: in lower case, without gaps."""
    for form in (secret, *_in_base64(secret)):
        yield form.translate(_LOWER, _SPACES)


def _bare_forms_of(secret: bytes) -> Iterator[bytes]:
    """Yield the same as the bare reading has it, in hexadecimal digits, and in base64 twice; none that is too short."""
    once = tuple(_in_base64(secret))
    twice = (form for inner in once for form in _in_base64(inner))
    for form in (secret, secret.hex().encode(), *once, *twice):
        if len(bare := _make_bare(form)) >= _PIECE:
            yield bare


def _make_bare(form: bytes) -> bytes:
    return form.translate(_LOWER, _NOT_BARE)


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """Yield what a text in base64 has in it if the secret is a part of what was encoded.

    Three bytes become four characters. So that depends on how many bytes stand before the secret (0, 1 or 2 beyond a
    multiple of three), and the characters that hold bits of a neighbour are left out.
    """
    for before, mixed in ((0, 0), (1, 2), (2, 3)):
        data = bytes(before) + secret
        whole = data[: len(data) // 3 * 3]
        yield from {encode(whole)[mixed:] for encode in (b64encode, urlsafe_b64encode)}


def _cut_all(forms: Iterable[bytes]) -> Iterator[bytes]:
    """Yield all parts of texts that have the length of a piece, or a text itself where it is shorter."""
    for form in forms:
        size = min(_PIECE, len(form))
        yield from (form[start : start + size] for start in range(len(form) - size + 1))


def _group(pieces: Iterable[bytes]) -> Pieces:
    """Group by length."""
    found: dict[int, set[bytes]] = {}
    for piece in pieces:
        found.setdefault(len(piece), set()).add(piece)
    return {size: frozenset(same) for size, same in found.items()}


# ---------------------------------------------------------------------------------------------- looking for it


def _mask(data: bytes, exact: Pieces, bare: Pieces) -> bytes:
    """Replace each run that is covered by pieces. Takes time in proportion to the data."""
    spans = sorted([*_find(data, _EXACT, exact), *_find(data, _BARE, bare)])
    masked, done = bytearray(), 0
    for start, end in spans:
        if start >= done:
            masked += data[done:start] + MASK.encode()
        done = max(done, end)
    return bytes(masked + data[done:]) if spans else data


def _find(data: bytes, reading: re.Pattern[bytes], pieces: Pieces) -> Iterator[tuple[int, int]]:
    """Yield where pieces start and end in some data."""
    plain, starts, ends = _read(data, reading)
    for size, same in pieces.items():
        for first in range(len(plain) - size + 1):
            if plain[first : first + size] in same:
                yield starts[first], ends[first + size - 1]


def _read(data: bytes, reading: re.Pattern[bytes]) -> tuple[bytes, list[int], list[int]]:
    """Return data in lower case as a reading has it, and where each of its bytes starts and ends in the data."""
    plain, starts, ends = bytearray(), list[int](), list[int]()
    done = 0
    for escape in reading.finditer(data):
        start, end = escape.span()
        read = _read_escape(escape)
        plain += data[done:start] + read
        starts += [*range(done, start), *[start] * len(read)]
        ends += [*range(done + 1, start + 1), *[end] * len(read)]
        done = end
    plain += data[done:]
    starts += range(done, len(data))
    ends += range(done + 1, len(data) + 1)
    kept = plain.translate(_KEPT[reading])
    return bytes(compress(plain.translate(_LOWER), kept)), [*compress(starts, kept)], [*compress(ends, kept)]


def _read_escape(escape: re.Match[bytes]) -> bytes:
    """Return the byte that an escape stands for; nothing where that is no printable one."""
    kind = str(escape.lastgroup)
    text = escape[kind]
    match kind:
        case "tag" | "unseen" | "control":
            return b""
        case "decimal" | "octal":
            number = int(text, 8 if kind == "octal" else 10)
            return bytes([number]) if number < 256 else b""
        case "name":
            return _NAMED[text]
        case "escaped":
            return text
    return bytes.fromhex(text.decode())
