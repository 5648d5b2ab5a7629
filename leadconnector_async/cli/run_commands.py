"""What comes after a load: `leadconnector verify` and `undo`."""

from __future__ import annotations

from typing import Annotated

import typer

from .accounts import LoginOptions
from .app import app, read, run
from .options import (
    AsJson,
    Concurrency,
    Daily,
    NoProgress,
    Rate,
    Redis,
    RunFolder,
    SecretFile,
    Store,
    TokenFile,
    read_sample,
)
from .orders import DEFAULT_CONCURRENCY
from .past_runs import PastOrder
from .undo import UndoOrder, undo
from .verify import VerifyOrder, verify


@app.command("verify")
def verify_run(
    folder: RunFolder,
    sample: Annotated[
        str | None, typer.Option(metavar="N|P%", help="Compare so many rows, by chance.", show_default="all rows")
    ] = None,
    rate: Rate = None,
    daily: Daily = None,
    redis: Redis = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    no_progress: NoProgress = False,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Read the contacts of a run back, and compare them with what it sent.

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
    force: Annotated[bool, typer.Option("--force", help="Also undo contacts that somebody changed since.")] = False,
    include_inferred: Annotated[
        bool,
        typer.Option(
            "--include-inferred",
            help="Also delete contacts whose creation was inferred, as the answer was lost.",
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
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Delete the contacts that a run created, and restore those that it updated if it kept a snapshot (--snapshot).

    Without a snapshot, contacts that it updated stay as they are. A contact that somebody else changed after the run
    wrote to it is kept, and so is one of which no answer said that the run created it: what changed is listed by kind,
    and each contact with its reason in undo.csv. Custom fields that the run made stay.

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
