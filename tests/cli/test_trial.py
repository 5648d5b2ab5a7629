"""Before the real load: `--dry-run` writes nothing, `--limit` loads the first rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leadconnector_async.private_file import write_private
from tests.cli.conftest import Run, people, table


def test_a_dry_run_tells_and_writes_nothing(
    run: Run, served: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "a.csv", tmp_path / "data.sqlite3"
    path.write_text("email,dnd,custom:New\na@example.com,no,x\nb@example.com,maybe,y\nnobody,maybe,z\n")
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served(data=data))
    write_private(tmp_path / "token", "sandbox")
    before, size = sorted(tmp_path.iterdir()), data.stat().st_size
    options = ("--token-file", "token", "--location", "L", "--create-fields", "--map", "custom:New=custom:New")
    code, out, err = run("upsert", path, *options, "--dry-run")
    assert code == 1, err
    assert "3 rows checked: 1 would be sent, 2 would not" in out
    assert "dnd" in err
    assert [each for each in sorted(tmp_path.iterdir()) if "data" not in each.name] == [
        each for each in before if "data" not in each.name
    ]
    assert data.stat().st_size == size
    code, out, err = run("upsert", people(tmp_path / "b.csv", 4), "--sandbox", "--dry-run", "--limit", "3")
    assert (code, "3 rows checked: 3 would be sent, 0 would not" in out) == (0, True)
    assert not list(tmp_path.glob("leadconnector-run-*"))


def test_a_dry_run_does_not_go_on_with_a_load(run: Run, tmp_path: Path) -> None:
    code, _, err = run("upsert", people(tmp_path / "a.csv", 1), "--sandbox", "--dry-run", "--resume")
    assert (code, "--dry-run looks at rows before a load" in err) == (2, True)


@pytest.mark.parametrize(("limit", "expected"), [(2, 2), (3, 3), (4, 4), (99, 6)])
def test_the_first_rows_of_all_files_are_loaded(run: Run, tmp_path: Path, limit: int, expected: int) -> None:
    one, other = people(tmp_path / "a.csv", 3), tmp_path / "b.csv"
    other.write_text("email\nx@example.com\ny@example.com\nz@example.com\n")
    code, _, err = run("upsert", one, other, "--sandbox", "--out", "out", "--limit", limit)
    assert code == 0, err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["total"] == expected
    emails = [row["email"] for row in [*table(one), *table(other)]]
    assert [row["email"] for row in table(tmp_path / "out" / "succeeded.csv")] == emails[:expected]
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_a_run_does_not_go_on_with_another_limit(run: Run, tmp_path: Path) -> None:
    path = people(tmp_path / "a.csv", 3)
    assert run("upsert", path, "--sandbox", "--out", "out", "--limit", "2")[0] == 0
    code, _, err = run("upsert", path, "--sandbox", "--out", "out", "--resume")
    assert (code, "was made with another --limit" in err) == (2, True)
