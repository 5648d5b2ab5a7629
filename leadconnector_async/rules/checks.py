"""Options for reading ambiguous cells."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, cast, get_args

from msgspec import Struct

from ..errors import ConfigurationError
from .countries import country_codes, find_country

DateOrder: TypeAlias = Literal["mdy", "dmy"]
DATE_ORDERS: Final = get_args(DateOrder)


class Checks(Struct, frozen=True, kw_only=True):
    """What is to be taken for granted of cells.

    Attributes:
        default_country: The country of phone numbers without a country code, as two letters. None: they are sent as
            they stand, and the service reads them as of the location's own country.
        date_order: What comes first in dates that end in the year: `mdy` or `dmy`. None: such dates are used only where
            they can be read in one way, and that way is month, day, year, as in the service's own forms.
        keep_placeholders: Whether texts such as `N/A`, `NULL` and `-` are sent as they stand. Else they count as empty;
            so they do in fields that hold no free text.
    """

    default_country: str | None = None
    date_order: DateOrder | None = None
    keep_placeholders: bool = False

    def __post_init__(self) -> None:
        if self.default_country is not None and self.default_country not in country_codes():
            raise ConfigurationError(f"{self.default_country!r} is not a country; give its two letters, such as US")
        if self.date_order not in (None, *DATE_ORDERS):
            raise ConfigurationError(f"{self.date_order!r} is not a date order; give {' or '.join(DATE_ORDERS)}")


def read_checks(default_country: str | None, date_order: str | None, *, keep_placeholders: bool = False) -> Checks:
    """Make checks of what a user wrote; a country may be written by its name.

    Raises:
        ConfigurationError: It is no country, or no order.
    """
    country = default_country and (find_country(default_country.strip()) or default_country)
    return Checks(
        default_country=country or None,
        date_order=cast("DateOrder | None", date_order and date_order.lower()),
        keep_placeholders=keep_placeholders,
    )
