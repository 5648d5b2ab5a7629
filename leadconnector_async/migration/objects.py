"""Objects of the API, as JSON Lines hold them: the same checks as for cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .problems import Fixed, Problem, UnusableCellError
from .rules import RULES, Checks, action_of, reader_of


def check_object(value: Mapping[str, Any], names: Mapping[str, str], checks: Checks) -> Iterator[tuple[Problem, Any]]:
    """Check the texts of an object of the API: what a cell would be checked for.

    Args:
        value: The object.
        names: Each spelling of a field, and its name on the wire.
        checks: What is to be taken for granted.

    Yields:
        Each problem, and what is to be sent in place of the text; None to leave it out.
    """
    for name, text in value.items():
        rules = RULES.get(names.get(name, ""))
        if rules is None or not isinstance(text, str) or not text.strip():
            continue
        try:
            found = reader_of(rules, checks)(text.strip())
        except UnusableCellError as reason:
            yield Problem(name, text, str(reason), action_of(names[name])), None
            continue
        if isinstance(found, Fixed):
            yield Problem(name, text, found.sentence, found.action), found.value
        elif found != text:
            yield Problem(name, text, "", "fixed"), found
