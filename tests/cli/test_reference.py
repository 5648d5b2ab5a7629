"""The page on the command line has the reference that the commands give, and every help says how a command ends."""

from __future__ import annotations

import re
from typing import Any

import pytest

from leadconnector_async.cli.undo import UndoOrder
from tests.cli.conftest import invoke
from tests.cli.reference import PAGE, commands, parts, render

ODD = re.compile(r"\b(tells?|told|again for more|none that|of a load|what there is|else [A-Z])\b")


def test_the_page_has_the_reference() -> None:
    assert parts(PAGE.read_text(encoding="utf-8"))[1] == render(), "renew it: python -m tests.cli.reference"


@pytest.mark.parametrize("name", commands())
def test_each_parameter_has_a_help_in_plain_english(name: str) -> None:
    command: Any = commands()[name]
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name} has no help"
        assert parameter.help.endswith("."), f"{name} {parameter.name}: {parameter.help}"
        assert not ODD.search(parameter.help), f"{name} {parameter.name}: {parameter.help}"
    assert not ODD.search(command.help)
    assert "Exit code: 0" in command.help


@pytest.mark.parametrize("name", ["", *commands()])
def test_the_short_option_for_help_works(name: str) -> None:
    code, out, _ = invoke(*filter(None, [name]), "-h")
    assert (code, "Usage: leadconnector" in out or "Usage:" in out) == (0, True)


def test_the_help_of_undo_names_only_options_that_it_has() -> None:
    """Whatever it names besides belongs to the command that is named before it."""
    command: Any = commands()["undo"]
    own = {flag for parameter in command.params for flag in parameter.opts}
    text = re.sub(r"`upsert --snapshot`", "", command.help)
    assert {*re.findall(r"--[a-z-]+", text)} <= own
    assert {"--force", "--include-inferred"} <= {*re.findall(r"--[a-z-]+", text)}
    assert {"is_forced", "includes_inferred"} <= {*UndoOrder.__struct_fields__}
