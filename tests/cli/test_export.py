"""`leadconnector export`: every contact once, whatever cuts it off, and what it writes can be loaded again as it is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import ConfigurationError, LeadConnector
from leadconnector_async.migration.export import Export, ExportOrder, Progress
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.custom_fields import CustomFieldDefinition
from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.cli.conftest import COMMAND, Run, load, table
from tests.waiting import PATIENCE, wait_until

LOCATION = "L"
FIELDS = [
    CustomFieldDefinition(id="F1", key="plan", name="Plan", data_type="TEXT"),
    CustomFieldDefinition(id="F2", key="score", name="Score", data_type="NUMERICAL"),
    CustomFieldDefinition(
        id="F3", key="likes", name="Likes", data_type="CHECKBOX", options=("tea", "ham, eggs", "milk")
    ),
]


def full_contact(number: int) -> dict[str, Any]:
    return {
        "firstName": f"Zoë {number}",
        "lastName": 'O\'Neil, "Jr"',
        "email": f"person{number}@example.com",
        "phone": f"+1617555{number:04}",
        "address1": "Flat 2\n17 High Street",
        "postalCode": "02134",
        "country": "US",
        "tags": ["vip", "a, b"] if number % 2 else ["plain"],
        "dnd": bool(number % 3),
        "dndSettings": {"SMS": {"status": "active", "message": "no"}},
        "dateOfBirth": "1990-09-25",
        "customFields": [
            {"id": "F1", "field_value": f"plan {number}"},
            {"id": "F3", "field_value": ["tea", "ham, eggs"]},
            {"id": "F2", "field_value": 2.5},
        ],
    }


def contents(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What is stored, but for when it was."""
    changing = ("dateUpdated", "lastActivity")
    return [{key: value for key, value in one.items() if key not in changing} for one in sandbox.contacts()]


async def export(sandbox: Sandbox | RunningSandbox, path: Path, **options: Any) -> Progress:
    async with LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, rate_limit=None) as client:
        order = ExportOrder(target=client.host, location_id=LOCATION, **options)
        with Export(path, order, is_resumed=True) as work:
            return await work.run(client, lambda _: None)


def filled(count: int) -> Sandbox:
    sandbox = Sandbox(custom_fields=FIELDS, unlimited=True)
    for number in range(count):
        sandbox.add_contact(LOCATION, **full_contact(number))
    return sandbox


@pytest.mark.parametrize("name", ["contacts.csv", "contacts.jsonl", "contacts.parquet"])
async def test_all_contacts_are_written_once_in_each_form(tmp_path: Path, name: str) -> None:
    async with filled(1_100) as sandbox:
        progress = await export(sandbox, tmp_path / name)
        stored = {contact["email"] for contact in sandbox.contacts()}
    assert (progress.contacts, progress.undefined) == (1_100, 0)
    assert os.listdir(tmp_path) == [name]
    emails = read_emails(tmp_path / name)
    assert len(emails) == 1_100
    assert set(emails) == stored


