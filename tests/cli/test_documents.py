"""The documents for machines have schemas that ship with the package, are current, and fit what commands print."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from leadconnector_async.bulk.report import SCHEMA
from leadconnector_async.cli.documents import DOCUMENTS, Schema
from tests.cli.reference import commands
from tests.schemas import FOLDER, check_document, name_of_document, render


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schemas_are_current(name: str) -> None:
    path = FOLDER / f"{name}.json"
    assert path.read_text(encoding="utf-8") == render(name), "renew them: python -m tests.schemas"


def test_every_schema_is_of_a_document_and_every_command_with_json_has_one() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == DOCUMENTS.keys()
    printing = {name for name, command in commands().items() if any("--json" in one.opts for one in command.params)}
    assert printing
    assert printing <= DOCUMENTS.keys()


def test_all_have_the_same_number() -> None:
    assert get_args(Schema) == (SCHEMA,)
    for document in DOCUMENTS.values():
        assert "schema" in document.__struct_fields__


def test_a_document_of_another_shape_is_noticed() -> None:
    good = {"schema": 1, "forgotten": [{"id": "L1", "access_token_until": None}]}
    check_document(name_of_document(["logout"]), json.dumps(good))
    for bad in ({**good, "schema": 2}, {"schema": 1}, {**good, "forgotten": ["L1"]}):
        with pytest.raises(Exception, match=re.compile("required|not of type|not one of")):
            check_document("logout", json.dumps(bad))
    with pytest.raises(AssertionError):
        check_document("logout", json.dumps({**good, "more": 1}))
