"""The reference of the commands in leadconnector_async/cli/README.md, rendered from the commands themselves.

`python -m tests.cli.reference` writes it into the page anew; test_reference.py checks that the page has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import leadconnector_async
from leadconnector_async.cli.commands import app

PAGE = Path(leadconnector_async.__file__).parent / "cli" / "README.md"
BEGIN, END = "<!-- reference: python -m tests.cli.reference -->\n", "<!-- end of the reference -->\n"


def commands() -> dict[str, Any]:
    """Every command by its name, in the order of the help."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def render() -> str:
    """The reference, as it stands between the marks."""
    return "".join(part for name, command in commands().items() for part in render_command(name, command))


def render_command(name: str, command: Any) -> Iterator[str]:
    shown = [parameter for parameter in command.params if not parameter.hidden]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    options = [parameter for parameter in shown if parameter.param_type_name == "option"]
    words = [f"[{word(one)}]" if not one.required else word(one) for one in arguments]
    yield f"\n### leadconnector {name}\n\n"
    yield f"`{' '.join(['leadconnector', name, *words, '[OPTIONS]'])}`\n\n"
    yield "\n\n".join(" ".join(paragraph.split()) for paragraph in command.help.split("\n\n")) + "\n\n"
    yield "| argument or option | default | meaning |\n|---|---|---|\n"
    for parameter in (*arguments, *options):
        yield f"| `{signature(parameter)}` | {default(parameter)} | {escape(parameter.help)} |\n"


def word(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.rpartition("_")[2].upper())


def signature(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return escape(word(parameter))
    return ", ".join(parameter.opts) + ("" if parameter.is_flag else f" {escape(word(parameter))}")


def default(parameter: Any) -> str:
    shown = parameter.show_default
    if parameter.required:
        return "required"
    if isinstance(shown, str):
        return escape(shown)
    is_flag = parameter.param_type_name == "option" and parameter.is_flag
    if not shown or parameter.default is None or is_flag:
        return ""
    return f"`{escape(str(parameter.default))}`"


def escape(text: str) -> str:
    """Write a text as a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def parts(page: str) -> tuple[str, str, str]:
    """What stands before the reference, the reference, and what stands behind it."""
    before, _, rest = page.partition(BEGIN)
    found, _, after = rest.partition(END)
    return before, found, after


if __name__ == "__main__":
    before, _, after = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(before + BEGIN + render() + END + after, encoding="utf-8")
