"""What searches return in a shape of their own is compared, exported, kept and restored as what it is.

Each test runs against a service whose searches tell do-not-disturb by channel, and against one whose searches do not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import LeadConnector
from tests.cli.conftest import LOCATION, Run, stored, table

ADA: dict[str, Any] = {
    "email": "ada@x.de",
    "first_name": "Ada",
    "last_name": "McLove",
    "address1": "1 Main St",
    "date_of_birth": "1965-09-25",
    "timezone": "Europe/Rome",
    "gender": "female",
    "company_name": "Acme",
    "dnd_settings": {"SMS": {"status": "active", "message": "no"}, "WhatsApp": {"status": "active"}},
}
BOB: dict[str, Any] = {"email": "bob@x.de", "first_name": "Bob", "last_name": "Ray"}
EVE: dict[str, Any] = {"email": "eve@x.de", "dnd_settings": {"WhatsApp": {"status": "active"}}}


@pytest.fixture(params=["told", "left-out"])
def there(request: pytest.FixtureRequest, served: Callable[..., str], run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """A location that holds Ada, with all that searches return otherwise, Bob and Eve."""
    url = served(max_requests=10_000, per_seconds=1, search_without_dnd=request.param == "left-out")
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", LOCATION)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)

    async def work() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            assert (await lc.contacts.bulk_upsert([ADA, BOB, EVE], concurrency=1)).is_complete

    asyncio.run(work())
    return url


@pytest.fixture
def is_told(request: pytest.FixtureRequest) -> bool:
    """Whether searches tell do-not-disturb by channel."""
    return bool(request.node.callspec.params["there"] == "told")


def sheet(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines, ""]))
    return path


def state(url: str) -> dict[str, dict[str, Any]]:
    """All contacts as they are read by their ids, but for when they were changed."""
    found = {}
    for contact in stored(url):
        fields = msgspec.json.decode(contact.raw)
        del fields["dateUpdated"], fields["lastActivity"]  # which move with each write
        found[contact.email or ""] = fields
    return found


def channels(cell: str) -> dict[str, str]:
    return {name: setting["status"] for name, setting in json.loads(cell or "{}").items()}


# ---------------------------------------------------------------------------------------------- export


def exported(path: Path) -> list[dict[str, str]]:
    """Return Ada, Bob and Eve: a file has those that were created in one millisecond in any order."""
    return sorted(table(path), key=lambda row: row["email"])


def test_an_export_has_the_street_the_birthday_and_who_is_not_to_be_disturbed(
    run: Run, there: str, tmp_path: Path, is_told: bool
) -> None:
    code, out, _ = run("export", "a.csv")
    ada, bob, eve = exported(tmp_path / "a.csv")
    assert code == 0
    assert (ada["address1"], ada["dateOfBirth"], ada["lastName"]) == ("1 Main St", "1965-09-25", "McLove")
    assert channels(ada["dndSettings"]) == {"SMS": "active", "WhatsApp": "active"}
    assert (bob["address1"], bob["dateOfBirth"], bob["dndSettings"]) == ("", "", "")
    assert channels(eve["dndSettings"]) == ({"WhatsApp": "active"} if is_told else {})
    assert "searches do not return timezone and gender, which stay empty; --by-id reads each contact" in out
    doubt = (
        "it was read by id for 1 contact with Email, SMS, Call or inbound messages closed; "
        "which contacts have only WhatsApp, GMB"
    )
    assert (doubt in out) is not is_told
    assert ada["timezone"] == ada["gender"] == ""


def test_an_export_by_id_lacks_nothing(run: Run, there: str, tmp_path: Path) -> None:
    code, out, _ = run("export", "a.csv", "--by-id")
    ada, _, eve = exported(tmp_path / "a.csv")
    assert (code, out) == (0, "3 contacts in a.csv\n")
    assert (ada["timezone"], ada["gender"], ada["dateOfBirth"]) == ("Europe/Rome", "female", "1965-09-25")
    assert channels(ada["dndSettings"]) == {"SMS": "active", "WhatsApp": "active"}
    assert channels(eve["dndSettings"]) == {"WhatsApp": "active"}
    assert run("export", "a.jsonl", "--by-id", "--raw")[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    for line in lines:
        del line["dateUpdated"], line["lastActivity"]
    assert {line["email"]: line for line in lines} == state(there)


def test_what_an_export_lacks_is_in_its_document(run: Run, there: str, tmp_path: Path, is_told: bool) -> None:
    document = json.loads(run("export", "a.csv", "--json")[1])
    assert document["not_returned"] == ["timezone", "gender"]
    assert (document["do_not_disturb"], document["read_by_id"]) == (("complete", 0) if is_told else ("seen", 1))
    document = json.loads(run("export", "b.csv", "--json", "--query", "bob")[1])
    assert (document["contacts"], document["do_not_disturb"], document["read_by_id"]) == (1, "unseen", 0)
    document = json.loads(run("export", "c.csv", "--json", "--query", "nobody")[1])
    assert (document["contacts"], document["do_not_disturb"], document["not_returned"]) == (0, "complete", [])


# ---------------------------------------------------------------------------------------------- what changes


SAME = ("email,name,address1,dateOfBirth,companyName", "ada@x.de,Ada McLove,1 Main St,09/25/1965,Acme")
OTHER = "bob@x.de,Bob Ray,1 Main St,1990-01-02,"


def test_rows_that_change_nothing_are_not_sent(run: Run, there: str, tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.csv", *SAME, OTHER)
    code, _, err = run("upsert", path, "--out", "out", "--skip-unchanged")
    assert code == 0, err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["updated"], report["skipped"]) == (1, 1)
    (skipped,) = table(tmp_path / "out" / "skipped.csv")
    assert skipped["email"] == "ada@x.de"
    code, out, _ = run("verify", "out")
    assert code == 0, out


def test_a_comparison_tells_what_would_change(run: Run, there: str, tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.csv", *SAME, OTHER)
    compared = json.loads(run("plan", path, "--compare", "--json")[1])["comparison"]
    assert (compared["same"], compared["changed"]) == (1, 1)
    assert compared["fields"] == {"address1": 1, "date_of_birth": 1}


@pytest.mark.parametrize("column", ["timezone,,", "gender,female,", "dnd:SMS,yes,"])
def test_what_a_search_does_not_tell_passes_for_changed(
    run: Run, there: str, tmp_path: Path, column: str, is_told: bool
) -> None:
    header, value, _ = column.split(",")
    path = sheet(tmp_path / "a.csv", f"email,{header}", f"ada@x.de,{value}", f"bob@x.de,{value}")
    options = ("--skip-unchanged", "--empty", "clear") if header == "timezone" else ("--skip-unchanged",)
    code, _, err = run("upsert", path, "--out", "out", *options)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    is_same = is_told and header == "dnd:SMS"
    assert (code, report["updated"]) == (0, 1 if is_same else 2), err
    if header == "timezone":
        assert "timezone" not in state(there)["ada@x.de"]


# ---------------------------------------------------------------------------------------------- filling


def test_what_a_search_does_not_tell_is_read_before_it_is_filled(run: Run, there: str, tmp_path: Path) -> None:
    was = state(there)
    path = sheet(
        tmp_path / "a.csv",
        "email,address1,dateOfBirth,timezone,dnd:SMS",
        "ada@x.de,9 Side St,1999-09-09,Europe/Berlin,",
        "bob@x.de,9 Side St,1999-09-09,Europe/Berlin,",
        "eve@x.de,,,,yes",
    )
    code, _, err = run("upsert", path, "--out", "out", "--fill-empty")
    assert code == 0, err
    now = state(there)
    assert now["ada@x.de"] == was["ada@x.de"]
    filled = {name: now["bob@x.de"][name] for name in ("address1", "dateOfBirth", "timezone")}
    assert filled == {"address1": "9 Side St", "dateOfBirth": "1999-09-09", "timezone": "Europe/Berlin"}
    assert channels(json.dumps(now["eve@x.de"]["dndSettings"])) == {"WhatsApp": "active", "SMS": "active"}


# ---------------------------------------------------------------------------------------------- undo


def test_a_location_is_as_before(run: Run, there: str, tmp_path: Path) -> None:
    was = state(there)
    path = sheet(
        tmp_path / "a.csv",
        "email,firstName,address1,dateOfBirth,timezone,dnd:SMS,dnd:Email",
        "ada@x.de,Adele,9 Side St,1999-09-09,Europe/Berlin,,yes",
        "bob@x.de,Bert,9 Side St,1999-09-09,Europe/Berlin,yes,",
        "eve@x.de,Eva,,,,yes,",
    )
    code, _, err = run("upsert", path, "--out", "out", "--snapshot")
    assert code == 0, err
    assert state(there) != was
    code, out, err = run("undo", "out", "--yes")
    assert code == 0, (out, err)
    for email, fields in state(there).items():
        settings = fields.get("dndSettings", {})
        open_now = {name for name, one in settings.items() if one["status"] == "inactive"}
        fields["dndSettings"] = {name: one for name, one in settings.items() if name not in open_now}
        assert fields == {"dndSettings": {}, **was[email]}


@pytest.mark.parametrize(
    ("column", "value"), [("dateOfBirth", "1999-09-09"), ("address1", "9 Side St"), ("name", "B C")]
)
def test_a_field_alone_goes_back(run: Run, there: str, tmp_path: Path, column: str, value: str) -> None:
    was = state(there)
    path = sheet(tmp_path / "a.csv", f"email,{column}", *(f"{name}@x.de,{value}" for name in ("ada", "bob", "eve")))
    assert run("upsert", path, "--out", "out", "--snapshot")[0] == 0
    assert {contact[column] for contact in state(there).values()} == {value}
    code, out, err = run("undo", "out", "--yes")
    assert code == 0, (out, err)
    assert state(there) == was
