"""Exports that are known by their headers: which column of each goes to which field.

Source of the headers: HubSpot's default contact properties (knowledge.hubspot.com); Salesforce's object reference of
Contact (developer.salesforce.com) and its report labels; people as Pipedrive, audiences as Mailchimp and contacts as
ActiveCampaign export them; customers as Shopify, contacts as Zoho, Constant Contact and PropStream export them; the CSV
that Google Contacts writes now and the one before ("Given Name"); Outlook's list in "Create or edit .csv files to
import into Outlook" (support.microsoft.com); HighLevel's contact export. Columns whose headers say by themselves that
somebody opted out are known in every file: see `consent`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from msgspec import Struct

from ...rules.consent import plain
from .targets import Target, read_target


class Preset(Struct, frozen=True):
    """An export that is known.

    Attributes:
        name: Whose it is.
        signs: Headers that tell it, in plain form; two of them do.
        own: Headers that no other export has, in plain form; one of them does.
        targets: By header in plain form; the order is that in which columns for one field are preferred.
        unsent: Headers, in plain form, of columns that could be taken for a field and are none, and why.
        written: Signs and own headers as that system writes them, by their plain form.
    """

    name: str
    signs: frozenset[str]
    own: frozenset[str]
    targets: dict[str, Target]
    unsent: dict[str, str]
    written: dict[str, str]


def _preset(name: str, signs: str, columns: str, unsent: dict[str, str] | None = None, *, own: str = "") -> Preset:
    """Read a table: in each line a target (`field`, or `field@address`) = the headers for it."""
    targets: dict[str, Target] = {}
    for line in columns.strip().splitlines():
        text, _, headers = line.partition(" = ")
        target = read_target(text)
        if target is not None:
            targets |= {plain(header): target for header in headers.split(", ")}
    reasons = {plain(header): reason for header, reason in (unsent or {}).items()}
    written = {plain(header): header for header in f"{signs}, {own}".split(", ") if header}
    return Preset(name, _plain(signs), _plain(own), targets, reasons, written)


def _plain(headers: str) -> frozenset[str]:
    return frozenset(plain(header) for header in headers.split(", ") if header)


_OF_IP: Final = "is what Mailchimp guesses from an IP address"

PRESETS: Final = (
    _preset(
        "HubSpot",
        "Record ID, Contact owner, Lifecycle Stage, Lead Status, Marketing contact status, Country/Region, "
        "State/Region, Associated Company, Record ID - Contact, Original Source",
        """
        firstName = First Name
        lastName = Last Name
        email = Email, Work email, Additional email addresses
        phone = Phone Number, Mobile Phone Number, WhatsApp Phone Number
        address1 = Street Address
        address2 = Street Address 2
        city = City
        state = State/Region, State/Region Code
        postalCode = Postal Code
        country = Country/Region, Country/Region Code
        companyName = Company Name, Associated Company, Associated Company (Primary)
        website = Website URL
        dateOfBirth = Date of birth
        timezone = Time Zone
        gender = Gender
        source = Original Source, Original Traffic Source, Latest Source
        owner = Contact owner
        """,
        own="Record ID - Contact, Unsubscribed from all email, Marketing contact status, Original Traffic Source",
    ),
    _preset(
        "Salesforce",
        "Mailing Street, Mailing City, MailingStreet, MailingCity, MailingPostalCode, Mailing Zip/Postal Code, "
        "Mailing State/Province, Account Name, AccountId, Email Opt Out, HasOptedOutOfEmail, Do Not Call, DoNotCall, "
        "OwnerId, Mailing Country",
        """
        firstName = First Name
        lastName = Last Name
        name = Full Name
        email = Email, Email Address
        phone = Phone, Mobile, Mobile Phone, Business Phone, Home Phone, Other Phone
        address1@mailing = Mailing Street, Mailing Address Line 1
        city@mailing = Mailing City
        state@mailing = Mailing State/Province, Mailing State, MailingStateCode
        postalCode@mailing = Mailing Zip/Postal Code, Mailing Postal Code
        country@mailing = Mailing Country, MailingCountryCode
        address1@other = Other Street
        city@other = Other City
        state@other = Other State/Province, Other State
        postalCode@other = Other Zip/Postal Code, Other Postal Code
        country@other = Other Country
        companyName = Account Name, Company, Company / Account
        website = Website
        dateOfBirth = Birthdate
        source = Lead Source
        owner = Contact Owner, Lead Owner, Owner, OwnerId
        """,
        own="HasOptedOutOfEmail, HasOptedOutOfFax, Company / Account, MailingStreet, MailingPostalCode",
    ),
    _preset(
        "Pipedrive",
        "Person - Name, Person - First name, Person - Email, Person - Email - Work, Person - Phone, "
        "Person - Phone - Work, Person - Organization, Person - Owner, Email - Work, Email - Home, Phone - Work, "
        "Phone - Mobile",
        """
        firstName = Person - First name, First name
        lastName = Person - Last name, Last name
        name = Person - Name, Name
        email = Person - Email, Person - Email - Work, Email - Work, Person - Email - Home, Email - Home
        email = Person - Email - Other, Email - Other
        phone = Person - Phone, Person - Phone - Work, Phone - Work, Person - Phone - Mobile, Phone - Mobile
        phone = Person - Phone - Home, Phone - Home, Person - Phone - Other, Phone - Other
        address1 = Person - Postal address, Postal address, Person - Street
        city = Person - City
        state = Person - State
        postalCode = Person - ZIP/Postal code
        country = Person - Country
        companyName = Person - Organization, Organization
        website = Person - Website
        dateOfBirth = Person - Birthday, Birthday
        tags = Person - Label, Person - Labels, Label, Labels
        owner = Person - Owner, Owner
        opt-in:Email = Person - Marketing status, Marketing status
        """,
    ),
    _preset(
        "Mailchimp",
        "MEMBER_RATING, OPTIN_TIME, OPTIN_IP, CONFIRM_TIME, CONFIRM_IP, LEID, EUID, LAST_CHANGED, UNSUB_TIME",
        """
        email = Email Address
        firstName = First Name
        lastName = Last Name
        phone = Phone Number, SMS Phone Number
        address1 = Address
        dateOfBirth = Birthday
        companyName = Company
        tags = TAGS
        opt-out:Email = CLEAN_TIME
        """,
        {"TIMEZONE": _OF_IP, "REGION": _OF_IP, "CC": _OF_IP},
        own="MEMBER_RATING, OPTIN_TIME, LEID, EUID, UNSUB_TIME, CLEAN_TIME",
    ),
    _preset(
        "ActiveCampaign",
        "Account Name, Contact Score, Date Created, Subscription Status, Lists, Automations, Email Domain, "
        "Customer Account",
        """
        email = Email, Email Address
        firstName = First Name
        lastName = Last Name
        name = Full Name
        phone = Phone, Phone Number
        companyName = Account Name, Account, Customer Account, Organization
        tags = Tags
        owner = Contact Owner, Owner
        """,
    ),
    _preset(
        "Zoho",
        "Record Id, Contact Owner, Lead Owner, Account Name, Mailing Zip, Email Opt Out, Secondary Email, Tag",
        """
        firstName = First Name
        lastName = Last Name
        name = Contact Name, Lead Name, Full Name
        email = Email, Secondary Email
        phone = Phone, Mobile, Home Phone, Other Phone
        address1@mailing = Mailing Street
        city@mailing = Mailing City
        state@mailing = Mailing State
        postalCode@mailing = Mailing Zip
        country@mailing = Mailing Country
        address1@other = Other Street, Street
        city@other = Other City, City
        state@other = Other State, State
        postalCode@other = Other Zip, Zip Code
        country@other = Other Country, Country
        companyName = Account Name, Company
        website = Website
        dateOfBirth = Date of Birth
        source = Lead Source
        tags = Tag
        owner = Contact Owner, Lead Owner
        """,
        own="Contact Owner.id, Lead Owner.id, Unsubscribed Mode, Unsubscribed Time",
    ),
    _preset(
        "Shopify",
        "Customer ID, Total Spent, Total Orders, Tax Exempt, Accepts Marketing, Province Code, Address1, Address2",
        """
        firstName = First Name
        lastName = Last Name
        email = Email
        phone = Phone, Default Address Phone
        companyName = Default Address Company, Company
        address1@default = Default Address Address1, Address1
        address2@default = Default Address Address2, Address2
        city@default = Default Address City, City
        state@default = Default Address Province Code, Default Address Province, Province Code, Province
        postalCode@default = Default Address Zip, Zip
        country@default = Default Address Country Code, Default Address Country, Country Code, Country
        tags = Tags
        """,
        own="Accepts Email Marketing, Accepts SMS Marketing, Default Address Address1, Default Address Zip",
    ),
    _preset(
        "Constant Contact",
        "Email address, Email status, Email Lists, Job title, Phone - home, Phone - mobile, Phone - work",
        """
        firstName = First name
        lastName = Last name
        email = Email address, Email address - other
        phone = Phone - mobile, Phone - home, Phone - work, Phone - other
        companyName = Company
        address1@home = Street address line 1 - Home
        address2@home = Street address line 2 - Home
        city@home = City - Home
        state@home = State/Province - Home
        postalCode@home = Zip/Postal Code - Home
        country@home = Country - Home
        address1@work = Street address line 1 - Work
        address2@work = Street address line 2 - Work
        city@work = City - Work
        state@work = State/Province - Work
        postalCode@work = Zip/Postal Code - Work
        country@work = Country - Work
        tags = Tags
        """,
        own="Email permission status, Street address line 1 - Home, Street address line 1 - Work",
    ),
    _preset(
        "PropStream",
        "Owner 1 First Name, Owner 1 Last Name, Owner 2 First Name, Mailing Address, Mailing Zip, Phone 1 DNC, "
        "Phone 1 Type, Do Not Mail",
        """
        firstName = Owner 1 First Name
        lastName = Owner 1 Last Name
        email = Email 1, Email 2, Email 3, Email 4
        phone = Phone 1, Phone 2, Phone 3, Phone 4, Phone 5
        address1@mailing = Mailing Address
        city@mailing = Mailing City
        state@mailing = Mailing State
        postalCode@mailing = Mailing Zip
        address1@property = Address
        city@property = City
        state@property = State
        postalCode@property = Zip
        """,
        own="Owner 1 First Name, Owner 1 Last Name",
    ),
    _preset(
        "Google Contacts",
        "E-mail 1 - Value, Phone 1 - Value, E-mail 1 - Label, E-mail 1 - Type, Group Membership, "
        "Organization 1 - Name, Organization Name, Name Prefix, Address 1 - Formatted",
        """
        firstName = First Name, Given Name
        lastName = Last Name, Family Name
        name = Name
        email = E-mail 1 - Value, E-mail 2 - Value, E-mail 3 - Value, E-mail 4 - Value, E-mail 5 - Value
        phone = Phone 1 - Value, Phone 2 - Value, Phone 3 - Value, Phone 4 - Value, Phone 5 - Value
        address1@1 = Address 1 - Street
        city@1 = Address 1 - City
        state@1 = Address 1 - Region
        postalCode@1 = Address 1 - Postal Code
        country@1 = Address 1 - Country
        address2@1 = Address 1 - Extended Address
        fullAddress@1 = Address 1 - Formatted
        address1@2 = Address 2 - Street
        city@2 = Address 2 - City
        state@2 = Address 2 - Region
        postalCode@2 = Address 2 - Postal Code
        country@2 = Address 2 - Country
        address2@2 = Address 2 - Extended Address
        fullAddress@2 = Address 2 - Formatted
        companyName = Organization Name, Organization 1 - Name
        website = Website 1 - Value, Website 2 - Value
        dateOfBirth = Birthday
        tags = Labels, Group Membership
        """,
    ),
    _preset(
        "Outlook",
        "E-mail Address, E-mail 2 Address, E-mail Display Name, Business Street, Business City, Home Street, "
        "Business Phone, Home Phone, Business Fax, Web Page, Company Main Phone, Given Name Yomi",
        """
        firstName = First Name
        lastName = Last Name
        email = E-mail Address, E-mail 2 Address, E-mail 3 Address
        phone = Primary Phone, Mobile Phone, Business Phone, Business Phone 2, Home Phone, Home Phone 2, Other Phone
        phone = Company Main Phone
        address1@business = Business Street, Business Address
        city@business = Business City
        state@business = Business State
        postalCode@business = Business Postal Code
        country@business = Business Country/Region, Business Country
        address1@home = Home Street, Home Address
        city@home = Home City
        state@home = Home State
        postalCode@home = Home Postal Code
        country@home = Home Country/Region, Home Country
        address1@other = Other Street, Other Address
        city@other = Other City
        state@other = Other State
        postalCode@other = Other Postal Code
        country@other = Other Country/Region, Other Country
        companyName = Company
        website = Web Page, Personal Web Page
        dateOfBirth = Birthday
        tags = Categories
        gender = Gender
        """,
    ),
    _preset(
        "HighLevel",
        "Contact Id, Business Name, Last Activity, Created, Additional Emails, Additional Phones, Contact Type",
        """
        firstName = First Name
        lastName = Last Name
        name = Name, Contact Name
        email = Email, Additional Emails
        phone = Phone, Additional Phones
        address1 = Street Address, Address
        companyName = Business Name, Company Name, Company
        postalCode = Postal Code
        timezone = Time Zone, Timezone
        dateOfBirth = Date Of Birth
        source = Source, Contact Source
        tags = Tags
        owner = Assigned To, Assigned User, Contact Owner
        id = Contact Id
        """,
    ),
)


def recognise(names: Sequence[str]) -> Preset | None:
    """Find whose export a header is; None where it shows too little, or as much of two."""
    header = {plain(name) for name in names}
    found = sorted(((_score(preset, header), number) for number, preset in enumerate(PRESETS)), reverse=True)
    (most, best), (second, _) = found[:2]
    return PRESETS[best] if most >= _ENOUGH and most > second else None


_ENOUGH: Final = 2
_OWN: Final = 100  # more than all signs that two exports share


def _score(preset: Preset, header: Set[str]) -> int:
    """Return how much a header shows that it is an export; it is one from `_ENOUGH` on."""
    return len(preset.signs & header) + _OWN * len(preset.own & header)
