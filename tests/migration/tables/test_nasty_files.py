"""Files as nobody should send them: one clear sentence, or rows that are told; never a traceback, never half a file."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import random
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError, ContactUpsert
from leadconnector_async.migration.mapping.rows import RowFile
from leadconnector_async.migration.tables import file as reading_file
from leadconnector_async.migration.tables import open_table

DATA = Path(__file__).parent / "data"
PEOPLE = "email,first name,city\n" + "".join(f"person{number}@example.com,P{number},Köln\n" for number in range(2000))
LINES = "".join(f'{{"email":"person{number}@example.com","city":"Köln"}}\n' for number in range(2000))


def zstd() -> Any:
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return data.getvalue()


def bomb(size: int) -> bytes:
    """A gzip of zeros, 1,000 times smaller than what it becomes, made without ever being whole."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    chunk = b"0" * 1024 * 1024
    return b"email\n"[:0] + b"".join([*(packer.compress(chunk) for _ in range(size // len(chunk))), packer.flush()])


def workbook(*cells: Any) -> bytes:
    book = importlib.import_module("openpyxl").Workbook()
    for cell in cells:
        book.active.append([cell, "x"])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def workbook_bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook("email"))) as old, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name == "xl/worksheets/sheet1.xml":
                with new.open(name, "w") as sheet:
                    sheet.write(
                        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
                    )
                    for _ in range(200):
                        sheet.write(b"<row></row>" * 40_000)
                    sheet.write(b"</sheetData></worksheet>")
            else:
                new.writestr(name, old.read(name))
    return data.getvalue()


def lying_workbook() -> bytes:
    """A workbook whose directory says that a sheet is small which is not."""
    data = bytearray(workbook_bomb())
    place = data.rfind(b"PK\x01\x02", 0, data.find(b"xl/worksheets/sheet1.xml", data.find(b"PK\x01\x02")))
    data[place + 24 : place + 28] = struct.pack("<I", 100)
    return bytes(data)


def parquet(rows: int = 5000) -> bytes:
    path = Path("made.parquet")
    with importlib.import_module("duckdb").connect() as connection:
        source = f"SELECT 'person' || i || '@example.com' AS email, i AS n FROM range({rows}) t(i)"
        connection.execute(f"COPY ({source}) TO '{path}' (FORMAT parquet)")
    data = path.read_bytes()
    path.unlink()
    return data


def flipped(data: bytes) -> bytes:
    """Change a byte in the midst."""
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 0xFF]) + data[half + 1 :]


