"""A contact is the same whichever operation returns it, as far as that tells; what it does not tell is not empty."""

from __future__ import annotations

import asyncio
import copy
import csv
import io
import json
import pickle
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import Contact, ContactUpsert, CustomField, FoundContact, LeadConnector
from leadconnector_async.migration.export import Export, ExportOrder
from leadconnector_async.migration.mapping.targets import read_tags, split_list
from leadconnector_async.models import decode_contact, decode_upsert
from leadconnector_async.models.compare import find_not_applied
from leadconnector_async.models.contacts import SHAPES, ShapeName
from leadconnector_async.models.normal import read_birthday
from leadconnector_async.models.wire import read_contact
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION

BUSINESS = "641c094001436dbc2081e642"
FIELDS = {field.name: field for field in msgspec.structs.fields(Contact)}
WRITABLE = [
    *("first_name", "last_name", "email", "phone", "company_name", "address1", "city", "state", "postal_code"),
    *("country", "website", "timezone", "gender", "date_of_birth", "source", "assigned_to", "tags", "custom_fields"),
    *("dnd", "dnd_settings", "inbound_dnd_settings"),
]
LEFT_OUT = {
    "search": {"timezone", "gender", "dnd_settings", "inbound_dnd_settings"},
    "list": {"gender", "dnd_settings", "inbound_dnd_settings"},
    "business": {"gender", "dnd_settings", "inbound_dnd_settings"},
    "upsert": set(),
}
"""Fields that an operation need not tell; a search for a duplicate need not tell any that is empty."""

# ---------------------------------------------------------------------------------------------- birthdays


@given(st.dates(min_value=date(1850, 1, 1)), st.integers(0, 86_399_999))
def test_a_birthday_in_each_form_is_the_same_day(day: date, within: int) -> None:
    milliseconds = (day - date(1970, 1, 1)).days * 86_400_000 + within
    us = f"{day:%m/%d/}{day.year:04}"
    for form in (
        *(milliseconds, float(milliseconds), str(milliseconds), f" {milliseconds} "),
        *(day.isoformat(), f"{day}T00:00:00.000Z", f"{day}T00:00:00+02:00", f"{day} 23:59:59"),
        *(us, us.replace("/", "-"), us.replace("/", "."), us.replace("/", "_")),
        *(day.isoformat().replace("-", mark) for mark in "/._"),
    ):
        assert read_birthday(form) == day.isoformat()


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_birthday_is_none(value: str | None) -> None:
    assert read_birthday(value) is None


@pytest.mark.parametrize(
    "value",
    [
        *("Invalid date", "25.09.1990", "1990-02-30", "1990-9-5", "1990-09", "T", "1990-09-25T99", "9" * 40),
        *(True, [], {"$date": 0}, 10**30, -(10**15), float("nan"), float("inf"), "1990/09-25", "-", "1e9"),
    ],
)
def test_what_is_no_birthday_is_not_guessed(value: object) -> None:
    with pytest.raises(ValueError, match="it is no birthday"):
        read_birthday(value)


@pytest.mark.parametrize(
    "form", [654220800000, -134697600000, "654220800000", "1990-09-25T00:00:00.000Z", "1990-09-25"]
)
def test_every_operation_reads_a_birthday_in_any_form(form: int | str) -> None:
    expected = "1965-09-25" if form == -134697600000 else "1990-09-25"
    raw = json.dumps({"id": "1", "dateOfBirth": form}).encode()
    answer = b'{"contact":%b,"new":true}' % raw
    assert decode_contact(answer).date_of_birth == decode_upsert(answer).contact.date_of_birth == expected
    for shape in SHAPES:
        assert read_contact(raw, FoundContact, shape).date_of_birth == expected
    sent = ContactUpsert(email="a@b.co", date_of_birth=expected)
    assert [one.field for one in find_not_applied(sent, decode_contact(answer))] == ["email"]


def test_a_birthday_without_a_year_is_not_made_up() -> None:
    contact = read_contact(b'{"id":"1","birthMonth":8,"birthDay":25}', Contact, "created")
    assert (contact.birth_month, contact.birth_day, contact.date_of_birth) == (8, 25, None)
    assert not contact.knows("date_of_birth")


# ---------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"contactName": "ann mcneil", "firstName": "Ann", "lastName": "McNeil"}, "Ann McNeil"),
        ({"contactName": "ann", "firstNameRaw": "Ann", "firstName": "ann", "lastName": None}, "Ann"),
        ({"contactName": "Ann McNeil"}, "Ann McNeil"),
        ({"contactName": "\u5f20\u4f1f"}, "\u5f20\u4f1f"),
        ({"contactName": None, "firstName": None}, None),
        ({"name": "ann", "contactName": "other"}, "ann"),
    ],
)
@pytest.mark.parametrize("shape", ["found", "listed", "duplicate"])
def test_a_name_is_as_it_was_written(told: dict[str, Any], name: str | None, shape: ShapeName) -> None:
    contact = read_contact(json.dumps({"id": "1", **told}).encode(), FoundContact, shape)
    assert (contact.name, contact.knows("name")) == (name, True)


