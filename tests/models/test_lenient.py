"""An odd value anywhere in an answer costs nothing but itself: the rest is read, and it never passes for "none"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leadconnector_async import Contact, ContactUpsert, CustomField, FoundContact
from leadconnector_async.bulk.traces import Written, trace_of
from leadconnector_async.migration.export import read_fields, write_csv_rows, write_json_lines
from leadconnector_async.migration.mapping.directories import _read_definition
from leadconnector_async.migration.planning import _read_order
from leadconnector_async.migration.restoring import Sent, find_restoration
from leadconnector_async.migration.select import fill_empty, find_changes
from leadconnector_async.models import activities, links, read_mapping
from leadconnector_async.models.compare import find_not_applied, holds_only_what_was_sent
from leadconnector_async.models.fields import FIELDS, is_empty
from leadconnector_async.models.locations import CustomFieldDefinition, Location
from leadconnector_async.models.search import read_contact_page, read_search_page
from leadconnector_async.models.structs import Received, read_received
from leadconnector_async.models.wire import read_contact
from leadconnector_async.webhooks import ContactEvent
from leadconnector_async.webhooks.events import read_event

Path = tuple[str | int, ...]
DND = ("dnd", "dndSettings", "inboundDndSettings")
"""Never left out: see `test_dnd`."""

# ---------------------------------------------------------------------------------------------- answers of each kind


def answers_of(model: type[Received]) -> Iterator[type[Received]]:
    for one in model.__subclasses__():
        if one.__struct_fields__ != model.__struct_fields__:  # else it is the same by another name
            yield one
        yield from answers_of(one)


MODELS = sorted(set(answers_of(Received)), key=lambda model: model.__name__)


def test_there_are_models_of_each_kind() -> None:
    known = {Contact, FoundContact, ContactEvent, Location, CustomFieldDefinition, activities.Note, links.TagResult}
    assert known <= set(MODELS)


def sample_of(kind: Any, name: str = "") -> Any:
    """What an answer may hold for a type, with every field of every object filled."""
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not type(None)]
        return sample_of(next((one for one in reversed(kinds) if get_origin(one) is list), kinds[-1]), name)
    if get_origin(kind) is list:
        return [sample_of(get_args(kind)[0], f"{name}{number}") for number in (1, 2)]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {one.encode_name: sample_of(one.type, one.name) for one in msgspec.structs.fields(kind)}
    plain = {str: name or "text", bool: True, int: 7, float: 7.5}
    return plain.get(kind, "active" if get_origin(kind) is not None else "anything")


def answer_of(model: type[Received]) -> dict[str, Any]:
    answer: dict[str, Any] = sample_of(model)
    if "dateOfBirth" in answer:
        answer["dateOfBirth"] = "1990-09-25"
    return {name: value for name, value in answer.items() if name not in DND}


def places_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every field of every object; of a list its first item, as others are the same."""
    items = value.items() if isinstance(value, dict) else [(0, value[0])] if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places_in(item, (*path, key))


PLACES = [(model, path) for model in MODELS for path in places_in(answer_of(model))]
ODD: tuple[Any, ...] = (7.25, {"odd": [1]})


def with_odd(answer: dict[str, Any], path: Path, odd: Any) -> dict[str, Any]:
    changed = deepcopy(answer)
    holder: Any = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    return changed


def without(answer: dict[str, Any], path: Path) -> dict[str, Any]:
    pruned = deepcopy(answer)
    holder: Any = pruned
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return pruned


def read(answer: dict[str, Any], model: type[Received]) -> Received:
    raw = msgspec.json.encode(answer)
    return read_contact(raw, model, "whole") if issubclass(model, Contact) else read_received(raw, model)


def is_documented(answer: dict[str, Any], model: type[Received]) -> bool:
    try:
        msgspec.convert(answer, model)
    except msgspec.ValidationError:
        return False
    return not issubclass(model, Contact) or "dateOfBirth" not in answer or not is_odd_day(answer["dateOfBirth"])


def is_odd_day(value: Any) -> bool:
    return not read_contact(msgspec.json.encode({"id": "x", "dateOfBirth": value}), Contact, "whole").is_whole


