"""`leadconnector upsert`, and what comes before it: `map` and `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..migration.mapping.file import describe_mapping, write_mapping
from ..migration.options import MigrationOptions
from ..migration.tables.inputs import Inputs
from .accounts import LoginOptions
from .app import app, read, run
from .cluster import load_on_cluster
from .options import (
    DEFAULT_CONCURRENCY,
    AsJson,
    Concurrency,
    CreateFields,
    CreateNameless,
    Daily,
    Dask,
    Database,
    DateOrder,
    DefaultCountry,
    Empty,
    Encoding,
    FileFormat,
    Files,
    FillEmpty,
    Ignored,
    InSandbox,
    KeepPlaceholders,
    Limit,
    Location,
    MappingFile,
    Maps,
    Match,
    NoProgress,
    OnlyExisting,
    OnlyNew,
    Owners,
    PhoneConflict,
    Proxy,
    Rate,
    Redis,
    SecretFile,
    Sheet,
    SkipUnchanged,
    Sql,
    Store,
    Strict,
    Tags,
    TokenFile,
    check_dry_run,
    check_max_failures,
    read_empty_rule,
    read_maps,
    read_match,
    read_phone_rule,
    read_tags_rule,
)
from .orders import Order, check_as_planned, find_run_folder, read_sources, refuse_fixed
from .plan import PlanOrder, plan
from .terminal import show_document, show_file
from .upsert import load


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
    keep_placeholders: KeepPlaceholders = False,
    strict: Strict = False,
    create_fields: CreateFields = False,
    tags: Tags = "add",
    empty: Empty = "keep",
    only_new: OnlyNew = False,
    only_existing: OnlyExisting = False,
    fill_empty: FillEmpty = False,
    skip_unchanged: SkipUnchanged = False,
    phone_conflict: PhoneConflict = "second-pass",
    match: Match = "auto",
    create_nameless: CreateNameless = False,
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, map and check all rows, but send nothing.")] = False,
    as_planned: Annotated[
        bool,
        typer.Option("--as-planned", help="Load a planned run although its source has changed since."),
    ] = False,
    snapshot: Annotated[
        bool,
        typer.Option("--snapshot", help="Keep contacts as they were before the load, so that undo can restore them."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the run and its results.", show_default="leadconnector-run-<time>")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run of this load.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Like --resume, and send failed rows again.")
    ] = False,
    rate: Rate = None,
    daily: Daily = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the first write.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="When the day's calls are spent, wait for the next day instead of stopping.")
    ] = False,
    max_failures: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            help="Stop once N rows sent have failed, or more than P% of at least 50; --resume counts anew. "
            "By default: when the first 50 are all refused for the same kind of reason. 100% never stops.",
        ),
    ] = None,
    redis: Redis = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    no_progress: NoProgress = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    proxy: Proxy = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
    dask: Dask = None,
) -> None:
    """Create or update contacts from files, or load a run that `plan --out` prepared, exactly as planned.

    Exit code: 0 all rows done; 1 some failed; 2 wrong use; 3 stopped early; 130 interrupted.
    """
    run_folder = find_run_folder(files, is_query=sql is not None)
    sources = read(
        lambda: read_sources(files, sql=sql, database=database, file_format=file_format, encoding=encoding, sheet=sheet)
    )
    chosen = read(
        lambda: MigrationOptions(
            columns=read_maps(column_map or ()),
            mapping=mapping,
            ignore=ignore or (),
            owners=owners,
            default_country=default_country,
            date_order=date_order,
            keep_placeholders=keep_placeholders,
            strict=strict,
            create_fields=create_fields,
            empty=read_empty_rule(empty),
            tags=read_tags_rule(tags),
            only_new=only_new,
            only_existing=only_existing,
            fill_empty=fill_empty,
            skip_unchanged=skip_unchanged,
            phone_conflict=read_phone_rule(phone_conflict),
            match=read_match(match),
            create_nameless=create_nameless,
            limit=limit,
            snapshot=snapshot,
        )
    )
    if run_folder is not None:
        read(lambda: refuse_fixed(chosen, others={"--out": out, "--dry-run": dry_run, "--dask": dask}))
    order = Order(
        sources=sources,
        run=run_folder,
        limit=None if run_folder is None else limit,
        is_as_planned=read(lambda: check_as_planned(as_planned, run_folder)),
        is_dry_run=read(lambda: check_dry_run(dry_run, is_resumed=resume or retry_failed)),
        location_id=location,
        is_sandbox=sandbox,
        out=out,
        is_resumed=resume or retry_failed,
        retry_failed=retry_failed,
        rate=rate,
        daily=daily,
        waits=wait,
        max_failures=read(lambda: check_max_failures(max_failures)),
        redis=redis,
        concurrency=concurrency,
        is_progress_wanted=not no_progress,
        token_file=token_file,
        login=LoginOptions(store=store, secret_file=client_secret_file),
        is_agreed=yes,
        options=chosen,
    )
    run(load(order) if dask is None else load_on_cluster(order, dask), as_json=as_json)


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
    offline: Annotated[bool, typer.Option("--offline", help="Do not call the service, even with a token.")] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Read the location's contacts, and show which rows are new, changed or the same."
        ),
    ] = False,
    column_map: Maps = None,
    mapping: MappingFile = None,
    ignore: Ignored = None,
    owners: Owners = None,
    default_country: DefaultCountry = None,
    date_order: DateOrder = None,
    keep_placeholders: KeepPlaceholders = False,
    strict: Strict = False,
    create_fields: CreateFields = False,
    tags: Tags = "add",
    empty: Empty = "keep",
    only_new: OnlyNew = False,
    only_existing: OnlyExisting = False,
    fill_empty: FillEmpty = False,
    skip_unchanged: SkipUnchanged = False,
    phone_conflict: PhoneConflict = "second-pass",
    match: Match = "auto",
    create_nameless: CreateNameless = False,
    limit: Limit = None,
    rate: Rate = None,
    daily: Daily = None,
    redis: Redis = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the plan as a page.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the plan in this folder; `upsert DIR` loads exactly what was planned."),
    ] = None,
    snapshot: Annotated[
        bool,
        typer.Option(
            "--snapshot", help="With --out: keep contacts as they were before the load, so that undo can restore them."
        ),
    ] = False,
    token_file: TokenFile = None,
    proxy: Proxy = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Show what `upsert` would do with the same options, and send nothing.

    No token is needed; with one, the plan also shows the location's limits, custom fields and way of matching.

    Exit code: 0 all rows would be sent; 1 some would not, or nothing would; 2 wrong use; 130 interrupted.
    """
    sources = read(
        lambda: read_sources(files, sql=sql, database=database, file_format=file_format, encoding=encoding, sheet=sheet)
    )
    chosen = read(
        lambda: MigrationOptions(
            columns=read_maps(column_map or ()),
            mapping=mapping,
            ignore=ignore or (),
            owners=owners,
            default_country=default_country,
            date_order=date_order,
            keep_placeholders=keep_placeholders,
            strict=strict,
            create_fields=create_fields,
            empty=read_empty_rule(empty),
            tags=read_tags_rule(tags),
            only_new=only_new,
            only_existing=only_existing,
            fill_empty=fill_empty,
            skip_unchanged=skip_unchanged,
            phone_conflict=read_phone_rule(phone_conflict),
            match=read_match(match),
            create_nameless=create_nameless,
            limit=limit,
            snapshot=snapshot,
        )
    )
    order = Order(
        sources=sources,
        location_id=location,
        is_sandbox=sandbox,
        out=out,
        is_resumed=False,
        retry_failed=False,
        rate=rate,
        daily=daily,
        waits=False,
        redis=redis,
        concurrency=DEFAULT_CONCURRENCY,
        is_progress_wanted=False,
        token_file=token_file,
        login=LoginOptions(store=store, secret_file=client_secret_file),
        options=chosen,
    )
    planned = PlanOrder(load=order, is_compared=compare, is_offline=offline, is_json=as_json, html=html)
    run(plan(planned), as_json=as_json)


@app.command("map")
def map_columns(
    files: Files,
    file_format: FileFormat = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    as_json: AsJson = False,
) -> None:
    """Print which column goes to which field, as a file to edit and pass to `upsert --mapping`.

    Exit code: 0 printed; 2 wrong use.
    """

    async def work() -> int:
        sources = read_sources(files, sql=None, database=None, file_format=file_format, encoding=encoding, sheet=sheet)
        settings = {} if encoding is None else {"encoding": encoding}
        with Inputs(sources) as inputs:
            tables = inputs.open(lambda: False)
            if as_json:
                show_document({"files": [describe_mapping(table) for table in tables]})
            else:
                show_file("".join(write_mapping(tables, settings=settings, usage=_give_back)).rstrip("\n"))
        return 0

    run(work(), as_json=as_json)


def _give_back(files: str) -> str:
    return f"leadconnector upsert {files} --mapping THIS_FILE"
