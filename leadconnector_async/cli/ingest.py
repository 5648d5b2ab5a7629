"""`leadconnector ingest`, a service that takes contacts, and `leadconnector outbox`, which looks after what waits."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct

from ..client import LeadConnector
from ..environment import INGEST_SECRET, read_variable
from ..errors import ConfigurationError, UsageError
from ..ingest.outbox import Outbox
from ..ingest.service import Service, Taker, take_lines
from ..ingest.store import DeadLetter, Settled, Status
from ..protocol.text import count_of
from .accounts import LoginOptions, choose_token
from .app import app, run
from .options import (
    DEFAULT_CONCURRENCY,
    AsJson,
    Concurrency,
    Daily,
    Location,
    Proxy,
    Rate,
    Redis,
    SecretFile,
    Store,
    TokenFile,
    offer,
    read_limits,
    read_rate,
    read_secret_file,
)
from .terminal import STOPPED, calling_on_signals, show, show_document, tell

_ACTIONS: Final = ("status", "list", "retry", "drop", "forget")
_log = logging.getLogger("leadconnector_async.ingest")

# ---------------------------------------------------------------------------------------------- the service


class IngestCommand(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    target: Path
    name: str
    port: int | None
    is_stdin: bool
    host: str
    secret_file: Path | None
    locations: list[str]
    most_waiting: int
    location_id: str | None
    rate: str | None
    daily: int | None
    redis: str | None
    concurrency: int
    token_file: Path | None
    login: LoginOptions
    is_log_json: bool


async def take(command: IngestCommand) -> int:
    """Take contacts until a signal, or the end of the lines, and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was taken.
    """
    if (command.port is None) is not command.is_stdin:
        raise ConfigurationError("say where contacts come from: give either --http or --stdin")
    secret = None if command.is_stdin else _read_secret(command.secret_file)
    client = await _make_client(command)
    stop = asyncio.Event()
    with calling_on_signals(stop.set), _logging(is_json=command.is_log_json):
        async with client, _open(command, client) as outbox:
            if secret is None:
                return await _take_lines(command, outbox, stop)
            return await _serve(command, outbox, secret, stop)


def _read_secret(path: Path | None) -> str:
    found = read_variable(INGEST_SECRET) if path is None else read_secret_file("--secret-file", path, "the secret")
    if found is None:
        raise ConfigurationError(f"there is no secret: set {INGEST_SECRET}, or give --secret-file")
    return found


async def _make_client(command: IngestCommand) -> LeadConnector:
    options: dict[str, Any] = await choose_token(command.token_file, command.login)
    if command.location_id:
        options["location_id"] = command.location_id
    return LeadConnector.from_env(
        rate_limit=read_rate(command.rate, command.daily),
        limits=read_limits(command.redis),
        concurrency=command.concurrency,
        **options,
    )


def _open(command: IngestCommand, client: LeadConnector) -> Outbox:
    return Outbox(
        client,
        command.target,
        name=command.name,
        max_waiting=command.most_waiting,
        when_full="wait" if command.is_stdin else "raise",
        on_outcome=_log_outcome,
    )


async def _serve(command: IngestCommand, outbox: Outbox, secret: str, stop: asyncio.Event) -> int:
    service = Service(
        outbox, secret=secret, host=command.host, port=command.port or 0, locations=_locations(command, outbox)
    )
    await service.start()
    show(f"{service.url}/contacts")
    show_document({"url": f"{service.url}/contacts"})
    tell("Stop with Ctrl-C or SIGTERM; what waits then is sent by the next start.")
    try:
        await stop.wait()
    finally:
        await service.stop()
    return 0


def _locations(command: IngestCommand, outbox: Outbox) -> list[str]:
    own = outbox.client.location_id
    return [*command.locations, *([own] if own else [])]


async def _take_lines(command: IngestCommand, outbox: Outbox, stop: asyncio.Event) -> int:
    taker = Taker(outbox, _locations(command, outbox))

    def refuse(number: int, sentence: str) -> None:
        tell(f"line {number}: {sentence}")

    with open(0, "rb", closefd=False) as stdin:  # noqa: ASYNC230  (it is open already)
        lines = await take_lines(taker, stdin, stop, refuse)
    tell(f"{count_of(lines.taken, 'contact')} stored, {count_of(lines.refused, 'line')} refused.")
    while not stop.is_set() and not await outbox.flush(1.0):
        pass
    waiting = (await outbox.status()).waiting
    show_document({"stored": lines.taken, "refused": lines.refused, "waiting": waiting})
    if waiting:
        told = count_of(waiting, "contact waits", "contacts wait")
        tell(f"Stopped; {told} in {command.target}. The next start sends what waits.")
        return STOPPED
    return 1 if lines.refused else 0


def _log_outcome(settled: Settled) -> None:
    outcome = settled.outcome
    fields = {"id": settled.id, "status": outcome.status, "contact_id": outcome.contact_id}
    if outcome.error is not None:
        fields["error"] = outcome.error.kind
    _log.info("contact %d: %s", settled.id, outcome.status, extra={"fields": fields})


class _JsonLines(logging.Formatter):
    """Each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        fields = getattr(record, "fields", {})
        return json.dumps({"at": at, "level": record.levelname.lower(), "message": record.getMessage(), **fields})


