"""`leadconnector` and its commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from ..answers import clean_text
from ..errors import ConfigurationError, JournalError, LeadConnectorError
from ..migration.inputs import Inputs
from ..migration.mapping_file import write_mapping
from ..migration.readers.tables import FORMATS
from ..version import __version__
from .export import ExportCommand
from .export import export as export_contacts
from .login import DEFAULT_REDIRECT, LoginOrder, log_in, log_out, tell_who
from .logins import LoginOptions
from .options import read_faults, read_latency, read_rate
from .printing import show, tell
from .saying import Saying
from .serve import serve
from .sources import read_sources
from .upsert import DEFAULT_CONCURRENCY, Order, load

T = TypeVar("T")

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


def _read(options: Callable[[], T]) -> T:
    """Read options before anything runs; wrong use is told in one sentence."""
    try:
        return options()
    except ConfigurationError as error:
        tell(f"leadconnector: {clean_text(str(error))}")
        raise typer.Exit(2) from None


def _version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"leadconnector-async {__version__}")
        raise typer.Exit


TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="File with the token; else LEADCONNECTOR_TOKEN, else the stored login.", show_default=False),
]
Store: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="WHERE", help="Where logins are kept: `keyring`, or a file.", show_default="your own folder"),
]
SecretFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="File with the app's client secret; else LEADCONNECTOR_CLIENT_SECRET.", show_default=False),
]


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def upsert(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...", help="CSV, JSON, JSON Lines, Parquet, Excel; packed ones, patterns, - for stdin."
        ),
    ] = None,
    sql: Annotated[
        str | None, typer.Option(metavar="SELECT", help="Load what a query gives.", show_default=False)
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATABASE",
            help="Of that: sqlite:///FILE, postgresql://..., a DuckDB file, or env:NAME.",
            show_default=False,
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help=f"What the files are: {', '.join(FORMATS)}.", show_default="by their names"),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="How text is encoded.", show_default="found out")] = None,
    sheet: Annotated[
        str | None, typer.Option(help="Sheet of a workbook, by name or number.", show_default="the first")
    ] = None,
    location: Annotated[
        str | None, typer.Option(help="Location id; else LEADCONNECTOR_LOCATION_ID.", show_default=False)
    ] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Load into a sandbox in this process; no token.")] = False,
    column_map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=FIELD", help="Where a column goes; again for more.", show_default=False),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="Where all columns go: a file of `leadconnector map`.", show_default=False)
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column not to be sent; again for more.", show_default=False),
    ] = None,
    owners: Annotated[
        Path | None, typer.Option(help="CSV of users: id, and email or name.", show_default=False)
    ] = None,
    default_country: Annotated[
        str | None, typer.Option(help="Of phone numbers that name none, such as US.", show_default=False)
    ] = None,
    date_order: Annotated[
        str | None, typer.Option(metavar="mdy|dmy", help="What 03/04/1990 means.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Send nothing where a cell or row cannot be sent.")] = False,
    create_fields: Annotated[
        bool, typer.Option("--create-fields", help="Make custom fields that columns are for and that are missing.")
    ] = False,
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
    redis: Annotated[
        str | None,
        typer.Option(help="Share limits with other processes: redis://host:6379.", show_default=False),
    ] = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Do not tell how far it is.")] = False,
    token_file: TokenFile = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Create or update the contacts of files.

    Exit code: 0 all rows done; 1 some failed; 2 wrong use; 3 stopped early; 130 interrupted.
    """
    sources = _read(
        lambda: read_sources(files, sql=sql, database=database, file_format=file_format, encoding=encoding, sheet=sheet)
    )
    order = Order(
        sources=sources,
        location_id=location,
        is_sandbox=sandbox,
        out=out,
        is_resumed=resume or retry_failed,
        retry_failed=retry_failed,
        rate=rate,
        daily=daily,
        waits=wait,
        concurrency=concurrency,
        redis=redis,
        is_progress_wanted=not no_progress,
        token_file=token_file,
        login=LoginOptions(store=store, secret_file=client_secret_file),
        saying=Saying(
            maps=column_map or (),
            mapping=mapping,
            ignored=ignore or (),
            owners=owners,
            default_country=default_country,
            date_order=date_order,
            is_strict=strict,
            creates_fields=create_fields,
        ),
    )
    _run(load(order))


@app.command("map")
def map_columns(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="As for upsert.")],
    file_format: Annotated[
        str | None, typer.Option("--format", help="As for upsert.", show_default="by their names")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="As for upsert.", show_default="found out")] = None,
    sheet: Annotated[str | None, typer.Option(help="As for upsert.", show_default="the first")] = None,
) -> None:
    """Print which column goes to which field, as a file to correct and give back with `upsert --mapping`."""

    async def work() -> int:
        sources = read_sources(files, sql=None, database=None, file_format=file_format, encoding=encoding, sheet=sheet)
        with Inputs(sources, kept=None, is_stopped=lambda: False) as inputs:
            show("".join(write_mapping(inputs.open())).rstrip("\n"))
        return 0

    _run(work())


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
        float, typer.Option(metavar="SECONDS", help="How long a change takes to show in searches.")
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


@app.command()
def login(
    client_id: Annotated[
        str | None, typer.Option(help="Of your marketplace app; else LEADCONNECTOR_CLIENT_ID.", show_default=False)
    ] = None,
    client_secret_file: SecretFile = None,
    agency: Annotated[bool, typer.Option("--agency", help="Log in as an agency, for all its locations.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="What the app may do; again for more.", show_default="contacts, locations")
    ] = None,
    redirect_uri: Annotated[str, typer.Option(help="One of those in the app's settings.")] = DEFAULT_REDIRECT,
    paste: Annotated[
        bool, typer.Option("--paste", help="Take the code as text, where no browser can reach this machine.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page, only tell it.")] = False,
    white_label: Annotated[bool, typer.Option("--white-label", help="The page without the name HighLevel.")] = False,
    store: Store = None,
) -> None:
    """Log in with a marketplace app. The page of a browser asks what it may act for.

    Exit code: 0 logged in; 2 not; 130 interrupted.
    """
    order = LoginOrder(
        options=LoginOptions(store=store, secret_file=client_secret_file),
        client_id=client_id,
        redirect_uri=redirect_uri,
        scopes=tuple(scope or ()),
        is_agency=agency,
        is_white_label=white_label,
        is_pasted=paste,
        opens_browser=not no_browser,
    )
    _run(log_in(order))


@app.command()
def logout(
    account: Annotated[
        str | None, typer.Argument(help="Id of the location or agency.", show_default="all of them")
    ] = None,
    store: Store = None,
) -> None:
    """Forget a login. Says what stays valid."""
    _run(log_out(account, LoginOptions(store=store)))


@app.command()
def whoami(
    location: Annotated[
        str | None, typer.Option(help="Location of a token; else LEADCONNECTOR_LOCATION_ID.", show_default=False)
    ] = None,
    token_file: TokenFile = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Tell which account there is: its locations, scopes, and the calls it has left today."""
    _run(tell_who(location, token_file, LoginOptions(store=store, secret_file=client_secret_file)))
