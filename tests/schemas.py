"""The JSON Schemas of the documents for machines in leadconnector_async/schemas, rendered from their classes.

`python -m tests.schemas` writes them; tests/cli/test_documents.py checks that they are current. Every document that a
command prints in a test is checked with them (`tests/cli/conftest.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import jsonschema
import msgspec

from leadconnector_async.cli.documents import DOCUMENTS
from tests.pages import PACKAGE

FOLDER: Final = PACKAGE / "schemas"


def render(name: str) -> str:
    """The schema of a document."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(DOCUMENTS[name])}
    return json.dumps(schema, indent=1) + "\n"


def name_of_document(words: list[str]) -> str:
    """The name of the document that a command prints."""
    if words[0] == "upsert":
        kinds = [option.strip("-") for option in ("--dry-run", "--dask") if option in words]
        return "-".join(["upsert", *kinds])
    if words[0] == "outbox":
        return {"status": "outbox", "list": "outbox-list"}.get(words[1], "outbox-count")
    if words[0] == "ingest" and "--stdin" in words:
        return "ingest-stdin"
    return words[0]


def check_document(name: str, text: str) -> None:
    """Check a document with its schema; and that the schema has all its keys, although others may allow more."""
    document, schema = json.loads(text), _shipped(name)
    jsonschema.validate(document, schema)
    assert not list(_unknown(document, schema, schema)), name


@cache
def _shipped(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _unknown(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    """The keys of a document that no schema names."""
    kinds = list(_resolved(schema, root))
    if isinstance(value, list):
        for item in value:
            for kind in kinds:
                yield from _unknown(item, kind.get("items") or {}, root) if isinstance(kind.get("items"), dict) else ()
    if isinstance(value, dict):
        objects = [kind for kind in kinds if kind.get("type") == "object" and "properties" in kind]
        for key, item in value.items() if objects else ():
            known = [kind["properties"][key] for kind in objects if key in kind["properties"]]
            if not known:
                yield key
            for kind in known:
                yield from _unknown(item, kind, root)


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema without references, as each of its alternatives."""
    if "$ref" in schema:
        yield from _resolved(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _resolved(one, root)
    else:
        yield schema


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in DOCUMENTS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