def encrypted_zip() -> bytes:
    data = bytearray(zipped(people_csv=b"email\na@b.co\n"))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + place] |= 1
    return bytes(data)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.csv": (lambda: b"", "is empty"),
    "blank.csv": (lambda: b" \r\n\r\n", "is empty"),
    "commas.csv": (lambda: b",,,\n,,\n", "the header cannot be read"),
    "empty.jsonl": (lambda: b"\n", "is empty"),
    "empty.json": (lambda: b"", "is empty"),
    "empty.parquet": (lambda: b"", "too small to be a Parquet file"),
    "empty.xlsx": (lambda: b"", "cannot be read as a workbook"),
    "empty.csv.gz": (lambda: b"", "is empty"),
    "empty.zip": (lambda: b"", "is cut off or damaged"),
    "number.json": (lambda: b"17", "holds no array of objects"),
    "nul in the header.csv": (lambda: b"email,ci\0ty\na@b.co,Bonn\n", "the header cannot be read"),
    "zeros.csv": (lambda: b"email,city\n" + b"\0" * 100, "is not UTF-8 text (it looks like a binary file)"),
    "noise.csv": (lambda: random.Random(1).randbytes(10_000), "is not UTF-8 text (it looks like a binary file)"),
    "workbook.csv": (lambda: workbook("email"), "is not text but a ZIP archive or a workbook"),
    "packed.csv": (lambda: gzip.compress(PEOPLE.encode()), "is not text but packed by gzip"),
    "parquet.csv": (parquet, "is not text but a Parquet file"),
    "text.parquet": (PEOPLE.encode, "No magic bytes"),
    "text.xlsx": (PEOPLE.encode, "cannot be read as a workbook"),
    "text.csv.gz": (PEOPLE.encode, "is cut off or damaged"),
    "people.docx": (lambda: b"PK", "is not a kind of file that can be read"),
    "people": (PEOPLE.encode, "is not a kind of file that can be read"),
    "people.gz": (lambda: gzip.compress(PEOPLE.encode()), "is not a kind of file that can be read"),
    "packed.xlsx.gz": (lambda: gzip.compress(workbook("email")), "unpack it first"),
    "packed.parquet.gz": (lambda: gzip.compress(parquet()), "unpack it first"),
    "encrypted.xlsx": ((DATA / "encrypted.xlsx").read_bytes, "is encrypted; save it without a password"),
    "encrypted.zip": (encrypted_zip, "is encrypted; unpack it first"),
    "two.zip": (lambda: zipped(a_csv=b"email\n", b_csv=b"email\n"), "holds 2 files and must hold one"),
    "none.zip": (lambda: zipped(), "holds 0 files and must hold one"),
    "bomb.csv.gz": (lambda: bomb(200 * 1024 * 1024), "becomes more than 200 times as large"),
    "bomb.csv.bz2": (lambda: bz2.compress(b"0" * 100 * 1024 * 1024), "becomes more than 200 times as large"),
    "bomb.csv.zst": (lambda: zstd().compress(b"0" * 100 * 1024 * 1024), "becomes more than 200 times as large"),
    "bomb.zip": (lambda: zipped(bomb_csv=b"0" * 100 * 1024 * 1024), "becomes more than 200 times as large"),
    "bomb.xlsx": (workbook_bomb, "MB of memory, which no export does"),
    "liar.xlsx": (lying_workbook, "is not to be read"),
    "long line.csv": (lambda: b"email\n" + b"a" * 20_000_000, "has a line of more than 16 million characters"),
    "long cell.csv": (lambda: b'email\n"' + b"a\n" * 10_000_000 + b'"\n', "its quotes cannot be read"),
    "long text.json": (lambda: b'[{"email": "' + b"a" * 20_000_000 + b'"}]', "a text of more than 16 million letters"),
    "deep.json": (lambda: b"[" * 200_000, "is nested more than 100 deep"),
    "deep objects.json": (lambda: b'[{"a":' * 100_000, "is nested more than 100 deep"),
    "cut quote.csv": (lambda: PEOPLE.encode() + b'a@b.co,"Ann\n\nBonn', "its quotes cannot be read"),
    "cut.json": (lambda: b"[" + LINES.replace("}\n", "},").encode()[:-9], "cannot be read as JSON after item 1999"),
    "two.json": (lambda: b'[{"email": "a@b.co"}] [{"email": "b@b.co"}]', "cannot be read as JSON after item 1"),
    "comma.json": (lambda: b'[{"email": "a@b.co"},]', "cannot be read as JSON after item 1"),
    "latin.json": (lambda: '[{"email": "é@b.co"}]'.encode("latin-1") * 2, "cannot be read as JSON"),
    "cut.csv.gz": (lambda: gzip.compress(PEOPLE.encode())[:-9], "is cut off or damaged"),
    "flipped.csv.gz": (lambda: flipped(gzip.compress(PEOPLE.encode())), "is cut off or damaged"),
    "cut.csv.bz2": (lambda: bz2.compress(PEOPLE.encode())[:-9], "is cut off or damaged"),
    "cut.jsonl.xz": (lambda: lzma.compress(LINES.encode())[:-9], "is cut off or damaged"),
    "cut.csv.zst": (lambda: zstd().compress(PEOPLE.encode())[:-9], "is cut off or damaged"),
    "cut.zip": (lambda: zipped(people_csv=PEOPLE.encode())[:-40], "is cut off or damaged"),
    "flipped.zip": (lambda: flipped(zipped(people_csv=PEOPLE.encode())), "is cut off or damaged"),
    "cut.parquet": (lambda: parquet()[:-100], "No magic bytes"),
    "cut in the midst.parquet": (lambda: parquet()[:20_000] + parquet()[30_000:], "cannot be read"),
    "cut.xlsx": (lambda: workbook("email", "a@b.co")[:-200], "cannot be read as a workbook"),
    "damaged.xlsx": (lambda: workbook("email").replace(b"sheets/sheet1", b"sheets/sheet9"), "as a workbook"),
    "flipped.xlsx": (lambda: flipped(workbook("email", "a@b.co")), "be read"),
    "cut.utf16.csv": (lambda: PEOPLE.encode("utf-16")[:-3], "cannot be read as utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_whole_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = REFUSED[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(ConfigurationError) as caught:
        list(RowFile(open_table(tmp_path / name)).rows())
    assert str(caught.value).startswith(f"{tmp_path / name}")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


TOLD: dict[str, tuple[Callable[[], bytes], list[bool]]] = {
    "no rows.json": (lambda: b"{}", [False]),
    "numbers.json": (lambda: b'{"a": [1, 2]}', [False]),
    "header only.csv": (lambda: b"email,city\n", []),
    "no array.json": (lambda: b"[]", []),
    "ragged.csv": (lambda: b"email,city\na@b.co\nb@b.co,Bonn,x\n,\nc@b.co,Ulm\n", [True, False, True]),
    "repeated.csv": (lambda: b"email,note,note\na@b.co,1,2\n", [True]),
    "nul.csv": (lambda: b"email,city\na@b.co,Bo\0nn\nb@b.co,Ulm\n", [False, True]),
    "nul.tsv": (lambda: b"email\tcity\na@b.co\tBonn\nb\0@b.co\tUlm\n", [True, False]),
    "nul.jsonl": (lambda: b'{"email":"a@b.co","city":"Bo\0nn"}\n{"email":"b@b.co"}\n', [False, True]),
    "spelled nul.jsonl": (lambda: b'{"email":"a@b.co","city":"Bo\\u0000nn"}\n{"email":"b@b.co"}\n', [False, True]),
    "nul far down.csv": (
        lambda: PEOPLE.encode() * 2 + b"x@b.co,Bo\0b,\ny@b.co,,\n",
        [True] * 2000 + [False] * 1 + [True] * 2000,
    ),
    "mixed.csv": (lambda: PEOPLE.encode() + b"x@b.co,D\xe9d\xe9,\ny@b.co,,\n", [True] * 2000 + [False, True]),
    "large cell.csv": (lambda: b"email,city\na@b.co," + b"x" * 10_000_000 + b"\nb@b.co,Bonn\n", [True, True]),
    "large cell.jsonl": (lambda: b'{"email":"a@b.co","city":"' + b"x" * 10_000_000 + b'"}\n', [True]),
    "formulas.csv": (lambda: b"email,city\na@b.co,=cmd|'/C calc'!A0\nb@b.co,@SUM(1)\n", [True, True]),
    "cut line.csv": (lambda: b"email,city,state\na@b.co,Bonn,NW\nb@b.co,Bo", [True, False]),
    "no newline.csv": (lambda: b"email,city\na@b.co,Bonn\nb@b.co,Ulm", [True, True]),
    "old newlines.csv": (lambda: b"email,city\ra@b.co,Bonn\rb@b.co,Ulm\r", [True, True]),
    "cut line.jsonl": (lambda: b'{"email":"a@b.co"}\n{"email":"b@b.c', [True, False]),
    "cut quote.csv": (lambda: b'email,city\na@b.co,Bonn\nb@b.co,"Ul', [True, False]),
    "formulas.xlsx": (lambda: workbook("email", "=1+1", "a@b.co"), [False, True]),
    "cut letter.csv": (lambda: "email,city\nä@b.co,Köln\nb@b.co,Kö".encode()[:-1], [True, False]),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_wrong_with_a_row_is_told_of_that_row(tmp_path: Path, name: str) -> None:
    make, expected = TOLD[name]
    (tmp_path / name).write_bytes(make())
    contacts = [row.contact for row in RowFile(open_table(tmp_path / name)).rows()]
    if name == "nul far down.csv":  # PEOPLE twice holds its header twice, which is a row of no contact
        assert [isinstance(contact, ContactUpsert) for contact in contacts[-2:]] == [False, True]
        return
    assert [isinstance(contact, ContactUpsert) for contact in contacts] == expected


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nothing.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    expected = {
        "folder.csv": f"is a folder, not a file; name its files, such as '{tmp_path}/folder.csv/*.csv'",
        "loop.csv": "cannot be read (Too many levels of symbolic links)",
        "dangling.csv": "there is no such file",
        "gone.csv": "there is no such file",
        "pipe.csv": "is a pipe or device, not a file; send it to the standard input of `-`",
        "folder.csv/x.csv": "there is no such file",
        "x" * 300 + ".csv": "cannot be read (File name too long)",
    }
    for name, sentence in expected.items():
        with pytest.raises(ConfigurationError) as caught:
            open_table(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {sentence}"
    with pytest.raises(ConfigurationError, match="a pipe or device"):
        open_table(Path("/dev/zero"))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ConfigurationError, match=r"cannot be read \(Permission denied\)"):
            open_table(path)
    finally:
        os.seteuid(os.getuid())
    assert stat.S_IMODE(path.stat().st_mode) == 0


def test_a_file_that_goes_away_while_it_is_read(tmp_path: Path) -> None:
    for name in ("people.csv", "people.jsonl", "people.csv.gz"):
        path = tmp_path / name
        content = (LINES if "json" in name else PEOPLE).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        table = open_table(path)
        path.unlink()
        with pytest.raises(ConfigurationError, match="there is no such file"):
            _ = sum(1 for _ in table.rows())
        with pytest.raises(ConfigurationError, match="there is no such file"):
            table.describe()


def test_small_files_may_grow_as_much_as_they_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_file, "_MOST_RATIO", 2)
    (tmp_path / "people.csv.gz").write_bytes(gzip.compress(PEOPLE.encode()))
    assert sum(1 for _ in open_table(tmp_path / "people.csv.gz").rows()) == 2000
    monkeypatch.setattr(reading_file, "_ALWAYS_BYTES", 1000)
    with pytest.raises(ConfigurationError, match="becomes more than 2 times as large"):
        list(open_table(tmp_path / "people.csv.gz").rows())


KINDS = [
    "csv",
    "tsv",
    "jsonl",
    "json",
    "csv.gz",
    "csv.xz",
    "csv.bz2",
    "csv.zst",
    "zip",
    "parquet",
    "xlsx",
    "xls",
    "ods",
]


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from(KINDS),
    st.sampled_from([b"", b"email,city\n", b"PK\x03\x04", b"[{", b"PAR1"]),
)
def test_noise_is_refused_or_read_and_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, kind: str, start: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / f"noise.{kind}"
    path.write_bytes(start + noise)
    with suppress(ConfigurationError):
        assert all(row.contact for row in RowFile(open_table(path)).rows())