def read_emails(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import duckdb

        return [row[0] for row in duckdb.read_parquet(str(path)).project("email").fetchall()]
    if path.suffix == ".jsonl":
        return [json.loads(line)["email"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["email"] for row in table(path)]


async def test_a_parquet_file_holds_what_the_table_holds(tmp_path: Path) -> None:
    import duckdb

    async with filled(20) as sandbox:
        await export(sandbox, tmp_path / "a.csv")
        await export(sandbox, tmp_path / "a.parquet")
    columns = duckdb.read_parquet(str(tmp_path / "a.parquet"))
    rows = [dict(zip(columns.columns, row, strict=True)) for row in columns.fetchall()]
    assert [{key: value or "" for key, value in row.items()} for row in rows] == table(tmp_path / "a.csv")
    assert rows[0]["postalCode"] == "02134"


async def test_headers_are_names_that_a_load_knows(tmp_path: Path) -> None:
    async with filled(1) as sandbox:
        await export(sandbox, tmp_path / "a.csv")
    (row,) = table(tmp_path / "a.csv")
    assert row["custom:plan"] == "plan 0"
    assert row["custom:likes"] == 'tea, "ham, eggs"'
    assert row["custom:score"] == "2.5"
    assert row["dnd"] == "false"
    assert json.loads(row["dndSettings"]) == {"SMS": {"status": "active", "message": "no"}}
    assert row["name"] == ""
    assert len(row["id"]) == 20


@pytest.mark.parametrize("name", ["contacts.csv", "contacts.jsonl"])
def test_what_was_exported_changes_nothing_when_it_is_loaded_again(tmp_path: Path, name: str) -> None:
    contacts = [full_contact(number) for number in range(30)]
    if name.endswith(".csv"):  # a cell is text: what is a number or a list there, the definitions of fields must tell
        contacts = [{**one, "customFields": one["customFields"][:1]} for one in contacts]

    with run_sandbox(custom_fields=FIELDS, unlimited=True, token="sandbox") as sandbox:
        for one in contacts:
            sandbox.ask(lambda inner, one=one: inner.add_contact(LOCATION, **one))
        asyncio.run(export(sandbox, tmp_path / name))
        before = sandbox.ask(contents)
        code, _, _ = load(sandbox.url, tmp_path / name)
        after = sandbox.ask(contents)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (code, report["updated"], report["partially_applied"]) == (0, 30, 0)
    assert after == before


async def test_raw_lines_are_what_the_service_returned(tmp_path: Path) -> None:
    async with filled(3) as sandbox:
        await export(sandbox, tmp_path / "a.jsonl", is_raw=True)
        stored = {contact["id"]: contact["dateAdded"] for contact in sandbox.contacts()}
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["id"]: line["dateAdded"] for line in lines} == stored


async def test_tags_choose(tmp_path: Path) -> None:
    async with filled(10) as sandbox:
        assert (await export(sandbox, tmp_path / "a.csv", tags=("vip",))).contacts == 5


async def test_a_value_without_column_is_counted(tmp_path: Path) -> None:
    async with (
        filled(2) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION) as client,
    ):
        await client.locations.custom_fields.delete("F1")
        stored = [one for contact in sandbox.contacts() for one in contact["customFields"] if one["id"] == "F1"]
        assert (await export(sandbox, tmp_path / "a.csv")).undefined == len(stored)


