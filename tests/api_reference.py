"""The reference of the Python API in leadconnector_async/API.md, rendered from docstrings.

`python -m tests.api_reference` writes the page anew; test_api_reference.py checks that it is current. It has what the
`__all__` of each public package names: of those that the README and the pages import from.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from typing import Any, Final

from msgspec import Struct

from leadconnector_async import LeadConnector
from leadconnector_async.contacts.group import OperationGroup
from tests.pages import PACKAGE, PAGES

PAGE: Final = PACKAGE / "API.md"
ROOT: Final = PACKAGE.name
INTRO: Final = """# API reference

Everything that can be imported by name, rendered from the docstrings (`python -m tests.api_reference`). Begin with
[LeadConnector](#leadconnector), [Contacts](#contacts) and [BatchReport](#batchreport); the pages that the README links
to explain how they are used.
"""
_SECTION: Final = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$")
_ENTRY: Final = re.compile(r"^([\w.]+(?:, [\w.]+)*): +(.*)$", re.S)


def packages() -> list[str]:
    """The public packages: the top, and those below it that pages import from."""
    blocks = "\n".join(text for name, text in PAGES.items() if name != f"{ROOT}/API.md")
    return sorted({*re.findall(rf"^from ({ROOT}(?:\.\w+)?) import", blocks, re.M), ROOT})


def render() -> str:
    """The whole page."""
    text = "".join([INTRO, *(part for package in packages() for part in render_package(package))])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def render_package(package: str) -> Iterator[str]:
    module = import_module(package)
    yield f"\n## {package}\n"
    names = [name for name in module.__all__ if is_documented(getattr(module, name))]
    errors = [name for name in names if is_error(getattr(module, name))]
    for name in names:
        if name not in errors:
            yield from render_object(name, getattr(module, name))
    if errors:
        yield "\n### Errors\n\n"
        yield from (render_error(getattr(module, name)) for name in errors)


def is_documented(found: Any) -> bool:
    """Whether it is a class or function of ours; constants, modules and types of several have no docstring."""
    return (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__.split(".")[0] == ROOT


def is_error(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, Exception)


def render_error(error: type[Exception]) -> str:
    said = " ".join(text_of(line) for kind, line in sections(doc_of(error)) if kind != "Raises")
    return f"- `{error.__name__}` ({', '.join(base.__name__ for base in error.__bases__)}): {said}\n"


def render_object(name: str, found: Any) -> Iterator[str]:
    yield f"\n### {name}\n\n"
    if inspect.isclass(found):
        yield from render_class(found)
    else:
        yield f"`{signature(name, found)}`\n\n"
        yield from render_doc(found)


def render_class(found: type) -> Iterator[str]:
    if not issubclass(found, Struct) and found.__init__ is not object.__init__:
        yield f"`{signature(found.__name__, found.__init__)}`\n\n"
    yield from render_doc(found)
    if issubclass(found, Struct) and "Attributes:" not in doc_of(found):
        yield f"Fields: {', '.join(f'`{name}`' for name in found.__struct_fields__)}.\n"
    for name, member in members(found):
        yield from render_member(name, member)
    for name, group in groups(found).items():
        yield f"\n#### {found.__name__}.{name}\n\n"
        yield from render_doc(type(group))
        for own, member in members(type(group)):
            yield from render_member(own, member)


def render_member(name: str, member: Any) -> Iterator[str]:
    called = getattr(member, "__func__", member)
    if isinstance(member, property | cached_property):
        yield f"\n**`{name}`**"
    else:
        yield f"\n**`{signature(name, called)}`**"
    first, *rest = "".join(render_doc(member)).strip().split("\n\n", 1)
    yield f" {first}\n"
    if rest:
        yield f"\n{rest[0]}\n"


def members(found: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class and of what it is made of in this package, in their order."""
    seen: dict[str, Any] = {}
    for base in found.__mro__:
        if base.__module__.split(".")[0] == ROOT:
            seen = {**{name: member for name, member in vars(base).items() if name not in seen}, **seen}
    for name, member in seen.items():
        kinds = (property, cached_property, classmethod, staticmethod)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, kinds)) and doc_of(member):
            yield name, member


def groups(found: type) -> dict[str, OperationGroup]:
    """The operations that belong to an object of a class, such as `client.contacts.notes`."""
    client = LeadConnector("token")
    holders = [holder for holder in (client.contacts, client.locations) if type(holder) is found]
    return {
        name: value for holder in holders for name, value in vars(holder).items() if isinstance(value, OperationGroup)
    }


def signature(name: str, found: Callable[..., Any]) -> str:
    """A signature without `self`; of defaults that are objects only the class."""
    signed = inspect.signature(found)
    parameters = [
        one.replace(default=plain(one.default)) for one in signed.parameters.values() if one.name not in ("self", "cls")
    ]
    returns = "" if signed.return_annotation in (inspect.Parameter.empty, "None") else f" -> {signed.return_annotation}"
    is_async = inspect.iscoroutinefunction(found)
    text = str(signed.replace(parameters=parameters, return_annotation=inspect.Parameter.empty))
    return f"{'await ' if is_async else ''}{name}{text}{returns}".replace("'", "")


def plain(default: Any) -> Any:
    if default is inspect.Parameter.empty or isinstance(default, str | int | float | tuple | None):
        return default

    class Default:
        def __repr__(self) -> str:
            return "..."

    return Default()


def doc_of(found: Any) -> str:
    return inspect.cleandoc(getattr(found, "__doc__", None) or "")


def render_doc(found: Any) -> Iterator[str]:
    for kind, text in sections(doc_of(found)):
        if not kind:
            yield f"{text_of(text)}\n\n"
            continue
        yield f"{kind}:\n\n"
        for entry in entries(text):
            named = _ENTRY.match(entry)
            yield f"- `{named[1]}`: {text_of(named[2])}\n" if named else f"- {text_of(entry)}\n"
        yield "\n"


def sections(doc: str) -> Iterator[tuple[str, str]]:
    """The paragraphs of a docstring (of no kind), and its sections by their kind."""
    for paragraph in doc.split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if found := _SECTION.match(head):
            yield found[1], textwrap.dedent(rest)
        elif paragraph:
            yield "", paragraph


def entries(text: str) -> list[str]:
    """The entries of a section; lines that are indented belong to the one before them."""
    return re.split(r"\n(?! )", text)


def text_of(text: str) -> str:
    return re.sub(r"<(?=[A-Za-z/])", "&lt;", " ".join(text.split()))


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
