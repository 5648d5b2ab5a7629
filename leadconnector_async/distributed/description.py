"""What a load is known by when it goes on: it stands in the folder of the run."""

from __future__ import annotations

import time
from typing import Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError
from ..migration.meaning import Meaning
from .sources import Frame, describe_source
from .store import Store
from .target import ClientOptions

_LOAD: Final = "load.json"
_LEFT_BY_REFUSALS: Final = frozenset(("probe", "lead.json"))  # of runs that ended before they began to read
_OTHER: Final = {
    "source": "other files, or they have changed since",
    "location": "another location",
    "target": "another service",
    "api_version": "another API version",
    "meaning": "other columns or checks",
}


class Description(Struct, frozen=True, kw_only=True):
    """What a load is known by.

    Attributes:
        split_id: What its pieces are known by.
        began_at: When its first run began to read, in seconds since 1970; 0 before.
        whole: What must be the same when it goes on.
    """

    split_id: str
    began_at: float
    whole: dict[str, str]


def describe(options: ClientOptions, parts: list[str] | Frame, meaning: Meaning) -> dict[str, str]:
    """Return what must be the same when a load goes on."""
    said = (meaning.columns, meaning.is_whole, sorted(meaning.ignored), meaning.checks, meaning.owners.describe())
    return {
        "source": describe_source(parts),
        "location": options.location_id or "",
        "target": options.base_url,
        "api_version": options.api_version,
        "meaning": msgspec.json.encode(said).decode(),
    }


def open_folder(store: Store, whole: dict[str, str], *, is_resumed: bool) -> Description:
    """Return what an earlier run left of a load, or what a new one is to be known by.

    Raises:
        ConfigurationError: The folder holds something else.
    """
    before = store.decode(_LOAD, Description)
    if before is None:
        if not is_resumed and not _LEFT_BY_REFUSALS.issuperset(store.names("")):
            raise ConfigurationError(f"{store.url}: is not empty; name a new folder for the results")
        return Description(split_id=f"{time.time_ns():x}", began_at=0.0, whole=whole)
    if not is_resumed:
        raise ConfigurationError(f"{store.url}: holds a run; name a new folder, or go on with that one (--resume)")
    for name, sentence in _OTHER.items():
        if before.whole.get(name) != whole[name]:
            raise ConfigurationError(f"{store.url}: holds a run with {sentence}; name another folder, or load the same")
    return before


def take_folder(store: Store, description: Description) -> Description:
    """Leave what a load is known by in its folder, once this process leads there, and return it.

    Raises:
        ConfigurationError: Another process has begun a load there meanwhile; its pieces are known by its description.
        JournalError: It could not be written.
    """
    before = store.decode(_LOAD, Description)
    if before is not None and before.split_id != description.split_id:
        raise ConfigurationError(f"{store.url}: another process has begun a load there; name another folder")
    began_at = description.began_at or time.time()
    description = msgspec.structs.replace(description, began_at=began_at)
    store.write(_LOAD, msgspec.json.encode(description))
    return description
