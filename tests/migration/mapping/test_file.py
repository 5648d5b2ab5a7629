"""The mapping file: what is written can be read, corrected and given back; what a file holds stays inert in it."""

from __future__ import annotations

import csv
import io
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError
from leadconnector_async.migration.mapping.columns import ColumnMap
from leadconnector_async.migration.mapping.file import read_mapping_file, write_mapping
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.presets import PRESETS
from leadconnector_async.migration.tables import open_table

HEADER = "First Name,E-Mail,Email 2,Notes,Tags,custom:plan,DND SMS\n"


def write(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def mapping_of(path: Path) -> str:
    return "".join(write_mapping([open_table(path)]))


def test_known_columns_are_listed_in_order_and_unknown_ones_commented_out_with_samples(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + 'Ann,a@b.co,,"line1\nline2",x,Pro,no\nBob,b@b.co,c@b.co,,y,,\n')
    text = mapping_of(path)
    lines = text.partition("[columns]\n")[2].partition("\n[settings]")[0].splitlines()
    assert '# "Notes" = "custom:Notes"  # line1 line2' in lines
    assert {'"First Name" = "firstName"  # Ann; Bob', '"DND SMS" = "dnd:SMS"  # no', '"Tags" = "tags"  # x; y'} < set(
        lines
    )
    assert lines.index('"E-Mail" = "email"  # a@b.co; b@b.co') < lines.index('"Email 2" = "email"  # c@b.co')


def test_what_is_written_means_what_would_have_been_sent_without_it(tmp_path: Path) -> None:
    for preset in PRESETS:
        headers = ["Email", *sorted(preset.signs), *preset.targets]
        cells = ["ocQHyuzHvysMo5N5VsXc"] * len(headers)  # which may be the id of a contact, too
        path = write(tmp_path, ",".join(f'"{name}"' for name in headers) + "\n" + ",".join(cells) + "\n")
        (tmp_path / "mapping.toml").write_text(mapping_of(path), encoding="utf-8")
        table = open_table(path)
        names = [*dict.fromkeys(table.columns)]
        before = ColumnMap(names, names, Meaning())
        after = ColumnMap(
            names, names, Meaning(columns=read_mapping_file(tmp_path / "mapping.toml").columns, is_whole=True)
        )
        assert [(column.name, column.target) for column in before.columns] == [
            (column.name, column.target) for column in after.columns
        ]


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(cells.filter(str.strip), min_size=1, max_size=5), st.lists(cells, min_size=1, max_size=5))
def test_no_header_and_no_cell_breaks_out(
    tmp_path_factory: pytest.TempPathFactory, headers: list[str], row: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("mapping")
    text = io.StringIO()
    csv.writer(text).writerows([["email", *headers], ["a@b.co", *row]])
    written = mapping_of(write(folder, text.getvalue()))
    found = tomllib.loads(written)
    assert found["columns"]["email"] == "email"
    assert found.keys() == {"columns", "settings"}
    assert found["settings"] == {}
    lines = written.partition("[columns]\n")[2].partition("\n[settings]")[0].split("\n")
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines))
    assert len(shown) == len(headers) + 1  # each column is there once, and nothing else


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[columns\n", "cannot be read"),
        ("", "there is no table .columns. in it; leadconnector map FILE writes one"),
        ("columns = 3\n", ".columns. must hold lines such as"),
        ("[columns]\nEmail = 3\n", ".columns. must hold lines such as"),
        ('[columns]\nEmail = "email"\n[colums]\n', "'colums' has no meaning"),
        ('[columns]\nEmail = "email"\n[settings]\ncountry = "US"\n', "'country' has no meaning"),
        ('[columns]\n"X" = "emial"\n', "column 'X': 'emial' is not a field of a contact; did you mean email"),
    ],
)
def test_a_mapping_file_that_is_wrong_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text, "mapping.toml")
    with pytest.raises(ConfigurationError, match=told) as caught:
        read_mapping_file(path)
    assert str(caught.value).startswith(f"mapping file {path}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_mapping_file(tmp_path / "gone.toml")
