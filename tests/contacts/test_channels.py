"""Other channels of a contact stay as they are, whether the service merges do-not-disturb settings or replaces them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import ContactUpsert, DndSetting, DndSettings, LeadConnector
from leadconnector_async.bulk.closing import closings_of
from leadconnector_async.bulk.source import Closing
from leadconnector_async.migration import Migration, MigrationOptions
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox

HELD: dict[str, Any] = {
    "Email": {"status": "active", "message": "unsubscribed", "code": "101"},
    "SMS": {"status": "permanent", "message": "STOP", "code": "30004"},
    "RCS": {"status": "permanent"},
    "Call": {"status": "inactive", "message": "was closed once"},
}
AFTER = {**HELD, "WhatsApp": {"status": "active"}}
PERSON = {"email": "ann@example.com"}
CLOSING = {**PERSON, "dnd_settings": {"whats_app": {"status": "active"}}}
VERSIONS = ["2021-07-28", "2023-02-21", "v3"]


@pytest.fixture(params=["merges", "replaces"])
async def sandbox(request: pytest.FixtureRequest, open_sandbox: OpenSandbox) -> Sandbox:
    opened: Sandbox = await open_sandbox(replace_dnd=request.param == "replaces")
    return opened


def held_by(sandbox: Sandbox) -> dict[str, Any]:
    (contact,) = sandbox.contacts()
    return dict(contact["dndSettings"])


def add(sandbox: Sandbox) -> str:
    contact_id = str(sandbox.add_contact(LOCATION, **PERSON, dndSettings={"Email": HELD["Email"]})["id"])
    held = sandbox._records.contacts.get(contact_id)
    assert held is not None
    held["dndSettings"] = dict(HELD)  # as only the service itself writes them
    return contact_id


@pytest.mark.parametrize("version", VERSIONS)
async def test_single_calls_keep_them(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    client: LeadConnector = await connect(sandbox, api_version=version)
    contact_id = add(sandbox)
    assert (await client.contacts.upsert(CLOSING)).not_applied == ()
    assert held_by(sandbox) == AFTER
    await client.contacts.update(contact_id, {"dnd_settings": {"fb": {"status": "active"}}})
    assert held_by(sandbox) == {**AFTER, "FB": {"status": "active"}}
    changed = await client.contacts.update(contact_id, {"dnd_settings": {"email": {"status": "inactive"}}})
    assert changed.dnd_settings is not None
    assert held_by(sandbox) == {**AFTER, "FB": {"status": "active"}, "Email": {"status": "inactive"}}


@pytest.mark.parametrize("version", VERSIONS)
async def test_rows_of_a_load_keep_them(sandbox: Sandbox, connect: OpenSandbox, tmp_path: Path, version: str) -> None:
    client: LeadConnector = await connect(sandbox, api_version=version)
    add(sandbox)
    rows = [CLOSING, {"email": "new@example.com", "dnd_settings": {"sms": {"status": "active"}}}]
    report = await client.contacts.bulk_upsert(rows, journal=tmp_path / "j")
    assert (report.updated, report.created, report.partially_applied) == (1, 1, 0)
    assert report.requests == sandbox.requests
    ann, new = sandbox.contacts()
    assert (ann["dndSettings"], new["dndSettings"]) == (AFTER, {"SMS": {"status": "active"}})


async def test_a_closing_and_the_rest_of_its_row_keep_them(sandbox: Sandbox, client: LeadConnector) -> None:
    contact_id = add(sandbox)
    whole = ContactUpsert(**PERSON, city="Bonn", dnd_settings=DndSettings(whats_app=DndSetting(status="active")))
    closing = closings_of(whole)
    assert closing is not None
    for rest in (whole, ContactUpsert(**PERSON, city="Ulm")):
        report = await client.contacts.bulk_upsert([Closing(contact_id, closing, rest)])
        assert (report.updated, held_by(sandbox)) == (1, AFTER)


async def test_a_file_with_opt_outs_keeps_them_and_undo_gives_back_what_it_closed(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    add(sandbox)
    path = tmp_path / "people.csv"
    path.write_text("email,Do not WhatsApp\nann@example.com,yes\n", encoding="utf-8")
    options = MigrationOptions(columns={"Do not WhatsApp": "opt-out:WhatsApp"}, snapshot=True)
    async with await Migration.prepare(client, [path], folder=tmp_path / "run", options=options) as run:
        report = await run.upsert()
        assert (report.updated, held_by(sandbox)) == (1, AFTER)
        assert (await run.verify()).differing == 0
        await run.undo()
    assert {name: one["status"] for name, one in held_by(sandbox).items() if name != "WhatsApp"} == {
        name: one["status"] for name, one in HELD.items()
    }


async def test_a_channel_that_the_contact_closes_meanwhile_is_not_what_gives_way(
    sandbox: Sandbox, connect: OpenSandbox
) -> None:
    """The refusal names a channel that only went along: what the row closes is closed all the same."""
    client: LeadConnector = await connect(sandbox)
    contact_id = str(sandbox.add_contact(LOCATION, **PERSON, dndSettings={"SMS": {"status": "active"}})["id"])
    send, stop = client.send, {"status": "permanent", "message": "STOP"}

    async def stop_before_the_write(call: Any) -> Any:
        if call.request.method in ("PUT", "POST"):
            sandbox._records.contacts.get(contact_id)["dndSettings"]["SMS"] = stop  # type: ignore[index]
        return await send(call)

    client.send = stop_before_the_write  # type: ignore[method-assign]
    changed = await client.contacts.update(contact_id, {"dnd_settings": {"email": {"status": "active"}}})
    assert changed.not_applied == ()
    assert held_by(sandbox) == {"SMS": stop, "Email": {"status": "active"}}
