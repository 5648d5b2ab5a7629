"""A migration from Python: planned, loaded, verified and undone, in one process or in several, by its folder alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import APIError, ConfigurationError, ContactUpsert, LeadConnector, Outcome
from leadconnector_async.contacts.locations import CustomFields
from leadconnector_async.migration import Migration, MigrationOptions, Sources
from leadconnector_async.migration.options import CHANGED
from leadconnector_async.models import CustomFieldDefinition
from leadconnector_async.run.folder import RUN_FILE
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox

OPTIONS = MigrationOptions(default_country="US")


def reads(sandbox: Sandbox) -> int:
    """Return how many contacts were read by their ids."""
    return sum(call.method == "GET" and call.path.startswith("/contacts/") for call in sandbox.arrivals)


def write(path: Path, count: int, header: str = "email,firstName,tags", more: str = "") -> Path:
    rows = [f"p{number}@example.com,P{number},customer{more}" for number in range(count)]
    path.write_text("\n".join([header, *rows, ""]))
    return path


async def prepare(client: LeadConnector | None, path: Path, folder: Path, **options: object) -> Migration:
    return await Migration.prepare(client, [path], folder=folder, options=MigrationOptions(**options))  # type: ignore[arg-type]


async def choice_of(client: LeadConnector) -> tuple[CustomFieldDefinition, str]:
    """Return a custom field that is one of some options, and one of them."""
    fields = await client.locations.custom_fields.list(model="contact")
    field = next(one for one in fields if one.data_type == "SINGLE_OPTIONS" and one.picklist_options)
    assert field.picklist_options is not None
    return field, field.picklist_options[0]


async def test_the_whole_of_it_without_the_source(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 30)
    async with await Migration.prepare(client, [path], folder=tmp_path / "run", options=OPTIONS) as run:
        assert (run.plan.rows, run.plan.to_send, run.plan.refused) == (30, 30, 0)
        assert not run.is_begun
    assert not sandbox.contacts(LOCATION)  # nothing is sent by that
    path.unlink()
    seen: list[Outcome] = []
    async with await Migration.open(client, tmp_path / "run") as run:
        report = await run.upsert(on_outcome=seen.append)
        assert (report.total, report.created, report.failed) == (30, 30, 0)
        assert [outcome.index for outcome in sorted(seen, key=lambda one: one.index)] == list(range(30))
        assert all(contact["tags"] == ["customer"] for contact in sandbox.contacts(LOCATION))
        assert (await run.verify()).differing == 0
        assert (await run.verify(sample=7)).compared == 7
    async with await Migration.open(client, tmp_path / "run") as run:
        undone = await run.undo()
        assert (undone.deleted, undone.is_done) == (30, True)
        assert (await run.undo()).deleted == 30  # counts are of all of it; nothing is left to do
    assert not sandbox.contacts(LOCATION)
    made = {file.name for file in (tmp_path / "run").iterdir()}
    assert made >= {RUN_FILE, "report.json", "succeeded.csv", "verify.json", "verify.csv", "undo.json", "undo.csv"}


async def test_rows_are_counted_and_named_the_same_wherever_a_block_of_them_ends(tmp_path: Path) -> None:
    wrong, emails = {0, 199, 200, 399, 400, 449}, [f"p{number}@example.com" for number in range(450)]
    emails[201] = emails[198]  # the same person in two blocks
    lines = [f"{'no address' if number in wrong else email},customer" for number, email in enumerate(emails)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["email,tags", *lines, ""]))
    async with await Migration.prepare(None, [path], folder=tmp_path / "run", location_id=LOCATION) as run:
        kept = [row for file in run.files for row in file.rows()]
        plan = run.plan
    assert [row.row.number for row in kept] == list(range(2, 452))
    assert {number for number, row in enumerate(kept) if not isinstance(row.contact, ContactUpsert)} == wrong
    assert (plan.rows, plan.refused, plan.to_send, plan.forecast.repeats) == (450, 6, 444, 1)
    assert [(kind.count, kind.where) for kind in plan.problems] == [(6, f"{path}, row 2")]
    assert plan.tags is not None
    assert (plan.tags.rows, plan.tags.calls) == (444, 5)
    (repeated,) = plan.repeated
    assert [row.where for row in repeated.rows] == [f"{path}, row 200", f"{path}, row 203"]


async def test_planned_offline_names_are_looked_up_before_the_first_write(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    field, option = await choice_of(client)
    path = write(tmp_path / "a.csv", 3, "email,firstName,tags,Choice", f",{option.upper()}")
    options = {"columns": {"Choice": f"custom:{field.name}"}}
    async with await prepare(None, path, tmp_path / "run", **options) as run:
        assert "Custom fields are not checked, because the location is not asked for them." in run.notes
    async with await Migration.open(client, tmp_path / "run") as run:
        assert (await run.upsert()).created == 3
        assert (await run.verify()).differing == 0
    values = [contact["customFields"] for contact in sandbox.contacts(LOCATION)]
    assert values == [[{"id": field.id, "value": option}]] * 3


async def test_planned_offline_what_cannot_be_sent_is_refused_before_the_first_write(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    field, _ = await choice_of(client)
    path = write(tmp_path / "a.csv", 3, "email,firstName,tags,Choice", ",tin")
    async with await prepare(None, path, tmp_path / "run", columns={"Choice": f"custom:{field.name}"}):
        pass
    async with await Migration.open(client, tmp_path / "run") as run:
        for _ in range(2):  # also when it is retried
            with pytest.raises(ConfigurationError, match="add the option"):
                await run.upsert()
    assert not sandbox.contacts(LOCATION)


async def test_fields_are_made_when_the_load_begins(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 2, "email,firstName,tags,Shoe size", ",42")
    options = {"columns": {"Shoe size": "custom:Shoe size"}, "create_fields": True}
    async with await prepare(client, path, tmp_path / "run", **options) as run:
        assert run.plan.new_fields == ["Shoe size"]
        assert "Shoe size" not in [one.name for one in await client.locations.custom_fields.list(model="contact")]
        assert (await run.upsert()).created == 2
        (field,) = [one for one in await client.locations.custom_fields.list() if one.name == "Shoe size"]
        assert (await run.verify()).differing == 0
    assert [contact["customFields"] for contact in sandbox.contacts(LOCATION)] == [
        [{"id": field.id, "value": "42"}]
    ] * 2


async def test_planned_offline_fields_are_made_when_the_load_begins(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", 2, "email,firstName,tags,Shoe size", ",42")
    options = {"columns": {"Shoe size": "custom:Shoe size"}, "create_fields": True}
    async with await prepare(None, path, tmp_path / "run", **options):
        pass
    async with await Migration.open(client, tmp_path / "run") as run:
        assert (await run.upsert()).created == 2
        assert (await run.verify()).differing == 0
        assert run.fields_made == ["Shoe size"]
    assert [[one["value"] for one in contact["customFields"]] for contact in sandbox.contacts(LOCATION)] == [["42"]] * 2


async def test_no_field_is_made_twice_and_an_undo_names_those_that_were_made(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second field cannot be made at first: the load that goes on makes it alone, and reads the rows anew."""
    path = write(tmp_path / "a.csv", 2, "email,firstName,tags,Shoe size,Hat size", ",42,7")
    columns = {name: f"custom:{name}" for name in ("Shoe size", "Hat size")}
    made: list[str] = []
    create = CustomFields.create

    async def create_once(self: CustomFields, name: str, *args: Any, **options: Any) -> Any:
        made.append(name)
        if len(made) == 2:
            raise APIError(422, ("not now",))
        return await create(self, name, *args, **options)

    monkeypatch.setattr(CustomFields, "create", create_once)
    async with await prepare(client, path, tmp_path / "run", columns=columns, create_fields=True) as run:
        with pytest.raises(ConfigurationError, match="cannot be created"):
            await run.upsert()
        assert run.fields_made == ["Shoe size"]
    assert not sandbox.contacts(LOCATION)
    async with await Migration.open(client, tmp_path / "run") as run:
        assert (await run.upsert()).created == 2
        assert made == ["Shoe size", "Hat size", "Hat size"]
        values = [{one["value"] for one in contact["customFields"]} for contact in sandbox.contacts(LOCATION)]
        assert values == [{"42", "7"}] * 2
        assert (await run.undo()).fields_left == ("Shoe size", "Hat size")


