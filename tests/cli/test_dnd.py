"""Do not disturb in loads of files: what cannot be changed is reported, and undo leaves closed what was closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import Run, table

QUICK = ("--rate", "10000/1")


def closed(status: str = "permanent", **words: str) -> dict[str, str]:
    return {"status": status, **words}


def test_a_channel_that_is_closed_for_good_is_reported_and_undo_keeps_all_channels(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox(unlimited=True) as sandbox:
        for name, value in sandbox.environ.items():
            monkeypatch.setenv(name, value)
        stored: list[Any] = [
            {"email": "a@example.com", "dnd_settings": {"sms": closed(message="STOP"), "rcs": closed()}},
            {"email": "b@example.com", "dnd_settings": {"email": closed("active", message="asked")}},
            {"email": "c@example.com"},
        ]
        contacts = sandbox.seed(stored)
        (tmp_path / "people.csv").write_text(
            "email,city,DND SMS\na@example.com,Bonn,yes\nb@example.com,Bonn,yes\nc@example.com,Bonn,permanent\n"
        )
        code, out, err = run("upsert", "people.csv", "--out", "out", "--snapshot", *QUICK)
        assert code == 0, (out, err)
        assert "3 updated" in out
        assert "dnd_settings not applied on 2 rows: the API can neither change a channel that" in out
        rows = [(row["email"], row["sent"], row["stored"]) for row in table(tmp_path / "out" / "not_applied.csv")]
        assert sorted((email, json.loads(sent), json.loads(kept)) for email, sent, kept in rows) == [
            ("a@example.com", {"SMS": closed("active")}, {"SMS": closed(message="STOP")}),
            ("c@example.com", {"SMS": closed()}, {"SMS": closed("active")}),
        ]
        assert [contact.city for contact in sandbox.contacts()] == ["Bonn"] * 3
        assert all(settings_of(contact)["SMS"]["status"] != "inactive" for contact in sandbox.contacts())

        code, out, err = run("undo", "out", "--yes", *QUICK)
        assert code == 0, (out, err)
        after = {contact.email: settings_of(contact) for contact in sandbox.contacts()}
        assert after["a@example.com"] == settings_of(contacts[0])
        assert after["b@example.com"] == {"Email": closed("active", message="asked"), "SMS": closed("inactive")}
        assert after["c@example.com"] == {"SMS": closed("inactive")}
        (echo,) = (
            call.sent["dndSettings"] for call in sandbox.applied if call.method == "PUT" and "Email" in str(call.sent)
        )
        assert echo == after["b@example.com"]


def settings_of(contact: Any) -> Any:
    return json.loads(contact.raw).get("dndSettings")
