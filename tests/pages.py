"""The README and the pages that ship in the package: what is in them, and how their blocks run.

A page is a story: its `sh` blocks run in order in one shell, in a folder with `contacts.csv`, against a sandbox of its
own. A `text` block is what the block before it prints; a line `...` in it stands for lines that are left out.

`python -m tests.pages NAME...` runs pages (all by default), and writes what their blocks print now where that differs;
outputs with lines left out are printed instead, to be corrected by hand.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from leadconnector_async.testing import run_sandbox

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "leadconnector_async"
README: Final = ROOT / "README.md"
PAGES: Final = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (README, *sorted(PACKAGE.rglob("*.md")))
}
SET_UP: Final = re.compile(r"python3 -m venv \.venv && \.venv/bin/pip install [^&\n]+ && ")
"""How a command begins that sets up what it runs in. `.ci/run` runs those as they stand."""
END_OF_BLOCK: Final = "@@ end of block"

_LEADCONNECTOR: Final = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]
_COMMAND: Final = f"""#!/bin/bash
export LEADCONNECTOR_BASE_URL=${{LEADCONNECTOR_BASE_URL:-$THE_SANDBOX}}
case $1 in upsert|plan|verify|undo|export|sandbox)
  case " $* " in *" --rate "*) ;; *) set -- "$@" --rate 100/0.3 ;; esac ;;
esac
case $1 in sandbox) exec {shlex.join(_LEADCONNECTOR)} "$@" ;; esac
{shlex.join(_LEADCONNECTOR)} "$@"
code=$?
echo "$code $*" >> "$(dirname "$0")/codes"
exit $code
"""  # windows of a third of a second instead of ten, so that a page takes seconds; never the real service


class Block(NamedTuple):
    """A block of a page, and what it prints; None where the page does not show that."""

    kind: str
    text: str
    output: str | None


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, in order; outputs come with what prints them."""
    found = [*re.findall(r"^```(\w*)\n(.*?)^```$", page, re.M | re.S), ("", "")]
    pairs = pairwise(found)
    return [
        Block(kind, text, after if kind_after == "text" else None)
        for (kind, text), (kind_after, after) in pairs
        if kind != "text"
    ]


def headings_of(page: str) -> set[str]:
    """Return the anchors of a page, as GitHub makes them of its headings."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in titles}


def links_of(page: str) -> list[str]:
    """Return the links of a page that lead to files."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)
    return re.findall(r"\]\(((?!https?:)[^)\s]+)\)", prose)


def shape(text: str) -> str:
    """What of an output does not change from run to run."""
    text = re.sub(r"leadconnector-run-\d+-\d+", "RUN", text)
    text = re.sub(r"\b[\w-]{20,}\b", "ID", text)
    text = text.replace(" --rate 100/0.3", "")  # of the test, not of the page
    text = re.sub(r" at 127\.0\.0\.1:\d+", " at 127.0.0.1:PORT", text)
    return re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)


def shows(shown: str, printed: str) -> bool:
    """Whether an output is what a page shows of it."""
    first, *others = re.split(r"^\.\.\.\n", shape(shown), flags=re.M)
    rest = shape(printed)
    if not others:
        return rest == first
    *between, last = others
    if not rest.startswith(first) or not rest[len(first) :].endswith(last):
        return False
    rest = rest[len(first) : len(rest) - len(last)]
    for part in between:
        _, found, rest = rest.partition(part)
        if not found:
            return False
    return True


def in_powershell(command: str) -> str:
    """Return a set-up command as it is written in PowerShell on Windows, which in version 5 has no `&&`."""
    command = command.replace("python3 -m venv", "py -m venv").replace(" && ", "; ")
    return re.sub(r"\.venv/bin/(\w+)", r".venv\\Scripts\\\1", command)


