"""What a command prints, whatever files and their columns are called."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

UNSEEN = "\x1b]0;owned\x07\x1b[31m\u202egpj\u2066\u200b\x9b1A"
SEEN_AS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("command", ["plan", "map", "upsert"])
def test_names_of_files_and_columns_are_printed_without_what_nobody_sees(
    run: Run, tmp_path: Path, command: str, served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served())
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", "L")
    path = tmp_path / f"a{UNSEEN.replace('/', '')}.csv"
    path.write_text(f"email,b{UNSEEN},Opt out {UNSEEN}\na@example.com,{UNSEEN},maybe\nno,x,y\n", encoding="utf-8")
    for arguments in ((path,), (path.with_name(f"gone{UNSEEN}.csv"),), (path, "--map", f"c{UNSEEN}=email")):
        _, out, err = run(command, *arguments)
        assert SEEN_AS.findall(out + err) == []
        assert out + err


def test_a_mapping_names_such_a_column_all_the_same(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,a\u202eb\U000e0041\x1bc\na@example.com,x\n", encoding="utf-8")
    _, out, _ = run("map", path)
    columns = tomllib.loads(out.replace('# "a', '"a'))["columns"]
    assert "a\u202eb\U000e0041\x1bc" in columns