@pytest.mark.parametrize("told", [{}, {"contactName": "ann mcneil"}, {"contactName": "ann ray", "firstName": "Ann"}])
def test_a_name_that_nobody_knows_how_to_write_is_not_known(told: dict[str, Any]) -> None:
    contact = read_contact(json.dumps({"id": "1", **told}).encode(), FoundContact, "found")
    assert (contact.name, contact.knows("name")) == (None, False)


# ---------------------------------------------------------------------------------------------- what is not known


STRANGE: tuple[Any, ...] = (7, "maybe", {"odd": [1]}, [[7]], True)
NAMES = [name for name in FIELDS if name != "id"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_read_is_kept_and_is_not_empty(name: str, shape: ShapeName) -> None:
    wire = FIELDS[name].encode_name
    for value in STRANGE:
        contact = read_contact(json.dumps({"id": "1", wire: value}).encode(), FoundContact, shape)
        if getattr(contact, name) is None:
            assert not contact.knows(name)
            assert not contact.is_whole
            assert contact.unreadable[name] == contact.extra[wire] == value
    assert read_contact(json.dumps({"id": "1", wire: None}).encode(), FoundContact, shape).knows(name)


CLEARED: dict[str, Any] = {"tags": [], "custom_fields": [CustomField(id="f", field_value="")]}


@pytest.mark.parametrize("name", [name for name in WRITABLE if "dnd" not in name])  # which then counts as closed
def test_what_cannot_be_read_does_not_pass_for_what_was_cleared(name: str) -> None:
    sent = ContactUpsert(**{name: CLEARED.get(name)})
    odd = {"contact": {"id": "1", FIELDS[name].encode_name: {"odd": 1}}}
    (missing,) = find_not_applied(sent, decode_contact(json.dumps(odd).encode()))
    assert (missing.field.partition(".")[0], missing.stored) == (name, {"odd": 1})
    assert find_not_applied(sent, decode_contact(b'{"contact":{"id":"1"}}')) == ()


def test_a_contact_that_was_copied_knows_the_same() -> None:
    contact = read_contact(b'{"id":"1","address":"1 St","dateOfBirth":"soon"}', FoundContact, "found")
    for twin in (copy.deepcopy(contact), pickle.loads(pickle.dumps(contact))):
        assert (twin.address1, twin.knows("address1"), twin.knows("city")) == ("1 St", True, False)
        assert twin.unreadable == {"date_of_birth": "soon"}
    made = FoundContact(id="1", city="Bonn")
    assert made.is_whole
    assert made.knows("timezone")


# ---------------------------------------------------------------------------------------------- the sandbox

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8).filter(str.strip)
forms = st.sampled_from(
    ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y_%m_%d", "%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y", "%m_%d_%Y"]
)
birthdays = st.builds(date.strftime, st.dates(date(1880, 1, 1), date(2026, 1, 1)), forms)
statuses = st.sampled_from(["active", "inactive", "permanent"])
channel = st.fixed_dictionaries({"status": statuses}, optional={"message": words | st.none(), "code": words})
names = st.sampled_from(["Call", "Email", "SMS", "WhatsApp", "GMB", "FB", "RCS"])
channels = st.dictionaries(names, channel, min_size=1)
inbound = st.fixed_dictionaries({"all": st.fixed_dictionaries({"status": st.sampled_from(["active", "inactive"])})})
CUSTOM = {"nickname": words, "score": st.integers() | st.floats(-1e9, 1e9), "interests": st.just(["Music", "Sport"])}
custom_fields = st.lists(
    st.one_of(*(st.fixed_dictionaries({"key": st.just(key), "field_value": one}) for key, one in CUSTOM.items())),
    unique_by=lambda field: str(field["key"]),
)
texts = "companyName address1 city state postalCode website source assignedTo gender"
named = st.one_of(
    st.fixed_dictionaries({"name": words}),
    st.fixed_dictionaries({}, optional={"firstName": words, "lastName": words}),
)
others = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(texts.split(), words),
        "country": st.sampled_from(["DE", "BR"]),
        "timezone": st.just("Europe/Berlin"),
        "dateOfBirth": birthdays,
        "tags": st.lists(words, max_size=3),
        "dnd": st.booleans(),
        "dndSettings": channels,
        "inboundDndSettings": inbound,
        "customFields": custom_fields,
    },
)
people = st.lists(st.builds(lambda one, other: {**one, **other}, named, others), min_size=1, max_size=3)


