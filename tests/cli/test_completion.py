"""Shell completion, by the protocol that the installed scripts speak, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leadconnector_async.sandbox.quota import PROFILES, WINDOWS
from tests.cli.conftest import invoke
from tests.waiting import PATIENCE

VARIABLE = "_LEADCONNECTOR_COMPLETE"


def offered(shell: str, *words: str) -> list[str]:
    """Return what a shell is told for a line whose last word is typed halfway."""
    line = ["leadconnector", *words]
    if shell == "bash":
        protocol = {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(words))}
    else:
        protocol = {"_TYPER_COMPLETE_ARGS": " ".join(line)}
        if shell == "fish":
            protocol["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    _, out, err = invoke(**{VARIABLE: f"complete_{shell}"}, **protocol)
    assert err == ""
    return out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("up",), {"upsert"}),
        (("upsert", "--phone-c"), {"--phone-conflict"}),
        (("upsert", "--phone-conflict", "s"), {"second-pass", "skip"}),
        (("plan", "--tags", "r"), {"replace"}),
        (("map", "--format", "js"), {"json", "jsonl"}),
        (("upsert", "--date-order", "m"), {"mdy"}),
        (("plan", "--default-country", "D"), {"DE", "DJ", "DK", "DM", "DO", "DZ"}),
        (("upsert", "--encoding", "utf"), {"utf-8", "utf-16"}),
        (("sandbox", "--window", "sl"), {"sliding"}),
        (("sandbox", "--profile", "t"), {"trial"}),
        (("whoami", "--js"), {"--json"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_options_and_values_are_offered(words: tuple[str, ...], expected: set[str]) -> None:
    assert set(offered("bash", *words)) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_offered_the_same(shell: str) -> None:
    told = " ".join(offered(shell, "upsert", "--phone-conflict", "s"))
    assert "second-pass" in told
    assert "skip" in told
    assert "allow" not in told


def test_what_is_offered_is_what_is_taken() -> None:
    assert set(offered("bash", "sandbox", "--window", "")) == set(WINDOWS)
    assert set(offered("bash", "sandbox", "--profile", "")) == set(PROFILES)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_shown(shell: str) -> None:
    code, out, _ = invoke(**{VARIABLE: f"source_{shell}"})
    assert code == 0
    assert f"{VARIABLE}=complete_{shell}" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "leadconnector"
    program.write_text(f"#!{sys.executable}\nfrom leadconnector_async.cli import main\nmain()\n")
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    asking = {**environ, VARIABLE: "source_bash"}
    script = subprocess.run([program], env=asking, capture_output=True, text=True, timeout=PATIENCE).stdout
    (function,) = (line.split("-F")[1].split()[0] for line in script.splitlines() if "complete -o" in line)
    lines = ["leadconnector upsert --phone-conflict s", "leadconnector und"]
    asked = "\n".join(
        f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}; {function} leadconnector; echo ${{COMPREPLY[@]}}"
        for line in lines
    )
    ended = subprocess.run(
        ["bash", "-c", f"{script}\n{asked}"], env=environ, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.stdout.splitlines(), ended.stderr) == (["second-pass skip", "undo"], "")
