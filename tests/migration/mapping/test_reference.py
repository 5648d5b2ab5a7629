"""The page on what is recognised has what the tables have, and leaves nothing of them out."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from leadconnector_async.migration.mapping import headers
from leadconnector_async.rules import consent
from tests.migration.mapping.reference import HEADERS, NAMES, PAGE, WORDS, label, parts, render


def test_the_page_has_the_reference() -> None:
    found = parts(PAGE.read_text(encoding="utf-8"))[1]
    assert found == render(), "renew it: python -m tests.migration.mapping.reference"


@pytest.mark.parametrize("module", [consent, headers])
def test_every_language_has_its_part(module: ModuleType) -> None:
    folder = Path(str(module.__file__)).parent / "languages"
    assert {path.stem for path in folder.glob("*.txt")} == NAMES.keys()


def test_every_kind_of_line_has_a_name() -> None:
    for code in NAMES:
        for key in consent._file(code):
            assert key in WORDS or label(key, HEADERS), key


def test_every_rule_that_the_page_names_is_there() -> None:
    told = parts(PAGE.read_text(encoding="utf-8"))[0]
    targets = re.findall(r"`(opt-(?:out|in)):CHANNEL`", told)
    assert {*targets} == {*consent.KINDS}