@asynccontextmanager
async def opened(contacts: Sequence[dict[str, Any]], **options: Any) -> AsyncIterator[tuple[LeadConnector, list[str]]]:
    """A client on a sandbox that holds contacts, and their ids."""
    version = options.pop("version", "2021-07-28")
    async with (
        Sandbox(unlimited=True, **options) as sandbox,
        LeadConnector(
            "sandbox", base_url=sandbox.url, location_id=LOCATION, rate_limit=None, api_version=version
        ) as client,
    ):
        made = [
            sandbox.add_contact(LOCATION, email=f"p{number}@deos.com", phone=f"+1617555010{number}", **contact)["id"]
            for number, contact in enumerate(contacts)
        ]
        await client.contacts.set_business(made, BUSINESS)
        yield client, made


async def told_of(client: LeadConnector, contact: Contact) -> dict[str, Contact]:
    """A contact as each operation returns it."""
    pages = {
        "search": [one async for one in client.contacts.search()],
        "list": (await client.contacts.list_page()).contacts,
        "business": (await client.contacts.by_business(BUSINESS)).contacts,
    }
    found: dict[str, Contact] = {
        name: next(one for one in page if one.id == contact.id) for name, page in pages.items()
    }
    duplicate = await client.contacts.find_duplicate(email=contact.email)
    assert duplicate is not None
    return {**found, "duplicate": duplicate, "upsert": (await client.contacts.upsert({"email": contact.email})).contact}


@settings(max_examples=40)
@given(people, st.sampled_from(["2021-07-28", "2023-02-21", "v3"]), st.booleans())
def test_each_operation_tells_the_same_contact(
    contacts: list[dict[str, Any]], version: str, search_without_dnd: bool
) -> None:
    async def work() -> None:
        async with opened(contacts, version=version, search_without_dnd=search_without_dnd) as (client, ids):
            for contact_id in ids:
                whole = await client.contacts.get(contact_id)
                assert whole.is_whole
                for operation, told in (await told_of(client, whole)).items():
                    compare(operation, told, whole)

    asyncio.run(work())


def compare(operation: str, told: Contact, whole: Contact) -> None:
    known = {name for name in FIELDS if told.knows(name)}
    left_out = LEFT_OUT.get(operation, {name for name in WRITABLE if not getattr(whole, name)})
    assert set(WRITABLE) - left_out <= known, operation
    for name in known - {"date_updated", "last_activity"}:
        assert getattr(told, name) == getattr(whole, name), (operation, name)


@settings(max_examples=25)
@given(people)
def test_what_a_creation_returns_is_the_contact_too(contacts: list[dict[str, Any]]) -> None:
    async def work(version: str) -> None:
        async with opened([], version=version) as (client, _):
            for number, contact in enumerate(contacts):
                contact = {**contact, "email": f"p{number}@deos.com", "tags": ["a"]}
                created = await client.contacts.create(contact)
                whole = await client.contacts.get(created.id)
                known = {name for name in FIELDS if created.knows(name)}
                for name in known - {"deleted", "bounce_email", "unsubscribe_email", "birth_month", "birth_day"}:
                    assert getattr(created, name) == getattr(whole, name), name
                assert created.knows("timezone") is (version == "v3")

    for version in ("2021-07-28", "v3"):
        asyncio.run(work(version))


# ---------------------------------------------------------------------------------------------- an export

SEEN_BY_FILTERS = {"Email", "SMS", "Call"}


@settings(max_examples=30)
@given(people, st.booleans())
def test_an_export_holds_what_a_read_by_id_returns(contacts: list[dict[str, Any]], search_without_dnd: bool) -> None:
    async def work() -> None:
        async with opened(contacts, search_without_dnd=search_without_dnd) as (client, ids):
            expected = [as_loaded(json.loads((await client.contacts.get(one)).raw)) for one in ids]
            by_id, found = [await export(client, is_by_id=is_by_id) for is_by_id in (True, False)]
            assert by_id == expected
            for one in expected:
                one.pop("timezone", None)
                one.pop("gender", None)
                if search_without_dnd and not is_seen(one):
                    one.pop("dndSettings", None)
                    one.pop("inboundDndSettings", None)
            assert found == expected

    asyncio.run(work())


def is_seen(contact: dict[str, Any]) -> bool:
    """Whether a search can be asked for what is closed of a contact."""
    settings = contact.get("dndSettings", {})
    is_closed = any(settings.get(channel, {}).get("status") in ("active", "permanent") for channel in SEEN_BY_FILTERS)
    return is_closed or contact.get("inboundDndSettings", {}).get("all", {}).get("status") == "active"