@settings(max_examples=60, deadline=None)
@given(
    st.data(), st.sampled_from(["people.csv.gz", "people.csv.bz2", "people.jsonl.xz", "people.csv.zst", "people.zip"])
)
def test_a_packed_file_that_is_cut_anywhere_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd().compress,
        ".zip": lambda content: zipped(people_csv=content),
    }  # fmt: skip
    content = packers[Path(name).suffix]((LINES if "json" in name else PEOPLE).encode())
    path = tmp_path_factory.mktemp("cut") / name
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ConfigurationError):
        list(open_table(path).rows())


def test_a_damaged_old_workbook_is_one_sentence_and_nothing_on_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (DATA / "people.xls").read_bytes()
    dice = random.Random(1)
    refused = 0
    for _ in range(200):  # some of these make the library give up altogether
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 20)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        (tmp_path / "damaged.xls").write_bytes(damaged)
        try:
            open_table(tmp_path / "damaged.xls")
        except ConfigurationError:
            refused += 1
    assert refused > 50
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------------------------------------- native readers


DIGITS = "7" * 5_000  # more than Python makes a whole number of


@pytest.mark.parametrize(
    "text",
    [
        f'[{{"email": "a@example.com", "number": {DIGITS}}}]',
        f'[{{"email": "a@example.com", "number": -{DIGITS}}}]',
        f'[{{"email": "a@example.com", "numbers": [1, 2, {DIGITS}]}}]',
        f'{{"number": {DIGITS}, "rows": [{{"email": "a@example.com"}}]}}',
        f"[{DIGITS}]",
        "[" + " " * 65_000 + DIGITS + "]",  # over two buffers
    ],
)
def test_a_number_too_long_for_python_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert "holds a number of more than 1,000 digits" in read_apart(tmp_path / "a.json")


