"""Countries and time zones."""

from __future__ import annotations

from functools import cache, lru_cache
from zoneinfo import available_timezones

from .checks import Checks
from .countries import find_country
from .problems import UnusableCellError


def country_code(cell: str, checks: Checks) -> str:
    """Bring a country, by code or name, to the two letters that the service takes."""
    return _country(cell)


@lru_cache(maxsize=4096)
def _country(cell: str) -> str:
    code = find_country(cell)
    if code is None:
        raise UnusableCellError("is not a country that the service knows; write its two letters, such as US")
    return code


def time_zone(cell: str, checks: Checks) -> str:
    """Refuse what is no time zone of the IANA database; another spelling of one is mended."""
    return _zone(cell)


@lru_cache(maxsize=4096)
def _zone(cell: str) -> str:
    zones = _zones()
    if not zones:  # a machine without the database: leave the check to the service
        return cell
    # HubSpot's own values are such as america_slash_new_york.
    name = zones.get(cell.replace("_slash_", "/").replace(" ", "_").lower())
    if name is None:
        raise UnusableCellError("is not a time zone; write it as America/New_York")
    return name


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}
