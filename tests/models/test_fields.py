"""The table of fields: it has every field once, it agrees with the Structs and the specification, and whatever walks
over the fields of a contact says the same of them."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import Contact, ContactUpdate, ContactUpsert, FoundContact, InvalidContactError
from leadconnector_async.bulk.traces import Written, trace_of
from leadconnector_async.migration.export import write_json_lines
from leadconnector_async.migration.restoring import Sent, fields_changed, find_restoration
from leadconnector_async.migration.select import fields_filled, find_changes
from leadconnector_async.models import encode_contact, read_mapping
from leadconnector_async.models.compare import find_not_applied
from leadconnector_async.models.fields import FIELD_OF, FIELDS, UPSERT_FIELDS, ContactField, Operation
from leadconnector_async.models.wire import read_contact
from leadconnector_async.protocol import API_VERSIONS, Request, Scope, build_create, build_update, build_upsert
from leadconnector_async.sandbox.answers import Refusal
from leadconnector_async.sandbox.books import Records
from leadconnector_async.sandbox.custom_fields import CustomFieldDefinition
from leadconnector_async.sandbox.validation import CREATE, UPDATE, UPSERT, check

PACKAGE = Path(__file__).parents[2] / "leadconnector_async"
MODELS: tuple[type[msgspec.Struct], ...] = (ContactUpsert, ContactUpdate, Contact, FoundContact)
STORED = [field for field in UPSERT_FIELDS if field.is_stored]
of_stored = pytest.mark.parametrize("field", STORED, ids=lambda field: field.name)

# ---------------------------------------------------------------------------------------------- the Structs


def test_every_field_is_in_the_table_once_and_has_its_name_on_the_wire() -> None:
    wires = {one.name: one.encode_name for model in MODELS for one in msgspec.structs.fields(model)}
    assert sorted(wires) == sorted(field.name for field in FIELDS)
    assert wires == {field.name: field.wire for field in FIELDS}


def test_the_fields_that_are_written_are_those_of_the_structs() -> None:
    assert {field.name for field in UPSERT_FIELDS} == set(ContactUpsert.__struct_fields__)
    restored = {field.name for field in FIELDS if field.restored_by == "update"}
    assert restored == set(ContactUpdate.__struct_fields__)
    assert {field.name for field in STORED} - restored == {"company_name", "gender"}


OPERATIONS: tuple[Operation, ...] = ("create", "upsert", "update")
DOCUMENTED = "firstName lastName name email phone address1 city state website timezone dateOfBirth"
NULLABLE: dict[tuple[str, str], str] = {
    **{("create", version): f"{DOCUMENTED} companyName" for version in ("2021-07-28", "v3")},
    **{("upsert", version): f"{DOCUMENTED} companyName" for version in ("2021-07-28", "v3")},
    **{("update", version): f"{DOCUMENTED} source assignedTo" for version in API_VERSIONS},
    # The page of the white label has locationId, too, which is sent in every call.
    ("upsert", "2023-02-21"): (f"{DOCUMENTED} gender postalCode dnd source assignedTo createNewIfDuplicateAllowed"),
    # There is no document: what the two that there are agree in.
    ("create", "2023-02-21"): DOCUMENTED,
}
RULES = {"create": CREATE, "upsert": UPSERT, "update": UPDATE}
of_operations = pytest.mark.parametrize(("operation", "version"), NULLABLE)


@of_operations
def test_the_table_says_where_null_is_documented(operation: Operation, version: str) -> None:
    nullable = {field.wire for field in FIELDS if field.takes_null(operation, version)}
    assert nullable == set(NULLABLE[operation, version].split())


def model_of(operation: Operation) -> type[ContactUpdate | ContactUpsert]:
    return ContactUpdate if operation == "update" else ContactUpsert


def build(operation: Operation, version: str, values: dict[str, Any]) -> Request[Any]:
    if operation == "update":
        return build_update("x", read_mapping(values, ContactUpdate), Scope("L", version))
    contact = read_mapping({"email": "a@b.co", "location_id": "L", **values}, ContactUpsert)
    return (build_create if operation == "create" else build_upsert)(contact, version)


@of_operations
def test_the_client_sends_null_where_the_sandbox_takes_it_and_nowhere_else(operation: Operation, version: str) -> None:
    for name in model_of(operation).__struct_fields__:
        field = FIELD_OF[name]
        body: dict[str, Any] = {} if operation == "update" else {"locationId": "L"}
        if field.takes_null(operation, version):
            sent = msgspec.json.decode(build(operation, version, {name: None}).body or b"")
            assert sent[field.wire] is None
            check(sent, RULES[operation], version)
            continue
        with pytest.raises(Refusal) as refused:
            check({**body, field.wire: None}, RULES[operation], version)
        assert refused.value.status == 422
        with pytest.raises(InvalidContactError) as error:
            build(operation, version, {name: None})
        assert error.value.field == name
        assert re.match(
            f"{name}: null is not accepted by (this {operation} in version {version}|any version) ", str(error.value)
        )
        assert str(error.value).endswith(f"; {field.how_to_clear(operation)}")


WAYS: dict[str, Any] = {'send "" to': "", "send [] ": [], "send False": False}


@of_operations
def test_the_way_that_an_error_names_can_be_sent(operation: Operation, version: str) -> None:
    for name in model_of(operation).__struct_fields__:
        way = FIELD_OF[name].how_to_clear(operation)
        values = [value for words, value in WAYS.items() if way.startswith(words)]
        if values and not FIELD_OF[name].takes_null(operation, version):
            sent = build(operation, version, {name: values[0]}).body or b""
            check(msgspec.json.decode(sent), RULES[operation], version)


def test_the_page_says_what_clears_a_field() -> None:
    page = (PACKAGE / "models" / "README.md").read_text(encoding="utf-8")
    text = page.partition("## Clearing a field")[2].partition("## ")[0]
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    said = {name: (where, way) for names, where, way, _ in rows for name in names.replace("`", "").split()}
    stored = [field for field in UPSERT_FIELDS if field.is_stored]
    assert said == {field.name: (where_null_is_sent(field), way_of(field)) for field in stored}


def where_null_is_sent(field: ContactField) -> str:
    by_operations: dict[str, list[str]] = {}
    for version in ("2021-07-28", "v3", "2023-02-21"):
        sent = ", ".join(operation for operation in OPERATIONS if field.takes_null(operation, version))
        by_operations.setdefault(sent, []).append(version)
    if len(by_operations) == 1:
        return next(iter(by_operations))
    return "; ".join(f"{', '.join(versions)}: {sent}" for sent, versions in by_operations.items() if sent)


def way_of(field: ContactField) -> str:
    is_null_enough = all(field.takes_null(operation, version) for operation, version in NULLABLE)
    return "" if is_null_enough and field.empty_upsert != "" else field.how_to_clear("upsert")


def test_a_channel_without_words_is_sent_without_null_in_every_version() -> None:
    """2023-02-21 takes null for them, which says no more than their absence; the sandbox takes both there."""
    settings = {"SMS": {"status": "active", "message": None, "code": None}}
    for version in API_VERSIONS:
        body = build("upsert", version, {"dnd_settings": settings}).body or b""
        assert b"null" not in body
    check({"locationId": "L", "dndSettings": settings}, UPSERT, "2023-02-21")
    with pytest.raises(Refusal):
        check({"locationId": "L", "dndSettings": settings}, UPSERT, "2021-07-28")


def test_what_empties_a_field_can_be_sent() -> None:
    for field in UPSERT_FIELDS:
        for model, value in ((ContactUpsert, field.empty_upsert), (ContactUpdate, field.empty_update)):
            if value is not msgspec.UNSET:
                assert encode_contact(read_mapping({field.name: value}, model))


def names_in(node: ast.AST) -> set[str]:
    """The names of fields in a tuple, a list, a set, the keys of a dict, or a text of nothing but names."""
    known = {name for field in FIELDS for name in (field.name, field.wire)}
    match node:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts) | ast.Dict(keys=parts):
            return {part.value for part in parts if isinstance(part, ast.Constant)} & known
        case ast.Constant(value=str(text)):
            words = set(text.replace(",", " ").split())
            return words if words <= known else set()
    return set()


class _Fields(ast.NodeTransformer):
    """Leaves out what is declared as a mapping of kinds."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if "Mapping[Kind, " in ast.unparse(node.annotation) else node


def test_there_is_no_other_list_of_fields() -> None:
    """The sandbox has lists of its own: it stands for the service, and is to disagree where we are wrong.

    What is said of each kind of field is no list of fields, though some kinds are named as a field is.
    """
    paths = [path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts and path.name != "fields.py"]
    lists = [
        (path.name, node.lineno, names)
        for path in paths
        for node in ast.walk(_Fields().visit(ast.parse(path.read_text(encoding="utf-8"))))
        if len(names := names_in(node)) > 3
    ]
    assert lists == []


# ---------------------------------------------------------------------------------------------- walks over the fields

SAMPLES: dict[str, Any] = {
    "text": "Ann",
    "word": "Ann",
    "country": "DE",
    "email": "ann@x.example",
    "phone": "+16175550100",
    "day": "1990-09-25",
    "zone": "Europe/Rome",
    "url": "https://a.example",
    "id": "y0BeYjuRIlDwsDcOHOJo",
    "switch": True,
    "channels": {"SMS": {"status": "active"}},
    "inbound": {"all": {"status": "active"}},
    "tags": ["vip"],
    "custom": [{"id": "f1", "field_value": "x"}],
}
"""A value of each kind, as it is sent."""


def upsert_of(*fields: ContactField) -> ContactUpsert:
    return read_mapping({field.name: SAMPLES[field.kind] for field in fields}, ContactUpsert)


def stored_of(values: dict[str, Any]) -> Contact:
    """A contact that holds what was sent."""
    custom = {
        "customFields": [{"id": one["id"], "value": one["field_value"]} for one in values.get("custom_fields", ())]
    }
    plain = {FIELD_OF[name].wire: value for name, value in values.items() if name != "custom_fields"}
    return read_contact(msgspec.json.encode({"id": "x", **plain, **custom}), Contact, "whole")


@of_stored
def test_every_walk_looks_at_every_field(field: ContactField) -> None:
    sent, holds, empty = upsert_of(field), stored_of({field.name: SAMPLES[field.kind]}), stored_of({})

    def is_named(found: Any) -> bool:
        return any(field.name in (one.field, one.field.partition(".")[0]) for one in found)

    # Answers need not name what comes in, so that only a plan counts it.
    assert is_named(find_not_applied(sent, empty)) is (field.kind != "inbound")
    for replaces_tags in (False, True):
        assert is_named(find_changes(sent, empty, replaces_tags=replaces_tags))
        assert find_changes(sent, holds, replaces_tags=replaces_tags) == ()
    assert find_not_applied(sent, holds) == ()
    assert field.name in fields_changed(sent)
    assert (field.name in fields_filled(sent)) is field.is_filled
    found = find_restoration(empty, holds, Sent(rows=[sent], adds_tags=True), is_forced=True)
    assert is_named(found.left) or field.name in found.changes or found.company_name == ""
    assert field.wire in msgspec.json.decode(write_json_lines([as_found(holds)], []))


@pytest.mark.parametrize("field", [one for one in FIELDS if one.is_traced], ids=lambda field: field.name)
def test_every_traced_field_is_seen_to_change(field: ContactField) -> None:
    value = {"bounce_email": True, "unsubscribe_email": True}.get(field.name, SAMPLES.get(field.kind, "x"))
    empty, holds = stored_of({}), stored_of({field.name: value})
    for before, now in ((empty, holds), (holds, empty)):
        is_seen = field.name in trace_of(Written(ContactUpsert(), before, None)).changed(now)
        assert is_seen is (now is holds or not field.is_unsure)


def as_found(contact: Contact) -> FoundContact:
    return read_contact(contact.raw, FoundContact, "whole")


# ---------------------------------------------------------------------------------------------- they agree

texts = st.sampled_from(["", "Ann", "ann", " Ann ", "Ann  Lee", "007", "7"])
words = st.sampled_from([None, "", "by phone"])
statuses = st.sampled_from(["active", "inactive", "permanent"])
channel = st.fixed_dictionaries({"status": statuses}, optional={"message": words, "code": words})
inbound = st.fixed_dictionaries(
    {"status": statuses.filter(lambda one: one != "permanent")}, optional={"message": words}
)
custom_values = st.sampled_from(
    [
        "",
        "x",
        " x ",
        "007",
        "7",
        7,
        7.0,
        "+49",
        "49",
        "1,234.50",
        1234.5,
        "9" * 20,
        "9" * 19 + "8",
        ["a"],
        ["b", "a"],
        [],
    ]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("text", "word", "country", "zone", "url", "id"), texts),
    "email": st.sampled_from(["", "a@x.example", " A@x.example", "b@x.example"]),
    "phone": st.sampled_from(["", "+16175550100", "(617) 555-0100", "030 901820 ext. 7", "+4930901820"]),
    "day": st.sampled_from(["", "09/25/1990", "1990-09-25", "1990-09-25T00:00:00.000Z", "soon"]),
    "switch": st.booleans(),
    "channels": st.dictionaries(st.sampled_from(["SMS", "Email"]), channel, max_size=2),
    "inbound": st.fixed_dictionaries({}, optional={"all": inbound}),
    "tags": st.lists(st.sampled_from(["a", " A", "b", ""]), max_size=3),
    "custom": st.dictionaries(st.sampled_from(["f1", "f2"]), custom_values, max_size=2).map(
        lambda values: [{"id": name, "field_value": value} for name, value in values.items()]
    ),
}


