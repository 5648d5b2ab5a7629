"""What shells offer for the values of options, as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..migration.countries import country_codes


def offer(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def complete_country(incomplete: str) -> list[str]:
    """Complete a code of a country."""
    return offer(sorted(country_codes()))(incomplete)
