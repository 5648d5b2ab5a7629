"""An option or argument without a value, as an unset variable of a shell leaves it, is refused by every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from leadconnector_async.cli.commands import app
from tests.cli.conftest import Run

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TEXTS = [
    (name, parameter.opts[0] if parameter.param_type_name == "option" else "")
    for name, command in COMMANDS.items()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False) and parameter.name != "help"
]


def test_all_options_are_looked_at() -> None:
    assert {("upsert", "--location"), ("upsert", ""), ("export", "--tag"), ("login", "--store")} <= {*TEXTS}


@pytest.mark.parametrize("blank", ["", "  "], ids=["empty", "blank"])
@pytest.mark.parametrize(("command", "option"), TEXTS)
def test_a_blank_value_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, option: str, blank: str
) -> None:
    for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    for words in ([option, blank], [f"{option}={blank}"]) if option else ([blank],):
        code, out, err = run(command, *words)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"leadconnector: {option or ''}")
        assert err.endswith(" is empty: leave it out, or give it a value\n")
    assert list(tmp_path.iterdir()) == []
