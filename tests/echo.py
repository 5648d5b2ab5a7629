"""A server that repeats what it is sent, credentials too, anywhere in its answers; and a search for what leaked."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

PIECE = 12  # characters of a secret that nobody may see in a row
BLOCK = 6


class Answer(Struct, frozen=True):
    """What the server answers: an HTTP status, a body, and what else repeats the request."""

    status: int
    body: bytes
    reason: str = "Said"
    headers: dict[str, str] = {}


Say: TypeAlias = Callable[[str], Answer]


def _json(status: int, make: Callable[[str], Any]) -> Say:
    return lambda said: Answer(status, json.dumps(make(said)).encode())


def _on_one_line(said: str) -> str:
    return " ".join(said.split())


def _in_items(said: str) -> list[str]:
    return [said[start : start + 10] for start in range(0, len(said), 10)]


# Every shape of answer that there is to read, with what was said in each of its places.
SHAPES: dict[str, Say] = {
    "message": _json(422, lambda said: {"statusCode": 422, "message": said, "error": "Unprocessable Entity"}),
    "messages": _json(422, lambda said: {"message": ["email must be an email", said], "error": said}),
    "error": _json(400, lambda said: {"error": said, "status": 400}),
    "error-in-error": _json(400, lambda said: {"error": {"message": said, "code": said}}),
    "description": _json(400, lambda said: {"error": "invalid_grant", "error_description": said}),
    "code-and-trace": _json(400, lambda said: {"message": "no", "canonicalCode": said, "traceId": said}),
    "nested": _json(400, lambda said: {"message": {"sent": {"headers": said}}, "traceId": 7}),
    "json-in-json": _json(400, lambda said: {"message": json.dumps({"request": json.dumps(said)})}),
    "keys": _json(400, lambda said: {"message": {said: 1}}),
    "duplicate": _json(400, lambda said: {"message": "no", "meta": {"contactId": said, "matchingField": said}}),
    "list": _json(400, lambda said: [said]),
    "items": _json(422, lambda said: {"message": _in_items(said), "error": "Unprocessable Entity"}),
    "text": _json(400, lambda said: said),
    "plain": lambda said: Answer(502, said.encode()),
    "page": lambda said: Answer(502, f"<html><title>{said}</title><body><pre>{said}</pre></body></html>".encode()),
    "escaped-page": lambda said: Answer(503, f"<html><body>{html.escape(said)}</body></html>".encode()),
    "utf-16": lambda said: Answer(500, said.encode("utf-16")),
    "bytes": lambda said: Answer(500, b"\xff\xfe" + said.encode() + b"\xff"),
    "bad-token": _json(401, lambda said: {"message": f"Invalid JWT: {said}"}),
    "scope": _json(401, lambda said: {"message": f"The token is not authorized for this scope. {said}"}),
    "forbidden": _json(403, lambda said: {"message": said}),
    "not-found": _json(404, lambda said: {"message": f"Contact with id {said} not found"}),
    "too-many": _json(429, lambda said: {"statusCode": 429, "message": said}),
    "redirect": lambda said: Answer(307, said.encode(), headers={"Location": f"https://x/?{quote(said)}"}),
    "reason": lambda said: Answer(500, b"", _on_one_line(said)),
    "headers": lambda said: Answer(
        429,
        b"",
        headers=dict.fromkeys(("Retry-After", "Date", "x-ratelimit-max", "X-Trace-Id", "Server"), _on_one_line(said)),
    ),
    "200-text": _json(200, lambda said: said),
    "200-page": lambda said: Answer(200, f"<html>{said}</html>".encode()),
    "200-key": _json(200, lambda said: {said: 1}),
    "200-wrong-type": _json(200, lambda said: {"new": said, "contact": said, "traceId": said}),
    "200-contact": _json(
        200, lambda said: {"new": True, "contact": {"id": said, "email": said, "tags": [said]}, "traceId": said}
    ),
    "200-items": _json(
        200, lambda said: {"new": True, "contact": {"id": "1", "firstName": said, "tags": _in_items(said)}}
    ),
    "200-settings": _json(
        200, lambda said: {"new": False, "contact": {"id": "1", "dndSettings": {"SMS": {"status": said}}}}
    ),
    "not-http": lambda said: Answer(0, _on_one_line(said).encode()),
    "bad-header": lambda said: Answer(0, b"HTTP/1.1 200 OK\r\n" + _on_one_line(said).encode() + b" \0: 1\r\n\r\n"),
    "bad-length": lambda said: Answer(
        0, b"HTTP/1.1 200 OK\r\nContent-Length: " + _on_one_line(said).encode() + b"\r\n\r\n"
    ),
}

# How servers write what they repeat.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as-sent": str,
    "url-encoded": quote,
    "each-character-url-encoded": lambda said: "".join(f"%{byte:02x}" for byte in said.encode()),
    "html-entities": lambda said: "".join(f"&#{ord(char)};" for char in said),
    "json-escapes": lambda said: "".join(f"\\u{ord(char):04x}" for char in said),
    "base64": lambda said: base64.b64encode(said.encode()).decode(),
    "base64-in-lines": lambda said: base64.encodebytes(said.encode()).decode(),
    "upper-case": str.upper,
    "in-lines": lambda said: "\n  ".join(said[start : start + 9] for start in range(0, len(said), 9)),
    **{
        f"{name}-between": lambda said, between=between: between.join(said)
        for name, between in {
            "soft-hyphen": "\u00ad",
            "no-width": "\u200b",
            "control": "\x01",
            "break": "<wbr>",
            "tag": '<b class="x">',
            "entity": "&#8203;",
            "comma": ", ",
        }.items()
    },
    "url-encoded-twice": lambda said: "".join(f"%25{byte:02x}" for byte in said.encode()),
    "octal": lambda said: "".join(f"\\{byte:03o}" for byte in said.encode()),
    "hex": lambda said: said.encode().hex(),
    "hex-in-pairs": lambda said: said.encode().hex(":"),
    "base64-twice": lambda said: base64.b64encode(base64.b64encode(said.encode())).decode(),
    # The longest message that is shown has 500 characters: somewhere in a secret.
    **{f"after-{pad}-characters": lambda said, pad=pad: "." * pad + said for pad in (330, 400, 460, 480)},
    **{f"cut-after-{most}": lambda said, most=most: said[:most] for most in (40, 60, 90, 150)},
}
# Escapes and tags that these shapes tear apart, so that they are neither any more.
TORN = dict.fromkeys(("items", "200-items", "utf-16"), ("each-character-url-encoded", "break-between", "tag-between"))
# In a success these are not looked for: each costs every call that succeeds.
ONLY_IN_ERRORS = frozenset(("hex", "hex-in-pairs", "base64-twice"))


class Echo:
    """Repeats each request in its answer to it.

    Attributes:
        url: Where it is.
        requests: How many came.
        say: The answer that is given, for what was said.
        spell: How that is written.
        good: Answers by path that come before, as JSON; each is given once.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0
        self.say: Say = SHAPES["message"]
        self.spell: Callable[[str], str] = str
        self.good: list[tuple[str, object]] = []

    def answer(self, path: str, said: str) -> Answer:
        self.requests += 1
        for number, (good_path, body) in enumerate(self.good):
            if path.startswith(good_path):
                del self.good[number]
                return Answer(200, json.dumps(body).encode())
        return self.say(self.spell(said))