@pytest.mark.parametrize("number", ["1e999999999", "-1e-999999999", "0." + "7" * 900, "7" * 900])
def test_other_numbers_do_no_harm(tmp_path: Path, number: str) -> None:
    (tmp_path / "a.json").write_text(f'[{{"email": "a@example.com", "number": {number}}}]')
    assert read_apart(tmp_path / "a.json").startswith("read 1")


def far_workbook(cell: str) -> bytes:
    """A workbook of four rows, the last of which says that it is a cell far away."""
    book = io.BytesIO(workbook("email", "a@example.com", "b@example.com", "c@example.com"))
    data = io.BytesIO()
    with zipfile.ZipFile(book) as archive, zipfile.ZipFile(data, "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name).replace(b'"B4"', f'"{cell}"'.encode()))
    return data.getvalue()


def far_sheet(columns: int, rows: int) -> bytes:
    """The same as OpenDocument: a cell after some that are empty, of which there is only their number."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    cell = '<table:table-cell office:value-type="string"><text:p>email</text:p></table:table-cell>'
    content = (
        f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="a"><table:table-row>{cell}</table:table-row>'
        f'<table:table-row table:number-rows-repeated="{rows}"><table:table-cell/></table:table-row>'
        f'<table:table-row><table:table-cell table:number-columns-repeated="{columns}"/>{cell}</table:table-row>'
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.xlsx", far_workbook("XFD1048576")),
        ("a.xlsx", far_workbook("A99999999999999999999")),
        ("a.xlsx", far_workbook("ZZZZZZ1048576")),
        ("a.ods", far_sheet(16_383, 1_048_574)),
    ],
)
def test_a_cell_far_away_does_not_end_the_process(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert "cannot be read as a workbook" in read_apart(tmp_path / name)


@pytest.mark.parametrize("sheet", ["", "Sheet", "1"])
def test_a_cell_at_the_end_of_its_column_is_read(tmp_path: Path, sheet: str) -> None:
    (tmp_path / "a.xlsx").write_bytes(far_workbook("A1048576"))
    assert read_apart(tmp_path / "a.xlsx", sheet).startswith("read 4")


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_more_columns_than_any_export_has_are_refused(tmp_path: Path, ending: str) -> None:
    names = [f"name {number}" for number in range(16_385)]
    path = tmp_path / f"a.{ending}"
    objects = [msgspec.json.encode({name: "x"}) for name in names]
    joint = {"csv": ",".join(names).encode(), "json": b"[" + b",".join(objects) + b"]", "jsonl": b"\n".join(objects)}
    path.write_bytes(joint[ending])
    with pytest.raises(ConfigurationError, match="has more than 16,384 columns"):
        open_table(path)


def read_apart(path: Path, sheet: str = "") -> str:
    """Read a file in a process of its own, as what is tried may end it; return what it says."""
    work = (
        "import sys; from pathlib import Path\n"
        "from leadconnector_async import ConfigurationError\n"
        "from leadconnector_async.migration.tables import Reading, open_table\n"
        "try: print('read', len(list(open_table(Path(sys.argv[1]), Reading(sheet=sys.argv[2] or None)).rows())))\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", work, path, sheet], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
