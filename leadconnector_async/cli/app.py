"""The command `leadconnector` itself, and how its commands end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Annotated, Any, Final, TypeVar

import typer
from typer.core import TyperCommand

from ..environment import check_variables
from ..errors import (
    ConfigurationError,
    DailyQuotaExceededError,
    JournalError,
    LeadConnectorError,
    OutageError,
    RateLimitStuckError,
)
from ..protocol.text import one_line
from ..version import __version__
from .terminal import printing_for, tell

_MOST_CHARS: Final = 10_000  # a sentence may list columns, whose names are of any length
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class _Command(TyperCommand):
    """A command that refuses an option or argument without a value, as an unset variable of a shell leaves it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        name = next(_find_blank(self.get_params(ctx), given), None)
        if name is not None and not ctx.resilient_parsing:
            tell(f"leadconnector: {name} is empty: leave it out, or give it a value")
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def _find_blank(parameters: list[Any], given: dict[str, Any]) -> Iterator[str]:
    for parameter in parameters:
        value = given.get(parameter.name)
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(text, str) and not text.strip() for text in texts):
            is_option = parameter.param_type_name == "option"
            yield parameter.opts[0] if is_option else (parameter.metavar or parameter.name).rstrip(".")


class _Commands(typer.Typer):
    """Commands of that kind."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        return super().command(name, cls=_Command, **options)


app = _Commands(
    help="Load contacts into HighLevel / LeadConnector.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


_LATER: Final = OutageError | DailyQuotaExceededError | RateLimitStuckError


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
        tell(f"leadconnector: {one_line(str(error))[:_MOST_CHARS]}")
        if isinstance(error, _LATER):  # before anything was begun that could be gone on with
            tell("Next: run the same command again.")
        code = 3 if isinstance(error, JournalError | _LATER) else 2
    except KeyboardInterrupt:  # before anything began
        code = 130
    raise typer.Exit(code)


def read(options: Callable[[], T]) -> T:
    """Read options before anything runs; wrong use is told in one sentence."""
    try:
        return options()
    except ConfigurationError as error:
        tell(f"leadconnector: {one_line(str(error))[:_MOST_CHARS]}")
        raise typer.Exit(2) from None


def _version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"leadconnector-async {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
