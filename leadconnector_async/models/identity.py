"""Who a contact is: the email and phone by which the service matches it, in one normal form each."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from .contacts import ContactUpsert
from .normal import normal_email, normal_phone

_ID: Final = re.compile(r"[0-9A-Za-z]{20}")


def is_contact_id(text: object) -> bool:
    """Whether a text has the form of a contact's id: other systems number their contacts otherwise."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


class Identity(NamedTuple):
    """What a contact may be matched by: each in its normal form and unique to its location, or empty."""

    email: str
    phone: str


def identity_of(contact: ContactUpsert, location_id: str) -> Identity:
    """Return whom a contact that is to be sent to a location will be matched with."""
    email, phone = contact.email, contact.phone
    return Identity(
        f"{location_id} {normal}" if email and (normal := normal_email(email)) else "",
        f"{location_id} {normal}" if phone and (normal := normal_phone(phone)) else "",
    )


def person_of(contact: ContactUpsert, location_id: str) -> Identity:
    """Return what tells the rows of a load apart: of a contact with an id that, in the place of its email."""
    identity = identity_of(contact, location_id)
    return identity if contact.id is UNSET else Identity(f"{location_id} #{contact.id}", identity.phone)


def is_another_person(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two identities that reached the same contact belong to two people.

    The email decides where both have one, else the phone: people share a phone more often than an address. An identity
    with only an email and one with only a phone may be the same person.
    """
    for mine, theirs in zip(one, other, strict=True):
        if mine and theirs:
            return bool(mine != theirs)
    return False
