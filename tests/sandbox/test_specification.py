"""Made-up calls, by the specification's facts and against them, find no answer that breaks the sandbox."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.service import ROUTES
from tests.sandbox.specification import LOCATION, build_document, operations

TESTER = "schemathesis>=4,<5"
SECONDS_TO_INSTALL = 180
EXAMPLES = 10  # of each operation. A number, as a time would let a busy machine try next to nothing.
SECONDS_TO_TRY = 900  # only so that a test that hangs ends
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ensure_resource_availability",
    "missing_required_header",
    "ignored_auth",
)
SETTINGS = """
[parameters]
"path.contactId" = "{kept}"
"path.locationId" = "{location}"
"query.locationId" = "{location}"
"header.Version" = "{version}"

[[operations]]
include-name = "DELETE /contacts/{{contactId}}"
parameters = {{ "path.contactId" = "{gone}" }}
"""


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
def test_the_sandbox_serves_what_the_facts_name_and_no_more(version: str) -> None:
    served = {(route.method, route.template) for route in ROUTES if version in route.versions}
    served -= {("GET", "/contacts"), ("POST", "/contacts")}  # the same, without the slash
    if version == "v3":
        served.remove(("DELETE", "/contacts/{contactId}/campaigns/removeAll"))  # still served, no more named
    assert served == {(method, path) for method, path, *_ in operations(version)}
    assert sum(path.startswith("/contacts") for _, path in served) == 32


@pytest.fixture(scope="module")
def tester() -> Iterator[Path]:
    """The property-based tester, in an environment of its own."""
    with tempfile.TemporaryDirectory() as path:  # pytest would keep its thousands of files for three more runs
        where = Path(path)
        subprocess.run([sys.executable, "-m", "venv", where], check=True, capture_output=True)
        command = [where / "bin" / "python", "-m", "pip", "install", "--quiet", TESTER]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{TESTER} is not installed within {SECONDS_TO_INSTALL} s")
        if done.returncode:
            pytest.skip(f"{TESTER} cannot be installed: {done.stderr.strip()[-300:]}")
        yield where / "bin" / "schemathesis"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
async def test_nothing_made_up_breaks_it(
    version: str, tester: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sandbox(unlimited=True, seed=1) as sandbox:
        kept, gone = (sandbox.add_contact(LOCATION, email=f"{number}@b.co")["id"] for number in range(2))
        settings = SETTINGS.format(kept=kept, gone=gone, location=LOCATION, version=version)
        (tmp_path / "schemathesis.toml").write_text(settings)
        (tmp_path / "document.json").write_text(json.dumps(build_document(version)))
        with caplog.at_level(logging.ERROR):
            process = await asyncio.create_subprocess_exec(
                *(tester, "run", "document.json", "--url", sandbox.url, "-H", "Authorization: Bearer sandbox"),
                *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--continue-on-failure"),
                *("--seed", "1", "--suppress-health-check", "all", "--warnings", "off", "--no-color"),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            printed = (await asyncio.wait_for(process.communicate(), SECONDS_TO_TRY))[0].decode()
        assert process.returncode == 0, printed[-6000:]
        assert not caplog.records
        statuses = {arrival.status for arrival in sandbox.arrivals}
        assert {200, 201, 400, 401, 422} <= statuses  # it got past the checks, and was checked
        for contact in sandbox.contacts():
            assert all(note["contactId"] == contact["id"] for note in sandbox.notes(contact["id"]))
        assert len(sandbox.notes(kept)) > 1
