"""Whom a name or an address in a cell stands for: users who own contacts, and locations."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ...bulk.pool import Pool
from ...calls.retry import is_worth_repeating
from ...client import LeadConnector
from ...errors import CallError, ConfigurationError, LeadConnectorError, OutageError
from ...models import CustomFieldDefinition
from ...rules.consent import plain
from ...rules.problems import UnusableCellError
from ..tables.text import read_small_text
from .custom_fields import FieldDefinition, FieldDefinitions

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ID_NAMES: Final = ("id", "userid", "user", "assignedto", "locationid")
_NO_TABLE: Final = {
    "owner": "is not the id of a user, and there is no file of owners to look it up in (`owners`)",
    "location": "is not the id of a location, and names cannot be looked up here",
}


def may_be_id(cell: str) -> bool:
    """Whether a text has the form of an id; a name of one word has it, too."""
    return _ID.fullmatch(cell) is not None


class Directory:
    """Ids by what people write in their place.

    Args:
        kind: `owner` or `location`, for messages.
        ids: By address or name, in any case. None: nothing is known, and whatever may be an id is taken for one.
    """

    def __init__(self, kind: str, ids: Mapping[str, str] | None = None) -> None:
        self._kind = kind
        self.is_known = ids is not None
        self._ids = {name.strip().lower(): found for name, found in (ids or {}).items()}
        self._all = frozenset(self._ids.values())

    def read(self, cell: str) -> str:
        """Return the id that a cell stands for.

        Raises:
            UnusableCellError: It is none, and stands for none.
        """
        found = self._ids.get(cell.lower())
        if found is not None:
            return found
        if not may_be_id(cell):
            raise UnusableCellError(f"is not among the known {self._kind}s" if self._ids else _NO_TABLE[self._kind])
        if self._ids and cell not in self._all and not _has_shape_of_id(cell):
            raise UnusableCellError(f"is not among the known {self._kind}s")
        return cell

    def describe(self) -> list[tuple[str, str]]:
        """Return what a load is known by, of this."""
        return sorted(self._ids.items())


def _has_shape_of_id(cell: str) -> bool:
    return len(cell) >= 20 and not cell.isalpha()


def read_owners(path: Path) -> Directory:
    """Read a table of users: CSV with a column `id`, and any of `email` and `name`.

    Raises:
        ConfigurationError: It cannot be read, or has no such columns.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_small_text(path), newline=""))
        return Directory("owner", _ids_of(rows, path))
    except ConfigurationError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not CSV in UTF-8"
        raise ConfigurationError(f"owners file {path}: cannot be read ({reason})") from None


def _ids_of(rows: csv.DictReader[str], path: Path) -> dict[str, str]:
    names = {plain(name): name for name in rows.fieldnames or ()}
    id_name = next((names[name] for name in _ID_NAMES if name in names), None)
    others = [name for name in names.values() if name != id_name]
    if id_name is None or not others:
        raise ConfigurationError(f"owners file {path}: needs a column id, and a column email or name")
    return dict(_pairs(rows, id_name, others))


def _pairs(rows: Iterable[Mapping[str, str]], id_name: str, others: Iterable[str]) -> Iterable[tuple[str, str]]:
    others = tuple(others)
    for row in rows:
        for name in others:
            if (row.get(id_name) or "").strip() and (row.get(name) or "").strip():
                yield row[name], row[id_name].strip()


# ---------------------------------------------------------------------------------------------- asked beforehand


async def fetch_fields(client: LeadConnector, location_id: str | None = None) -> FieldDefinitions:
    """Ask for the custom fields of a location, the client's unless told else, in one call.

    Raises:
        CallError: They cannot be had; the token may not read them, for one.
    """
    definitions = await client.locations.custom_fields.list(model="contact", location_id=location_id)
    return FieldDefinitions(_read_definition(definition) for definition in definitions)


def _read_definition(definition: CustomFieldDefinition) -> FieldDefinition:
    return FieldDefinition(
        id=definition.id,
        key=definition.field_key or definition.id,
        name=definition.name or definition.field_key or definition.id,
        data_type=definition.data_type or "",
        options=tuple(definition.picklist_options or ()),
        # Where not all options can be read, nobody can say that a cell holds none of them.
        takes_others=bool(definition.is_allowed_custom_option) or "picklist_options" in definition.unreadable,
    )


async def create_field(client: LeadConnector, name: str) -> None:
    """Define a custom field of one line of text.

    Raises:
        CallError: It could not be defined.
    """
    await client.locations.custom_fields.create(name, "TEXT", model="contact")


def why_not_looked_up(sentence: str, error: CallError) -> LeadConnectorError:
    """Return what to raise where something that a load needs cannot be looked up: what may do better later is no wrong
    use."""
    return OutageError(f"{sentence}; try again later") if is_worth_repeating(error) else ConfigurationError(sentence)


async def fetch_locations(client: LeadConnector, stop: asyncio.Event, *, waits_for_quota: bool = False) -> Directory:
    """Ask for the ids of an agency's locations by their names; a name that several have stands for none.

    Where the client has a location, and the service answers questions about that, a lasting failure is no outage.

    Raises:
        InterruptedError: `stop` was set.
        ConfigurationError: They cannot be had; it needs a token of the agency.
        OutageError: The service was down for too long, or answers all other questions.
        DailyQuotaExceededError, RateLimitStuckError: The quota is spent, and is not to be waited for.
    """
    ids: dict[str, str | None] = {}

    async def read() -> None:
        ids.clear()
        async for location in client.locations.search():
            name = (location.name or location.id).strip().lower()
            ids[name] = location.id if name not in ids else None

    try:
        await Pool(client, waits_for_quota=waits_for_quota).ask(client.location_id or "", read, stop=stop)
    except CallError as error:
        sentence = (
            f"locations are given by name, and their ids cannot be looked up ({error}): that needs a token of the "
            "agency; write ids in the column in their place"
        )
        raise why_not_looked_up(sentence, error) from None
    return Directory("location", {name: found for name, found in ids.items() if found is not None})