def expected(answer: dict[str, Any], path: Path, model: type[Received]) -> Received | None:
    """What is read where the odd value, or else the object that cannot be without it, is not there."""
    while path:
        pruned = without(answer, path)
        if is_documented(pruned, model):
            return read(pruned, model)
        path = path[:-1]
    return None


def holds(value: Any, odd: Any) -> bool:
    if value == odd and type(value) is type(odd):
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(holds(part, odd) for part in parts)


def check_odd(model: type[Received], path: Path, odd: Any) -> None:
    answer = with_odd(answer_of(model), path, odd)
    if is_documented(answer, model):
        return
    rest = expected(answer, path, model)
    if rest is None or (len(path) == 1 and path[0] in required_of(model)):
        with pytest.raises(msgspec.DecodeError):
            read(answer, model)
        return
    found, top = read(answer, model), str(path[0])
    name = {one.encode_name: one.name for one in msgspec.structs.fields(model)}[top]
    is_gone = len(path) > 1 and getattr(found, name) is None  # of a list, nothing could be read at all
    for field in msgspec.structs.fields(model):
        if field.name != name or not is_gone:
            assert getattr(found, field.name) == getattr(rest, field.name), field.name
    assert not is_gone or is_empty(getattr(rest, name))
    assert found.extra.keys() == {top}
    assert holds(found.extra, odd)
    assert found.unreadable == {name: answer[top]}
    if isinstance(found, Contact):
        assert not found.knows(name)
        assert not found.is_whole


def required_of(model: type[Received]) -> set[str]:
    return {one.encode_name for one in msgspec.structs.fields(model) if one.required}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_all_but_an_odd_value_is_read(model: type[Received]) -> None:
    assert read(answer_of(model), model).extra == {}
    for path in places_in(answer_of(model)):
        for odd in ODD:
            check_odd(model, path, odd)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(PLACES), json_values)
def test_any_odd_value_at_any_place_is_kept(place: tuple[type[Received], Path], odd: Any) -> None:
    assume(not isinstance(odd, float) or odd.is_integer() is False)
    check_odd(*place, odd)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_field_that_is_not_known_is_kept_wherever_it_stands(model: type[Received]) -> None:
    answer = answer_of(model)
    for path in [(), *places_in(answer)]:
        holder: Any = answer
        for key in path:
            holder = holder[key]
        if not isinstance(holder, dict):
            continue
        found = read(with_odd(answer, (*path, "msclickid"), "new"), model)
        assert holds(found.extra, "new"), path
        assert found.unreadable == {}
        for field in msgspec.structs.fields(model):
            assert getattr(found, field.name) == getattr(read(answer, model), field.name)


def test_the_page_of_a_list_is_read_value_by_value_too() -> None:
    body = json.dumps(
        {"contacts": [], "count": "many", "meta": {"total": 7, "startAfter": "soon", "startAfterId": "x"}}
    )
    page = read_contact_page(body.encode())
    assert (page.count, page.start_after, page.start_after_id) == (7, None, "x")
    cursor = [1752000000000, {"odd": 1}, "x"]
    found = read_search_page(json.dumps({"contacts": [{"id": "1", "searchAfter": cursor}], "total": "7"}).encode())
    assert found.search_after == cursor, "it goes back to the service as it came, or the search would go elsewhere"


# ---------------------------------------------------------------------------------------------- what reads them

ODD_PARTS: dict[str, Any] = {"tags": ["a", 7], "customFields": [{"id": "f", "value": "x"}, {"value": "odd"}]}
CLEARED: dict[str, Any] = {"tags": [], "custom_fields": [CustomField(id="g", field_value="")]}
WRITTEN = [field for field in FIELDS if field.is_stored and field.kind not in ("switch", "channels", "inbound")]


def odd_values(wire: str) -> list[Any]:
    return [{"odd": 1}, *([ODD_PARTS[wire]] if wire in ODD_PARTS else [])]


def odd_contact(wire: str, odd: Any) -> FoundContact:
    return read_contact(json.dumps({"id": "x", wire: odd}).encode(), FoundContact, "whole")


