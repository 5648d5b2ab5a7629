"""Headers that say by themselves which field their column is for, whoever wrote them."""

from __future__ import annotations

from typing import Final

from ...models import UPSERT_NAMES
from ...rules.consent import CHANNELS, find_consent, plain
from .targets import CUSTOM_PREFIX, Target, consent_target

RESULT_COLUMNS: Final = ("status", "error", "trace_id")
"""What `failed.csv` adds; a file that ends in these is one of ours, and they are no input."""

# By field, in the order in which columns for it are preferred where a file has several.
_NAMES: Final = {
    "firstName": "givenname first",
    "lastName": "familyname surname last",
    "name": "fullname contactname",
    "email": "emailaddress mail primaryemail email1 workemail businessemail email2 secondaryemail personalemail "
    "homeemail email3 otheremail additionalemail additionalemails",
    "phone": "phonenumber telephone primaryphone phone1 mobile mobilephone mobilephonenumber mobilenumber cell "
    "cellphone workphone businessphone phone2 homephone phone3 otherphone additionalphone additionalphones",
    "address1": "address street streetaddress addressline1",
    "state": "stateregion stateprovince region province",
    "postalCode": "zip zipcode postcode zippostalcode",
    "country": "countryregion countrycode",
    "companyName": "company organization organisation businessname",
    "website": "websiteurl url web homepage",
    "dateOfBirth": "birthday birthdate dob",
    "dnd": "donotdisturb",
    "source": "leadsource contactsource",
    "tags": "tag labels",
    "gender": "sex",
}


def _targets() -> dict[str, tuple[Target, int]]:
    found = {plain(wire): (Target(wire), 0) for wire in UPSERT_NAMES.values()}
    for field, names in _NAMES.items():
        found |= {name: (Target(field), rank) for rank, name in enumerate(names.split(), 1)}
    for channel in CHANNELS:
        target = Target("dndSettings", channel)
        found |= {f"dnd{channel.lower()}": (target, 0), f"{channel.lower()}dnd": (target, 1)}
    return found


_TARGETS: Final = _targets()


def find_target(name: str) -> tuple[Target, int] | None:
    """Return what a header's column is for and its place among all names for that, or None where it does not say."""
    if name.lower().startswith(CUSTOM_PREFIX):
        key = name[len(CUSTOM_PREFIX) :].strip()
        return (Target("customFields", key), 0) if key else None
    found = _TARGETS.get(plain(name))
    if found is not None:
        return found
    consent = find_consent(name)
    return (consent_target(consent), 0) if consent is not None and consent.channels else None


def is_known(name: str) -> bool:
    """Whether a header is one that a field is known for."""
    return find_target(name) is not None


def column_key(name: str) -> str:
    """Return what headers for the same field share: its name on the wire, `custom:KEY`, or the header where unknown."""
    found = find_target(name)
    return name if found is None else found[0].slot