# ---------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
async def test_an_export_cut_off_anywhere_goes_on_and_has_each_contact_once(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filled(2_300) as sandbox:
        await export(sandbox, tmp_path / f"whole{Path(name).suffix}")
        append = Export._append
        attempts = 0
        while True:
            attempts += 1
            written = 0

            def cut_off(self: Export, data: bytes, progress: Progress, *, is_before: bool = attempts % 2 == 1) -> None:
                nonlocal written
                written += 1
                if written == 2 and is_before:  # killed before the page is on disk
                    with self._part.open("ab") as file:
                        file.write(data[: len(data) // 2])
                    raise OSError(28, "No space left on device")
                append(self, data, progress)
                if written == 2:  # killed when it is
                    raise OSError(28, "No space left on device")

            monkeypatch.setattr(Export, "_append", cut_off)
            try:
                progress = await export(sandbox, tmp_path / name)
            except OSError:
                assert not (tmp_path / name).exists()
                continue
            break
    assert attempts == 5
    assert progress.contacts == 2_300
    assert read_emails(tmp_path / name) == read_emails(tmp_path / f"whole{Path(name).suffix}")


def start(url: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "LEADCONNECTOR_TOKEN": "sandbox", "LEADCONNECTOR_BASE_URL": url}
    command = [*COMMAND, "export", str(path), "--location", LOCATION, *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def slow_url() -> Iterator[str]:
    """The address of a sandbox with 2,000 contacts that takes its time; it runs beside the test."""

    def fill(sandbox: Sandbox) -> None:
        for number in range(2_000):
            sandbox.add_contact(LOCATION, email=f"person{number}@example.com")

    with run_sandbox(unlimited=True, latency=(0.15, 0.25)) as sandbox:
        sandbox.ask(fill)
        yield sandbox.url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_a_kill_are_a_pause(
    slow_url: str, tmp_path: Path, number: signal.Signals, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", slow_url)
    process = start(slow_url, tmp_path / "a.csv", "--no-progress")
    part = tmp_path / "a.csv.part"
    wait_until(lambda: part.exists() and part.stat().st_size >= 5_000, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert not (tmp_path / "a.csv").exists()
    if number == signal.SIGINT:
        assert (process.returncode, err) == (130, "")
        command = re.search(r"^Next: (leadconnector export .*)$", out, re.M)
        assert command is not None
        arguments = shlex.split(command[1])[1:]
    else:
        arguments = ["export", str(tmp_path / "a.csv"), "--location", LOCATION, "--resume"]
    code, out, err = run(*arguments)
    assert (code, "2,000 contacts in" in out) == (0, True)
    assert re.match(r"Going on after [\d,]+ contacts", err)
    emails = sorted(row["email"] for row in table(tmp_path / "a.csv"))
    assert emails == sorted(f"person{number}@example.com" for number in range(2_000))


# ---------------------------------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.csv"], "there is no location"),
        (["a.xlsx", "--location", "L"], "a.xlsx: cannot be written in this format"),
        (["a.csv", "--location", "L", "--raw"], "end the name in .jsonl"),
        (["there.csv", "--location", "L"], "there.csv: already exists"),
        (["there.csv", "--location", "L", "--resume"], "there.csv: already exists"),
        (["link.csv", "--location", "L"], "link.csv: already exists"),
        (["taken.csv", "--location", "L"], "taken.csv.part: already exists, but not as part of an export"),
        (["no/folder/a.csv", "--location", "L"], "the folder no/folder does not exist"),
        (["cut.csv", "--location", "L"], "cut.csv: an export into it was interrupted; go on with it (--resume)"),
        (["cut.csv", "--location", "L", "--resume"], "cut.csv.resume: cannot be used"),
        (["a.csv", "--location", "L", "--rate", "fast"], "is not a rate"),
        (["a.csv", "--location", "L", "--query", "x" * 76], "75"),
    ],
)
def test_wrong_use_is_one_sentence(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
    served: Callable[..., str],
) -> None:
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served() if "--query" in arguments else "http://127.0.0.1:1")
    (tmp_path / "there.csv").write_text("x")
    (tmp_path / "cut.csv.resume").write_text("nothing that SQLite knows")
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "taken.csv.part").write_text("x")
    code, out, err = run("export", *arguments)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "taken.csv.part").read_text() == "x"
    assert not (tmp_path / "nowhere").exists()


def test_a_refused_token_leaves_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Callable[..., str]
) -> None:
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-wrong-secret")
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served())
    code, out, err = run("export", "a.csv", "--location", "L")
    assert code == 3
    assert "Invalid Private Integration token" in out
    assert "wrong-secret" not in out + err
    assert list(tmp_path.iterdir()) == []


async def test_another_export_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with filled(3) as sandbox:
        monkeypatch.setattr(Export, "_finish", lambda self: (_ for _ in ()).throw(OSError(5, "broken")))
        with pytest.raises(OSError, match="broken"):
            await export(sandbox, tmp_path / "a.csv")
        monkeypatch.undo()
        with pytest.raises(ConfigurationError, match="was another one"):
            await export(sandbox, tmp_path / "a.csv", tags=("vip",))
        (tmp_path / "a.csv.part").write_text("")
        with pytest.raises(ConfigurationError, match="has changed since it was written"):
            await export(sandbox, tmp_path / "a.csv")


async def test_two_processes_do_not_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with filled(3) as sandbox:
        monkeypatch.setattr(Export, "_finish", lambda self: (_ for _ in ()).throw(OSError(5, "broken")))
        with pytest.raises(OSError, match="broken"):
            await export(sandbox, tmp_path / "a.csv")
        order = ExportOrder(target="127.0.0.1", location_id=LOCATION)
        with (
            Export(tmp_path / "a.csv", order, is_resumed=True),
            pytest.raises(ConfigurationError, match="another process is writing this export"),
        ):
            Export(tmp_path / "a.csv", order, is_resumed=True)
