"""Which rows are sent, and what of them: whatever rows come in whatever order, what was there is as it should be once a
sandbox has taken them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ContactUpsert, DndSetting, DndSettings
from leadconnector_async.bulk.source import Closing, Skipped
from leadconnector_async.migration.before import LocationRead, StoredContacts
from leadconnector_async.migration.matching import MatchRule
from leadconnector_async.migration.select import Choice, Chooser, Selection, fill_empty, find_changes
from leadconnector_async.models import Contact, CustomField, read_mapping
from leadconnector_async.models.custom_fields import CustomFieldValue
from leadconnector_async.models.search import FoundContact
from leadconnector_async.models.wire import read_contact
from leadconnector_async.run.database import Database
from leadconnector_async.sandbox.books import Records
from leadconnector_async.sandbox.custom_fields import CustomFieldDefinition
from leadconnector_async.sandbox.shapes import FOUND

Row: TypeAlias = dict[str, Any]
EMAILS = [f"p{number}@example.com" for number in range(3)]
PHONES = [f"+1617555010{number}" for number in range(3)]
ORDERS = [("email", "phone"), ("phone", "email"), ("email",), ("phone",)]
FIELD = CustomFieldDefinition(id="field1", key="plan", name="Plan", data_type="TEXT")


def settings(*statuses: str) -> st.SearchStrategy[Row]:
    channel = st.sampled_from(statuses).map(lambda status: {"status": status})
    return st.dictionaries(st.sampled_from(["SMS", "Call", "Email"]), channel, min_size=1)


def people(dnd: st.SearchStrategy[bool], dnd_settings: st.SearchStrategy[Row]) -> st.SearchStrategy[list[Row]]:
    fields = {
        "email": st.sampled_from(EMAILS),
        "phone": st.sampled_from(PHONES),
        "firstName": st.sampled_from(["Ann", "Bob"]),
        "lastName": st.sampled_from(["Ray", ""]),
        "city": st.sampled_from(["Bonn", "Ulm"]),
        "dnd": dnd,
        "tags": st.sampled_from([["a"], ["A", "b"], []]),
        "dndSettings": dnd_settings,
        "customFields": st.sampled_from([[{"id": "field1", "field_value": value}] for value in "xy"]),
    }
    person = st.fixed_dictionaries({}, optional=fields)
    return st.lists(person.filter(lambda row: bool(row.get("email") or row.get("phone"))), max_size=8)


BEFORE = people(st.booleans(), settings("active", "inactive", "permanent"))
ROWS = people(st.just(True), settings("active"))  # a row of a file opens nothing


def open_books(order: tuple[str, ...], before: list[Row]) -> Records:
    books = Records(
        allow_duplicates=False,
        unique_identifiers=order,
        custom_fields=(FIELD,),
        refuse_unknown_custom_fields=False,
        country="US",
        locations=(),
        search_lag=0.0,
        chance=random.Random(1),
        wall=lambda: 0.0,
        monotonic=lambda: 0.0,
    )
    for row in before:
        contact, _ = books.upsert({"locationId": "L", **row, "dndSettings": {}})
        contact["dndSettings"] |= row.get("dndSettings", {})  # as the person may close a channel for good
        books.contacts.put(contact)
    return books


def held(books: Records) -> dict[str, Row]:
    told: dict[str, Row] = msgspec.json.decode(msgspec.json.encode(dict(books.contacts.items())))
    return told


def taken(books: Records, order: tuple[str, ...], rows: list[Row], **wanted: bool) -> Iterator[tuple[Choice, Row]]:
    """Have the books take what is chosen of rows, tags being added, and yield each choice with its row."""
    with Database(None) as file:
        stored = StoredContacts(file)
        stored.begin("L", LocationRead(rule=MatchRule(order=order), country="US"))
        there = [
            read_contact(msgspec.json.encode(FOUND.spell(one, "2021-07-28")), FoundContact, "found")
            for one in books.contacts.values()
        ]
        stored.add_page("L", there, None)
        stored.finish(0.0)
        chooser = Chooser(Selection(**wanted), stored, location_id="L", replaces_tags=False)
        for row in rows:
            choice = chooser.choose(read_mapping(row, ContactUpsert))
            carry_out(books, choice.what, row)
            yield choice, row
        chooser.close()


def carry_out(books: Records, what: ContactUpsert | Skipped | Closing, row: Row) -> None:
    if isinstance(what, Closing):
        wanted = msgspec.to_builtins(what.wanted)
        closings = {name: wanted[name] for name in ("dnd", "dndSettings") if name in wanted}
        if what.contact_id is not None:
            close(books, what.contact_id, closings)
        if isinstance(what.rest, ContactUpsert):
            close(books, take(books, what.rest, row), closings)
    elif isinstance(what, ContactUpsert):
        take(books, what, row)


def close(books: Records, contact_id: str, closings: Row) -> None:
    books.update(contact_id, without_permanent(books.get(contact_id), closings))


def without_permanent(contact: Row, sent: Row) -> Row:
    """Return what is sent in the end, once the service has refused to change channels that are closed for good."""
    there = contact.get("dndSettings", {})
    left = {name: setting for name, setting in sent.get("dndSettings", {}).items() if not is_permanent(there.get(name))}
    return {**sent, "dndSettings": left} if "dndSettings" in sent else sent


def is_permanent(setting: Row | None) -> bool:
    return setting is not None and setting["status"] == "permanent"


def take(books: Records, what: ContactUpsert, row: Row) -> str:
    sent = {**msgspec.to_builtins(what), "locationId": "L"}
    sent.pop("tags", None)
    contact, _ = books.upsert(without_permanent(books.find_duplicate("L", sent) or {}, sent))
    books.change_tags(contact["id"], row.get("tags", []), add=True)
    return str(contact["id"])


def says(contact: Row, name: str) -> Any:
    """What a contact had under a name, in a form that tells whether it is there still."""
    if name == "customFields":
        return {field["id"]: field["value"] for field in contact.get(name, ())}
    return contact.get(name)


@pytest.mark.parametrize("order", ORDERS)
@given(before=BEFORE, rows=ROWS)
def test_filling_what_is_empty_overwrites_nothing(order: tuple[str, ...], before: list[Row], rows: list[Row]) -> None:
    books = open_books(order, before)
    was = held(books)
    for _ in taken(books, order, rows, fill_empty=True):
        pass
    now = held(books)
    for contact_id, contact in was.items():
        after = now[contact_id]
        for name in ("email", "phone", "firstName", "lastName", "city", "country"):
            if contact.get(name):
                assert after[name] == contact[name]
        assert set(contact["tags"]) <= set(after["tags"])
        assert says(contact, "customFields").items() <= says(after, "customFields").items()
        assert closed_of(contact) <= closed_of(after)


@pytest.mark.parametrize("order", ORDERS)
@given(before=BEFORE, rows=ROWS)
def test_only_new_changes_nobody_who_was_there(order: tuple[str, ...], before: list[Row], rows: list[Row]) -> None:
    books = open_books(order, before)
    was = held(books)
    skipped = [choice for choice, _ in taken(books, order, rows, only_new=True) if isinstance(choice.what, Skipped)]
    now = held(books)
    assert {contact_id: but_for_channels(now[contact_id]) for contact_id in was} == {
        contact_id: but_for_channels(contact) for contact_id, contact in was.items()
    }
    assert all(choice.what.contact_id in was for choice in skipped if isinstance(choice.what, Skipped))


SELECTIONS = (
    *("only_new", "only_existing", "fill_empty", "skip_unchanged", "only_new skip_unchanged"),
    *("only_existing fill_empty", "fill_empty skip_unchanged", "only_existing skip_unchanged"),
)


@pytest.mark.parametrize("order", ORDERS)
@given(before=BEFORE, rows=ROWS, selection=st.sampled_from(SELECTIONS))
def test_no_selection_drops_an_opt_out(
    order: tuple[str, ...], before: list[Row], rows: list[Row], selection: str
) -> None:
    """Whom a row meets is closed as it asks for, also where an earlier row has made that contact; nobody is opened."""
    books = open_books(order, before)
    was = held(books)
    for _, row in taken(books, order, rows, **dict.fromkeys(selection.split(), True)):
        met = books.find_duplicate("L", {name: row.get(name) for name in ("email", "phone")})
        if met is not None:
            wanted = {"dnd": row.get("dnd", False), "dndSettings": row.get("dndSettings", {})}
            assert closed_of(wanted) <= closed_of(held(books)[met["id"]])
    now = held(books)
    assert all(closed_of(was[contact_id]) <= closed_of(now[contact_id]) for contact_id in was)


def closed_of(contact: Row) -> set[str]:
    """What is closed: the channels, and the switch for all."""
    settings = contact.get("dndSettings", {})
    closed = {name for name in settings if settings[name]["status"] != "inactive"}
    return closed | {"dnd"} if contact["dnd"] else closed


def but_for_channels(contact: Row) -> Row:
    return {name: value for name, value in contact.items() if name not in ("dnd", "dndSettings", "dateUpdated")}


@pytest.mark.parametrize("order", ORDERS)
@given(before=BEFORE, rows=ROWS)
def test_only_existing_makes_nobody(order: tuple[str, ...], before: list[Row], rows: list[Row]) -> None:
    books = open_books(order, before)
    was = held(books)
    for _ in taken(books, order, rows, only_existing=True):
        pass
    # A row may find a contact by what an earlier one took away: it was there, and is not found any more.
    made = held(books).keys() - was.keys()
    lost = [one for one in was if any(was[one].get(key) != held(books)[one].get(key) for key in ("email", "phone"))]
    assert not made or lost


@pytest.mark.parametrize("order", ORDERS)
@given(before=BEFORE, rows=ROWS)
def test_rows_that_change_nothing_are_not_missed(order: tuple[str, ...], before: list[Row], rows: list[Row]) -> None:
    books, others = open_books(order, before), open_books(order, before)
    choices = [choice.kind for choice, _ in taken(books, order, rows, skip_unchanged=True)]
    kinds = [choice.kind for choice, _ in taken(others, order, rows)]
    assert choices == kinds
    assert held(books) == held(others)


# ------------------------------------------------------------------------------------------ one contact


BOXES = CustomField(id="one", field_value=["y", "x"])
BY_KEY = CustomField(key="k", field_value="x")
SAID = DndSettings(sms=DndSetting(status="active", message="by phone"))


def person(**fields: Any) -> Contact:
    return Contact(id="c", email="a@x.de", dnd=False, **fields)


def filled(sent: dict[str, Any], contact: Contact) -> dict[str, Any] | None:
    found = fill_empty(ContactUpsert(email="a@x.de", **sent), [contact], ["email"])
    return (
        None
        if found is None
        else {name: value for name, value in msgspec.to_builtins(found).items() if name != "email"}
    )


@pytest.mark.parametrize(
    ("sent", "there", "expected"),
    [
        ({"city": "Ulm"}, {}, {"city": "Ulm"}),
        ({"city": "Ulm"}, {"city": " "}, {"city": "Ulm"}),
        ({"city": "Ulm"}, {"city": "Bonn"}, None),
        ({"city": ""}, {}, None),
        ({"first_name": "Ann", "last_name": "Ray"}, {"first_name": "Bob"}, {"lastName": "Ray"}),
        ({"first_name": "Ann"}, {"name": "Bob Ray"}, None),
        ({"name": "Ann Ray"}, {"first_name": "Bob"}, None),
        ({"name": "Ann Ray"}, {}, {"name": "Ann Ray"}),
        ({"gender": "f"}, {}, None),
        ({"dnd": True}, {}, None),
        ({"tags": ["A"]}, {"tags": ["a"]}, None),
        ({"tags": ["B"]}, {"tags": ["a"]}, {"tags": ["B"]}),
        ({"timezone": "UTC"}, {}, {"timezone": "UTC"}),
    ],
)
def test_what_is_filled(sent: dict[str, Any], there: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert filled(sent, person(**there)) == expected


def found(**told: Any) -> Contact:
    """A contact as a search has it that says this of it."""
    told = {"id": "c", "email": "a@x.de", "dnd": False, **told}
    return read_contact(msgspec.json.encode(told), FoundContact, "found")


def test_what_a_search_leaves_out_is_not_taken_for_empty() -> None:
    for sent in ({"timezone": "UTC"}, {"city": "Ulm"}, {"date_of_birth": "1990-09-25"}):
        assert filled(sent, found()) is None
    assert filled({"custom_fields": [CustomField(id="one", field_value="x")]}, found()) is None
    assert filled({"city": "Ulm"}, found(city=None)) == {"city": "Ulm"}
    assert filled({"address1": "1 St"}, found(address=None)) == {"address1": "1 St"}
    assert filled({"address1": "1 St"}, found(address="2 St")) is None
    assert filled({"date_of_birth": "1990-09-25"}, found(dateOfBirth=0)) is None
    assert filled({"date_of_birth": "1990-09-25"}, found(dateOfBirth="soon")) is None


@pytest.mark.parametrize("name", ["timezone", "city", "dateOfBirth", "customFields", "tags", "dnd"])
def test_what_a_search_leaves_out_is_not_taken_for_unchanged(name: str) -> None:
    cleared: dict[str, Any] = {"customFields": [{"id": "one", "field_value": ""}], "tags": [], "dnd": False}
    sent = read_mapping({"email": "a@x.de", name: cleared.get(name)}, ContactUpsert)
    contact = read_contact(b'{"id":"c","email":"a@x.de"}', FoundContact, "found")
    assert len(find_changes(sent, contact, replaces_tags=False)) == 1
    assert not find_changes(sent, Contact(id="c", email="a@x.de"), replaces_tags=False)


def test_custom_fields_are_filled_by_id_and_by_key_only_where_there_are_none() -> None:
    sent = {"custom_fields": [CustomField(id="one", field_value="x"), CustomField(key="two", field_value="y")]}
    there = person(custom_fields=[CustomFieldValue(id="other", value="z"), CustomFieldValue(id="one", value="")])
    assert filled(sent, there) == {"customFields": [{"id": "one", "field_value": "x"}]}
    assert len((filled(sent, person()) or {})["customFields"]) == 2


@pytest.mark.parametrize(
    ("sent", "there", "fields"),
    [
        ({"city": " Ulm "}, {"city": "Ulm"}, []),
        ({"city": ""}, {"city": "Ulm"}, ["city"]),
        ({"tags": ["A"]}, {"tags": ["a", "b"]}, []),
        ({"custom_fields": [BOXES]}, {"custom_fields": {"one": ["x", "y"]}}, []),
        ({"custom_fields": [BOXES]}, {"custom_fields": {"one": ["x", "y", "z"]}}, ["custom_fields.one"]),
        ({"custom_fields": [BY_KEY]}, {"custom_fields": {"one": "x"}}, ["custom_fields.k"]),
        ({"custom_fields": [CustomField(id="one", field_value=5)]}, {"custom_fields": {"one": "5"}}, []),
        (
            {"custom_fields": [CustomField(id="one", field_value="1.50")]},
            {"custom_fields": {"one": "1.5"}},
            ["custom_fields.one"],
        ),
        ({"tags": []}, {"tags": ["a"]}, []),  # none is added
        ({"dnd_settings": SAID}, {"dnd_settings": DndSettings(sms=DndSetting(status="active"))}, ["dnd_settings"]),
        ({"dnd_settings": SAID}, {"dnd_settings": DndSettings(sms=DndSetting(status="permanent"))}, []),
        ({"dnd_settings": SAID}, {"dnd_settings": SAID}, []),
    ],
)
def test_what_would_change(sent: dict[str, Any], there: dict[str, Any], fields: list[str]) -> None:
    values = there.pop("custom_fields", {})
    contact = person(**there, custom_fields=[CustomFieldValue(id=name, value=value) for name, value in values.items()])
    found = find_changes(ContactUpsert(email="A@x.de", **sent), contact, replaces_tags=False)
    assert [change.field for change in found] == fields


def test_tags_that_replace_others_change_a_contact() -> None:
    contact = person(tags=["a", "b"])
    sent = ContactUpsert(email="a@x.de", tags=["A"])
    assert not find_changes(sent, contact, replaces_tags=False)
    (change,) = find_changes(sent, contact, replaces_tags=True)
    assert (change.field, change.sent, change.stored) == ("tags", ["a"], ["a", "b"])
