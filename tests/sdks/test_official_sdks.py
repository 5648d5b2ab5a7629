"""The vendor's own SDKs work against the sandbox, unchanged but for the base URL."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Sandbox

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
LOCATION = "ve9EPM428h8vShlRW1KT"
PYTHON_SDK = "gohighlevel-api-client==3.0.0"
JAVASCRIPT_SDK = "@gohighlevel/api-client@3.1.0"
SECONDS_TO_INSTALL = 180
SECONDS_TO_RUN = 60


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


def install(command: list[str | Path], where: Path) -> None:
    """Run what installs a package; where that cannot be done, the test is skipped."""
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[-1]} is not installed within {SECONDS_TO_INSTALL} s")
    if done.returncode:
        pytest.skip(f"{command[-1]} cannot be installed: {done.stderr.strip()[-300:]}")


async def run_script(command: list[str | Path], where: Path, sandbox: Sandbox) -> str:
    """Run a script against the sandbox and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        *(sandbox.url, "sandbox", LOCATION),
        cwd=where,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), SECONDS_TO_RUN)
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def test_the_python_sdk(sandbox: Sandbox, tmp_path: Path) -> None:
    install([sys.executable, "-m", "venv", tmp_path / "venv"], tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    install([python, "-m", "pip", "install", "--quiet", PYTHON_SDK], tmp_path)
    assert "all is well" in await run_script([python, HERE / "python_sdk.py"], tmp_path, sandbox)


async def test_the_javascript_sdk(sandbox: Sandbox, tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node, or no npm")
    (tmp_path / "package.json").write_text('{"private": true}')
    install([npm, "install", "--silent", "--no-audit", "--no-fund", JAVASCRIPT_SDK], tmp_path)
    assert "all is well" in await run_script([node, HERE / "javascript_sdk.mjs"], tmp_path, sandbox)