@contextmanager
def echoing() -> Iterator[Echo]:
    """Run such a server in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            # The credentials come first, as a server that cuts what it repeats has to get as far as them.
            first = [value for name, value in self.headers.items() if "Authorization" in name]
            rest = [f"{name}: {value}" for name, value in self.headers.items()]
            answer = echo.answer(self.path, "\n".join([*first, body, *rest]))
            if not answer.status:
                self.wfile.write(answer.body)
                self.close_connection = True
                return
            headers = {"Content-Length": str(len(answer.body)), **answer.headers}
            lines = [
                f"HTTP/1.1 {answer.status} {answer.reason}",
                *(f"{name}: {value}" for name, value in headers.items()),
            ]
            # At once: a clock that jumps takes what comes first for all there is.
            self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            pass  # a client that has seen enough hangs up

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    echo = Echo(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield echo
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def find_leaks(data: str | bytes, *secrets: str) -> list[str]:
    """Return the pieces of secrets that stand in some data, however they are written there."""
    plain = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    views = [plain, unquote_to_bytes(plain), unquote_to_bytes(unquote_to_bytes(plain))]
    views += [html.unescape(plain.decode("latin-1")).encode("latin-1", "replace")]
    views += [re.sub(rb"\\+u00([0-9a-f]{2})", lambda escape: bytes.fromhex(escape[1].decode()), plain)]
    views += [re.sub(rb"\\+([01][0-7]{2})", lambda escape: bytes([int(escape[1], 8)]), plain)]
    views += [re.sub(rb"<[^<>]*>|\\+[xu][0-9a-fA-F]{2,4}|&#?\w+;", b"", plain)]
    texts = [re.sub(rb"[\s\0]|\\[nrt]", b"", view).lower() for view in views]
    bare = [_bare(view) for view in views]
    leaks = [
        piece
        for secret in secrets
        for piece in (*_standing_in(texts, _pieces(secret)), *_standing_in(bare, _bare_pieces(secret)))
    ]
    return [piece.decode("latin-1") for piece in leaks][:3]


def _bare(text: bytes) -> bytes:
    return re.sub(rb"[^0-9a-z]", b"", text.lower())


def _standing_in(texts: list[bytes], pieces: frozenset[bytes]) -> frozenset[bytes]:
    """Return the pieces that stand in some texts.

    Each piece has one of the blocks of a text, of half its length, in it whole: most texts have none.
    """
    suspects = [text for text in texts if _blocks_of(pieces) & _split(text)]
    return pieces & {text[start : start + PIECE] for text in suspects for start in range(len(text) - PIECE + 1)}


def _split(text: bytes) -> set[bytes]:
    return {text[start : start + BLOCK] for start in range(0, len(text), BLOCK)}


@cache
def _blocks_of(pieces: frozenset[bytes]) -> frozenset[bytes]:
    return frozenset(piece[start : start + BLOCK] for piece in pieces for start in range(PIECE - BLOCK + 1))


@cache
def _pieces(secret: str) -> frozenset[bytes]:
    encoded = [base64.b64encode(b"\0" * before + secret.encode())[4:-4] for before in range(3)]
    return frozenset(
        form[start : start + PIECE].lower()
        for form in (secret.encode(), *encoded)
        for start in range(len(form) - PIECE + 1)
    )


@cache
def _bare_pieces(secret: str) -> frozenset[bytes]:
    once = [base64.b64encode(b"\0" * before + secret.encode())[4:-4] for before in range(3)]
    twice = [base64.b64encode(b"\0" * before + form)[4:-4] for before in range(3) for form in once]
    forms = [_bare(form) for form in (secret.encode(), secret.encode().hex().encode(), *once, *twice)]
    return frozenset(form[start : start + PIECE] for form in forms for start in range(len(form) - PIECE + 1))