async def test_a_load_that_was_stopped_goes_on(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    path, stop = write(tmp_path / "a.csv", 300), asyncio.Event()
    done: list[int] = []

    def note(outcome: Outcome) -> None:
        if outcome.status != "not_attempted":
            done.append(outcome.index)
        if len(done) == 120:
            stop.set()

    async with await prepare(client, path, tmp_path / "run") as run:
        report = await run.upsert(on_outcome=note, stop=stop)
        assert report.not_attempted > 0
        assert report.stopped is not None
    async with await Migration.open(client, tmp_path / "run") as run:
        report = await run.upsert(on_outcome=note)
    assert (report.total, report.created, report.sessions) == (300, 300, 2)
    assert sorted(done) == list(range(300))
    assert len(sandbox.contacts(LOCATION)) == 300


@pytest.mark.parametrize("after", [5, 90, 230])
async def test_sessions_that_follow_each_other_stay_below_the_limit_together(
    sandbox: Sandbox, connect: OpenSandbox, tmp_path: Path, after: int
) -> None:
    path, stop = write(tmp_path / "a.csv", 300), asyncio.Event()
    done: list[int] = []

    def note(outcome: Outcome) -> None:
        done.append(outcome.index)
        if len(done) == after:
            stop.set()

    async with await prepare(await connect(sandbox), path, tmp_path / "run") as run:
        await run.upsert(on_outcome=note, stop=stop)
    async with await Migration.open(await connect(sandbox), tmp_path / "run") as run:  # another process, as good as
        assert (await run.upsert()).created == 300
    async with await Migration.open(await connect(sandbox), tmp_path / "run") as run:
        assert (await run.verify()).differing == 0
    assert sandbox.rate_limited == 0


async def test_some_rows_today_and_the_rest_tomorrow(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    async with await prepare(client, write(tmp_path / "a.csv", 30), tmp_path / "run") as run:
        report = await run.upsert(limit=10)
        assert (report.total, report.created, report.is_complete) == (10, 10, True)
    async with await Migration.open(client, tmp_path / "run") as run:
        report = await run.upsert()
        assert (report.total, report.created) == (30, 30)
    assert len(sandbox.contacts(LOCATION)) == 30


async def test_several_at_once_with_one_client(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    async def migrate(name: str) -> int:
        path = write(tmp_path / f"{name}.csv", 20, more=f"-{name}")
        path.write_text(path.read_text().replace("@", f"@{name}."))
        async with await prepare(client, path, tmp_path / name) as run:
            return (await run.upsert()).created

    assert await asyncio.gather(*map(migrate, "abc")) == [20, 20, 20]
    assert len(sandbox.contacts(LOCATION)) == 60


async def test_a_run_is_of_its_service_and_location(
    client: LeadConnector, open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    async with await prepare(client, write(tmp_path / "a.csv", 2), tmp_path / "run") as run:
        await run.upsert()
    elsewhere = await connect(await open_sandbox(), location_id="another")
    with pytest.raises(ConfigurationError, match="was loaded into"):  # its port is another one
        await Migration.open(elsewhere, tmp_path / "run")


async def test_a_plan_that_was_not_kept_cannot_be_loaded(client: LeadConnector, tmp_path: Path) -> None:
    run = await Migration.prepare(client, [write(tmp_path / "a.csv", 2)], folder=None)
    with run, pytest.raises(ConfigurationError, match="was not kept"):
        await run.upsert()


CHANGES: dict[str, dict[str, object]] = {
    "mapping": {"ignore": ["tags"]},
    "checks": {"default_country": "DE"},
    "tags": {"tags": "replace"},
    "phone_conflict": {"phone_conflict": "skip"},
    "match": {"match": "email-phone"},
    "limit": {"limit": 1},
    "empty": {"empty": "clear"},
    "snapshot": {"snapshot": True},
    "selection": {"skip_unchanged": True},
}


def test_every_sentence_about_a_change_has_a_change() -> None:
    assert CHANGES.keys() | {"files"} == CHANGED.keys()


@pytest.mark.parametrize("name", CHANGES)
async def test_a_run_is_not_gone_on_with_otherwise(client: LeadConnector, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.csv", 2)
    async with await prepare(client, path, tmp_path / "run") as run:
        sources = Sources(files=[path])
        run.check_same(sources, MigrationOptions())
        with pytest.raises(ConfigurationError, match=CHANGED[name]):
            run.check_same(sources, MigrationOptions(**CHANGES[name]))  # type: ignore[arg-type]


async def test_a_source_that_changed_is_not_gone_on_with_and_one_that_is_gone_is(
    client: LeadConnector, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", 2)
    async with await prepare(client, path, tmp_path / "run") as run:
        sources, options = Sources(files=[path]), MigrationOptions()
        path.rename(tmp_path / "moved.csv")
        run.check_same(sources, options)
        run.check_same(Sources(files=[tmp_path / "moved.csv"]), options)
        write(path, 3)
        with pytest.raises(ConfigurationError, match="the file has changed since"):
            run.check_same(sources, options)


# ---------------------------------------------------------------------------------------------- folders that are no run


def _truncate(folder: Path) -> None:
    content = (folder / RUN_FILE).read_bytes()
    (folder / RUN_FILE).write_bytes(content[: len(content) // 2])


def _flip(folder: Path) -> None:
    content = bytearray((folder / RUN_FILE).read_bytes())
    place = content.index(b"p403@example.com")  # within a block of rows, of which others could be sent before
    content[place] ^= 1
    (folder / RUN_FILE).write_bytes(content)


def _forget(folder: Path) -> None:
    (folder / RUN_FILE).unlink()
    (folder / f"{RUN_FILE}-wal").write_bytes(bytes(100))


def _be_of_first_version(folder: Path) -> None:
    (folder / RUN_FILE).rename(folder / "journal.sqlite3")


def _be_empty(folder: Path) -> None:
    (folder / RUN_FILE).write_bytes(b"")


def _be_text(folder: Path) -> None:
    (folder / RUN_FILE).write_text("no database\n" * 1000)


def _vanish(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [_truncate, _flip, _forget, _be_of_first_version, _be_empty, _be_text, _vanish])
async def test_a_damaged_folder_is_refused_in_one_sentence_and_nothing_is_sent(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with await prepare(client, write(tmp_path / "a.csv", 450), tmp_path / "run"):
        pass
    damage(tmp_path / "run")
    with pytest.raises(ConfigurationError) as refused:
        await Migration.open(client, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "run") in str(refused.value)
    assert not sandbox.contacts(LOCATION)


async def test_a_preparation_that_fails_leaves_no_folder(client: LeadConnector, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,Do Not Contact\na@example.com,perhaps\n")
    with pytest.raises(ConfigurationError, match="say what it means"):
        await prepare(client, path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


async def test_a_folder_that_holds_something_is_left_alone(client: LeadConnector, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigurationError, match="is not empty"):
        await prepare(client, write(tmp_path / "a.csv", 2), tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["letter.txt"]


async def test_a_plan_whose_file_changed_is_loaded_only_as_planned(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", 3)
    (await prepare(client, path, tmp_path / "run", default_country="US")).close()
    write(path, 4)
    async with await Migration.open(client, tmp_path / "run") as run:
        assert run.find_changed() == [str(path)]
        with pytest.raises(ConfigurationError, match="as_planned"):
            await run.upsert()
        assert not sandbox.contacts(LOCATION)
        assert (await run.upsert(as_planned=True)).created == 3
        assert (await run.upsert()).created == 3  # begun, it goes on


async def test_a_verification_that_was_stopped_goes_on_where_it_was(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", 40)
    stop, told, left = asyncio.Event(), [], []

    def compared() -> None:
        told.append(None)
        if len(told) == 15:
            stop.set()

    async with await prepare(client, path, tmp_path / "run") as run:
        await run.upsert()
        ids = [contact["id"] for contact in sandbox.contacts(LOCATION)]
        await client.contacts.update(ids[0], {"first_name": "Another"})  # the first that is compared
        before = reads(sandbox)
        half = await run.verify(stop=stop, concurrency=1, on_compared=compared)
        assert (half.stopped, half.differing, half.compared < 40) == ("interrupted", 1, True)
        assert reads(sandbox) - before == half.compared
    async with await Migration.open(client, tmp_path / "run") as run:
        whole = await run.verify(on_start=left.append)
        assert (whole.stopped, whole.compared, whole.differing) == (None, 40, 1)
        assert reads(sandbox) - before == 40 + 1, "only what differed is read again"
        assert left == [40 - half.compared + 1]
        assert (tmp_path / "run" / "verify.csv").read_text().count("Another") == 1
        # One that came to its end is no beginning of the next.
        await client.contacts.update(ids[5], {"first_name": "Another"})
        assert (await run.verify()).differing == 2


@pytest.mark.parametrize("change", ["the sample", "the load", "an undo"])
async def test_a_verification_of_something_else_begins_anew(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, change: str
) -> None:
    path = write(tmp_path / "a.csv", 20)
    stop = asyncio.Event()
    async with await prepare(client, path, tmp_path / "run") as run:
        await run.upsert(limit=12 if change == "the load" else None)
        half = await run.verify(stop=stop, concurrency=1, on_compared=stop.set)
        assert 0 < half.compared < 12
        if change == "the load":
            await run.upsert()
        if change == "an undo":
            assert (await run.undo()).deleted == 20
        before = reads(sandbox)
        again = await run.verify(sample=18 if change == "the sample" else None)
        assert reads(sandbox) - before == again.compared == (18 if change == "the sample" else 20)
        assert again.differing == (20 if change == "an undo" else 0)


async def test_a_sample_that_was_stopped_is_of_the_same_rows_when_it_goes_on(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    stop, folder = asyncio.Event(), tmp_path / "run"
    async with await prepare(client, write(tmp_path / "a.csv", 50), folder) as run:
        await run.upsert()
        half = await run.verify(sample=20, stop=stop, concurrency=1, on_compared=stop.set)
    async with await Migration.open(client, folder) as run:
        before = reads(sandbox)
        whole = await run.verify(sample=20)
        assert (whole.wanted, whole.compared, whole.most_differing is not None) == (20, 20, True)
        assert reads(sandbox) - before == 20 - half.compared


async def test_one_call_at_a_time_works_on_a_run(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    async with await prepare(client, write(tmp_path / "a.csv", 20), tmp_path / "run", snapshot=True) as run:
        refused: list[str] = []

        async def work_too() -> None:
            for work in (run.upsert, run.verify, run.undo):
                with pytest.raises(ConfigurationError, match="another call works on this run") as error:
                    await work()
                refused.append(str(error.value))

        tasks: list[asyncio.Task[None]] = []

        def begin(_: Outcome) -> None:
            if not tasks:
                tasks.append(asyncio.create_task(work_too()))

        assert (await run.upsert(on_outcome=begin)).created == 20
        await asyncio.gather(*tasks)
        assert len(refused) == 3
        assert (await run.undo()).deleted == 20  # it is free again, also after one that failed
        with pytest.raises(ZeroDivisionError):
            await run.verify(on_start=lambda _: 1 // 0)  # type: ignore[arg-type, return-value]
        assert (await run.verify()).compared == 20
    assert not sandbox.contacts(LOCATION)


async def test_nothing_is_proved_or_undone_of_a_run_that_was_only_planned(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with await prepare(client, write(tmp_path / "a.csv", 5), tmp_path / "run") as run:
        for work in (run.verify, run.plan_undo, run.undo):
            with pytest.raises(ConfigurationError, match="no row of this run was sent yet; load it first"):
                await work()
        assert not run.is_undo_begun
        assert (await run.upsert()).created == 5
        assert (await run.undo()).deleted == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tags", "append"),
        ("empty", "erase"),
        ("phone_conflict", "overwrite"),
        ("phone_conflict", ["skip"]),
        ("limit", 0),
        ("limit", -1),
        ("limit", "3"),
        ("default_country", 49),
        ("date_order", 3),
        ("ignore", "email"),
        ("columns", ["email"]),
        ("mapping", 3),
        ("strict", "no"),
    ],
)
def test_an_option_without_meaning_is_refused_at_once(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^`{name}` .* is not valid; ") as error:
        MigrationOptions(**{name: value})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


async def test_numbers_of_rows_without_meaning_are_refused(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with await prepare(client, write(tmp_path / "a.csv", 5), tmp_path / "run") as run:
        for number in (0, -1):
            with pytest.raises(ConfigurationError, match=r"^`limit` .* is not valid"):
                await run.upsert(limit=number)
        assert not sandbox.contacts(LOCATION)
        await run.upsert()
        for number in (0, -1):
            with pytest.raises(ConfigurationError, match="`sample` is not valid"):
                await run.verify(sample=number)


async def test_one_file_needs_no_list(client: LeadConnector, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 5)
    for number, source in enumerate((path, str(path))):
        async with await Migration.prepare(client, source, folder=tmp_path / f"{number}") as run:
            assert run.plan.rows == 5
