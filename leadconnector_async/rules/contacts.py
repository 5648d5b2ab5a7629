"""Check contacts that are objects, of JSON Lines or of Python, as the cells of a table are checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..errors import InvalidContactError
from ..models import ContactUpsert, as_given, read_mapping
from ..models.fields import KEYS, UPSERT_FIELDS, given_fields
from ..models.records import Record, as_mapping
from .checks import Checks
from .fields import FREE_TEXT, RULES, action_for, action_of, reader_of
from .problems import Fixed, Problem, UnusableCellError
from .texts import STANDS_FOR_NOTHING, clean_cell, is_placeholder, notes_of

_NAMES: Final = {field.name: field.wire for field in UPSERT_FIELDS}
_USUAL: Final = Checks()
_NO_IDENTITY: Final = "has neither email nor phone, and the service matches by these"


class CheckedContact(NamedTuple):
    """A contact that was checked, and what was found.

    Attributes:
        contact: What can be sent; None if nothing can, and a problem whose action is `refused` says why.
        problems: What is wrong with its values or was changed in them, in the order of its fields.
    """

    contact: ContactUpsert | None
    problems: list[Problem]


def check_contact(row: ContactUpsert | Record, checks: Checks = _USUAL) -> CheckedContact:
    """Check a contact by the rules that the command line has for the rows of files.

    Text loses what surrounds it, such as spaces and characters that nobody sees. Placeholders such as `N/A` count as
    not given. Phones are brought to E.164, dates to ISO 8601, countries to their code. A value that cannot be used is
    left out; if nobody could say then who is meant, as without a wrong email, the row is refused.

    Args:
        row: A contact, or its fields by their names.
        checks: What to assume about values that can be read in several ways.

    Raises:
        ConfigurationError: There is a phone to check, and phonenumberslite is not installed.
    """
    contact, problems = read_checked(row, checks)
    return CheckedContact(None if isinstance(contact, InvalidContactError) else contact, problems)


def read_checked(
    row: ContactUpsert | Record, checks: Checks
) -> tuple[ContactUpsert | InvalidContactError, list[Problem]]:
    """Do as `check_contact`, with the error in place of a contact that cannot be sent."""
    problems: list[Problem] = []
    try:
        return _check(_read(row), checks, problems), problems
    except InvalidContactError as error:
        if all(problem.action != "refused" for problem in problems):
            problems.append(Problem(error.field or "", "", error.sentence, "refused"))
        return error, problems


def _read(row: ContactUpsert | Record) -> ContactUpsert:
    if isinstance(row, ContactUpsert):
        return as_given(row)
    record = as_mapping(row)
    if record is None:
        raise InvalidContactError(f"a contact is a ContactUpsert or a dict, not {type(row).__name__}")
    return read_mapping(record, ContactUpsert)


def _check(contact: ContactUpsert, checks: Checks, problems: list[Problem]) -> ContactUpsert:
    fields = msgspec.to_builtins({field.name: getattr(contact, field.name) for field in given_fields(contact)})
    checked = check_fields(fields, _NAMES, checks, problems)
    refused = next((problem for problem in problems if problem.action == "refused"), None)
    refused = refused or (None if _is_any(checked, (*KEYS, "id")) else blame_identity(problems, KEYS))
    if refused is not None:
        raise InvalidContactError(
            " ".join(filter(None, (refused.column, refused.sentence))), field=refused.column or None
        )
    return contact if checked == fields else read_mapping(checked, ContactUpsert)


def _is_any(fields: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(isinstance(value := fields.get(name), str) and value.strip() for name in names)


def blame_identity(problems: list[Problem], columns: Collection[str]) -> Problem:
    """Return what is wrong with a contact without email and phone: where its only one cannot be used, it is that.

    Args:
        problems: Those of the contact; the one that is to blame is noted as refusing it.
        columns: Those that hold an email or a phone.
    """
    for place, problem in enumerate(problems):
        if problem.action == "skipped" and problem.column in columns:
            problems[place] = msgspec.structs.replace(problem, action="refused")
            return problems[place]
    return Problem("", "", _NO_IDENTITY, "refused")


# ---------------------------------------------------------------------------------------------- fields


def check_fields(
    fields: Mapping[str, Any], names: Mapping[str, str], checks: Checks, problems: list[Problem]
) -> dict[str, Any]:
    """Return the fields of an object of the API as they are to be sent.

    Args:
        fields: As they stand.
        names: Each spelling of a field, and its name on the wire.
        checks: What to assume about values that can be read in several ways.
        problems: Takes what is found.
    """
    checked = dict(fields)
    for problem, value in _check_all(fields, names, checks):
        problems += [problem] if problem.sentence else []
        if value is not None:
            checked[problem.column] = value
        elif problem.action in ("skipped", "empty"):
            checked.pop(problem.column, None)
    return checked


def _check_all(fields: Mapping[str, Any], names: Mapping[str, str], checks: Checks) -> Iterator[tuple[Problem, Any]]:
    """Yield each problem, and what is to be sent in place of the value; None to leave it out."""
    for name, value in fields.items():
        field = names.get(name, "")
        if isinstance(value, str) and field in _CHECKED:
            yield from _check_text(name, field, value, checks)
        elif isinstance(value, list) and field == "tags" and not checks.keep_placeholders:
            yield from _check_tags(name, value)
        elif isinstance(value, list) and field == "customFields":
            yield from _check_custom_fields(name, value, checks)


_CHECKED: Final = FREE_TEXT | RULES.keys()


def _check_text(name: str, field: str, text: str, checks: Checks) -> Iterator[tuple[Problem, Any]]:
    cell, is_free = clean_cell(text), field in FREE_TEXT
    if not cell:
        return
    if is_placeholder(cell) and not (is_free and checks.keep_placeholders):
        yield Problem(name, text, STANDS_FOR_NOTHING, "empty"), None
        return
    if is_free:
        yield from ((Problem(name, text, *note), cell) for note in notes_of(text, cell))
    try:
        found = reader_of(RULES[field], checks)(cell) if field in RULES else cell
    except UnusableCellError as reason:
        yield Problem(name, text, str(reason), action_for(reason, action_of(field))), None
        return
    if isinstance(found, Fixed):
        yield Problem(name, text, found.sentence, found.action), found.value
    elif found != text:
        yield Problem(name, text, "", "fixed"), found


def _check_tags(name: str, tags: list[Any]) -> Iterator[tuple[Problem, Any]]:
    nothing = [tag for tag in tags if isinstance(tag, str) and is_placeholder(clean_cell(tag))]
    if nothing:
        kept = [tag for tag in tags if tag not in nothing]
        yield Problem(name, nothing[0], STANDS_FOR_NOTHING, "empty"), kept or None


def _check_custom_fields(name: str, items: list[Any], checks: Checks) -> Iterator[tuple[Problem, Any]]:
    """Check the texts of custom fields. Of what kind each field is nobody knows here, so they are free texts."""
    kept = list[Any]()
    for item in items:
        value = next((item[key] for key in _VALUES if key in item), None) if isinstance(item, Mapping) else None
        cell = clean_cell(value) if isinstance(value, str) else ""
        if cell and is_placeholder(cell) and not checks.keep_placeholders:
            yield Problem(name, value or "", STANDS_FOR_NOTHING, "empty"), kept or None
            continue
        if cell:
            yield from ((Problem(name, value or "", *note), items) for note in notes_of(value or "", cell))
            item = {key: cell if key in _VALUES else part for key, part in item.items()}
        kept.append(item)
    if kept != items:
        yield Problem(name, "", "", "fixed" if kept else "empty"), kept or None


_VALUES: Final = ("field_value", "fieldValue")
