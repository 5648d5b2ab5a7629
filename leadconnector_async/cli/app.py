"""The command `leadconnector` itself, and how its commands end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Annotated, Any, TypeVar

import typer

from ..environment import check_variables
from ..errors import ConfigurationError, JournalError, LeadConnectorError
from ..protocol.answers import clean_text
from ..version import __version__
from .terminal import printing_for, tell

T = TypeVar("T")

app = typer.Typer(
    help="Load contacts into HighLevel / LeadConnector.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def run(work: Coroutine[Any, Any, int], *, as_json: bool) -> None:
    """Run a command to its exit code; wrong use is told in one sentence.

    A variable of ours that is set but empty is refused by every command, also where an option or the command itself
    would leave it unread: which of them count should not have to be known.

    Args:
        work: The command.
        as_json: Whether a machine reads stdout.
    """
    try:
        with closing(work), printing_for(machines=as_json):
            check_variables()
            code = asyncio.run(work)
    except LeadConnectorError as error:
        tell(f"leadconnector: {clean_text(str(error))}")
        code = 3 if isinstance(error, JournalError) else 2
    except KeyboardInterrupt:  # before anything began
        code = 130
    raise typer.Exit(code)


def read(options: Callable[[], T]) -> T:
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


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass
