"""Export, load, export is the identity: what was not corrected stays as it was, in every field that can be written."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import LeadConnector
from leadconnector_async.migration import Migration, MigrationOptions
from leadconnector_async.migration.export import Export, ExportOrder
from leadconnector_async.models.fields import FIELDS
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION
from tests.fake_clock import FakeClock

FRESH = "fReSh00000000000000X"
WRITABLE = [field.wire for field in FIELDS if field.is_exported and field.is_stored and field.kind != "custom"]
STATUS = {"Email": "active", "SMS": "inactive", "Call": "permanent"}

# Words for nothing, and an apostrophe that a spreadsheet may have set, are no texts in a cell.
words = st.text(st.sampled_from('Aaäßø字😀 0,;|"=+\\:&\n@'), min_size=2, max_size=12).filter(
    lambda text: text == text.strip() and any(map(str.isalpha, text))
)
settings_of_dnd = st.fixed_dictionaries(
    {}, optional={channel: st.just({"status": status}) for channel, status in STATUS.items()}
)
values: dict[str, st.SearchStrategy[Any]] = {
    "firstName": words,
    "lastName": words,
    "companyName": words,
    "address1": words,
    "city": words,
    "state": words,
    "postalCode": st.sampled_from(["00501", "SW1A 1AA"]),
    "country": st.sampled_from(["DE", "US"]),
    "website": st.just("https://example.com/a?b=c"),
    "timezone": st.sampled_from(["Europe/Berlin", "America/New_York"]),
    "gender": st.sampled_from(["male", "female"]),
    "dateOfBirth": st.sampled_from(["1990-09-25", "2000-01-05"]),
    "source": words,
    "assignedTo": st.just("y0BeYjuRIlDwsDcOHOJo"),
    "tags": st.lists(words.map(str.lower), max_size=3),
    "dnd": st.booleans(),
    "dndSettings": settings_of_dnd,
    "inboundDndSettings": st.just({"all": {"status": "active"}}),
}
custom_values: dict[str, st.SearchStrategy[Any]] = {
    "nickname": words,
    "notes": words,
    "plan": st.sampled_from(["Free", "Pro"]),
    "score": st.sampled_from([0, 7, 2.5]),
    "interests": st.lists(st.sampled_from(["Sport", "Music"]), min_size=1, unique=True),
}
people = st.fixed_dictionaries(
    {
        "custom": st.fixed_dictionaries({}, optional=custom_values),
        "keys": st.sampled_from(["email", "phone", "both", "none"]),
    },
    optional=values,
)


def test_every_field_that_can_be_written_is_tried() -> None:
    assert set(WRITABLE) <= {*values, "name", "email", "phone"}


def stored(sandbox: Sandbox, number: int, person: dict[str, Any], **fields: Any) -> str:
    person = dict(person)
    custom, keys = person.pop("custom"), person.pop("keys")
    given: dict[str, Any] = {"customFields": [{"key": key, "field_value": value} for key, value in custom.items()]}
    if keys == "none":  # a name, then, is all that makes it a contact
        given["firstName"] = f"Solo {number}"
    if keys in ("email", "both"):
        given["email"] = f"p{number}@example.com"
    if keys in ("phone", "both"):
        given["phone"] = f"+1617555{1000 + number}"
    return str(sandbox.add_contact(LOCATION, **{**person, **given, **fields})["id"])


async def export(client: LeadConnector, path: Path, location_id: str = LOCATION) -> list[dict[str, Any]]:
    """Write an export, and return its rows: those of CSV without the time of the last change."""
    order = ExportOrder(target="x", location_id=location_id, is_by_id=True)
    with Export(path, order, is_resumed=False) as work:
        await work.run(client, lambda _: None)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file]
    for row in rows:
        row.pop("dateUpdated", None)
    return sorted(rows, key=lambda row: str(row["id"]))


async def load(client: LeadConnector, path: Path, **options: Any) -> Migration:
    run = await Migration.prepare(
        client, [path], folder=path.with_name(f"run-{path.name}"), options=MigrationOptions(**options)
    )
    async with run:
        report = await run.upsert()
        assert (report.failed, report.unknown, report.skipped) == (0, 0, 0)
    return run


def comparable(row: dict[str, Any], *, is_fresh: bool) -> dict[str, Any]:
    """Return a row as it is compared: in a fresh location a channel can be closed, but not for good."""
    row = {name: value for name, value in row.items() if not (is_fresh and name in ("id", "dateAdded"))}
    if is_fresh:
        held = row.pop("dndSettings", None) or {}
        held = json.loads(held) if isinstance(held, str) else held
        row["closed"] = sorted(name for name, one in held.items() if one["status"] != "inactive")
        if not row.get("dnd") or row["dnd"] == "false":  # "not set" is as good as "open"
            row.pop("dnd", None)
    return row


def opened(clock: FakeClock) -> tuple[Sandbox, Any]:
    sandbox = Sandbox(seed=1, unlimited=True, monotonic=clock.monotonic, wall=clock.time, sleep=clock.sleep)
    return sandbox, lambda location: LeadConnector(
        "sandbox", base_url=sandbox.url, location_id=location, clock=clock, rate_limit=None
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@settings(deadline=None)
@given(some=st.lists(people, min_size=1, max_size=6))
async def test_an_export_that_is_given_back_changes_nothing(some: list[dict[str, Any]], ending: str) -> None:
    clock = FakeClock()
    sandbox, client_of = opened(clock)
    with tempfile.TemporaryDirectory() as folder:
        async with clock.jumping(), sandbox, client_of(LOCATION) as client:
            for number, person in enumerate(some):
                stored(sandbox, number, person)
            path = Path(folder) / f"a.{ending}"
            before = await export(client, path)
            run = await load(client, path, tags="replace")
            assert run.plan.by_id == len(some)
            assert await export(client, path.with_stem("b")) == before
            assert len(sandbox.contacts()) == len(some)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@settings(deadline=None)
@given(some=st.lists(people, min_size=1, max_size=6))
async def test_an_export_makes_the_same_contacts_in_a_fresh_location(some: list[dict[str, Any]], ending: str) -> None:
    clock = FakeClock()
    sandbox, client_of = opened(clock)
    with tempfile.TemporaryDirectory() as folder:
        async with clock.jumping(), sandbox, client_of(LOCATION) as client, client_of(FRESH) as fresh:
            for number, person in enumerate(some):
                stored(sandbox, number, person)
            path = Path(folder) / f"a.{ending}"
            before = [comparable(row, is_fresh=True) for row in await export(client, path)]
            run = await load(fresh, path, tags="replace", create_nameless=True)
            assert run.plan.by_id == 0
            after = [comparable(row, is_fresh=True) for row in await export(fresh, path.with_stem("b"), FRESH)]
            assert sorted(map(as_text, after)) == sorted(map(as_text, before))


def as_text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
async def test_an_edited_email_changes_that_contact_and_makes_no_second_one(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, ending: str
) -> None:
    for number in range(3):
        stored(sandbox, number, {"custom": {}, "keys": "both", "firstName": f"P{number}"})
    path = tmp_path / f"a.{ending}"
    before = await export(client, path)
    text = path.read_text()
    path.write_text(text.replace("p1@example.com", "corrected@example.com"))
    await load(client, path)
    after = await export(client, tmp_path / f"b.{ending}")
    corrected = "corrected@example.com"
    assert after == [row | ({"email": corrected} if row["email"] == "p1@example.com" else {}) for row in before]