def as_loaded(raw: dict[str, Any]) -> dict[str, Any]:
    """What a line of an export has of a contact, made of the JSON of a read by its id."""
    names = ["id", *(FIELDS[name].encode_name for name in (*WRITABLE, "name"))]
    line = {name: raw[name] for name in names if raw.get(name) not in (None, "", [], {})}
    for channel, setting in line.get("dndSettings", {}).items():
        line["dndSettings"][channel] = {word: text for word, text in setting.items() if text is not None}
    line["customFields"] = sorted((one["id"], json.dumps(one["value"])) for one in line.get("customFields", ()))
    if raw.get("firstName") or raw.get("lastName"):
        line.pop("name", None)
    return line


@asynccontextmanager
async def exported(client: LeadConnector, name: str, **options: Any) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        order = ExportOrder(target="x", location_id=LOCATION, **options)
        with Export(path, order, is_resumed=False) as work:
            await work.run(client, lambda _: None)
        yield path


async def export(client: LeadConnector, **options: Any) -> list[dict[str, Any]]:
    async with exported(client, "all.jsonl", **options) as path:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        fields = line.get("customFields", ())
        line["customFields"] = sorted((one["id"], json.dumps(one["field_value"])) for one in fields)
    return sorted(lines, key=lambda line: str(line["email"]))


@settings(max_examples=8)
@given(people)
def test_a_table_of_each_kind_holds_what_a_read_by_id_returns(contacts: list[dict[str, Any]]) -> None:
    async def work() -> None:
        async with opened(contacts) as (client, ids):
            definitions = await client.locations.custom_fields.list()
            keys = {field.id: str(field.field_key).removeprefix("contact.") for field in definitions}
            whole = {one: json.loads((await client.contacts.get(one)).raw) for one in ids}
            for is_by_id in (True, False):
                for name in ("all.csv", "all.parquet"):
                    async with exported(client, name, is_by_id=is_by_id) as path:
                        rows = {row["id"]: row for row in read_table(path)}
                    assert rows.keys() == whole.keys()
                    for contact_id, row in rows.items():
                        left_out = set() if is_by_id else {"timezone", "gender"}
                        assert read_row(row, keys) == as_row(whole[contact_id], left_out)

    asyncio.run(work())


@settings(max_examples=8)
@given(people)
def test_an_export_to_the_letter_is_what_the_service_returned(contacts: list[dict[str, Any]]) -> None:
    async def work() -> None:
        async with opened(contacts) as (client, ids):
            whole = [json.loads((await client.contacts.get(one)).raw) for one in ids]
            found = [json.loads(one.raw) async for one in client.contacts.search()]
            for is_by_id, expected in ((True, whole), (False, found)):
                async with exported(client, "all.ndjson", is_raw=True, is_by_id=is_by_id) as path:
                    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                assert sorted(lines, key=str) == sorted(expected, key=str)

    asyncio.run(work())


def read_table(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    with duckdb.connect() as db:
        found = db.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, (cell or "" for cell in row), strict=True)) for row in found.fetchall()]


TEXTS = {FIELDS[name].encode_name for name in WRITABLE if FIELDS[name].type == str | None} | {
    *("type", "businessId", "dateAdded", "dateUpdated", "id", "name", "dateOfBirth")
}
READ: dict[str, Any] = {"dnd": lambda cell: cell == "true", "tags": lambda cell: sorted(read_tags(cell))}
IN_JSON = ("dndSettings", "inboundDndSettings", "additionalEmails", "additionalPhones")


def read_row(row: dict[str, str], keys: dict[str, str]) -> dict[str, Any]:
    """What a row says of a contact, each cell read by what its column holds."""
    values: dict[str, Any] = {name: cell for name, cell in row.items() if cell and name in TEXTS}
    values |= {name: read(row[name]) for name, read in READ.items() if row[name]}
    values |= {name: json.loads(row[name]) for name in IN_JSON if row[name]}
    custom = {field: row.get(f"custom:{key}", "") for field, key in keys.items()}
    values["customFields"] = {field: read_custom(keys[field], cell) for field, cell in custom.items() if cell}
    return values


def read_custom(key: str, cell: str) -> Any:
    return {"score": float, "interests": split_list}.get(key, str)(cell)


def as_row(raw: dict[str, Any], left_out: set[str]) -> dict[str, Any]:
    """What a row is to say of a contact, by the JSON of a read by its id."""
    names = TEXTS | {*READ, *IN_JSON}
    values = {name: raw[name] for name in names - left_out if raw.get(name) not in (None, "", [], {})}
    if raw.get("firstName") or raw.get("lastName"):
        values.pop("name", None)
    values |= {"tags": sorted(values["tags"])} if "tags" in values else {}
    for channels in (values.get("dndSettings", {}), values.get("inboundDndSettings", {})):
        for channel, setting in channels.items():
            channels[channel] = {word: text for word, text in setting.items() if text is not None}
    custom = {one["id"]: one["value"] for one in raw.get("customFields", ())}
    values["customFields"] = {
        field: float(one) if isinstance(one, int | float) else one for field, one in custom.items()
    }
    return values
