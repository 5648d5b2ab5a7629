"""Columns, cells and what becomes of them, from the command line."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from leadconnector_async import Contact, LeadConnector
from tests.cli.conftest import Run, invoke, load, table

EXPORT = Path(__file__).parent.parent / "migration" / "mapping" / "messy_hubspot.csv"


def stored(url: str, *ids: str) -> list[Contact]:
    """Return contacts as the service holds them, their custom fields under their names."""

    async def read() -> list[Contact]:
        async with LeadConnector("sandbox", base_url=url, location_id="L") as client:
            names = {field.id: field.name for field in await client.locations.custom_fields.list()}
            contacts = [await client.contacts.get(each) for each in ids]
            for contact in contacts:
                contact.__dict__["named"] = {names[field.id]: field.value for field in contact.custom_fields or ()}
            return contacts

    return asyncio.run(read())


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_messy_export_loads_without_flags_and_what_was_set_aside_is_told(run: Run, tmp_path: Path) -> None:
    code, out, err = run("upsert", EXPORT, "--sandbox", "--out", "out", "--rate", "1000/1")
    assert code == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["total"], report["created"], report["updated"], report["failed"]) == (120, 111, 2, 7)
    assert report["partially_applied"] == report["collisions"] == 0
    assert "looks like an export of HubSpot" in err
    assert "ignored columns: Contact owner (there is no file of owners to look up their ids in (--owners))" in err
    assert "3 x Date of birth has the day first, which the service does not read" in err
    assert "14 cells left out and 3 changed before they were sent (see problems.csv)" in out
    problems = table(tmp_path / "out" / "problems.csv")
    assert list(problems[0]) == ["row", "column", "value", "problem", "action"]
    assert {"row": f"{EXPORT}, row 63", "column": "Date of birth", "value": "25.09.1990"}.items() <= problems[
        14
    ].items()
    assert sum(problem["action"] == "refused" for problem in problems) == report["failed"]
    assert len(problems) == 24


def test_what_was_set_aside_is_decided_by_options_and_the_next_command_keeps_them(run: Run, tmp_path: Path) -> None:
    options = ["--default-country", "US", "--date-order", "dmy", "--ignore", "Notes", "--map", "Lifecycle Stage=tags"]
    code, out, err = run("upsert", EXPORT, "--sandbox", "--out", "out", "--rate", "1000/1", *options)
    assert code == 1
    assert "has no country code" not in err
    assert not any(row["value"] == "25.09.1990" for row in table(tmp_path / "out" / "problems.csv"))
    command = next(line for line in out.splitlines() if line.startswith("Next")).partition("then: leadconnector ")[2]
    words = shlex.split(command)
    assert [word for word in options if word not in words] == []
    assert run(*words)[0] == 1


def test_with_strict_nothing_is_sent_and_nothing_is_left_behind(run: Run, tmp_path: Path) -> None:
    code, out, err = run("upsert", EXPORT, "--sandbox", "--strict")
    assert (code, out) == (2, "")
    assert err.startswith(f"leadconnector: {EXPORT}, row 43: has neither email nor phone")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    clean = write(tmp_path / "clean.csv", "email,phone\na@example.com,617 555 0100\n")
    assert run("upsert", clean, "--sandbox", "--strict")[0] == 0


def test_a_mapping_is_written_corrected_and_given_back(run: Run, tmp_path: Path, served: Callable[..., str]) -> None:
    path = write(tmp_path / "a.csv", "Mail,Who,Level,Points,Born\na@example.com,Ann,pro,7,03/04/1990\n")
    code, out, err = run("map", path)
    assert (code, err) == (0, "")
    assert '"Mail" = "email"  # a@example.com' in out
    text = out.replace('# "Who" = "custom:Who"', '"Who" = "firstName"')
    text = text.replace('# "Level" = "custom:Level"', '"Level" = "custom:Plan"')
    text = text.replace('# "Points" = "custom:Points"', '"Points" = "custom:score"')
    text = text.replace('# "Born" = "custom:Born"', '"Born" = "dateOfBirth"').replace(
        '# date_order = "dmy"', 'date_order = "dmy"'
    )
    write(tmp_path / "mapping.toml", text)
    url = served()
    code, _, err = load(url, path, "--mapping", str(tmp_path / "mapping.toml"))
    assert code == 0, err
    (row,) = table(tmp_path / "out" / "succeeded.csv")
    (contact,) = stored(url, row["contact_id"])
    assert (contact.first_name, contact.date_of_birth) == ("Ann", "1990-04-03")
    assert contact.__dict__["named"] == {"Plan": "Pro", "Score": 7}


def test_an_option_that_there_is_not_is_told_before_anything_is_sent(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "email,Level\na@example.com,Pro\nb@example.com,Gold\nc@example.com,Gold\n")
    code, out, err = run("upsert", path, "--sandbox", "--map", "Level=custom:Plan")
    assert (code, out) == (2, "")
    assert "Level holds 'Gold', which is not an option of the custom field 'Plan' (2 cells, the first in" in err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv"]


def test_a_custom_field_that_there_is_not_is_made_where_that_is_wanted(
    run: Run, tmp_path: Path, served: Callable[..., str]
) -> None:
    path = write(tmp_path / "a.csv", "email,Shoe\na@example.com,47\n")
    code, _, err = run("upsert", path, "--sandbox", "--map", "Shoe=custom:Shoe size")
    assert (code, "the location has no custom field 'Shoe size'" in err) == (2, True)
    url = served()
    code, _, err = load(url, path, "--map", "Shoe=custom:Shoe size", "--create-fields")
    assert code == 0, err
    assert "Custom fields created, each a single line of text: Shoe size" in err
    (contact,) = stored(url, table(tmp_path / "out" / "succeeded.csv")[0]["contact_id"])
    assert contact.__dict__["named"] == {"Shoe size": "47"}


def test_headers_of_an_export_are_resolved_as_mapped_columns(tmp_path: Path, served: Callable[..., str]) -> None:
    url = served()
    path = write(
        tmp_path / "a.csv",
        "email,custom:plan,custom:interests,custom:score,custom:nickname\n"
        'a@example.com,Pro,"Sport, Music",7,Ann\nb@example.com,,Travel,7.50,007\n',
    )
    assert load(url, path)[0] == 0
    exported = tmp_path / "all.csv"
    environ = {"LEADCONNECTOR_BASE_URL": url, "LEADCONNECTOR_TOKEN": "sandbox"}
    code, _, err = invoke("export", exported, "--location", "L", **environ)
    assert code == 0, err
    assert "custom:plan" in exported.read_text(encoding="utf-8")
    code, out, err = load(url, exported, "--skip-unchanged", "--out", str(tmp_path / "again"))
    assert (code, len(table(tmp_path / "again" / "skipped.csv"))) == (0, 2), out + err
    for header, cell, why in (
        ("custom:shoe", "47", "no custom field 'shoe'"),
        ("custom:plan", "Gold", "not an option"),
    ):
        odd = write(tmp_path / "odd.csv", f"email,{header}\na@example.com,{cell}\n")
        code, out, err = load(url, odd, "--out", str(tmp_path / "odd"))
        assert (code, why in err, out) == (2, True, ""), err


def test_a_token_that_may_not_look_is_told_without_it(tmp_path: Path, served: Callable[..., str]) -> None:
    url = served()
    for header, code, told in (
        (
            "email,custom:plan",
            3,
            "Custom fields are sent by key and are not checked, because they cannot be looked up (401",
        ),
        ("email,Level", 2, "the custom fields of the location cannot be looked up (401"),
    ):
        path = write(tmp_path / f"{code}.csv", f"{header}\na@example.com,Pro\n")
        options = ["--map", "Level=custom:plan"] if code == 2 else []
        ended, out, err = load(url, path, "--out", str(tmp_path / str(code)), *options, token="pit-wrong-secret")
        assert (ended, told in err) == (code, True), err
        assert "secret" not in out + err


def test_no_field_is_made_for_a_load_that_is_refused(run: Run, tmp_path: Path, served: Callable[..., str]) -> None:
    path = write(tmp_path / "a.csv", "email,Shoe,Level\na@example.com,47,Gold\n")
    url = served()
    code, out, _ = load(url, path, "--map", "Shoe=custom:Shoe", "--map", "Level=custom:Plan", "--create-fields")
    assert (code, out) == (2, "")

    async def names() -> set[str | None]:
        async with LeadConnector("sandbox", base_url=url, location_id="L") as client:
            return {field.name for field in await client.locations.custom_fields.list()}

    assert "Shoe" not in asyncio.run(names())


def test_owners_by_email_need_a_table(run: Run, tmp_path: Path, served: Callable[..., str]) -> None:
    path = write(tmp_path / "a.csv", "email,Rep\na@example.com,sam@example.com\nb@example.com,kim@example.com\n")
    owners = write(tmp_path / "owners.csv", "id,email\ny0BeYjuRIlDwsDcOHOJo,Sam@example.com\n")
    url = served()
    code, _, err = load(url, path, "--map", "Rep=owner", "--owners", str(owners))
    assert code == 0, err
    rows = table(tmp_path / "out" / "succeeded.csv")
    assert [contact.assigned_to for contact in stored(url, *(row["contact_id"] for row in rows))] == [
        "y0BeYjuRIlDwsDcOHOJo",
        None,
    ]
    assert "1 x Rep is not among the known owners; left out" in err


def test_locations_by_name_are_looked_up(tmp_path: Path, served: Callable[..., str]) -> None:
    url = served()
    first = write(tmp_path / "first.csv", "email,locationId\na@example.com,North\n")
    code, out, _ = load(url, first)
    assert (out.count("1 created"), code) == (1, 0)  # the sandbox knows a location once it has a contact
    text = "email,locationId\nb@example.com,Sandbox North\nc@example.com,Sandbox South\n"
    code, _, err = load(url, write(tmp_path / "second.csv", text), "--out", str(tmp_path / "second"))
    assert code == 1, err
    assert [row["email"] for row in table(tmp_path / "second" / "succeeded.csv")] == ["b@example.com"]
    assert table(tmp_path / "second" / "failed.csv")[0]["error"].endswith("is not among the known locations")


def test_all_custom_fields_that_there_are_not_are_told_at_once(run: Run, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "email,custom:Shoe,custom:score\na@example.com,47,1\n")
    second = write(tmp_path / "b.csv", "email,Hat,custom:Glove,Plan\nb@example.com,XL,7,Pro\n")
    options = ["--map", "Hat=custom:Intrests", "--map", "Plan=custom:Plan"]
    code, out, err = run("upsert", first, second, "--sandbox", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the location has no custom fields 'Shoe' (" in err
    for name in ("'Intrests' (did you mean 'Interests'?)", "'Glove' ("):
        assert name in err
    assert "--create-fields makes them, and --ignore leaves their columns out" in err
    assert "'Plan'" not in err.partition("there are")[0]
    many = write(tmp_path / "c.csv", f"email,{','.join(f'custom:Field {number}' for number in range(60))}\na@b.co\n")
    err = run("upsert", many, "--sandbox")[2]
    assert all(f"'Field {number}'" in err for number in range(60))


def test_a_column_that_is_mapped_twice_feeds_both_fields(run: Run, tmp_path: Path, served: Callable[..., str]) -> None:
    path = write(tmp_path / "a.csv", "email,Tel\na@example.com,+1 617 555 0101\nb@example,+16175550102\n")
    url = served()
    options = ["--map", "Tel=phone", "--map", "Tel=custom:Nick Name", "--map", "Tel=phone", "--create-fields"]
    code, out, err = load(url, path, *options)
    assert code == 1, err
    (row,) = table(tmp_path / "out" / "succeeded.csv")
    (contact,) = stored(url, row["contact_id"])
    assert (contact.phone, contact.__dict__["named"]) == ("+16175550101", {"Nick Name": "+1 617 555 0101"})
    assert "--map Tel=phone --map 'Tel=custom:Nick Name'" in out
    _, out, _ = run("plan", path, "--offline", *options)
    assert "-> phone, custom:Nick Name" in out


def test_a_mapping_file_says_how_files_and_words_are_read(run: Run, tmp_path: Path, served: Callable[..., str]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        "Mail^Vorname^Status^Geboren\na@example.com^J\u00fcrgen^Raus^03.04.1990\nb@example^Zo\u00eb^Drin^\n".encode(
            "cp1252"
        )
    )
    write(
        tmp_path / "m.toml",
        '[columns]\nMail = "email"\nVorname = ["firstName", "tags"]\nGeboren = "dateOfBirth"\n'
        '[values."Status"]\n"raus" = "unsubscribed"\nDrin = "subscribed"\n'
        '[settings]\nencoding = "cp1252"\ndelimiter = "^"\ndate_order = "dmy"\n',
    )
    url = served()
    code, _, err = load(url, path, "--mapping", str(tmp_path / "m.toml"))
    assert code == 1, err
    assert "read as consent: Status (opt-in:Email)" in err
    failed = (tmp_path / "out" / "failed.csv").read_text(encoding="utf-8-sig")
    assert failed.startswith("Mail^Vorname^Status^Geboren^status^error^trace_id")
    (row,) = table(tmp_path / "out" / "succeeded.csv", "^")
    (contact,) = stored(url, row["contact_id"])
    assert (contact.first_name, contact.date_of_birth) == ("J\u00fcrgen", "1990-04-03")
    assert contact.dnd_settings is not None
    assert contact.dnd_settings.email.status == "active"  # type: ignore[union-attr]
    # What failed is corrected and loaded with the same mapping, though our own files are UTF-8.
    (tmp_path / "out" / "failed.csv").write_text(failed.replace("b@example", "b@example.com"), encoding="utf-8-sig")
    code, _, err = load(
        url, tmp_path / "out" / "failed.csv", "--mapping", str(tmp_path / "m.toml"), "--out", str(tmp_path / "again")
    )
    assert code == 0, err
    (row,) = table(tmp_path / "again" / "succeeded.csv", "^")
    assert stored(url, row["contact_id"])[0].first_name == "Zo\u00eb"
    # A run goes on with the same mapping alone.
    assert load(url, path, "--mapping", str(tmp_path / "m.toml"), "--resume")[0] == 1
    write(tmp_path / "m.toml", (tmp_path / "m.toml").read_text().replace("unsubscribed", "subscribed"))
    assert load(url, path, "--mapping", str(tmp_path / "m.toml"), "--resume")[0] == 2


def make_input(folder: Path, kind: str) -> list[str]:
    """Return the words of a command that name an input with a row that fails."""
    header, rows = ["email", "firstName"], [("a@example.com", "Zo\u00eb"), ("b@example", "J\u00fcrgen, der")]
    if kind == "query":
        with closing(sqlite3.connect(folder / "crm.db")) as database:
            database.execute("CREATE TABLE people (email, firstName)")
            database.executemany("INSERT INTO people VALUES (?, ?)", rows)
            database.commit()
        return ["--sql", "SELECT * FROM people", "--from", f"sqlite:///{folder / 'crm.db'}"]
    path = folder / f"in.{kind}"
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif kind == "parquet":
        duckdb.sql(f"COPY (SELECT * FROM (VALUES {', '.join(map(repr, rows))}) t(email, firstName)) TO '{path}'")
    else:
        with path.open("w", encoding="cp1252", newline="") as file:
            csv.writer(file, delimiter=";").writerows([header, *rows])
    return [str(path)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "query"])
def test_what_failed_is_loaded_again_with_the_same_mapping_file(run: Run, tmp_path: Path, kind: str) -> None:
    write(
        tmp_path / "m.toml",
        '[columns]\nemail = "email"\nfirstName = "firstName"\n[settings]\nencoding = "cp1252"\ndelimiter = ";"\n',
    )
    assert run("upsert", *make_input(tmp_path, kind), "--mapping", "m.toml", "--sandbox", "--out", "out")[0] == 1
    for name in ("failed.csv", "failed.jsonl") if kind == "jsonl" else ("failed.csv",):
        failed = tmp_path / "out" / name
        failed.write_bytes(failed.read_bytes().replace(b"b@example", b"b@example.com"))
        out = f"again {name}"
        code, _, err = run("upsert", failed, "--mapping", "m.toml", "--sandbox", "--out", out)
        assert code == 0, err
        assert table(tmp_path / out / "succeeded.csv", ";")[0]["firstName"] == "J\u00fcrgen, der"


@pytest.mark.parametrize(
    ("delimiter", "encoding", "has_mark"),
    [
        (",", "utf-8", False),
        (";", "utf-8-sig", True),
        ("\t", "utf-16", True),
        ("|", "cp1252", True),
        (";", "utf-8", False),
    ],
)
def test_result_files_open_where_the_input_did(
    run: Run, tmp_path: Path, delimiter: str, encoding: str, has_mark: bool
) -> None:
    path = tmp_path / "a.csv"
    rows = [["email", "firstName", "dob"], ["a@example.com", "Zo\u00eb", "soon"], ["b@example", "J\u00fcrgen", ""]]
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert run("upsert", path, "--sandbox", "--out", "out")[0] == 1
    for name in ("succeeded.csv", "failed.csv", "problems.csv"):
        data = (tmp_path / "out" / name).read_bytes()
        assert data.startswith(b"\xef\xbb\xbf") is has_mark
        found = list(csv.reader(data.decode("utf-8-sig").splitlines(), delimiter=delimiter))
        assert len(found[0]) > 3
        assert {len(row) for row in found} == {len(found[0])}
    again = tmp_path / "out" / "failed.csv"
    again.write_bytes(again.read_bytes().replace(b"b@example", b"b@example.com"))
    assert run("upsert", again, "--sandbox", "--out", "again")[0] == 0


def test_result_files_of_inputs_that_differ_have_commas(run: Run, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "email;city\na@example.com;Rome, Italy\n")
    second = write(tmp_path / "b.csv", "email,city\nb@example.com,Bonn\n")
    third = write(tmp_path / "c.jsonl", '{"email": "c@example.com"}\n')
    assert run("upsert", first, second, third, "--sandbox", "--out", "out")[0] == 0
    assert [row["city"] for row in table(tmp_path / "out" / "succeeded.csv")] == ["Rome, Italy", "Bonn", ""]
    assert run("upsert", first, third, "--sandbox", "--out", "alike")[0] == 0
    assert (tmp_path / "alike" / "succeeded.csv").read_text().startswith("email;city;contact_id")


def test_the_list_of_ignored_columns_is_never_cut(run: Run, tmp_path: Path) -> None:
    names = [f"A column that nobody knows, number {number}" for number in range(200)]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["email", *names], ["a@example.com"]])
    _, _, err = run("upsert", path, "--sandbox", "--out", "out")
    assert all(name in err for name in names)
    assert all(name in run("plan", path, "--offline")[1] for name in names)


def test_one_of_anything_is_singular(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "email,tags,DND SMS,city\na@example.com,vip,yes,\n")
    out = "".join(run("plan", path, "--offline", "--empty", "clear")[1:])
    out += "".join(run("upsert", path, "--sandbox", "--dry-run")[1:]) + "".join(run("upsert", path, "--sandbox")[1:])
    assert "1 row" in out
    assert (
        re.findall(r"(?<![\d,.])1 (?:more )?(?:rows|calls|contacts|cells|columns|fields|kinds|lines|days)\b", out) == []
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--map", "City=tags", "--map", "City=ignore"], "the column 'City' is both sent and ignored"),
        (["--map", "email"], "--map 'email' is not valid; write --map \"Column=field\""),
        (["--map", "City=town"], "--map 'City=town': 'town' is not a field of a contact"),
        (["--map", "Cty=city"], "--map 'Cty': no file has such a column; did you mean 'City'?"),
        (["--ignore", "Cty"], "--ignore 'Cty': no file has such a column; did you mean 'City'?"),
        (["--ignore", "email"], "there is no column for email or phone (found: email, City)"),
        (["--mapping", "gone.toml"], "mapping file gone.toml: cannot be read"),
        (["--owners", "gone.csv"], "owners file gone.csv: cannot be read"),
        (["--default-country", "Atlantis"], "'Atlantis' is not a country; give its two letters, such as US"),
        (["--date-order", "ymd"], "'ymd' is not a date order; give mdy or dmy"),
    ],
)
def test_wrong_use_is_one_sentence(run: Run, tmp_path: Path, options: list[str], told: str) -> None:
    path = write(tmp_path / "a.csv", "email,City\na@example.com,Bonn\n")
    code, out, err = run("upsert", path, "--sandbox", *options)
    assert (code, out) == (2, "")
    assert told in err
    assert err.startswith("leadconnector: ")
    assert err.count("\n") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv"]


def test_a_load_goes_on_as_it_was_meant_or_not_at_all(run: Run, tmp_path: Path) -> None:
    options = ["--map", "Level=custom:Plan", "--date-order", "dmy"]
    path = write(tmp_path / "a.csv", "email,Level,dob\na@example.com,Pro,03/04/1990\nb@example,Pro,\n")
    assert run("upsert", path, "--sandbox", "--out", "out", *options)[0] == 1
    before = (tmp_path / "out" / "problems.csv").read_text()
    assert run("upsert", path, "--sandbox", "--out", "out", "--resume", *options)[0] == 1
    assert (tmp_path / "out" / "problems.csv").read_text() == before
    for other in (options[:2], [*options[:3], "mdy"], options[2:]):
        assert run("upsert", path, "--sandbox", "--out", "out", "--resume", *other)[0] == 2


def test_a_file_that_others_wrote_is_printed_without_control_characters(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["email", "No\x1b[31mte", "dob"], ["a@example.com", "x", "\x1b[2Jsoon"]])
    _, out, err = run("upsert", path, "--sandbox", "--out", "out")
    assert "\x1b" not in out + err
    assert "\x1b" not in run("map", path)[1].replace('"No\\u001b[31mte"', "")


def test_words_for_nothing_are_counted_and_can_be_sent(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,phone,city\na@example.com,N/A,N/A\nb@example.com,NULL,Boston\n")
    _, out, err = run("plan", path, "--offline")
    assert "2 x phone stands for nothing; counts as an empty cell" in out + err
    assert "1 x city stands for nothing; counts as an empty cell" in out + err
    _, out, err = run("plan", path, "--offline", "--keep-placeholders")
    assert "city stands" not in out + err
    code, *_ = run("plan", path, "--offline", "--strict")  # nothing is wrong with an empty cell
    assert code == 0


def test_a_number_that_may_mean_two_things_is_told_by_kind_in_the_plan(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,phone\na@example.com,491717654321\nb@example.com,491717654322\nc@example.com,0171 7654323\n")
    _, out, err = run("plan", path, "--offline", "--default-country", "DE")
    assert "2 x phone may begin with a country code without its +" in out + err
