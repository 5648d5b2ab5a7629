"""What comes after a load: `leadconnector verify` and `undo`."""

from __future__ import annotations

from typing import Annotated

import typer

from .accounts import LoginOptions
from .app import app, read, run
from .options import (
    DEFAULT_CONCURRENCY,
    AsJson,
    Concurrency,
    Daily,
    NoProgress,
    Proxy,
    Rate,
    Redis,
    RunFolder,
    SecretFile,
    Store,
    TokenFile,
    read_sample,
)
from .past_runs import PastOrder
from .undo import UndoOrder, undo
from .verify import VerifyOrder, verify


@app.command("verify")
def verify_run(
    folder: RunFolder,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            help="Compare only this many rows, or this share of them, chosen at random.",
            show_default="all rows",
        ),
    ] = None,
    rate: Rate = None,
    daily: Daily = None,
    redis: Redis = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    no_progress: NoProgress = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    proxy: Proxy = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Read the contacts of a run back and compare them with what it sent.

    Exit code: 0 no difference; 1 differences; 2 wrong use; 3 stopped early; 130 interrupted.
    """
    past = PastOrder(
        folder=folder,
        rate=rate,
        daily=daily,
        redis=redis,
        concurrency=concurrency,
        is_progress_wanted=not no_progress,
        token_file=token_file,
        login=LoginOptions(store=store, secret_file=client_secret_file),
    )
    run(verify(VerifyOrder(past=past, sample=read(lambda: read_sample(sample)))), as_json=as_json)


@app.command("undo")
def undo_run(
    folder: RunFolder,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before the first contact is deleted or restored.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also delete or restore what somebody changed after the run.")
    ] = False,
    include_inferred: Annotated[
        bool,
        typer.Option(
            "--include-inferred",
            help="Also delete contacts that the run probably created, although no answer said so.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier undo of this run.")] = False,
    rate: Rate = None,
    daily: Daily = None,
    redis: Redis = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    no_progress: NoProgress = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    proxy: Proxy = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Delete the contacts that a run created; restore those that it updated, if it was made with `upsert --snapshot`.

    Without a snapshot, updated contacts stay as they are. What somebody changed after the run is kept, unless --force
    is given: contacts that the run created, and fields that it updated. Contacts that the run only probably created
    are kept, unless --include-inferred is given. Custom fields that the run created always stay. undo.csv lists every
    contact with what was done and why.

    Exit code: 0 all undone; 1 some were kept, restored in part, or failed; 2 wrong use; 3 stopped early;
    130 interrupted.
    """
    past = PastOrder(
        folder=folder,
        rate=rate,
        daily=daily,
        redis=redis,
        concurrency=concurrency,
        is_progress_wanted=not no_progress,
        token_file=token_file,
        login=LoginOptions(store=store, secret_file=client_secret_file),
    )
    order = UndoOrder(past=past, is_agreed=yes, is_forced=force, includes_inferred=include_inferred, is_resumed=resume)
    run(undo(order), as_json=as_json)
