"""What callers give: every key is checked at every depth, and nothing that stands for nothing ever erases."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from leadconnector_async import (
    ContactUpdate,
    ContactUpsert,
    DndSetting,
    DndSettings,
    Filter,
    InvalidContactError,
    LeadConnector,
    NumericField,
    Range,
    UsageError,
)
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import open_row_file
from leadconnector_async.models import as_given, encode_contact, read_mapping
from leadconnector_async.models.structs import SentStruct, encode_body
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION

Place: TypeAlias = tuple[str | int, ...]
CONTACTS: tuple[type[ContactUpsert] | type[ContactUpdate], ...] = (ContactUpsert, ContactUpdate)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


SPELLINGS: dict[str, Callable[[inspect.Field], str]] = {
    "snake": lambda field: field.name,
    "camel": lambda field: camel(field.name),
    "wire": lambda field: field.encode_name,
}


def members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def fields(model: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    return info.fields


# ---------------------------------------------------------------------------------------------- one of each


def examples(kind: inspect.Type, spell: Callable[[inspect.Field], str]) -> Iterator[Any]:
    """Yield a value of each of the kinds that a type allows, whole: with all fields, an item in each list."""
    for member in members(kind):
        if isinstance(member, inspect.StructType):
            yield {spell(field): next(examples(field.type, spell)) for field in member.fields}
        elif isinstance(member, inspect.ListType):
            yield from ([one, one] for one in examples(member.item_type, spell))
        elif isinstance(member, inspect.DictType):
            yield from ({"k": one} for one in examples(member.value_type, spell))
        elif isinstance(member, inspect.LiteralType):
            yield member.values[0]
        elif type(member) in _PLAIN:
            yield _PLAIN[type(member)]


_PLAIN: dict[type, Any] = {
    inspect.StrType: "x",
    inspect.IntType: 7,
    inspect.FloatType: 1.5,
    inspect.BoolType: True,
    inspect.NoneType: None,
}


def whole(model: type[msgspec.Struct], spell: Callable[[inspect.Field], str]) -> dict[str, Any]:
    """Return a contact with all fields, and a custom field of each kind of value."""
    found: dict[str, Any] = next(examples(inspect.type_info(model), spell))
    custom = next(field for field in fields(model) if field.name == "custom_fields")
    (items,) = members(custom.type)
    assert isinstance(items, inspect.ListType)
    assert isinstance(items.item_type, inspect.StructType)
    value = next(field for field in items.item_type.fields if field.name == "field_value")
    found[spell(custom)] = [
        {"id": f"F{number}", "key": "k", spell(value): one}
        for number, one in enumerate(one for one in examples(value.type, spell) if one is not None)
    ]
    return found


# ---------------------------------------------------------------------------------------------- unknown keys


class Spoiled(NamedTuple):
    """A value with a key too many, where that stands, and the keys that are known there."""

    value: Any
    place: str
    known: str


def spoil(kind: inspect.Type, spell: Callable[[inspect.Field], str]) -> Iterator[Spoiled]:
    """Yield a value of a type for each Struct in it, with an unknown key in that one."""
    for member in members(kind):
        if isinstance(member, inspect.StructType):
            good = next(examples(member, spell))
            yield Spoiled({**good, "Fax": {"status": "active"}}, "", ", ".join(one.name for one in member.fields))
            for field in member.fields:
                for bad in spoil(field.type, spell):
                    yield bad._replace(
                        value={**good, spell(field): bad.value}, place=f".{field.encode_name}{bad.place}"
                    )
        elif isinstance(member, inspect.ListType):
            for bad in spoil(member.item_type, spell):
                yield bad._replace(value=[bad.value], place=f"[0]{bad.place}")
        elif isinstance(member, inspect.DictType):
            for bad in spoil(member.value_type, spell):
                yield bad._replace(value={"k": bad.value}, place=f"['k']{bad.place}")


def spoiled_rows(model: type[msgspec.Struct], spelling: str) -> list[Spoiled]:
    python_names = {field.encode_name: field.name for field in fields(model)}

    def name(place: str) -> str:  # the outermost field by its name in Python
        first = next((wire for wire in python_names if place[1:].partition("[")[0].partition(".")[0] == wire), "")
        return python_names[first] + place[1 + len(first) :] if first else ""

    return [bad._replace(place=name(bad.place)) for bad in spoil(inspect.type_info(model), SPELLINGS[spelling])]


def bodies() -> list[type[msgspec.Struct]]:
    return [ContactUpsert, ContactUpdate, *SentStruct.__subclasses__()]


def nested(kind: inspect.Type) -> Iterator[inspect.StructType]:
    for member in members(kind):
        if isinstance(member, inspect.StructType):
            yield member
            for field in member.fields:
                yield from nested(field.type)
        elif isinstance(member, inspect.ListType):
            yield from nested(member.item_type)
        elif isinstance(member, inspect.DictType):
            yield from nested(member.value_type)


def test_the_walk_finds_what_is_nested() -> None:
    found = {one.cls.__name__ for model in bodies() for one in nested(inspect.type_info(model))}
    assert found >= {"DndSettings", "DndSetting", "InboundDndSettings", "CustomField", "FileEntry", "FileMeta"}
    assert found >= {"TextBoxOption", "TaskBody", "NoteBody"}
    places = {bad.place for bad in spoiled_rows(ContactUpsert, "wire")}
    assert {"", "dnd_settings", "dnd_settings.SMS", "inbound_dnd_settings", "custom_fields[0]"} < places
    assert "custom_fields[0].field_value['k'].meta" in places


@pytest.mark.parametrize("model", bodies(), ids=lambda model: model.__name__)
def test_no_struct_that_is_sent_lets_an_unknown_key_pass(model: type[msgspec.Struct]) -> None:
    assert [one.cls for one in nested(inspect.type_info(model)) if not one.forbid_unknown_fields] == []


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("model", CONTACTS)
def test_an_unknown_key_is_named_with_its_place_and_the_known_ones(model: Any, spelling: str) -> None:
    for bad in spoiled_rows(model, spelling):
        with pytest.raises(InvalidContactError) as caught:
            read_mapping(bad.value, model)
        sentence = f"unknown field 'Fax'; known are {bad.known}"
        assert caught.value.sentence == (f"{bad.place}: {sentence}" if bad.place else sentence)
        assert caught.value.field == (bad.place.partition(".")[0].partition("[")[0] or "Fax")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("model", CONTACTS)
def test_a_dict_in_a_struct_is_read_as_one_in_a_dict(model: Any, spelling: str) -> None:
    row = whole(model, SPELLINGS[spelling])
    names = {SPELLINGS[spelling](field): field.name for field in fields(model)}
    struct = model(**{names[key]: value for key, value in row.items()})
    assert as_given(struct) == read_mapping(row, model)
    for bad in spoiled_rows(model, spelling):
        if bad.place:
            struct = model(**{names[key]: value for key, value in bad.value.items()})
            for check in (as_given, encode_contact):
                with pytest.raises(InvalidContactError) as caught:
                    check(struct)
                assert caught.value.sentence == f"{bad.place}: unknown field 'Fax'; known are {bad.known}"


@pytest.mark.parametrize("model", SentStruct.__subclasses__(), ids=lambda model: model.__name__)
def test_an_unknown_key_in_another_body_is_refused(model: Any) -> None:
    names = {field.encode_name: field.name for field in fields(model)}
    for bad in spoiled_rows(model, "wire"):
        if bad.place:
            body = model(**{names[key]: value for key, value in bad.value.items()})
            with pytest.raises(UsageError) as caught:
                encode_body(body)
            assert str(caught.value) == f"{bad.place}: unknown field 'Fax'; known are {bad.known}"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("model", CONTACTS)
def test_all_spellings_say_the_same(model: Any, spelling: str) -> None:
    assert read_mapping(whole(model, SPELLINGS[spelling]), model) == read_mapping(
        whole(model, SPELLINGS["wire"]), model
    )


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"dndSettings": {"SMS": {"status": "active"}, "sms": {"status": "inactive"}}},
            "dnd_settings: a field is given",
        ),
        ({"custom_fields": [{"id": "f", "field_value": 1, "fieldValue": 2}]}, "custom_fields[0]: a field is given"),
        ({"first_name": math.nan, "firstName": "b"}, "a field is given"),
    ],
)
def test_a_key_in_two_spellings_is_refused(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidContactError) as caught:
        read_mapping(row, ContactUpsert)
    assert caught.value.sentence == f"{sentence} twice, in snake_case and in camelCase"


def test_typed_custom_fields_may_stand_in_a_dict() -> None:
    row = {"custom_fields": [NumericField(id="f", field_value=5)], "dnd_settings": DndSettings(sms=ACTIVE)}
    assert json.loads(encode_contact(read_mapping(row, ContactUpsert))) == {
        "customFields": [{"id": "f", "field_value": 5}],
        "dndSettings": {"SMS": {"status": "active"}},
    }


def test_values_that_hold_themselves_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for row in ({"tags": loop}, {"custom_fields": loop}):
        with pytest.raises(InvalidContactError):
            read_mapping(row, ContactUpsert)
        with pytest.raises(InvalidContactError):
            as_given(ContactUpsert(**row))


ACTIVE = DndSetting(status="active")
CASES: tuple[dict[str, Any], ...] = (
    {"dndSettings": {"Sms": {"status": "active"}}},
    {"dnd_settings": {"Fax": {"status": "active"}}},
    {"dndSettings": {"SMS": {"status": "active", "reason": "asked"}}},
    {"inbound_dnd_settings": {"All": {"status": "active"}}},
    {"customFields": [{"id": "F", "value": "x"}]},
)


@pytest.mark.parametrize("case", CASES)
async def test_no_operation_sends_a_row_with_an_unknown_key(
    client: LeadConnector, sandbox: Sandbox, case: dict[str, Any]
) -> None:
    row = {"email": "a@example.com", **case}
    for call in (client.contacts.upsert(row), client.contacts.create(row), client.contacts.update("c", case)):
        with pytest.raises(InvalidContactError, match="unknown field"):
            await call
    (outcome,) = (await client.contacts.bulk_upsert([row])).outcomes
    assert outcome.status == "failed"
    assert "unknown field" in str(outcome.error)
    assert sandbox.requests == 0


@pytest.mark.parametrize("case", CASES)
def test_no_file_brings_in_a_row_with_an_unknown_key(tmp_path: Path, case: dict[str, Any]) -> None:
    (tmp_path / "api.jsonl").write_text(json.dumps({"email": "a@example.com", **case}) + "\n")
    (tmp_path / "cells.csv").write_text(
        "email,Extra\na@example.com," + json.dumps(json.dumps(next(iter(case.values()))))
    )
    ((name, value),) = case.items()
    (tmp_path / "mapped.jsonl").write_text(json.dumps({"E-Mail": "a@example.com", "Extra": json.dumps(value)}) + "\n")
    (tmp_path / "cells.csv").write_text(
        'email,Extra\na@example.com,"{}"\n'.format(json.dumps(value).replace('"', '""'))
    )
    for file, columns in (("api.jsonl", {}), ("cells.csv", {"Extra": name}), ("mapped.jsonl", {"Extra": name})):
        (row,) = open_row_file(tmp_path / file, Meaning(columns=columns)).rows()
        assert isinstance(row.contact, InvalidContactError)
        assert "unknown field" in str(row.contact)


# ---------------------------------------------------------------------------------------------- missing values

MISSING: list[Any] = [
    *(math.nan, math.inf, -math.inf),
    *(Decimal("NaN"), Decimal("-sNaN"), Decimal("Infinity"), Decimal("-Infinity")),
    *(np.float64("nan"), np.float64("inf"), np.float32("nan"), np.float32("-inf"), np.float16("nan")),
    *(np.datetime64("NaT", "s"), np.timedelta64("NaT", "s"), pd.NaT, pd.NA),
]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yield where values stand: each field, and all that is in it."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, one in value.items():
            yield from places(one, (*at, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from places(one, (*at, number))


def put(row: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(row)
    holder: Any = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    return changed


def is_part(found: Any, of: Any) -> bool:
    """Whether a value holds nothing that another one does not hold at the same place."""
    if isinstance(found, dict):
        return isinstance(of, dict) and all(key in of and is_part(one, of[key]) for key, one in found.items())
    if isinstance(found, list) and isinstance(of, list):
        rest = iter(of)
        return all(any(is_part(one, other) for other in rest) for one in found)
    return bool(found == of)


def sent(row: dict[str, Any], model: Any) -> dict[str, Any]:
    body = encode_contact(read_mapping(row, model))
    found: dict[str, Any] = json.loads(body)
    names = {field.encode_name: field.name for field in fields(model)}
    struct = model(**{names.get(key, key): value for key, value in row.items()})
    assert encode_contact(struct) == body
    return found


@pytest.mark.parametrize("model", CONTACTS)
def test_a_value_that_stands_for_nothing_is_not_given_wherever_it_stands(model: Any) -> None:
    row = whole(model, SPELLINGS["wire"])
    assert sent(row, model) == row
    for place in places(row):
        found = sent(put(row, place, math.nan), model)
        assert is_part(found, row), place
        assert {name for name in row if name not in found} <= {place[0]}, place
        assert {name: value for name, value in found.items() if name != place[0]} == {
            name: value for name, value in row.items() if name != place[0]
        }
        # Nothing is emptied either: an empty list of tags would take all tags away.
        assert found.get(place[0], "not given") not in ([], {}, None, "")


@pytest.mark.parametrize("model", CONTACTS)
@given(data=st.data())
def test_no_mixture_of_missing_values_erases(model: Any, data: st.DataObject) -> None:
    row = whole(model, SPELLINGS["wire"])
    spots = st.lists(st.sampled_from(list(places(row))), max_size=8, unique=True)
    spoiled = row
    for place in sorted(data.draw(spots), key=len, reverse=True):
        spoiled = put(spoiled, place, data.draw(st.sampled_from(MISSING)))
    try:
        found = sent(spoiled, model)
    except InvalidContactError as error:
        assert "an id or a key" in str(error)  # noqa: PT017  (it has lost both)
        return
    assert is_part(found, row)
    for place in places(found):
        assert put_out(found, place) not in ([], {}, None)


def put_out(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


@pytest.mark.parametrize("value", MISSING, ids=lambda value: f"{type(value).__name__} {value}")
def test_what_stands_for_nothing(value: Any) -> None:
    row = {"email": "a@b.co", "city": value, "dnd": value, "tags": value, "custom_fields": value, "location_id": value}
    assert read_mapping(row, ContactUpsert) == ContactUpsert(email="a@b.co")
    assert as_given(ContactUpsert(**row)) == ContactUpsert(email="a@b.co")


def test_none_still_clears_and_a_forgotten_value_is_still_a_mistake() -> None:
    row = {"email": "a@b.co", "city": None, "custom_fields": [{"id": "f", "field_value": None}], "tags": []}
    assert sent(row, ContactUpsert) == {
        "email": "a@b.co",
        "city": None,
        "customFields": [{"id": "f", "field_value": None}],
        "tags": [],
    }
    for custom in ({"id": "f"}, {"id": math.nan, "key": math.nan, "field_value": 1}):
        with pytest.raises(InvalidContactError, match="custom_fields"):
            read_mapping({"custom_fields": [custom]}, ContactUpsert)


@pytest.mark.parametrize("model", SentStruct.__subclasses__(), ids=lambda model: model.__name__)
def test_no_other_body_is_sent_with_a_null_for_a_missing_value(model: Any) -> None:
    row = next(examples(inspect.type_info(model), lambda field: field.name))
    for name in row:
        try:
            body = json.loads(encode_body(model(**{**row, name: math.nan})))
        except UsageError:  # it cannot do without
            continue
        assert camel(name) not in body
        assert None not in body.values()


def test_a_search_for_a_missing_value_is_refused() -> None:
    for ask in (lambda: Filter("city", "eq", math.nan), lambda: Range(gte=math.inf), lambda: Range(gte=1, lt=math.nan)):
        with pytest.raises(UsageError):
            ask()


async def test_rows_with_missing_values_change_nothing_that_is_stored(client: LeadConnector, sandbox: Sandbox) -> None:
    texts = {"email": "ann@example.com", "phone": "+16175550100", "firstName": "Ann", "lastName": "Lee", "city": "Bonn"}
    texts |= {"dateOfBirth": "1990-09-25", "timezone": "Europe/Rome", "website": "https://a.example"}
    fields_of_all = {
        **texts,
        "tags": ["vip"],
        "customFields": [{"key": "nickname", "field_value": "Nan"}, {"key": "score", "field_value": 7}],
        "dndSettings": {"SMS": {"status": "active", "message": "asked"}},
    }
    contact = sandbox.add_contact(LOCATION, **fields_of_all)
    was = copy.deepcopy(contact)
    custom = [{"id": one["id"], "field_value": math.nan} for one in contact["customFields"]]
    nothing: dict[str, Any] = {name: math.nan for name in fields_of_all if name != "email"}
    nothing |= {"customFields": custom, "tags": [math.nan], "dndSettings": {"SMS": {"status": math.nan}}}
    row = {"email": "ann@example.com", **nothing}
    structs = [
        ContactUpsert(email="ann@example.com", custom_fields=[NumericField(id=custom[1]["id"], field_value=math.nan)])
    ]
    assert (await client.contacts.upsert(row)).new is False
    await client.contacts.update(contact["id"], nothing)
    await client.contacts.update(contact["id"], ContactUpdate(city=math.nan, tags=[math.nan]))  # type: ignore[arg-type,list-item]
    report = await client.contacts.bulk_upsert([row, *structs, {**row, "email": math.nan, "phone": "+16175550100"}])
    assert (report.updated, report.partially_applied) == (3, 0)
    assert {**contact, "dateUpdated": ""} == {**was, "dateUpdated": ""}
    created = await client.contacts.create({**row, "email": "new@example.com", "firstName": "Bo"})
    assert (created.city, created.custom_fields, created.tags) == (None, [], [])
    report = await client.contacts.bulk_upsert([{"email": math.nan, "phone": math.nan, "firstName": "Bo"}])
    assert "neither email nor phone" in str(report.outcomes[0].error)
