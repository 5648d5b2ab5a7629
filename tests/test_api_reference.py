"""The reference of the Python API is current, and leaves no public name without a docstring."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.api_reference import PAGE, ROOT, doc_of, is_documented, packages, render


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "renew it: python -m tests.api_reference"


def test_it_has_every_package_that_pages_import_from() -> None:
    assert {ROOT, f"{ROOT}.migration", f"{ROOT}.sandbox", f"{ROOT}.webhooks"} <= set(packages())


@pytest.mark.parametrize("package", packages())
def test_every_public_name_is_in_it_and_has_a_docstring(package: str) -> None:
    module, page = import_module(package), PAGE.read_text(encoding="utf-8")
    for name in module.__all__:
        found = getattr(module, name)
        if is_documented(found):
            assert doc_of(found), name
            assert f"### {name}\n" in page or f"- `{name}`" in page