def run_story(blocks: list[Block], folder: Path, environ: dict[str, str], ports: dict[str, int]) -> list[str]:
    """Run the `sh` blocks of a page in one shell, and return what each printed on stdout.

    Args:
        blocks: Those that can be run.
        folder: Empty; they run in it.
        environ: Of the shell.
        ports: The ports that the page names, each with a free one to use in its place.
    """
    commands, place = folder / "bin", folder / "work"
    commands.mkdir()
    place.mkdir()
    (commands / "leadconnector").write_text(_COMMAND)
    (commands / "leadconnector").chmod(0o755)
    (place / "examples").symlink_to(ROOT / "examples")
    (place / "contacts.csv").write_text("Email,First Name\nann@example.com,Ann\nben@example.com,Ben\n")
    script = "trap 'kill $(jobs -p) 2> /dev/null' EXIT\n"
    script += "".join(f"{SET_UP.sub('', block.text)}\necho '{END_OF_BLOCK}'\n" for block in blocks)
    script = script.replace(".venv/bin/", "")
    for port, free in ports.items():
        script = script.replace(port, str(free))
    with (folder / "stderr").open("w") as errors:
        ended = subprocess.run(
            ["bash", "-c", script],
            input="sandbox\n",  # the token that a page has the user paste
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=place,
            env={**environ, "THE_SANDBOX": environ["LEADCONNECTOR_BASE_URL"], "PATH": f"{commands}:{environ['PATH']}"},
            check=False,
        )
    *printed, rest = ended.stdout.split(f"{END_OF_BLOCK}\n")
    assert not rest, rest
    codes = (commands / "codes").read_text().splitlines() if (commands / "codes").exists() else []
    refused = [code for code in codes if code.split()[0] not in ("0", "1")]
    assert not refused, f"{refused}\n{(folder / 'stderr').read_text()}"
    assert len(printed) == len(blocks), (folder / "stderr").read_text()
    return printed


def run_commands(blocks: list[Block], folder: Path) -> Iterator[tuple[Block, str]]:
    """Run the commands of a page against a sandbox, and yield each block with what it printed."""
    shell = [block for block in blocks if block.kind == "sh" and SET_UP.sub("", block.text) != ".venv/bin/pytest\n"]
    ports = {port: free_port() for block in shell for port in re.findall(r"-{1,2}p(?:ort)? (\d{4})\b", block.text)}
    with run_sandbox(max_requests=100, per_seconds=0.3) as service:
        environ = {**os.environ, **service.environ, "XDG_CONFIG_HOME": str(folder)}
        yield from zip(shell, run_story(shell, folder, environ, ports), strict=True)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def is_python(block: Block) -> bool:
    """Whether a block is a program; others are tests."""
    return block.kind == "python" and "def test_" not in block.text


def run_python(code: str, folder: Path) -> str:
    """Run a program in a folder, and return what it printed on stdout."""
    command = [sys.executable, "-W", "error", "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "brokers")}  # what stands for brokers' libraries
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environ)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def renew(name: str) -> None:
    """Write into a page what its blocks print now."""
    text = PAGES[name]
    with tempfile.TemporaryDirectory() as place:
        blocks = blocks_of(text)
        printed = list(run_commands(blocks, Path(place))) if any(block.kind == "sh" for block in blocks) else []
        printed += [(block, run_python(block.text, Path(place))) for block in blocks if is_python(block)]
    for block, out in printed:
        if block.output is None or shows(block.output, out):
            continue
        if "\n...\n" in f"\n{block.output}":
            print(f"{name}: correct the output of this by hand:\n{block.text}\n{out}")
            continue
        out = re.sub(r"(127\.0\.0\.1:)\d+", r"\g<1>8787", out.replace(" --rate 100/0.3", "")).replace(
            " in 0.3 s", " in 10 s"
        )
        before = f"```{block.kind}\n{block.text}```\n\n```text\n"
        text = text.replace(f"{before}{block.output}```", f"{before}{out}```")
    (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for each in sys.argv[1:] or PAGES:
        renew(each)
