"""Who a contact is: the email and phone by which the service matches it, in one normal form each."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .models import ContactUpsert

_NOT_DIGITS = re.compile(r"\D+")
_EXTENSION = re.compile(r"(?:ext(?:ension)?[.=]?|x|#)\s*\d{1,7}\s*$", re.I)  # the service does not store it
_US_NUMBER_DIGITS = 10  # a national number without `+`; the service, too, reads it as one of the location's country


def normal_email(email: str) -> str:
    """Trim an address and put it into lower case, as the service does before it compares."""
    return email.strip().lower()


def normal_phone(phone: str) -> str:
    """Reduce a phone number to digits, of its international form where that is plain.

    Two ways to write one number give the same digits as long as both name the country, or both leave it out. A number
    of ten digits without one counts as one of the United States, which is where the service's default lies; so does
    the 011 that is dialled there before the country.
    """
    if phone[:1] == "+" and phone[1:].isdecimal():
        return phone[1:]
    digits = _NOT_DIGITS.sub("", _EXTENSION.sub("", phone))
    if phone.lstrip().startswith("+"):
        return digits
    for exit_code in ("00", "011"):
        if digits.startswith(exit_code):
            return digits.removeprefix(exit_code)
    return "1" + digits if len(digits) == _US_NUMBER_DIGITS else digits


class Identity(NamedTuple):
    """What a contact may be matched by: each in its normal form and unique to its location, or empty."""

    email: str
    phone: str


def identity_of(contact: ContactUpsert, location_id: str) -> Identity:
    """Return whom a contact that is to be sent to a location will be matched with."""
    email = normal_email(contact.email) if contact.email else ""
    phone = normal_phone(contact.phone) if contact.phone else ""
    return Identity(email and f"{location_id} {email}", phone and f"{location_id} {phone}")


def is_another_person(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two identities that met the same contact are of two people.

    The email decides where both have one, else the phone: people share a phone more often than an address. One that has
    but an email and one that has but a phone may be the same person.
    """
    for mine, theirs in zip(one, other, strict=True):
        if mine and theirs:
            return bool(mine != theirs)
    return False