@contextmanager
def _logging(*, is_json: bool) -> Iterator[None]:
    """Show what the outbox logs: warnings to people, and all of it to machines."""
    logger = logging.getLogger("leadconnector_async")
    handler, level = logging.StreamHandler(sys.stderr), logger.level
    handler.setFormatter(_JsonLines() if is_json else logging.Formatter("leadconnector: %(message)s"))
    handler.setLevel(logging.INFO if is_json else logging.WARNING)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


Target = Annotated[Path, typer.Argument(metavar="FILE", help="File of the outbox.", show_default=False)]
Name = Annotated[str, typer.Option(help="Name of the outbox: a file may hold several.")]


@app.command()
def ingest(
    target: Target,
    http: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Listen for POST /contacts; 0 picks a free port."),
    ] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read one contact per line, as JSON, from stdin.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the secret that requests must carry; by default LEADCONNECTOR_INGEST_SECRET.",
            show_default=False,
        ),
    ] = None,
    allow_location: Annotated[
        list[str] | None,
        typer.Option(
            help="Location that contacts may name besides that of the client; repeatable.", show_default=False
        ),
    ] = None,
    max_waiting: Annotated[int, typer.Option(min=1, help="Contacts that may wait; more are refused.")] = 100_000,
    name: Name = "contacts",
    location: Location = None,
    rate: Rate = None,
    daily: Daily = None,
    redis: Redis = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    as_json: AsJson = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log each outcome to stderr, as JSON.")] = False,
    token_file: TokenFile = None,
    proxy: Proxy = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Take contacts over HTTP or from stdin, keep them on disk, and send them when the limits allow.

    A contact is acknowledged once it is on disk. What the service refuses is kept: see `leadconnector outbox`.

    Exit code: 0 stopped, or all lines are done; 1 some lines were refused; 2 wrong use; 3 stopped while contacts from
    stdin still wait.
    """
    command = IngestCommand(
        target=target,
        name=name,
        port=http,
        is_stdin=stdin,
        host=host,
        secret_file=secret_file,
        locations=allow_location or [],
        most_waiting=max_waiting,
        location_id=location,
        rate=rate,
        daily=daily,
        redis=redis,
        concurrency=concurrency,
        token_file=token_file,
        login=LoginOptions(store=store, secret_file=client_secret_file),
        is_log_json=log_json,
    )
    run(take(command), as_json=as_json)


# ---------------------------------------------------------------------------------------------- what waits


class OutboxCommand(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    action: str
    target: Path
    name: str
    ids: list[int]
    is_all: bool
    with_unknown: bool
    email: str | None
    phone: str | None


async def look_after(command: OutboxCommand) -> int:
    """Carry out an action on an outbox, and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was changed.
    """
    if command.action not in _ACTIONS:
        raise ConfigurationError(f"{command.action!r} is no action; choose one of {', '.join(_ACTIONS)}")
    _check_options(command)
    # Nothing is sent from here, so that neither a token nor a location is needed.
    outbox = Outbox(LeadConnector("none"), command.target, name=command.name, drain=False, is_made=False)
    async with outbox:
        if command.action == "status":
            _show_status(await outbox.status())
        elif command.action == "list":
            await _show_dead(outbox)
        else:
            await _change(command, outbox)
    return 0


def _check_options(command: OutboxCommand) -> None:
    is_choice = command.action in ("retry", "drop")
    if is_choice and bool(command.ids) == command.is_all:
        raise UsageError(f"say which contacts to {command.action}: give either --id or --all")
    if not is_choice and (command.ids or command.is_all):
        raise UsageError("--id and --all are for retry and drop")
    if command.with_unknown and command.action != "retry":
        raise UsageError("--with-unknown is for retry")
    if (command.email or command.phone) and command.action != "forget":
        raise UsageError("--email and --phone are for forget")
    if command.action == "forget" and not (command.email or command.phone):
        raise UsageError("say whom to forget: give --email or --phone")


def _show_status(status: Status) -> None:
    oldest = "" if status.oldest is None else f", the first for {status.oldest:,.0f} s"
    show(f"waiting: {status.waiting:,}{oldest}")
    show(f"dead letters: {status.dead_letters:,}")
    show(f"outcomes not handed over: {status.undelivered:,}")
    show("a process sends what waits" if status.is_draining else "no process sends what waits")
    for location_id, reason in status.paused.items():
        show(f"paused{f', location {location_id}' if location_id else ''}: {reason}")
    show_document(status)


async def _show_dead(outbox: Outbox) -> None:
    letters = []
    async for letter in outbox.dead_letters():
        reason = letter.outcome.error.message if letter.outcome.error else ""
        show(f"{letter.id}: {letter.outcome.status}, {_iso(letter.at)}: {reason}")
        letters.append(_document(letter))
    show_document({"dead_letters": letters})


def _document(letter: DeadLetter) -> dict[str, object]:
    document: dict[str, object] = msgspec.to_builtins(letter, enc_hook=str)
    return {**document, "put_at": _iso(letter.put_at), "at": _iso(letter.at)}


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


async def _change(command: OutboxCommand, outbox: Outbox) -> None:
    ids = None if command.is_all else command.ids
    words: dict[str, tuple[str, Callable[[], Any]]] = {
        "retry": ("queued again", lambda: outbox.retry(ids, with_unknown=command.with_unknown)),
        "drop": ("dropped", lambda: outbox.drop(ids)),
        "forget": ("forgotten", lambda: outbox.forget(email=command.email, phone=command.phone)),
    }
    done, change = words[command.action]
    count = await change()
    show(f"{count_of(count, 'contact')} {done}")
    show_document({"count": count})


@app.command("outbox")
def look_after_outbox(
    action: Annotated[
        str,
        typer.Argument(
            metavar="|".join(_ACTIONS), autocompletion=offer(_ACTIONS), help="What to do.", show_default=False
        ),
    ],
    target: Target,
    id_: Annotated[
        list[int] | None,
        typer.Option("--id", metavar="N", help="Dead letter to retry or drop; repeatable.", show_default=False),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Retry or drop all dead letters.")] = False,
    with_unknown: Annotated[
        bool,
        typer.Option(
            "--with-unknown",
            help="Also retry contacts that may have been stored already; that may create them a second time.",
        ),
    ] = False,
    email: Annotated[str | None, typer.Option(help="Email of the person to forget.", show_default=False)] = None,
    phone: Annotated[str | None, typer.Option(help="Phone of the person to forget.", show_default=False)] = None,
    name: Name = "contacts",
    as_json: AsJson = False,
) -> None:
    """Show how an outbox is doing, list its dead letters, and retry, drop or forget contacts.

    A dead letter is a contact that the service refused, or of which nobody knows whether it was stored. `forget`
    removes all contacts of a person that wait or were refused.

    Exit code: 0 done; 2 wrong use.
    """
    command = OutboxCommand(
        action=action,
        target=target,
        name=name,
        ids=id_ or [],
        is_all=all_,
        with_unknown=with_unknown,
        email=email,
        phone=phone,
    )
    run(look_after(command), as_json=as_json)
