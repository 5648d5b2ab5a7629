"""What empty cells send where they empty fields, and what they never do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leadconnector_async import ContactUpsert
from leadconnector_async.migration.mapping.columns import ColumnMap
from leadconnector_async.migration.mapping.custom_fields import (
    FieldDefinition,
    FieldDefinitions,
    about_emptied,
    about_not_emptied,
    list_emptied,
)
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.models import UPSERT_NAMES, read_mapping

DEFINITIONS = FieldDefinitions(
    [
        FieldDefinition(id="F1", key="plan", name="Plan", data_type="SINGLE_OPTIONS", options=("Free",)),
        FieldDefinition(id="F2", key="likes", name="Likes", data_type="CHECKBOX", options=("Music",)),
        FieldDefinition(id="F3", key="score", name="Score", data_type="NUMERICAL"),
    ]
)


def read(header: str, row: str, absent: tuple[int, ...] = (), **said: Any) -> dict[str, Any]:
    names = header.split(",")
    columns = ColumnMap(names, names, Meaning(empties_fields=True, **said))
    return columns.read(row.split(","), absent)[0]


def test_each_field_is_emptied_in_the_form_that_the_service_takes() -> None:
    header = "email,firstName,lastName,address1,city,state,postalCode,website,timezone,companyName,source,dateOfBirth"
    found = read(header, "a@example.com," + "," * 10)
    assert found.pop("email") == "a@example.com"
    assert (found.pop("timezone"), found.pop("dateOfBirth")) == (None, None)
    assert set(found.values()) == {""}
    assert len(found) == 9
    assert sorted(list_emptied(read_mapping(found, ContactUpsert))) == sorted(found)


@pytest.mark.parametrize("field", ["email", "phone", "country", "gender", "assignedTo", "dnd:SMS", "locationId"])
def test_what_is_never_emptied(field: str) -> None:
    assert read(f"email,x,{field} ", "a@example.com,y,", columns={f"{field} ": field}) == {"email": "a@example.com"}


def test_nothing_is_emptied_unless_told() -> None:
    names = ["email", "city", "tags"]
    assert ColumnMap(names, names, Meaning()).read(["a@example.com", "", ""])[0] == {"email": "a@example.com"}


@pytest.mark.parametrize(
    ("with_tags", "expected"), [(True, {"email": "a@b.co", "tags": []}), (False, {"email": "a@b.co"})]
)
def test_tags_are_emptied_only_where_they_are_replaced(with_tags: bool, expected: dict[str, Any]) -> None:
    assert read("email,tags", "a@b.co,", empties_tags=with_tags) == expected


def test_several_columns_for_one_field_empty_it_together() -> None:
    header = "email,Mobile,City,tags,Labels"
    said = {"columns": {"Mobile": "city", "Labels": "tags"}, "empties_tags": True}
    assert read(header, "a@b.co,,,,", **said) == {"email": "a@b.co", "city": "", "tags": []}
    assert read(header, "a@b.co,Rome,,,x", **said) == {"email": "a@b.co", "city": "Rome", "tags": ["x"]}


def test_a_cell_that_is_not_there_or_cannot_be_used_empties_nothing() -> None:
    assert read("email,city,website", "a@b.co") == {"email": "a@b.co"}
    assert read("email,city", "a@b.co,", absent=(1,)) == {"email": "a@b.co"}
    assert read("email,dateOfBirth", "a@b.co,yesterday") == {"email": "a@b.co"}


def test_an_address_is_emptied_whole_and_the_one_that_is_not_sent_empties_nothing() -> None:
    header = "email,Home city,Home state,Work city,Work state"
    columns = {
        "Home city": "city@home", "Home state": "state@home", "Work city": "city@work", "Work state": "state@work"
    }  # fmt: skip
    assert read(header, "a@b.co,Rome,,Bonn,NRW", columns=columns) == {"email": "a@b.co", "city": "Rome", "state": ""}
    assert read(header, "a@b.co,,,Bonn,", columns=columns) == {"email": "a@b.co", "city": "Bonn", "state": ""}
    assert read(header, "a@b.co,,,,", columns=columns) == {"email": "a@b.co", "city": "", "state": ""}


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("email,name", "a@b.co,", {"name": "", "firstName": "", "lastName": ""}),
        ("email,name,firstName", "a@b.co,Ann Lee,", {"name": "Ann Lee"}),
        ("email,name,firstName", "a@b.co,,Ann", {"firstName": "Ann"}),
        ("email,firstName,lastName", "a@b.co,Ann,", {"firstName": "Ann", "lastName": ""}),
        ("email,name,firstName,lastName", "a@b.co,,,", {"name": "", "firstName": "", "lastName": ""}),
    ],
)
def test_a_name_and_its_parts_agree(header: str, row: str, expected: dict[str, str]) -> None:
    assert read(header, row) == {"email": "a@b.co", **expected}


def test_custom_fields_are_emptied_by_id_so_that_answers_tell_it() -> None:
    header = "email,Plan,Likes,Score"
    columns = {name: f"custom:{name}" for name in ("Plan", "Likes", "Score")}
    found = read(header, "a@b.co,,,", columns=columns, fields=DEFINITIONS)
    assert found["customFields"] == [
        {"id": "F1", "field_value": ""},
        {"id": "F2", "field_value": []},
        {"id": "F3", "field_value": ""},
    ]
    assert list(list_emptied(read_mapping(found, ContactUpsert))) == ["custom:F1", "custom:F2", "custom:F3"]
    known_by_key = read("email,Plan", "a@b.co,", columns={"Plan": "custom:plan"})
    assert known_by_key["customFields"] == [{"key": "plan", "field_value": ""}]


def fields() -> Iterator[str]:
    yield from dict.fromkeys(UPSERT_NAMES.values())


def test_each_field_is_emptied_or_it_is_said_why_not() -> None:
    names = [name for name in fields() if name not in ("locationId", "createNewIfDuplicateAllowed")]
    columns = ColumnMap(names, names, Meaning(empties_fields=True))
    emptied = set(columns.emptied)
    said = about_not_emptied(set(names) - emptied) or ""
    assert all(name in said for name in set(names) - emptied)
    assert not any(f" {name}," in said for name in emptied)
    assert about_emptied([]) is None
    assert about_not_emptied(["city"]) is None
