"""The first pass: rows of a location come together, in their order, and none is lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from leadconnector_async.cluster.splitting import (
    PieceRow,
    Splitting,
    piece_name,
    read_part,
    read_piece,
    split_file,
    write_piece,
)
from leadconnector_async.cluster.store import Store, name_of
from leadconnector_async.errors import InvalidContactError
from leadconnector_async.migration.mapping.meaning import NOTHING_SAID
from leadconnector_async.migration.tables import Reading
from leadconnector_async.models import ContactUpsert, CustomField

pytest.importorskip("pyarrow")


def split(tmp_path: Path, text: str, *, location_id: str | None = None) -> dict[str, list[PieceRow]]:
    """Split a CSV, and return the rows of each location."""
    (tmp_path / "people.csv").write_text(text)
    store = Store(str(tmp_path / "store"))
    splitting = Splitting(store_url=store.url, location_id=location_id, meaning=NOTHING_SAID, reading=Reading())
    assert split_file(splitting, 3, str(tmp_path / "people.csv")) is None
    part = read_part(store, 3)
    assert part is not None
    found = {}
    for location in part.rows:
        store.fetch(piece_name(3, location), tmp_path / "piece")
        found[location] = list(read_piece(tmp_path / "piece"))
        assert len(found[location]) == part.rows[location]
    return found


def test_rows_come_together_in_their_order(tmp_path: Path) -> None:
    lines = "".join(f"L{number % 7},p{number}@example.com\n" for number in range(12_000))
    found = split(tmp_path, f"locationId,email\n{lines}")
    assert len(found) == 7
    for location, rows in found.items():
        emails = [json.loads(row.sent or "")["email"] for row in rows]
        assert emails == [f"p{number}@example.com" for number in range(12_000) if f"L{number % 7}" == location]


def test_a_column_about_consent_that_cannot_be_read_ends_the_first_pass(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("locationId,email,Do Not Call\nL1,a@example.com,yes\nL1,b@example.com,ask\n")
    store = Store(str(tmp_path / "store"))
    splitting = Splitting(store_url=store.url, location_id=None, meaning=NOTHING_SAID, reading=Reading())
    told = str(split_file(splitting, 0, str(tmp_path / "a.csv")))
    assert "'Do Not Call' is about consent (opt-out:Call), and cannot be read ('ask' 1 x" in told
    assert read_part(store, 0) is None


def test_rows_that_close_channels_keep_that_and_open_none(tmp_path: Path) -> None:
    text = "locationId,email,dnd,SMS Opt-Out\nL1,a@example.com,false,yes\nL1,b@example.com,no,no\n"
    sent = [json.loads(row.sent or "") for row in split(tmp_path, text)["L1"]]
    assert sent == [
        {"email": "a@example.com", "locationId": "L1", "dndSettings": {"SMS": {"status": "active"}}},
        {"email": "b@example.com", "locationId": "L1"},
    ]


def test_rows_that_cannot_be_sent_stay_with_their_location(tmp_path: Path) -> None:
    text = "locationId,email\nL1,nobody\n,a@example.com\nL2,\nL1,b@example.com,x\nthe third one,c@example.com\n"
    found = split(tmp_path, text)
    assert {location: [row.row[-5:] for row in rows] for location, rows in found.items()} == {
        "L1": ["row 2", "row 5"],
        "L2": ["row 4"],
        "": ["row 3", "row 6"],
    }
    assert all(row.sent is None and row.refused for rows in found.values() for row in rows)
    contact = found["L1"][0].contact
    assert isinstance(contact, InvalidContactError)
    assert str(contact).startswith(f"{tmp_path}/people.csv, row 2")
    found = split(tmp_path, text, location_id="HOME")
    assert [row.sent is not None for row in found["HOME"]] == [True, False]


def test_what_is_wrong_with_a_file_is_a_sentence(tmp_path: Path) -> None:
    splitting = Splitting(store_url=str(tmp_path / "store"), location_id=None, meaning=NOTHING_SAID, reading=Reading())
    (tmp_path / "a.csv").write_text("email\na@example.com\n")
    assert "a.csv: has no column for the location; add one" in str(split_file(splitting, 0, f"{tmp_path}/a.csv"))
    assert "there is no such file" in str(split_file(splitting, 0, f"{tmp_path}/b.csv"))
    assert "memory://c.csv: cannot be read (FileNotFoundError" in str(split_file(splitting, 0, "memory://c.csv"))
    assert read_part(Store(splitting.store_url), 0) is None


def test_a_file_at_an_address(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/in/people.csv", b"locationId,email\nL,a@example.com\n")
    store = Store("memory://out")
    splitting = Splitting(store_url=store.url, location_id=None, meaning=NOTHING_SAID, reading=Reading())
    assert split_file(splitting, 0, "memory://in/people.csv") is None
    part = read_part(store, 0)
    assert part is not None
    assert part.rows == {"L": 1}


def test_a_contact_is_the_same_on_the_other_side(tmp_path: Path) -> None:
    contacts = [
        ContactUpsert(email="a@example.com", last_name=None, tags=[], dnd=False, location_id="L"),
        ContactUpsert(
            phone="+16175550100", custom_fields=[CustomField(key="plan", field_value=["a", "b"])], name="Ü\n"
        ),
        InvalidContactError("is wrong", field="email", where="here"),
    ]
    write_piece(tmp_path / "piece", [PieceRow.of("here", contact) for contact in contacts])
    *back, refused = [row.contact for row in read_piece(tmp_path / "piece")]
    assert back == contacts[:2]
    assert isinstance(refused, InvalidContactError)
    assert (str(refused), refused.field) == ("here: is wrong", "email")


def test_names_of_locations_are_no_paths_and_differ_on_any_disk() -> None:
    ids = ["abc", "ABC", "../../etc", "a/b", "ab", "", "\0", "ü", "x" * 500]
    names = [name_of(one) for one in ids]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(name.replace("-", "").isalnum() and len(name) < 60 for name in names)


def test_a_file_of_results_holds_what_was_sent(tmp_path: Path) -> None:
    found = split(tmp_path, "locationId,email,First Name\nL,a@example.com,Ann\n")
    row = found["L"][0]
    assert json.loads(row.sent or "") == {"locationId": "L", "email": "a@example.com", "firstName": "Ann"}
    assert next(csv.reader([row.row]))[1] == " row 2"