@pytest.mark.parametrize("field", WRITTEN, ids=lambda field: field.name)
def test_an_odd_value_never_passes_for_none(field: Any) -> None:
    clean = odd_contact("brandNew", 1)
    for odd in odd_values(field.wire):
        stored = odd_contact(field.wire, odd)
        cleared = ContactUpsert(**{field.name: CLEARED.get(field.name)})
        filled = read_mapping({"phone": "+16175550100", field.name: SAMPLES[field.kind]}, ContactUpsert)
        for missing in (
            find_not_applied(cleared, stored),
            find_not_applied(cleared, stored, exactly=True),
            find_changes(filled, stored, replaces_tags=True),
        ):
            assert [one.stored for one in missing if one.field.startswith(field.name)] == [odd]
        assert holds(json.loads(write_json_lines([stored], [])), odd_part_of(odd))
        if field.is_filled:
            kept = fill_empty(filled, [stored], ["phone"] if field.name != "phone" else [])
            assert kept is None or is_empty(getattr(kept, field.name) or None)
        if field.is_traced or field.kind == "tags":
            trace = trace_of(Written(ContactUpsert(), stored, None))
            assert is_seen(trace, clean) or field.is_unsure
        assert not holds_only_what_was_sent(filled, stored) or not field.is_personal
        found = find_restoration(stored, clean, Sent(rows=[filled], adds_tags=False), is_forced=True)
        assert field.name not in found.changes
        assert any(left.is_lost for left in found.left)


SAMPLES = {
    **dict.fromkeys(("text", "word", "zone", "url", "id"), "Ann"),
    "country": "DE",
    "email": "ann@x.example",
    "phone": "+16175550100",
    "day": "1990-09-25",
    "tags": ["vip"],
    "custom": [{"id": "g", "field_value": "y"}],
}


def odd_part_of(odd: Any) -> Any:
    return odd[-1] if isinstance(odd, list) else odd


def is_seen(trace: Any, now: Contact) -> bool:
    return bool(trace.changed(now)) or bool(trace._changed_tags(now))


def test_what_was_read_of_a_list_counts() -> None:
    stored = odd_contact("customFields", ODD_PARTS["customFields"])
    for field_id, value, is_there in (("f", "x", True), ("f", "y", False), ("g", "x", False)):
        sent = ContactUpsert(custom_fields=[CustomField(id=field_id, field_value=value)])
        assert (find_not_applied(sent, stored) == ()) is is_there
    assert find_not_applied(ContactUpsert(tags=["a"]), odd_contact("tags", ["a", 7])) == ()


def test_a_table_has_what_of_its_columns_cannot_be_read() -> None:
    for wire in ("additionalEmails", "tags", "firstName"):
        assert b"odd" in write_csv_rows([odd_contact(wire, {"odd": 1})], read_fields([]))


def test_an_event_is_read_value_by_value() -> None:
    body = {"type": "ContactUpdate", "id": "x", "customFields": ODD_PARTS["customFields"], "attachments": "a.pdf"}
    event, _ = read_event(json.dumps(body).encode())
    assert isinstance(event, ContactEvent)
    assert [one.id for one in event.custom_fields or ()] == ["f"]
    assert event.extra == {"customFields": [{"value": "odd"}]}
    assert event.unreadable == {"custom_fields": ODD_PARTS["customFields"]}
    assert event.attachments == "a.pdf"


def test_a_location_is_matched_as_usual_where_its_order_is_odd() -> None:
    for order in (["phone", 7], "phone", {"phone": 1}):
        settings = {"allowDuplicateContact": True, "contactUniqueIdentifiers": order}
        location = read_received(json.dumps({"id": "x", "settings": settings}).encode(), Location)
        assert location.settings is not None
        assert location.settings.allow_duplicate_contact is True
        assert _read_order(location) == ()


def test_options_that_cannot_be_read_refuse_no_cell() -> None:
    raw = {"id": "f", "name": "Plan", "dataType": "RADIO", "picklistOptions": ["Free", {"label": "Pro"}]}
    field = _read_definition(read_received(json.dumps(raw).encode(), CustomFieldDefinition))
    assert field.options == ("Free",)
    assert field.takes_others
