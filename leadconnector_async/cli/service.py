"""`leadconnector export`, and the sandbox as a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from .app import app, run
from .export import ExportCommand
from .export import export as export_contacts
from .options import (
    AsJson,
    Daily,
    Location,
    NoProgress,
    Proxy,
    Rate,
    Redis,
    TokenFile,
    offer,
    read_faults,
    read_latency,
    read_rate,
)
from .terminal import calling_on_signals, show, show_document

# ---------------------------------------------------------------------------------------------- the sandbox

if TYPE_CHECKING:
    from ..sandbox import Sandbox


async def serve(**options: Any) -> int:
    """Run a sandbox until SIGINT or SIGTERM, and return the exit code.

    Raises:
        ConfigurationError: An option makes no sense, or the port cannot be used.
    """
    from ..sandbox import Sandbox  # a load of files has no need of it

    stop = asyncio.Event()
    with calling_on_signals(stop.set):  # before the URL is told: who reads it may send a signal at once
        sandbox = await _start(Sandbox, options)
        oauth = sandbox.oauth
        told = {
            "url": sandbox.url,
            "token": "sandbox",
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
        }
        show_document(told)
        show(sandbox.url)
        show("token: sandbox; any locationId; stop with Ctrl-C")
        show(f"app for logins: client id {oauth.client_id}, client secret {oauth.client_secret}")
        await stop.wait()
        await sandbox.stop()
    return 0


async def _start(kind: Callable[..., Sandbox], options: dict[str, Any]) -> Sandbox:
    try:
        sandbox = kind(**options)
        await sandbox.start()
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        raise ConfigurationError(f"port {options['port']} cannot be used ({error.strerror}); choose another") from None
    return sandbox


@app.command()
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write; its name ends in .csv, .jsonl or .parquet.")
    ],
    location: Location = None,
    tag: Annotated[list[str] | None, typer.Option(help="Export only contacts with this tag; repeatable.")] = None,
    query: Annotated[
        str | None, typer.Option(help="Export only contacts that match this text.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted export.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write JSON as the service returns it; `upsert` cannot load it.")
    ] = False,
    for_spreadsheets: Annotated[
        bool,
        typer.Option(
            "--for-spreadsheets",
            help="Put an apostrophe before cells that a spreadsheet would run as a formula. CSV only; such a file "
            "differs from what is stored, so load another one.",
        ),
    ] = False,
    by_id: Annotated[
        bool,
        typer.Option("--by-id", help="Read each contact by its id, one call each, so that no field is missing."),
    ] = False,
    rate: Rate = None,
    daily: Daily = None,
    redis: Redis = None,
    no_progress: NoProgress = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    proxy: Proxy = None,
) -> None:
    """Write the contacts of a location to a file that `upsert` can load again.

    Exit code: 0 done; 2 wrong use; 3 stopped early; 130 interrupted. After 3 and 130, --resume goes on.
    """
    command = ExportCommand(
        path=file,
        location_id=location,
        tags=tag or [],
        query=query,
        is_raw=raw,
        is_for_spreadsheets=for_spreadsheets,
        is_by_id=by_id,
        is_resumed=resume,
        rate=rate,
        daily=daily,
        redis=redis,
        is_progress_wanted=not no_progress,
        token_file=token_file,
    )
    run(export_contacts(command), as_json=as_json)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8787,
    rate: Rate = None,
    window: Annotated[
        str,
        typer.Option(
            autocompletion=offer(("fixed", "aligned", "sliding")),
            help="How calls are counted: fixed, aligned or sliding.",
        ),
    ] = "fixed",
    daily: Daily = None,
    latency: Annotated[
        str | None, typer.Option(metavar="MIN-MAX", help="How long answers take: 0.05-0.5 (seconds) or 50-500ms.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND=P", help="A fault and its probability; repeatable.")
    ] = None,
    allow_duplicates: Annotated[
        bool, typer.Option("--allow-duplicates", help="Turn on Allow Duplicate Contact, as a location's settings can.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="File that keeps all data for the next start.", show_default="in memory")
    ] = None,
    search_lag: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long a change takes to appear in searches.")
    ] = 0.0,
    replace_dnd: Annotated[
        bool,
        typer.Option("--replace-dnd", help="Have do-not-disturb settings replace all channels, not only those named."),
    ] = False,
    search_without_dnd: Annotated[
        bool, typer.Option("--search-without-dnd", help="Leave do-not-disturb by channel out of searches.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Make ids, latency and faults repeatable.")] = None,
    profile: Annotated[
        str,
        typer.Option(autocompletion=offer(("standard", "trial")), help="Limits of a standard or a trial account."),
    ] = "standard",
    as_json: AsJson = False,
) -> None:
    """Run a local server that behaves like the API. It prints its URL first; the token is `sandbox`.

    Exit code: 0 stopped with Ctrl-C or SIGTERM; 2 wrong use.
    """

    async def work() -> int:
        limit = None if rate is None else read_rate(rate, daily)
        return await serve(
            port=port,
            profile=profile,
            max_requests=limit and limit.max_requests,
            per_seconds=limit and limit.per_seconds,
            daily=daily,
            window=window,
            latency=read_latency(latency),
            faults=read_faults(fault or []),
            allow_duplicates=allow_duplicates,
            data=data,
            search_lag=search_lag,
            search_without_dnd=search_without_dnd,
            replace_dnd=replace_dnd,
            seed=seed,
        )

    run(work(), as_json=as_json)
