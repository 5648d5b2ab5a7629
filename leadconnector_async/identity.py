"""Who a contact is: the email and phone by which the service matches it, in one normal form each."""

from __future__ import annotations

import re

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


def identity_keys(contact: ContactUpsert, location_id: str) -> tuple[str, ...]:
    """List what this contact may be matched by, each key unique to its location; empty where there is nothing."""
    keys = []
    if contact.email and (email := normal_email(contact.email)):
        keys.append(f"{location_id} {email}")
    if contact.phone and (phone := normal_phone(contact.phone)):
        keys.append(f"{location_id} {phone}")
    return tuple(keys)
