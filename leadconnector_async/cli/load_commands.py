"""`leadconnector upsert`, and what comes before it: `map` and `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..migration.inputs import Inputs
from ..migration.mapping_file import write_mapping
from .app import app, read, run
from .arguments import (
    Concurrency,
    CreateFields,
    Daily,
    Dask,
    Database,
    DateOrder,
    DefaultCountry,
    Encoding,
    FileFormat,
    Files,
    Ignored,
    InSandbox,
    Limit,
    Location,
    MappingFile,
    Maps,
    NoProgress,
    Owners,
    Rate,
    SecretFile,
    Sheet,
    Sql,
    Store,
    Strict,
    Tags,
    TokenFile,
)
from .cluster import load_on_cluster
from .logins import LoginOptions
from .options import check_dry_run, read_tags_rule
from .plan import PlanOrder, plan
from .printing import show
from .saying import Saying
from .sources import read_sources
from .upsert import DEFAULT_CONCURRENCY, Order, load


@app.command()
def upsert(
    files: Files = None,
    sql: Sql = None,
    database: Database = None,
    file_format: FileFormat = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    location: Location = None,
    sandbox: InSandbox = False,
    column_map: Maps = None,
    mapping: MappingFile = None,
    ignore: Ignored = None,
    owners: Owners = None,
    default_country: DefaultCountry = None,
    date_order: DateOrder = None,
    strict: Strict = False,
    create_fields: CreateFields = False,
    tags: Tags = "add",
    limit: Limit = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read, map and check all rows, and write nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.", show_default="leadconnector-run-<time>")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run of this load.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As --resume, and send rows that failed once more.")
    ] = False,
    rate: Rate = None,
    daily: Daily = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the first write.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Where the day's calls are spent, wait for the next in place of stopping.")
    ] = False,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    no_progress: NoProgress = False,
    token_file: TokenFile = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
    dask: Dask = None,
) -> None:
    """Create or update the contacts of files.

    Exit code: 0 all rows done; 1 some failed; 2 wrong use; 3 stopped early; 130 interrupted.
    """
    sources = read(
        lambda: read_sources(files, sql=sql, database=database, file_format=file_format, encoding=encoding, sheet=sheet)
    )
    order = Order(
        sources=sources,
        tags=read(lambda: read_tags_rule(tags)),
        limit=limit,
        is_dry_run=read(lambda: check_dry_run(dry_run, is_resumed=resume or retry_failed)),
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
        login=LoginOptions(store=store, secret_file=client_secret_file),
        is_agreed=yes,
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
    run(load(order) if dask is None else load_on_cluster(order, dask))


@app.command("plan")
def plan_load(
    files: Files = None,
    sql: Sql = None,
    database: Database = None,
    file_format: FileFormat = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    location: Location = None,
    sandbox: InSandbox = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask the service nothing, even where there is a token.")
    ] = False,
    column_map: Maps = None,
    mapping: MappingFile = None,
    ignore: Ignored = None,
    owners: Owners = None,
    default_country: DefaultCountry = None,
    date_order: DateOrder = None,
    strict: Strict = False,
    create_fields: CreateFields = False,
    tags: Tags = "add",
    limit: Limit = None,
    rate: Rate = None,
    daily: Daily = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as a page, too.")] = None,
    token_file: TokenFile = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Tell what `upsert` with these options would do. Nothing is written; no token is needed, with one it looks deeper.

    Exit code: 0 all rows would be sent; 1 some would not, or nothing would; 2 wrong use; 130 interrupted.
    """
    sources = read(
        lambda: read_sources(files, sql=sql, database=database, file_format=file_format, encoding=encoding, sheet=sheet)
    )
    order = Order(
        sources=sources,
        tags=read(lambda: read_tags_rule(tags)),
        limit=limit,
        location_id=location,
        is_sandbox=sandbox,
        out=None,
        is_resumed=False,
        retry_failed=False,
        rate=rate,
        daily=daily,
        waits=False,
        concurrency=DEFAULT_CONCURRENCY,
        is_progress_wanted=False,
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
    run(plan(PlanOrder(load=order, is_offline=offline, is_json=as_json, html=html)))


@app.command("map")
def map_columns(
    files: Files,
    file_format: FileFormat = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    """Print which column goes to which field, as a file to correct and give back with `upsert --mapping`."""

    async def work() -> int:
        sources = read_sources(files, sql=None, database=None, file_format=file_format, encoding=encoding, sheet=sheet)
        with Inputs(sources, kept=None, is_stopped=lambda: False) as inputs:
            show("".join(write_mapping(inputs.open())).rstrip("\n"))
        return 0

    run(work())
