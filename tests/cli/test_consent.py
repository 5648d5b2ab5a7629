"""People who opted out, from the command line: nobody becomes contactable, and what cannot be read stops the load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli.flags import with_flags
from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import LOCATION, Run, calls_of_rows, stored, table, update


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def load(url: str, *contacts: dict[str, Any]) -> None:
    async def work() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            assert (await lc.contacts.bulk_upsert(contacts)).is_complete

    asyncio.run(work())


def closed(url: str) -> dict[str, set[str]]:
    """What is closed of each contact, by its email or phone."""
    found = {}
    for one in stored(url):
        settings = json.loads(one.raw).get("dndSettings", {})
        channels = {name for name, setting in settings.items() if setting["status"] != "inactive"}
        found[one.email or one.phone or ""] = channels | ({"dnd"} if one.dnd else set())
    return found


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert found["total"] == sum(
        found[name] for name in ("created", "updated", "failed", "skipped", "unknown", "not_attempted")
    )
    return found


# ---------------------------------------------------------------------------------------------- what stops


def test_a_column_that_cannot_be_read_stops_the_load_before_the_first_write(run: Run, url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Email,Text Opt-Out", "a@example.com,yes", "b@example.com,ask him")
    code, out, err = run("upsert", path, "--out", "out")
    assert (code, out) == (2, "")
    told = (
        f"leadconnector: {path}: the column 'Text Opt-Out' is about consent (opt-out:SMS), and cannot be read "
        "('ask him' 1 x; 2 cells are filled); say what it means: --map \"Text Opt-Out=opt-out:SMS\" where yes closes, "
        '--map "Text Opt-Out=opt-in:SMS" where no closes, or --ignore "Text Opt-Out"\n'
    )
    assert err == told
    assert not (tmp_path / "out").exists()
    assert closed(url) == {}
    code, out, _ = run("plan", path, "--json")
    planned = json.loads(out)
    assert (code, [f"leadconnector: {with_flags(obstacle)}\n" for obstacle in planned["obstacles"]]) == (1, [told])
    assert run("upsert", path, "--dry-run")[0] == 2
    assert run("upsert", path, "--out", "one", "--map", "Text Opt-Out=opt-out:SMS")[0] == 0
    assert closed(url) == {"a@example.com": {"SMS"}, "b@example.com": {"SMS"}}


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (("--map", "Text Opt-Out=opt-in:SMS"), [set(), {"SMS"}]),
        (("--map", "Text Opt-Out=opt-out:Email, call"), [{"Email", "Call"}] * 2),
        (("--map", "Text Opt-Out=opt-out:all"), [{"dnd"}] * 2),
        (("--ignore", "Text Opt-Out"), [set(), set()]),
        (("--map", "Text Opt-Out=ignore"), [set(), set()]),
    ],
)
def test_the_user_settles_what_a_column_means(
    run: Run, url: str, tmp_path: Path, option: tuple[str, str], expected: list[set[str]]
) -> None:
    path = write(tmp_path / "a.csv", "Email,Text Opt-Out", "a@example.com,yes", "b@example.com,ask him")
    assert run("upsert", path, "--out", "out", *option)[0] == 0
    assert [closed(url)[f"{name}@example.com"] for name in "ab"] == expected


def test_a_status_mapped_to_do_not_disturb_stops_and_names_the_two_ways(run: Run, url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Email,Membership", "a@example.com,active", "b@example.com,inactive")
    code, _, err = run("upsert", path, "--out", "out", "--map", "Membership=dnd:Email")
    assert (code, closed(url)) == (2, {})
    assert '--map "Membership=opt-out:Email"' in err
    assert '--map "Membership=opt-in:Email"' in err
    assert run("upsert", path, "--out", "out", "--map", "Membership=opt-in:Email")[0] == 0
    assert closed(url) == {"a@example.com": set(), "b@example.com": {"Email"}}


def test_columns_about_consent_are_named_before_the_load(run: Run, url: str, tmp_path: Path) -> None:
    header = "Email,Unsubscribed,Accepts SMS Marketing,Do Not Mail,Opt-in Time"
    path = write(tmp_path / "a.csv", header, "a@example.com,no,no,yes,2024-01-01")
    code, _, err = run("upsert", path, "--out", "out")
    assert code == 0
    assert "a.csv: read as consent: Unsubscribed (opt-out:Email), Accepts SMS Marketing (opt-in:SMS)" in err
    assert "ignored columns: Do Not Mail (it is about post or fax, for which there is no channel)" in err
    assert "ignored columns: Opt-in Time (no field matches it)" in err
    assert closed(url) == {"a@example.com": {"SMS"}}
    assert run("verify", "out")[0] == 0


# ---------------------------------------------------------------------------------------------- nothing is opened


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl", "all.parquet"])
def test_the_product_s_own_export_opens_nobody_who_opted_out_since(
    run: Run, url: str, tmp_path: Path, name: str
) -> None:
    settings = {"Email": {"status": "inactive"}, "SMS": {"status": "active"}}
    load(url, {"email": "a@example.com", "dndSettings": settings}, {"email": "b@example.com", "dnd": True})
    assert run("export", name)[0] == 0
    (contact,) = [one for one in stored(url) if one.email == "a@example.com"]
    update(url, contact.id, dnd=True, dnd_settings={"Email": {"status": "active"}})
    before = closed(url)
    assert run("upsert", name, "--out", "out")[0] == 0
    assert closed(url) == before == {"a@example.com": {"dnd", "Email", "SMS"}, "b@example.com": {"dnd"}}


def test_no_in_any_column_of_do_not_disturb_opens_nobody(run: Run, url: str, tmp_path: Path) -> None:
    load(url, {"email": "a@example.com", "dnd": True, "dndSettings": {"SMS": {"status": "active"}}})
    header = "email,DND,DND SMS,Do Not Text,SMS Opt-In"
    path = write(tmp_path / "a.csv", header, "a@example.com,false,inactive,no,yes")
    code, _, err = run("upsert", path, "--out", "out")
    assert (code, closed(url)) == (0, {"a@example.com": {"dnd", "SMS"}})
    assert "1 x DND SMS would open the channel, which nothing in a file does; left out" in err


# ---------------------------------------------------------------------------------------------- selections

PEOPLE = (
    {"email": "ann@example.com", "firstName": "Ann", "dndSettings": {"Call": {"status": "active", "message": "rang"}}},
    {"email": "bob@example.com", "firstName": "Bob"},
    {"email": "cyd@example.com", "firstName": "Cyd", "dnd": True, "dndSettings": {"SMS": {"status": "active"}}},
)
ROWS = (
    "email,firstName,city,SMS Opt-Out,Do Not Contact",
    "ann@example.com,Anna,,yes,",
    "bob@example.com,Bob,Bonn,yes,yes",
    "cyd@example.com,,,yes,yes",
    "dot@example.com,Dot,,yes,",
    "eve@example.com,Eve,,,",
)
CLOSED = {
    "ann@example.com": {"Call", "SMS"},
    "bob@example.com": {"dnd", "SMS"},
    "cyd@example.com": {"dnd", "SMS"},
    "dot@example.com": {"SMS"},
    "eve@example.com": set(),
}


@pytest.mark.parametrize(
    "options",
    [
        *(("--only-new",), ("--only-existing",), ("--fill-empty",), ("--skip-unchanged",)),
        *(
            ("--only-new", "--skip-unchanged"),
            ("--only-existing", "--fill-empty"),
            ("--fill-empty", "--skip-unchanged"),
        ),
    ],
    ids=" ".join,
)
def test_each_selection_closes_whom_it_leaves_out_and_the_plan_says_so(
    run: Run, url: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    load(url, *PEOPLE)
    path = write(tmp_path / "a.csv", *ROWS)
    _, out, _ = run("plan", path, "--json", *options)
    planned = json.loads(out)
    code, out, _ = run("upsert", path, "--out", "out", "--snapshot", *options)
    assert code == 0, out
    expected = {name: CLOSED[name] for name in closed(url)}
    assert closed(url) == expected
    assert set(expected) == (
        {*CLOSED} if "--only-existing" not in options else {*CLOSED} - {"dot@example.com", "eve@example.com"}
    )
    names = {one.email: one.first_name for one in stored(url)}
    assert names["ann@example.com"] == ("Ann" if {"--only-new", "--fill-empty"} & {*options} else "Anna")
    done = report(tmp_path / "out")
    assert (planned["to_send"], planned["skipped"]) == (done["created"] + done["updated"], done["skipped"])
    assert planned["comparison"]["skipped"] == done.get("skip_reasons", {})
    assert planned["calls"] >= calls_of_rows(tmp_path / "out")
    code, out, _ = run("verify", "out")
    assert (code, "No differences." in out) == (0, True), out
    assert run("undo", "out", "--yes", "--force")[0] == 0
    assert closed(url) == {"ann@example.com": {"Call"}, "bob@example.com": set(), "cyd@example.com": {"dnd", "SMS"}}


def test_what_was_sent_of_whom_was_left_out_is_told(run: Run, url: str, tmp_path: Path) -> None:
    load(url, *PEOPLE)
    code, out, _ = run("upsert", write(tmp_path / "a.csv", *ROWS), "--out", "out", "--only-new")
    told = "the contact existed before the load (`only_new`); only its opt-out is sent"
    assert (code, f"2 x not sent: {with_flags(told)} (see skipped.csv)" in out) == (0, True)
    skipped = {row["email"][:3]: row["reason"] for row in table(tmp_path / "out" / "skipped.csv")}
    assert skipped == {
        "ann": f"{told} (do not disturb was sent: SMS)",
        "bob": f"{told} (do not disturb was sent: dnd, SMS)",
        "cyd": "the contact existed before the load (`only_new`)",
    }
    done = report(tmp_path / "out")
    assert (done["created"], done["updated"], done["skipped"], done["retries"]) == (2, 0, 3, 0)
    assert calls_of_rows(tmp_path / "out") == 7
    assert told in (tmp_path / "out" / "report.html").read_text()
    (ann,) = [one for one in stored(url) if one.email == "ann@example.com"]
    assert json.loads(ann.raw)["dndSettings"]["Call"] == {"status": "active", "message": "rang"}


def test_somebody_whom_the_load_itself_has_made_is_closed_too(run: Run, url: str, tmp_path: Path) -> None:
    """The second row is left out, as Ann has its phone; its address is that of somebody whom the first row has made."""
    load(url, {"email": "ann@example.com", "phone": "+16175550101"})
    rows = ("email,phone,Unsubscribed", "new@example.com,,no", "new@example.com,+16175550101,yes")
    code, _, _ = run(
        "upsert", write(tmp_path / "a.csv", *rows), "--out", "out", "--only-new", "--phone-conflict", "allow"
    )
    assert code == 0
    assert closed(url) == {"ann@example.com": {"Email"}, "new@example.com": {"Email"}}


def test_a_row_whose_opt_out_cannot_be_sent_has_failed(run: Run, url: str, tmp_path: Path) -> None:
    load(url, *PEOPLE)
    path = write(tmp_path / "a.csv", *ROWS)
    ids = {one.email: one.id for one in stored(url)}

    async def delete_bob() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            await lc.contacts.delete(ids["bob@example.com"])

    run("plan", path, "--only-new")
    # What was there is read, and then he is gone: as if somebody deleted him while the load ran.
    from leadconnector_async.migration import migration

    original = migration.open_chooser

    async def open_and_delete(*arguments: Any, **options: Any) -> Any:
        chooser = await original(*arguments, **options)
        await delete_bob()
        return chooser

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "open_chooser", open_and_delete)
        code, _, _ = run("upsert", path, "--out", "out", "--only-new")
    assert code == 1
    (failed,) = table(tmp_path / "out" / "failed.csv")
    assert (failed["email"], "its opt-out was not sent" in failed["error"]) == ("bob@example.com", True)
    assert closed(url)["ann@example.com"] == {"Call", "SMS"}


# ---------------------------------------------------------------------------------------------- who is closed, by what

SAYING = (
    "email,phone,Do Not Text,Email Status,Opt Out,Phone DNC",
    "ann@example.com,,yes,subscribed,,",
    "bob@example.com,,Y,unsubscribed,,",
    "cyd@example.com,+16175550101,no,cleaned,x,yes",
    "dot@example.com,,,subscribed,,",
)
SAID = {
    "rows": 3,
    "channels": {"Call": 1, "Email": 2, "SMS": 3, "all": 1},
    "columns": [
        ("Do Not Text", "opt-out:SMS", {"yes": 1, "Y": 1}),
        ("Email Status", "opt-in:Email", {"unsubscribed": 1, "cleaned": 1}),
        ("Opt Out", "opt-out:all", {"x": 1}),
        ("Phone DNC", "opt-out:Call,SMS@phone", {"yes": 1}),
    ],
}
BEFORE = {"all": 1, "Call": 1, "Email": 0, "SMS": 1}


def said(closings: dict[str, Any]) -> dict[str, Any]:
    columns = [(one["column"], one["target"], one["words"]) for one in closings["columns"]]
    assert [one["rows"] for one in closings["columns"]] == [sum(words.values()) for _, _, words in columns]
    return {"rows": closings["rows"], "channels": closings["channels"], "columns": columns}


def test_plan_and_report_show_whom_they_close_by_what_and_who_was_closed_before(
    run: Run, url: str, tmp_path: Path
) -> None:
    load(url, *PEOPLE)
    path = write(tmp_path / "a.csv", *SAYING)
    code, out, _ = run("plan", path, "--json", "--html", "plan.html")
    planned = json.loads(out)["closings"]
    assert (code, said(planned), planned["before"]) == (0, SAID, BEFORE)
    text = run("plan", path)[1]
    code, out, err = run("upsert", path, "--out", "out", "--json")
    assert code == 0
    done = report(tmp_path / "out")
    assert done["closings"] == json.loads(out)["closings"]
    assert (said(done["closings"]), done["closings"]["before"]) == (SAID, BEFORE)
    for shown in (text, err):
        assert "3 rows close channels: Call 1, Email 2, SMS 3, all channels (dnd) 1" in shown
        assert f"{path}: Email Status (opt-in:Email) closes on 2 rows: 'unsubscribed' 1 x, 'cleaned' 1 x" in shown
        assert "Closed at the service before the load: all channels (dnd) 1, Call 1, Email 0, SMS 1" in shown
    for page in (tmp_path / "plan.html", tmp_path / "out" / "report.html"):
        html = page.read_text()
        assert 'data-key="closed_SMS">3<' in html.replace(' value="3"', "")
        assert "unsubscribed (1), cleaned (1)" in html


@pytest.mark.parametrize("options", [(), ("--only-new",), ("--skip-unchanged",)], ids=str)
def test_the_report_counts_those_whose_opt_outs_were_sent(
    run: Run, url: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    load(url, *PEOPLE)
    assert run("upsert", write(tmp_path / "a.csv", *ROWS), "--out", "out", *options)[0] == 0
    told = report(tmp_path / "out")["closings"]
    is_partial = bool(options)  # what Cyd opts out of was closed before, so that nothing is sent of her
    assert (told["rows"], told["channels"]) == ((3, {"SMS": 3, "all": 1}) if is_partial else (4, {"SMS": 4, "all": 2}))


def test_a_load_that_closes_nobody_asks_and_says_nothing_of_it(run: Run, url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "email,Unsubscribed", "a@example.com,no")
    assert json.loads(run("plan", path, "--json")[1])["closings"] is None
    code, _, err = run("upsert", path, "--out", "out")
    assert (code, "closings" in report(tmp_path / "out"), "close channels" in err) == (0, False, False)
    assert report(tmp_path / "out")["requests"] == 1


def test_a_plan_made_offline_asks_who_was_closed_when_it_is_loaded(run: Run, url: str, tmp_path: Path) -> None:
    load(url, *PEOPLE)
    path = write(tmp_path / "a.csv", *SAYING)
    planned = json.loads(run("plan", path, "--json", "--offline", "--out", "out")[1])["closings"]
    assert (said(planned), planned["before"]) == (SAID, None)
    assert run("upsert", "out")[0] == 0
    assert report(tmp_path / "out")["closings"]["before"] == BEFORE
    assert run("upsert", "out")[0] == 0  # what was closed by then counts no more
    assert report(tmp_path / "out")["closings"]["before"] == BEFORE


def test_a_service_that_cannot_count_them_stops_nothing(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leadconnector_async.sandbox import search

    monkeypatch.setattr(search, "FIELDS", [name for name in search.FIELDS if "dndSettings" not in name])
    code, _, err = run("upsert", write(tmp_path / "a.csv", *SAYING), "--out", "out")
    assert (code, report(tmp_path / "out")["closings"]["before"]) == (0, None)
    assert "How many contacts were closed before could not be looked up (" in err


def test_channels_closed_in_names_of_the_api_are_counted_too(run: Run, url: str, tmp_path: Path) -> None:
    lines = (
        '{"email": "a@example.com", "dnd": true}',
        '{"email": "b@example.com", "dndSettings": {"SMS": {"status": "permanent"}, "Email": {"status": "inactive"}}}',
    )
    planned = json.loads(run("plan", write(tmp_path / "a.jsonl", *lines), "--json")[1])["closings"]
    assert said(planned) == {
        "rows": 2,
        "channels": {"SMS": 1, "all": 1},
        "columns": [("dnd", "dnd", {"true": 1}), ("dndSettings", "dndSettings", {"SMS": 1})],
    }
    assert run("export", "all.csv")[0] == 0


# ---------------------------------------------------------------------------------------------- refused rows and ro

HOUSE_OF_ANN = "+16175550111"
SELECTIONS = (
    (),
    *((f"--{name}",) for name in ("only-new", "only-existing", "fill-empty", "skip-unchanged", "snapshot")),
    *(("--phone-conflict", rule) for rule in ("skip", "second-pass", "allow")),
    ("--tags", "replace"),
    ("--empty", "clear"),
)
"""All that chooses which rows are sent, or what of them."""
REFUSED = {
    "an email that is wrong": ("ann@@example.com", HOUSE_OF_ANN, "", "", ""),
    "tags that cannot be read": ("ann@example.com", "", "[broken", "", ""),
    "custom fields that cannot be read": ("ann@example.com", "", "", "{broken", ""),
    "an option that is neither yes nor no": ("ann@example.com", "", "", "", "maybe"),
}


@pytest.mark.parametrize("options", SELECTIONS, ids=" ".join)
@pytest.mark.parametrize("why", REFUSED)
def test_a_row_that_is_refused_closes_whoever_it_names(
    run: Run, url: str, tmp_path: Path, why: str, options: tuple[str, ...]
) -> None:
    load(url, {"email": "ann@example.com", "phone": HOUSE_OF_ANN, "dndSettings": PEOPLE[0]["dndSettings"]})
    header = "email,phone,tags,customFields,createNewIfDuplicateAllowed,Unsubscribed,Do Not Text"
    path = write(tmp_path / "a.csv", header, ",".join([*REFUSED[why], "yes", "no"]))
    planned = json.loads(run("plan", path, "--json", *options)[1])
    code, out, _ = run("upsert", path, "--out", "out", *options)
    assert (code, closed(url)) == (1, {"ann@example.com": {"Call", "Email"}}), out
    (failed,) = table(tmp_path / "out" / "failed.csv")
    assert (failed["status"], failed["error"].endswith("(do not disturb was sent: Email)")) == ("failed", True)
    done = report(tmp_path / "out")
    assert (done["failed"], done["closings"]["rows"], done["closings"]["channels"]) == (1, 1, {"Email": 1})
    assert planned["calls"] >= calls_of_rows(tmp_path / "out")
    assert planned["closings"]["channels"] == {"Email": 1}


def test_a_refused_row_closes_nobody_if_nobody_knows_whom_it_means(run: Run, url: str, tmp_path: Path) -> None:
    """Its cells may have moved, its location is not known, or nobody has its email and phone."""
    load(url, {"email": "ann@example.com"})
    header = "email,city,Unsubscribed,locationId,tags"
    rows = ("ann@example.com,Bonn,yes,,,more", "ann@example.com,,yes,no such place!,", "new@example.com,,yes,,[broken")
    code, _, _ = run("upsert", write(tmp_path / "a.csv", header, *rows), "--out", "out")
    assert (code, closed(url)) == (1, {"ann@example.com": set()})
    ends = [row["error"].endswith("nothing to close)") for row in table(tmp_path / "out" / "failed.csv")]
    assert ends == [False, False, True]


def test_a_refused_line_of_json_closes_whoever_it_names(run: Run, url: str, tmp_path: Path) -> None:
    load(url, {"email": "ann@example.com", "phone": HOUSE_OF_ANN})
    line = {"email": "ann@@example.com", "phone": HOUSE_OF_ANN, "dndSettings": {"SMS": {"status": "active"}}}
    code, _, _ = run("upsert", write(tmp_path / "a.jsonl", json.dumps(line)), "--out", "out")
    assert (code, closed(url)) == (1, {"ann@example.com": {"SMS"}})


ONE_PERSON = {
    "by email": ("ann@example.com,,Ann,,", "ann@example.com,,Anna,yes,"),
    "by email, in another case": ("ann@example.com,,Ann,,", "Ann@Example.com,,Anna,yes,"),
    "by phone alone": (f"ann@example.com,{HOUSE_OF_ANN},Ann,,", f",{HOUSE_OF_ANN},Anna,yes,"),
    "by a phone that had no email": (f",{HOUSE_OF_ANN},Ann,,", f"ann@example.com,{HOUSE_OF_ANN},Anna,yes,"),
    "in a row that is refused": ("ann@example.com,,Ann,,", "ann@example.com,,Anna,yes,[broken"),
}


@pytest.mark.parametrize("options", SELECTIONS, ids=" ".join)
@pytest.mark.parametrize("rows", ONE_PERSON.values(), ids=ONE_PERSON)
def test_a_later_row_that_opts_out_closes_the_first_write_of_its_person(
    run: Run, url: str, tmp_path: Path, rows: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """A contact that is created open for a moment may start a workflow that writes to it."""
    path = write(tmp_path / "a.csv", "email,phone,firstName,Unsubscribed,tags", *rows, "bob@example.com,,Bob,,")
    assert run("plan", path, "--out", "out", *options)[0] == int("[broken" in rows[1])
    code, out, _ = run("upsert", "out", "--limit", "1")
    assert code == 0, out
    assert all(channels == {"Email"} for channels in closed(url).values())
    assert len(closed(url)) == ("--only-existing" not in options)
    run("upsert", "out")
    expected = {frozenset({"Email"}), frozenset()} if "--only-existing" not in options else set()
    assert {frozenset(channels) for channels in closed(url).values()} == expected


@pytest.mark.parametrize("rows", ONE_PERSON.values(), ids=ONE_PERSON)
@pytest.mark.parametrize("kind", ["one file", "two files"])
def test_rows_that_are_not_loaded_close_those_of_their_person(
    run: Run, url: str, tmp_path: Path, rows: tuple[str, ...], kind: str
) -> None:
    header = "email,phone,firstName,Unsubscribed,tags"
    paths = [write(tmp_path / "a.csv", header, rows[0], *(rows[1:] if kind == "one file" else ()))]
    paths += [write(tmp_path / "b.csv", header, rows[1])] if kind == "two files" else []
    code, out, _ = run("upsert", *paths, "--out", "out", "--limit", "1")
    assert (code, [*closed(url).values()]) == (0, [{"Email"}]), out
    (problem,) = table(tmp_path / "out" / "problems.csv")
    assert problem["problem"] == "opts out of more channels, as other rows of this person do (Email)"


def test_a_row_that_its_source_has_deleted_closes_others_of_its_person(run: Run, url: str, tmp_path: Path) -> None:
    rows = ("email,HasOptedOutOfEmail,IsDeleted", "ann@example.com,0,0", "ann@example.com,1,1", "bob@example.com,0,0")
    code, out, _ = run("upsert", write(tmp_path / "a.csv", *rows), "--out", "out")
    assert (code, closed(url)) == (0, {"ann@example.com": {"Email"}, "bob@example.com": set()}), out


def test_people_who_share_a_phone_keep_what_each_of_them_said(run: Run, url: str, tmp_path: Path) -> None:
    rows = (f"ann@example.com,{HOUSE_OF_ANN},", f"zoe@example.com,{HOUSE_OF_ANN},yes", "bob@example.com,,")
    assert run("upsert", write(tmp_path / "a.csv", "email,phone,Unsubscribed", *rows), "--out", "out")[0] == 0
    assert closed(url) == {"ann@example.com": set(), "zoe@example.com": {"Email"}, "bob@example.com": set()}


# ---------------------------------------------------------------------------------------------- rows that share a phone

HOUSE = "+16175550100"


def shared(path: Path, header: str = "Opt Out") -> Path:
    return write(path, f"email,phone,{header}", f"ann@example.com,{HOUSE},", f"zoe@example.com,{HOUSE},yes")


@pytest.fixture
def serve(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:

        def start(**options: Any) -> str:
            sandbox = stack.enter_context(run_sandbox(max_requests=10_000, per_seconds=1.0, **options))
            for name, value in {**sandbox.environ, "LEADCONNECTOR_LOCATION_ID": LOCATION}.items():
                monkeypatch.setenv(name, value)
            return sandbox.url

        yield start


@pytest.mark.parametrize("rule", ["skip", "second-pass", "allow"])
@pytest.mark.parametrize(
    "options",
    [(), *((f"--{name}",) for name in ("only-new", "only-existing", "fill-empty", "skip-unchanged"))],
    ids=str,
)
@pytest.mark.parametrize("matches_by", [("email", "phone"), ("phone",), ("email",)], ids=str)
def test_whoever_an_opted_out_row_meets_is_closed_where_it_shares_its_phone(
    run: Run,
    serve: Callable[..., str],
    tmp_path: Path,
    rule: str,
    options: tuple[str, ...],
    matches_by: tuple[str, ...],
) -> None:
    url = serve(unique_identifiers=matches_by)
    load(url, {"email": "ann@example.com", "phone": HOUSE}, {"email": "zoe@example.com"})
    known = sorted(one.id for one in stored(url))
    code, out, _ = run("upsert", shared(tmp_path / "a.csv"), "--out", "out", "--phone-conflict", rule, *options)
    assert code == 0, out
    is_by_phone = matches_by == ("phone",)
    found = {one.phone if is_by_phone else one.email: one.dnd for one in stored(url)}
    assert found[HOUSE if is_by_phone else "zoe@example.com"] is True
    if not is_by_phone:
        assert not found["ann@example.com"]
    assert sorted(one.id for one in stored(url)) == known
    assert run("verify", "out")[0] == 0 or rule != "skip"
    assert report(tmp_path / "out")["failed"] == 0


@pytest.mark.parametrize("options", [("--phone-conflict", "skip"), ("--phone-conflict", "skip", "--fill-empty"), ()])
def test_a_row_that_is_left_out_for_its_phone_says_what_it_closed(
    run: Run, serve: Callable[..., str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    url = serve(unique_identifiers=("phone",) if not options else ("email", "phone"))
    load(url, {"email": "ann@example.com", "phone": HOUSE}, *([{"email": "zoe@example.com"}] if options else []))
    path = shared(tmp_path / "a.csv", "DNC")
    code, out, _ = run("upsert", path, "--out", "out", "--snapshot", *options)
    who, other = ("zoe@example.com", "ann@example.com") if options else ("ann@example.com", "")
    assert (code, closed(url)) == (0, {who: {"Call", "SMS"}} | ({other: set()} if other else {})), out
    (row,) = [row for row in table(tmp_path / "out" / "skipped.csv") if row["email"] == "zoe@example.com"]
    assert row["reason"].endswith(f"(the other row is {path}, row 2; do not disturb was sent: Call, SMS)")
    assert run("verify", "out")[0] == 0
    assert run("undo", "out", "--yes", "--force")[0] == 0
    assert not any(closed(url).values())


def test_a_row_that_is_left_out_and_meets_nobody_closes_nobody(
    run: Run, serve: Callable[..., str], tmp_path: Path
) -> None:
    url = serve(unique_identifiers=("email",))
    load(url, {"email": "ann@example.com"})
    rows = ("email,Opt Out", "zoe@example.com,yes")
    code, _, _ = run("upsert", write(tmp_path / "a.csv", *rows), "--out", "out", "--only-existing")
    assert (code, closed(url)) == (0, {"ann@example.com": set()})
    (row,) = table(tmp_path / "out" / "skipped.csv")
    assert row["reason"].endswith("(`only_existing`) (no contact has its email or phone, so there is nothing to close)")


@pytest.mark.parametrize("options", [("--only-existing",), ("--only-existing", "--skip-unchanged"), ("--only-new",)])
def test_somebody_whom_a_search_does_not_show_yet_is_closed(
    run: Run, serve: Callable[..., str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    url = serve(search_lag=3600.0)
    load(url, *({"email": f"p{number}@example.com"} for number in range(3)))
    rows = ("email,Unsubscribed", *(f"p{number}@example.com,yes" for number in range(3)), "new@example.com,yes")
    code, out, _ = run("upsert", write(tmp_path / "a.csv", *rows), "--out", "out", *options)
    assert code == 0, out

    async def channels(email: str) -> Any:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            found = await lc.contacts.find_duplicate(email=email)
            return None if found is None else json.loads((await lc.contacts.get(found.id)).raw)["dndSettings"]

    for number in range(3):
        assert asyncio.run(channels(f"p{number}@example.com"))["Email"]["status"] == "active"
    assert (asyncio.run(channels("new@example.com")) is None) == ("--only-existing" in options)