def contacts(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = [FIELD_OF[name] for name in names] if names else STORED
    return st.fixed_dictionaries({}, optional={field.name: VALUES[field.kind] for field in fields})


@given(contacts(), contacts(), st.booleans())
def test_what_is_skipped_as_unchanged_is_found_there_by_a_verification(
    row: dict[str, Any], before: dict[str, Any], replaces_tags: bool
) -> None:
    sent, stored = read_mapping(row, ContactUpsert), stored_of(before)
    changes = {change.field for change in find_changes(sent, stored, replaces_tags=replaces_tags)}
    missing = {one.field for one in find_not_applied(sent, stored)}
    if not replaces_tags and not any(tag.strip() for tag in row.get("tags", ())):
        missing.discard("tags")  # a verification leaves out what no tags would be added of
    assert missing <= changes


@given(
    st.sampled_from(STORED).flatmap(lambda field: st.tuples(st.just(field), contacts(field.name), contacts(field.name)))
)
def test_values_of_one_normal_form_differ_nowhere(drawn: tuple[ContactField, dict[str, Any], dict[str, Any]]) -> None:
    field, one, other = drawn
    before, now = stored_of(one), stored_of(other)
    is_same = field.normal(getattr(before, field.name)) == field.normal(getattr(now, field.name))
    trace = trace_of(Written(ContactUpsert(), before, None))
    if field.is_traced and not field.is_unsure:
        assert (field.name not in trace.changed(now)) is is_same
    if is_same and one:
        row = read_mapping(one, ContactUpsert)
        assert find_not_applied(row, now) == ()
        assert find_changes(row, now, replaces_tags=True) == () or field.kind == "inbound"


@given(contacts())
def test_what_is_exported_is_the_contact_again(values: dict[str, Any]) -> None:
    stored = stored_of(values)
    line = msgspec.json.decode(write_json_lines([as_found(stored)], []))
    assert find_changes(read_mapping(line, ContactUpsert), stored, replaces_tags=True) == ()


# ---------------------------------------------------------------------------------------------- restored

NEVER_BACK = {"gender", "country", "dnd_settings", "inbound_dnd_settings"}
"""What no update gives back in all cases: each is said then."""
VALID = {
    "email": st.just("a@x.example"),
    "phone": st.sampled_from(["", "+16175550100", "+4930901820"]),
    "country": st.sampled_from(["US", "DE"]),
    "day": st.sampled_from(["1990-09-25", "1991-01-02"]),
    "zone": st.sampled_from(["Europe/Rome", "UTC"]),
    "channels": st.dictionaries(st.sampled_from(["SMS", "Email"]), st.just({"status": "active"}), max_size=2),
    "inbound": st.fixed_dictionaries({}, optional={"all": st.just({"status": "active"})}),
    "custom": st.sampled_from([[{"id": "f1", "field_value": value}] for value in ("", "x", "7", "007")]),
}
valid_rows = st.fixed_dictionaries(
    {"email": VALID["email"]},
    optional={one.name: VALID.get(one.kind, VALUES[one.kind]) for one in STORED if one.kind != "email"},
)


def open_records() -> Records:
    return Records(
        allow_duplicates=False,
        unique_identifiers=("email", "phone"),
        custom_fields=(CustomFieldDefinition(id="f1", key="plan", name="Plan", data_type="TEXT"),),
        refuse_unknown_custom_fields=False,
        country="US",
        locations=(),
        search_lag=0.0,
        chance=random.Random(1),
        wall=lambda: 0.0,
        monotonic=lambda: 0.0,
    )


def held_by(records: Records) -> Contact:
    (contact,) = records.contacts.values()
    return read_contact(msgspec.json.encode(contact), Contact, "whole")


@given(valid_rows, valid_rows)
def test_a_contact_that_is_restored_differs_in_nothing_from_what_it_was(
    first: dict[str, Any], row: dict[str, Any]
) -> None:
    records, upserts = open_records(), [read_mapping(one, ContactUpsert) for one in (first, row)]
    records.upsert({"locationId": "L", **msgspec.json.decode(encode_contact(upserts[0]))})
    before = held_by(records)
    records.upsert({"locationId": "L", **msgspec.json.decode(encode_contact(upserts[1]))})
    now = held_by(records)
    trace = trace_of(Written(upserts[1], now, None))
    found = find_restoration(before, now, Sent(rows=[upserts[1]], adds_tags=False), trace=trace)
    records.update(now.id, msgspec.json.decode(encode_contact(read_mapping(found.changes, ContactUpdate))))
    if found.company_name is not msgspec.UNSET:
        records.upsert({"locationId": "L", "email": before.email, "companyName": found.company_name})
    line = msgspec.json.decode(write_json_lines([as_found(before)], []))
    after = held_by(records)
    differing = {change.field for change in find_changes(read_mapping(line, ContactUpsert), after, replaces_tags=True)}
    said = {left.field.partition(".")[0] for left in found.left}
    assert differing <= said <= NEVER_BACK | {"dnd"}
    assert trace_of(Written(ContactUpsert(), before, None)).changed(after) <= said
