"""`leadconnector` and its commands."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from ..answers import clean_text
from ..errors import JournalError, LeadConnectorError
from ..version import __version__
from .export import ExportCommand
from .export import export as export_contacts
from .options import read_faults, read_latency, read_rate
from .printing import tell
from .serve import serve
from .upsert import DEFAULT_CONCURRENCY, Order, load

app = typer.Typer(
    help="Load contacts into HighLevel / LeadConnector.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _run(work: Coroutine[Any, Any, int]) -> None:
    """Run a command to its exit code; wrong use is told in one sentence."""
    try:
        code = asyncio.run(work)
    except LeadConnectorError as error:
        tell(f"leadconnector: {clean_text(str(error))}")
        code = 3 if isinstance(error, JournalError) else 2
    except KeyboardInterrupt:  # before anything began
        code = 130
    raise typer.Exit(code)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"leadconnector-async {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def upsert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV, TSV or JSON Lines.")],
    location: Annotated[
        str | None, typer.Option(help="Location id; else LEADCONNECTOR_LOCATION_ID.", show_default=False)
    ] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Load into a sandbox in this process; no token.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.", show_default="leadconnector-run-<time>")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run of this load.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As --resume, and send rows that failed once more.")
    ] = False,
    rate: Annotated[str | None, typer.Option(help="Calls/seconds for a location.", show_default="100/10")] = None,
    daily: Annotated[int | None, typer.Option(min=1, help="Calls a day.", show_default="200000")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Where the day's calls are spent, wait for the next in place of stopping.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight at most.")] = DEFAULT_CONCURRENCY,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Do not tell how far it is.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token; else LEADCONNECTOR_TOKEN.", show_default=False)
    ] = None,
) -> None:
    """Create or update the contacts of files.

    Exit code: 0 all rows done; 1 some failed; 2 wrong use; 3 stopped early; 130 interrupted.
    """
    order = Order(
        files=files,
        location_id=location,
        is_sandbox=sandbox,
        out=out,
        is_resumed=resume or retry_failed,
        retry_failed=retry_failed,
        rate=rate,
        daily=daily,
        waits=wait,
        concurrency=concurrency,
        is_progress_wanted=not no_progress,
        token_file=token_file,
    )
    _run(load(order))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv, .jsonl or .parquet.")],
    location: Annotated[
        str | None, typer.Option(help="Location id; else LEADCONNECTOR_LOCATION_ID.", show_default=False)
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Contacts with this tag; again for more.")] = None,
    query: Annotated[str | None, typer.Option(help="Contacts that match this text.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an export that was cut off.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="JSON as the service returns it; not to be loaded again.")] = False,
    rate: Annotated[str | None, typer.Option(help="Calls/seconds.", show_default="100/10")] = None,
    daily: Annotated[int | None, typer.Option(min=1, help="Calls a day.", show_default="200000")] = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Do not tell how far it is.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token; else LEADCONNECTOR_TOKEN.", show_default=False)
    ] = None,
) -> None:
    """Write the contacts of a location to a file, in the form in which `upsert` takes them again.

    Exit code: 0 done; 2 wrong use; 3 stopped early; 130 interrupted. After 3 and 130, --resume goes on.
    """
    command = ExportCommand(
        path=file,
        location_id=location,
        tags=tag or [],
        query=query,
        is_raw=raw,
        is_resumed=resume,
        rate=rate,
        daily=daily,
        is_progress_wanted=not no_progress,
        token_file=token_file,
    )
    _run(export_contacts(command))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8787,
    rate: Annotated[str | None, typer.Option(help="Calls/seconds for a location.", show_default="100/10")] = None,
    window: Annotated[str, typer.Option(help="How calls are counted: fixed, aligned or sliding.")] = "fixed",
    daily: Annotated[int | None, typer.Option(min=1, help="Calls a day.", show_default="200000")] = None,
    latency: Annotated[
        str | None, typer.Option(metavar="MIN-MAX", help="Time an answer takes: 0.05-0.5 (seconds) or 50-500ms.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND=P", help="A fault and its probability; again for more.")
    ] = None,
    allow_duplicates: Annotated[bool, typer.Option("--allow-duplicates", help="Allow Duplicate Contact.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="File that keeps all data, to go on with later.", show_default="none: in memory")
    ] = None,
    search_lag: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long a change takes to show in searches.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes ids, latency and faults repeatable.")] = None,
    profile: Annotated[str, typer.Option(help="Limits of a standard or trial account.")] = "standard",
) -> None:
    """Run a local server that behaves like the API. Its URL is the first line; its token is `sandbox`."""

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
            seed=seed,
        )

    _run(work())
