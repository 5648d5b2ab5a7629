"""What Python developers hold is taken as it is: rows with names, tables, and values of other types."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections import UserDict, namedtuple
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import InvalidContactError, LeadConnector, UsageError
from leadconnector_async.bulk.intake import hash_of
from leadconnector_async.models import ContactUpsert
from leadconnector_async.models.records import as_mapping, rows_of, spell_number
from leadconnector_async.models.wire import read_mapping
from leadconnector_async.sandbox import Sandbox

VALUES = {"email": "ann@example.com", "first_name": "Ann", "city": None}
EXPECTED = ContactUpsert(email="ann@example.com", first_name="Ann")


@dataclasses.dataclass(frozen=True)
class Person:
    email: str
    first_name: str
    city: str | None = None


@dataclasses.dataclass(slots=True)
class SlottedPerson:
    email: str
    first_name: str
    city: str | None = None


class PersonTuple(NamedTuple):
    email: str
    first_name: str
    city: str | None = None


class Model:
    """As pydantic's."""

    def model_dump(self) -> dict[str, Any]:
        return dict(VALUES)


class Attrs:
    """As attrs makes them."""

    __attrs_attrs__ = [namedtuple("Attribute", "name")(name) for name in VALUES]  # noqa: RUF012

    def __init__(self) -> None:
        vars(self).update(VALUES)


class Record:
    """As asyncpg's: iterates over its values."""

    def keys(self) -> Iterator[str]:
        return iter(VALUES)

    def __iter__(self) -> Iterator[Any]:
        return iter(VALUES.values())

    def __getitem__(self, key: str) -> Any:
        return VALUES[key]


class AlchemyRow(tuple[Any, ...]):
    """As SQLAlchemy's: a tuple with names."""

    __slots__ = ()

    def _asdict(self) -> dict[str, Any]:
        return dict(VALUES)


def row_of_sqlite() -> sqlite3.Row:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row: sqlite3.Row = connection.execute(
        "SELECT ? AS email, ? AS first_name, ? AS city", [*VALUES.values()]
    ).fetchone()
    connection.close()
    return row


RECORDS: dict[str, Callable[[], Any]] = {
    "dataclass": lambda: Person(**VALUES),  # type: ignore[arg-type]
    "slotted dataclass": lambda: SlottedPerson(**VALUES),  # type: ignore[arg-type]
    "named tuple": lambda: PersonTuple(**VALUES),  # type: ignore[arg-type]
    "row of sqlite3": row_of_sqlite,
    "row of SQLAlchemy": lambda: AlchemyRow(VALUES.values()),
    "record of asyncpg": Record,
    "model of pydantic": Model,
    "attrs": Attrs,
    "row of pandas": lambda: pandas.Series(VALUES),
    "mapping": lambda: UserDict({name: value for name, value in VALUES.items() if value is not None}),
}


@pytest.mark.parametrize("make", RECORDS.values(), ids=RECORDS)
def test_a_row_with_names_is_a_contact_and_what_it_lacks_clears_nothing(make: Callable[[], Any]) -> None:
    record = as_mapping(make())
    assert record is not None
    assert read_mapping(record, ContactUpsert) == EXPECTED


@pytest.mark.parametrize("make", RECORDS.values(), ids=RECORDS)
def test_a_load_that_goes_on_knows_such_a_row_again(make: Callable[[], Any]) -> None:
    assert hash_of(make()) == hash_of(make())  # no address in it, which the next process would not have


def test_none_in_a_dict_clears_as_before() -> None:
    assert read_mapping(VALUES, ContactUpsert).city is None


async def test_values_without_names_are_refused_with_what_to_do(client: LeadConnector) -> None:
    for row in (("ann@example.com", "Ann"), ["ann@example.com"]):
        with pytest.raises(InvalidContactError, match="let the cursor return rows with names"):
            await client.contacts.upsert(row)  # type: ignore[arg-type]
    with pytest.raises(InvalidContactError, match="not type"):
        await client.contacts.upsert(Person)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- tables

FRAME = pandas.DataFrame(
    {
        "email": ["ann@example.com", "ben@example.com", None],
        "phone": [16175550101, None, 16175550103],  # floats, as one is missing
        "dateOfBirth": [pandas.Timestamp("1990-09-25"), pandas.NaT, pandas.NaT],
        "city": pandas.array(["Boston", pandas.NA, pandas.NA], dtype="string"),
    }
)
IN_FRAME = [
    ContactUpsert(email="ann@example.com", phone="16175550101", date_of_birth="1990-09-25", city="Boston"),
    ContactUpsert(email="ben@example.com"),
    ContactUpsert(phone="16175550103"),
]


class Polars:
    """As a DataFrame of polars offers its rows."""

    columns = ["email", "phone"]  # noqa: RUF012

    def iter_rows(self, *, named: bool = False) -> Iterator[tuple[Any, ...]]:
        assert not named
        return iter([("ann@example.com", None), (None, 16175550101)])


