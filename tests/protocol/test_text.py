"""What is shown to people: no terminal obeys it, and no spreadsheet runs it."""

from __future__ import annotations

import ast
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import leadconnector_async
from leadconnector_async import LeadConnector
from leadconnector_async.migration import Migration
from leadconnector_async.migration.export import Export, ExportOrder
from leadconnector_async.protocol.text import count_of, neutral_cell, printable
from leadconnector_async.sandbox import Sandbox
from tests.cli.conftest import table
from tests.conftest import LOCATION, OpenSandbox
from tests.scripted import answering

FORMULAS = ("=HYPERLINK(1)", "+cmd|' /C calc'!A0", "-2+3+cmd|x!A", "@SUM(A1)", " =1+1", "\t=1", "\r=1", "\uff1d1+1")
DANGEROUS = re.compile("(^|[;\t\r\n])[ \u00a0]*[=+@\\-\uff1d\uff0b\uff20\uff0d]")


@given(st.text(st.sampled_from("=+-@;\t\r\n \u00a0'a1,\uff1d|!(")) | st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    neutral = neutral_cell(text)
    assert DANGEROUS.search(neutral) is None or not re.search("[a-zA-Z=@]", neutral)
    assert neutral.replace("'", "") == text.replace("'", "")
    assert neutral_cell(neutral) == neutral


@pytest.mark.parametrize(
    "text", ["", "Ann", "a@example.com", "+16175550100", "-5", "+1 (617) 555-0100", "1=1", "O'Neil"]
)
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert neutral_cell(text) == text


@given(st.text())
def test_nothing_unseen_is_printed(text: str) -> None:
    shown = printable(text)
    assert [char for char in shown if unicodedata.category(char) == "Cc" and char not in "\t\n"] == []
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", shown)
    assert printable(shown) == shown


@pytest.mark.parametrize("formula", FORMULAS)
async def test_an_export_for_spreadsheets_runs_nothing(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, formula: str
) -> None:
    sandbox: Sandbox = await open_sandbox(unlimited=True)
    client: LeadConnector = await connect(sandbox, rate_limit=None)
    sandbox.add_contact(LOCATION, email="a@example.com", firstName=formula, city=f"x;{formula}", tags=[formula])
    for is_neutral in (False, True):
        order = ExportOrder(target="x", location_id=LOCATION, is_for_spreadsheets=is_neutral)
        path = tmp_path / f"{is_neutral}.csv"
        with Export(path, order, is_resumed=False) as work:
            await work.run(client, lambda _: None)
        cells = [cell or "" for row in table(path) for name, cell in row.items()]
        assert any(map(DANGEROUS.search, cells)) != is_neutral


CONTACT = {"id": "=1+1", "locationId": "L", "email": "a@example.com", "firstName": "=2+2", "tags": []}


async def test_nothing_that_the_service_says_is_run_in_a_result_file(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("email,first name\na@example.com,Ann\nb@example.com,=mine\n")
    taken = {"new": True, "contact": CONTACT, "traceId": "@SUM(1)", "succeded": True}
    refused = {"statusCode": 400, "message": "=cmd|' /C calc'!A0", "traceId": "+1;=HYPERLINK(1)"}
    for name, answer, status in (("taken", taken, 200), ("refused", refused, 400)):
        async with answering(answer, status=status) as service:
            client = LeadConnector("pit-x", base_url=service.url, location_id="L", rate_limit=None)
            async with client:
                run = await Migration.prepare(client, [source], folder=tmp_path / name)
                await run.upsert()
    told = {path.name: table(path) for folder in ("taken", "refused") for path in (tmp_path / folder).glob("*.csv")}
    assert told.keys() >= {"succeeded.csv", "failed.csv", "not_applied.csv"}
    mine = ("first name",)  # a cell of the source stands as it was, so that the file can be loaded again
    cells = [cell for rows in told.values() for row in rows for name, cell in row.items() if name not in mine]
    assert [cell for cell in cells if DANGEROUS.search(cell)] == []
    assert [row["first name"] for row in told["failed.csv"]] == ["Ann", "=mine"]
    assert {row["error"][0] for row in told["failed.csv"]} <= {"'", "4"}


async def test_nothing_that_the_service_says_is_run_in_a_table_of_outcomes(tmp_path: Path) -> None:
    refused = {"statusCode": 400, "message": "no", "traceId": "=HYPERLINK(1)"}
    async with (
        answering(refused, status=400) as service,
        LeadConnector("pit-x", base_url=service.url, location_id="L") as client,
    ):
        report = await client.contacts.bulk_upsert([{"email": "a@example.com"}])
    report.to_csv(tmp_path / "outcomes.csv")
    assert table(tmp_path / "outcomes.csv")[0]["trace_id"] == "'=HYPERLINK(1)"


# ---------------------------------------------------------------------------------------------- counts

PACKAGE = Path(leadconnector_async.__file__).parent
COUNTED = re.compile(
    r" (?:more |other |unknown )?(?:rows|contacts|columns|people|cells|calls|kinds|fields|locations|lines|days|minutes|"
    r"files|tags|writes|sessions|workers|values|partitions|times|custom fields|phones|people|words|records|options)\b"
)

IS_SETTLED = re.compile(r"[A-Z_]+$|count_of\(")  # what is always many, and what has its verb behind it


def counted_by_hand(path: Path) -> list[str]:
    """Return the messages of a module in which a number that may be 1 stands right before a plural."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for number, rest in pairwise(node.values) if isinstance(node, ast.JoinedStr) else ():
            is_count = isinstance(number, ast.FormattedValue) and not IS_SETTLED.match(ast.unparse(number.value))
            if is_count and isinstance(rest, ast.Constant) and COUNTED.match(rest.value):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_message_puts_a_number_before_a_plural_by_itself(path: Path) -> None:
    """One of anything is singular: `count_of` knows it."""
    assert counted_by_hand(path) == []


def test_a_number_before_a_plural_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text('f"{rows:,} rows"; f"{some} more calls to make"; f"{MOST} rows"; f"{count_of(1, \'row\')}"')
    assert len(counted_by_hand(path)) == 2


@pytest.mark.parametrize(
    ("count", "one", "many", "told"),
    [
        (0, "row", None, "0 rows"),
        (1, "row", None, "1 row"),
        (2000, "row", None, "2,000 rows"),
        (1, "line is", "lines are", "1 line is"),
        (2, "retry", "retries", "2 retries"),
    ],
)
def test_a_count_has_its_noun(count: int, one: str, many: str | None, told: str) -> None:
    assert count_of(count, one, many) == told