class SpeaksArrow:
    """As any library that speaks Arrow."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> object:
        return pyarrow.Table.from_pandas(FRAME).__arrow_c_stream__(requested_schema)


TABLES: dict[str, Any] = {
    "pandas": FRAME,
    "pyarrow": pyarrow.Table.from_pandas(FRAME),
    "batch": pyarrow.RecordBatch.from_pandas(FRAME),
    "Arrow stream": SpeaksArrow(),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_is_read_row_by_row(table: Any) -> None:
    rows = rows_of(table)
    assert rows is not None
    assert [read_mapping(row, ContactUpsert) for row in rows] == IN_FRAME


def test_a_frame_of_polars_is_read_row_by_row() -> None:
    rows = rows_of(Polars())
    assert rows is not None
    assert [dict(row) for row in rows] == [{"email": "ann@example.com"}, {"phone": 16175550101}]


def test_a_long_batch_is_read_in_parts_and_in_order() -> None:
    table = pyarrow.table({"email": [f"p{number}@example.com" for number in range(2_500)]})
    rows = rows_of(table)
    assert rows is not None
    assert [row["email"] for row in rows] == [f"p{number}@example.com" for number in range(2_500)]


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pandas.DataFrame([["a@example.com", "b@example.com"]], columns=["email", "email"])
    with pytest.raises(UsageError, match="two columns named 'email'"):
        rows_of(frame)


@pytest.mark.parametrize("table", [FRAME, pyarrow.Table.from_pandas(FRAME)], ids=["pandas", "pyarrow"])
async def test_a_table_is_loaded_as_it_stands(client: LeadConnector, sandbox: Sandbox, table: Any) -> None:
    report = await client.contacts.bulk_upsert(table)
    assert (report.created, report.failed) == (3, 0)
    stored = {contact["email"]: contact for contact in sandbox.contacts() if contact.get("email")}
    assert stored["ann@example.com"]["phone"] == "+16175550101"


# ---------------------------------------------------------------------------------------------- values


class Size(Enum):
    LARGE = "L"


class Colour(StrEnum):
    RED = "red"


CUSTOM: dict[str, tuple[Any, Any]] = {
    "date": (date(2024, 2, 29), "2024-02-29"),
    "midnight": (datetime(2024, 2, 29), "2024-02-29"),  # noqa: DTZ001
    "time": (datetime(2024, 2, 29, 12, 30), "2024-02-29T12:30:00"),  # noqa: DTZ001
    "Timestamp": (pandas.Timestamp("2024-02-29"), "2024-02-29"),
    "datetime64": (numpy.datetime64("2024-02-29T00:00:00.000000000"), "2024-02-29"),
    "Decimal": (Decimal("12.50"), 12.5),
    "whole Decimal": (Decimal("1E+3"), 1000),
    "long Decimal": (Decimal("0.12345678901234567890"), "0.12345678901234567890"),
    "UUID": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "Enum": (Size.LARGE, "L"),
    "StrEnum": (Colour.RED, "red"),
    "int64": (numpy.int64(7), 7),
    "float32": (numpy.float32(0.5), 0.5),
    "str_": (numpy.str_("x"), "x"),
    "array": (numpy.array(["a", "b"]), ["a", "b"]),
    "Series": (pandas.Series(["a", "b"]), ["a", "b"]),
    "numbers as options": ([1, 2.0], ["1", "2"]),
}


@pytest.mark.parametrize(("value", "expected"), CUSTOM.values(), ids=CUSTOM)
def test_values_of_other_types_are_sent_as_json_has_them(value: Any, expected: Any) -> None:
    read = read_mapping({"custom_fields": {"contact.size": value}}, ContactUpsert)
    (custom,) = read.custom_fields or ()
    assert custom.field_value == expected
    assert type(custom.field_value) is type(expected)


def test_custom_fields_may_be_a_dict_by_key_or_id() -> None:
    read = read_mapping(
        {"customFields": {"contact.size": "L", "Qa1b2C3d4E5f6G7h8I9j": 5, "gone": float("nan"), "empty": None}},
        ContactUpsert,
    )
    found = [(custom.key or custom.id, custom.field_value) for custom in read.custom_fields or ()]
    assert found == [("contact.size", "L"), ("Qa1b2C3d4E5f6G7h8I9j", 5), ("empty", None)]
    assert [bool(custom.id) for custom in read.custom_fields or ()] == [False, True, False]


def test_an_empty_dict_of_custom_fields_is_an_empty_list() -> None:
    assert read_mapping({"custom_fields": {}}, ContactUpsert).custom_fields in ([], ContactUpsert().custom_fields)


@pytest.mark.parametrize("value", [5, 5.0, numpy.int64(5), numpy.float64(5.0), Decimal(5)], ids=repr)
def test_numbers_are_text_where_a_field_holds_text(value: Any) -> None:
    read = read_mapping({"phone": value, "postal_code": value, "tags": [value]}, ContactUpsert)
    assert (read.phone, read.postal_code, read.tags) == ("5", "5", ["5"])


@given(st.integers(min_value=0, max_value=10**15))
def test_a_whole_float_has_the_digits_of_its_integer(number: int) -> None:
    assert spell_number(float(number)) == spell_number(number) == str(number)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"first_name": True}, "first_name: expected str, got bool"),
        ({"email": b"a@b.co"}, "email: expected str, got bytes"),
        ({"tags": "a,b"}, "tags: expected list, got str"),
        ({"dnd": 2}, "dnd: expected bool, got int"),
        ({"custom_fields": [1]}, r"custom_fields\[0\]: expected dict, got int"),
        (
            {"custom_fields": {"size": object()}},
            r"custom_fields\[0\].field_value: expected int or float or str or dict or list",
        ),
    ],
)
def test_what_cannot_be_sent_names_its_field_and_what_is_expected(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidContactError, match=sentence):
        read_mapping(row, ContactUpsert)
