"""Mapping: each column goes where it belongs or is told not to be sent, and nothing of a row is lost without a word."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError
from leadconnector_async.migration.mapping.columns import ColumnMap
from leadconnector_async.migration.mapping.custom_fields import FieldDefinition, FieldDefinitions
from leadconnector_async.migration.mapping.directories import Directory, read_owners
from leadconnector_async.migration.mapping.headers import Language, find_target, languages, read_entries
from leadconnector_async.migration.mapping.meaning import NOTHING_SAID, Meaning, check_names
from leadconnector_async.migration.mapping.presets import PRESETS, recognise
from leadconnector_async.migration.mapping.targets import read_target
from leadconnector_async.rules.checks import Checks
from leadconnector_async.rules.problems import ProblemTally

FIELDS = FieldDefinitions(
    [
        FieldDefinition(id="F1", key="contact.nickname", name="Nick Name", data_type="TEXT"),
        FieldDefinition(id="F2", key="contact.plan", name="Plan", data_type="SINGLE_OPTIONS", options=("Free", "Pro")),
        FieldDefinition(id="F3", key="contact.score", name="Score", data_type="NUMERICAL"),
        FieldDefinition(id="F4", key="contact.budget", name="Budget", data_type="MONETORY"),
        FieldDefinition(
            id="F5", key="contact.likes", name="Likes", data_type="CHECKBOX", options=("Sport", "Music", "Art, old")
        ),
        FieldDefinition(id="F6", key="contact.since", name="Since", data_type="DATE"),
        FieldDefinition(id="F7", key="contact.contract", name="Contract", data_type="FILE_UPLOAD"),
        FieldDefinition(id="F8", key="contact.twin_1", name="Twin", data_type="TEXT"),
        FieldDefinition(id="F9", key="contact.twin_2", name="Twin", data_type="TEXT"),
    ]
)


def map_of(header: str, **meaning: Any) -> ColumnMap:
    names = header.split(",")
    return ColumnMap(names, names, Meaning(**meaning))


def read(header: str, *cells: str, **meaning: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a row, and what is told of each cell."""
    fields, problems = map_of(header, **meaning).read(cells)
    return fields, [f"{problem.column} {problem.action}: {problem.sentence}" for problem in problems]


# ---------------------------------------------------------------------------------------------- exports that are known

EXPORTS = {
    "HubSpot": "Record ID,First Name,Last Name,Email,Phone Number,Contact owner,Lifecycle Stage,Lead Status,"
    "Create Date,Mobile Phone Number,Street Address,City,State/Region,Postal Code,Country/Region,"
    "Website URL,Company Name,Unsubscribed from all email,Time Zone",
    "Salesforce": "Salutation,First Name,Last Name,Title,Account Name,Mailing Street,Mailing City,"
    "Mailing State/Province,Mailing Zip/Postal Code,Mailing Country,Phone,Mobile,Fax,Email,"
    "Account Owner,Email Opt Out,Do Not Call,Birthdate",
    "Pipedrive": "Person - ID,Person - Name,Person - First name,Person - Last name,Person - Organization,"
    "Person - Email - Work,Person - Email - Home,Person - Phone - Work,Person - Phone - Mobile,"
    "Person - Owner,Person - Label,Person - Marketing status",
    "Mailchimp": "Email Address,First Name,Last Name,Address,Phone Number,Birthday,MEMBER_RATING,OPTIN_TIME,"
    "OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,UNSUB_TIME,"
    "LAST_CHANGED,LEID,EUID,NOTES,TAGS",
    "ActiveCampaign": "Email,First Name,Last Name,Phone,Account Name,Contact Score,Tags,Date Created",
    "Zoho": "Record Id,Contact Owner.id,Contact Owner,Lead Source,First Name,Last Name,Account Name,Title,Email,"
    "Department,Phone,Home Phone,Mobile,Date of Birth,Email Opt Out,Skype ID,Secondary Email,Mailing Street,"
    "Mailing City,Mailing State,Mailing Zip,Mailing Country,Description,Unsubscribed Mode,Tag",
    "Shopify": "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,"
    "Default Address Address1,Default Address Address2,Default Address City,Default Address Province Code,"
    "Default Address Country Code,Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,"
    "Total Spent,Total Orders,Note,Tax Exempt,Tags",
    "Constant Contact": "Email address,First name,Last name,Company,Job title,Email status,"
    "Email permission status,Phone - home,Phone - mobile,Street address line 1 - Home,City - Home,"
    "State/Province - Home,Zip/Postal Code - Home,Country - Home,Email Lists,Tags,Created At",
    "PropStream": "Address,City,State,Zip,Owner 1 First Name,Owner 1 Last Name,Owner 2 First Name,"
    "Owner 2 Last Name,Mailing Address,Mailing City,Mailing State,Mailing Zip,Do Not Mail,Phone 1,Phone 1 Type,"
    "Phone 1 DNC,Phone 2,Phone 2 Type,Phone 2 DNC,Email 1,Email 2",
    "Google Contacts": "First Name,Middle Name,Last Name,Name Prefix,Organization Name,Birthday,Notes,Labels,"
    "E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,Phone 1 - Label,"
    "Phone 1 - Value,Address 1 - Street,Address 1 - City,Address 1 - Postal Code,Address 1 - Country,"
    "Website 1 - Value",
    "Outlook": "Title,First Name,Last Name,Company,Business Street,Business City,Business State,"
    "Business Postal Code,Business Country/Region,Home Street,Home City,Home Phone,Business Phone,"
    "Mobile Phone,Business Fax,Birthday,Categories,E-mail Address,E-mail 2 Address,Web Page",
    "HighLevel": "Contact Id,First Name,Last Name,Name,Phone,Email,Business Name,Created,Last Activity,Tags",
}
SENT = {
    "HubSpot": {"Email": "email", "Mobile Phone Number": "phone", "Unsubscribed from all email": "opt-out:Email"},
    "Salesforce": {"Account Name": "companyName", "Mailing Street": "address1", "Do Not Call": "opt-out:Call"},
    "Pipedrive": {"Person - Email - Home": "email", "Person - Label": "tags", "Person - Organization": "companyName"},
    "Mailchimp": {"Email Address": "email", "UNSUB_TIME": "opt-out:Email", "TAGS": "tags"},
    "ActiveCampaign": {"Email": "email", "Account Name": "companyName"},
    "Zoho": {
        "Account Name": "companyName",
        "Mailing Zip": "postalCode",
        "Email Opt Out": "opt-out:Email",
        "Tag": "tags",
    },
    "Shopify": {
        "Default Address Address1": "address1",
        "Default Address Province Code": "state",
        "Accepts Email Marketing": "opt-in:Email",
    },
    "Constant Contact": {"Email address": "email", "Phone - mobile": "phone", "City - Home": "city"},
    "PropStream": {"Owner 1 First Name": "firstName", "Phone 2": "phone", "Mailing Zip": "postalCode"},
    "Google Contacts": {"E-mail 2 - Value": "email", "Labels": "tags", "Address 1 - Street": "address1"},
    "Outlook": {"E-mail Address": "email", "Categories": "tags", "Home City": "city", "Web Page": "website"},
    "HighLevel": {"Contact Id": "id", "Business Name": "companyName", "Name": "name", "Phone": "phone"},
}
UNSENT = {
    "HubSpot": {"Record ID", "Contact owner", "Lifecycle Stage", "Lead Status", "Create Date"},
    "Salesforce": {"Salutation", "Title", "Fax", "Account Owner"},
    "Pipedrive": {"Person - ID", "Person - Owner"},
    "Mailchimp": set(
        "MEMBER_RATING OPTIN_TIME OPTIN_IP CONFIRM_TIME CONFIRM_IP LATITUDE LONGITUDE GMTOFF DSTOFF TIMEZONE CC REGION "
        "LAST_CHANGED LEID EUID NOTES".split()
    ),
    "ActiveCampaign": {"Contact Score", "Date Created"},
    "Zoho": {
        *("Record Id", "Contact Owner.id", "Contact Owner", "Title", "Department", "Skype ID", "Description"),
        "Unsubscribed Mode",
    },
    "Shopify": {"Customer ID", "Total Spent", "Total Orders", "Note", "Tax Exempt"},
    "Constant Contact": {"Job title", "Email status", "Email Lists", "Created At"},
    "PropStream": {"Owner 2 First Name", "Owner 2 Last Name", "Do Not Mail", "Phone 1 Type", "Phone 2 Type"},
    "Google Contacts": {
        "Name Prefix",
        "Notes",
        "E-mail 1 - Label",
        "E-mail 2 - Label",
        "Phone 1 - Label",
    },
    "Outlook": {"Title", "Business Fax"},
    "HighLevel": {"Created", "Last Activity"},
}


@pytest.mark.parametrize("product", EXPORTS)
def test_the_export_of_each_product_is_known(product: str) -> None:
    columns = map_of(EXPORTS[product])
    assert columns.preset is not None
    assert columns.preset.name == product
    sent = {column.name: column.target.slot for column in columns.columns}
    assert SENT[product].items() <= sent.items()
    assert {unsent.name for unsent in columns.unsent} == UNSENT[product]
    assert all(unsent.reason for unsent in columns.unsent)


def test_each_preset_is_tested() -> None:
    assert [preset.name for preset in PRESETS] == list(EXPORTS)


@pytest.mark.parametrize(
    "header", ["email,firstName,lastName,phone", "Email,First Name,Last Name,Phone,Tags", "first_name,email,locationId"]
)
def test_a_plain_header_is_nobodys_export(header: str) -> None:
    assert recognise(header.split(",")) is None
    assert not map_of(header).unsent


# ---------------------------------------------------------------------------------------------- languages and questions


@pytest.mark.parametrize("language", languages(), ids=lambda language: language.code)
def test_each_header_of_a_language_finds_its_field_in_any_spelling(language: Language) -> None:
    entries = [(left.partition("|")[0], entry) for left, some in read_entries(language.code) for entry in some]
    headers = [(name, entry) for name, entry in entries if name[0] not in "@?"]
    assert len(headers) > 60
    for name, entry in headers:
        wanted = read_target(name)
        assert wanted is not None
        for spelling in (entry, entry.upper(), entry.replace(" ", "_"), unicodedata.normalize("NFD", entry)):
            found = find_target(spelling)
            assert found is not None, spelling
            # Also where another language has it: no header means two things.
            assert (found[0].field, found[0].part) == (wanted.field, wanted.part), spelling


@pytest.mark.parametrize("language", languages(), ids=lambda language: language.code)
def test_each_word_for_an_address_makes_one_of_a_street(language: Language) -> None:
    street = next(entry for left, some in read_entries(language.code) if left == "address1" for entry in some)
    for left, some in read_entries(language.code):
        for word in some if left.startswith("@") else ():
            for header in (f"{street} {word}", f"{street} ({word})", f"{word} {street}"):
                found = language.find(header)
                assert found is not None, header
                assert (found[0].field, found[0].group) == ("address1", left[1:]), header


OUTLOOKS = {
    "de": "Vorname,Weitere Vornamen,Nachname,Firma,Straße geschäftlich,Straße geschäftlich 2,Ort geschäftlich,"
    "Postleitzahl geschäftlich,Land/Region geschäftlich,Telefon privat,E-Mail-Adresse",
    "fr": "Prénom,Deuxième prénom,Nom,Société,Rue (bureau),Rue (bureau) 2,Ville (bureau),Code postal (bureau),"
    "Pays/Région (bureau),Téléphone (domicile),Adresse de messagerie",
    "es": "Nombre,Segundo nombre,Apellidos,Organización,Calle del trabajo,Calle del trabajo 2,Ciudad de trabajo,"
    "Código postal del trabajo,País o región del trabajo,Teléfono particular,Dirección de correo electrónico",
    "it": "Nome,Secondo nome,Cognome,Società,Via (uff.),Via (uff.) 2,Città (uff.),CAP (uff.),Paese (uff.),"
    "Telefono (ab.),Indirizzo di posta elettronica",
    "pt": "Nome,Segundo nome,Apelido,Empresa,Rua (trabalho),Rua (trabalho) 2,Cidade (trabalho),"
    "Código postal (trabalho),País (trabalho),Telefone (casa),Endereço de e-mail",
    "nl": "Voornaam,Tussenvoegsel,Achternaam,Bedrijf,Straat (werk),Straat (werk) 2,Plaats (werk),Postcode (werk),"
    "Land (werk),Telefoon (thuis),E-mailadres",
    "sv": "Förnamn,Mellannamn,Efternamn,Företag,Gata (arbete),Gata (arbete) 2,Ort (arbete),Postnummer (arbete),"
    "Land (arbete),Telefon (hem),E-postadress",
}


@pytest.mark.parametrize("code", OUTLOOKS)
def test_an_export_in_each_language_is_read_whole(code: str) -> None:
    cells = ["Ida", "von", "Ahl", "Ahl AB", "Torg 1", "Port 2", "Ulm", "01067", "SE", "+16175550100", "ida@b.co"]
    assert read(OUTLOOKS[code], *cells) == (
        {
            "firstName": "Ida",
            "lastName": "von Ahl",
            "companyName": "Ahl AB",
            "address1": "Torg 1, Port 2",
            "city": "Ulm",
            "postalCode": "01067",
            "country": "SE",
            "phone": "+16175550100",
            "email": "ida@b.co",
        },
        [],
    )


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("What's your name?", "name"),
        ("What is your e-mail address?", "email"),
        ("Your phone number *", "phone"),
        ("Please enter your first name (required)", "firstName"),
        ("Wie lautet Ihre E-Mail-Adresse?", "email"),
        ("Quel est votre numéro de téléphone ?", "phone"),
        ("¿Cuál es tu correo electrónico?", "email"),
        ("Qual è il tuo cognome?", "lastName"),
        ("Qual é o seu e-mail?", "email"),
        ("Wat is je telefoonnummer?", "phone"),
        ("Vad är din e-postadress?", "email"),
        ("Name (First)", "firstName"),
        ("Address (ZIP / Postal Code)", "postalCode"),
        ("What's your pet's name?", None),
        ("Your partner's email", None),
        ("How did you hear about us?", None),
        ("E-Mail-Typ", None),
        ("Fax geschäftlich", None),
        ("Telefon Assistent", None),
        ("City 2", None),
    ],
)
def test_a_question_is_for_what_its_words_name(header: str, target: str | None) -> None:
    found = find_target(header)
    assert (found and found[0].slot) == target


@pytest.mark.parametrize(
    ("header", "cells", "names"),
    [
        ("Name;Vorname;E-Mail", "Roth;Ute;u@x.de", {"lastName": "Roth", "firstName": "Ute"}),
        ("Nom;Prénom;E-mail", "Roy;Léa;u@x.de", {"lastName": "Roy", "firstName": "Léa"}),
        ("Nombre;Apellidos;Correo", "Ana;Ruiz;u@x.de", {"firstName": "Ana", "lastName": "Ruiz"}),
        ("Nombre;Correo", "Ana Ruiz;u@x.de", {"name": "Ana Ruiz"}),
        ("Name;E-Mail", "Ute Roth;u@x.de", {"name": "Ute Roth"}),
        ("Name;First Name;Email", "Ute Roth;Ute;u@x.de", {"name": "Ute Roth", "firstName": "Ute"}),
        ("Name;Vorname;Nachname;E-Mail", "Ute Roth;Ute;Roth;u@x.de", {"name": "Ute Roth", "firstName": "Ute"}),
    ],
)
def test_a_header_for_a_name_means_what_those_beside_it_leave(header: str, cells: str, names: dict[str, str]) -> None:
    fields, told = read(header.replace(";", ","), *cells.split(";"))
    assert names.items() <= fields.items()
    assert told == []


@pytest.mark.parametrize(
    ("header", "cells", "names"),
    [
        ("First Name,Middle Name,Last Name", "Ada,von,Gunten", {"firstName": "Ada", "lastName": "von Gunten"}),
        ("First Name,Middle Name,Last Name", "Ada,Marie,Roth", {"firstName": "Ada Marie", "lastName": "Roth"}),
        ("First Name,Middle Name,Last Name", "Ada,von,", {"firstName": "Ada von"}),
        ("Name,First Name,Middle Name", "Ada Marie Roth,Ada,Marie", {"name": "Ada Marie Roth", "firstName": "Ada"}),
    ],
)
def test_a_middle_name_is_kept(header: str, cells: str, names: dict[str, str]) -> None:
    assert read(f"{header},Email", *cells.split(","), "a@b.co") == (names | {"email": "a@b.co"}, [])


def test_a_middle_name_that_a_whole_name_lacks_is_told() -> None:
    told = read("Name,Middle Name,Email", "Ada Roth", "Marie", "a@b.co")[1]
    assert told == ["Middle Name skipped: is not sent, as the whole name that another column gives does not have it"]


@pytest.mark.parametrize(
    ("header", "cells", "address"),
    [
        ("Address,Address 2,City", "1 Elm St|Suite 4|Rome", {"address1": "1 Elm St, Suite 4", "city": "Rome"}),
        ("Street,Street 2,Street 3", "1 Elm St|Hall|Door 4", {"address1": "1 Elm St, Hall, Door 4"}),
        ("Straße,Hausnummer,Ort", "Markt|5|Ulm", {"address1": "Markt 5", "city": "Ulm"}),
        ("Full Address", "Torgatan 1\n111 22 Stad", {"address1": "Torgatan 1, 111 22 Stad"}),
        ("Full Address,Address,City", "1 Elm, Rome|1 Elm|Rome", {"address1": "1 Elm", "city": "Rome"}),
        (
            "Home Street,Home City,Business City,Business Country",
            "1 Elm|Rome||US",
            {"address1": "1 Elm", "city": "Rome"},
        ),
        ("Street,City,Home Street,Home City,Home Zip", "|Bonn|1 Elm||00100", {"city": "Bonn"}),
    ],
)
def test_an_address_is_whole_and_of_one_place(header: str, cells: str, address: dict[str, str]) -> None:
    fields, _ = read(f"{header},Email", *cells.split("|"), "a@b.co")
    assert fields == address | {"email": "a@b.co"}


@pytest.mark.parametrize("cell", ["active", "Bounced", "inaktiv"])
def test_a_status_is_no_state(cell: str) -> None:
    assert read("Email,State", "a@b.co", cell)[0] == {"email": "a@b.co"}
    assert read("Email,State", "a@b.co", "ON")[0] == {"email": "a@b.co", "state": "ON"}


# ---------------------------------------------------------------------------------------------- several columns for one


def test_of_several_columns_for_a_field_the_first_that_is_filled_is_sent_and_the_others_are_told() -> None:
    header = "Mobile Phone,Email 2,Phone,Email"
    fields, told = read(header, "+16175550101", "b@b.co", "+16175550100", "a@b.co")
    assert fields == {"phone": "+16175550100", "email": "a@b.co"}
    assert sorted(told) == [
        "Email 2 skipped: is not sent, as another column gives email, of which a contact has one",
        "Mobile Phone skipped: is not sent, as another column gives phone, of which a contact has one",
    ]
    assert read(header, "+16175550101", "b@b.co", "", " ") == ({"phone": "+16175550101", "email": "b@b.co"}, [])


def test_two_columns_that_say_the_same_lose_nothing() -> None:
    assert read("Email,Email 2", "a@b.co", "A@B.co") == ({"email": "a@b.co"}, [])


def test_a_first_column_that_cannot_be_used_gives_way_to_the_next() -> None:
    fields, told = read("Email,Email 2", "a@", "b@b.co")
    assert fields == {"email": "b@b.co"}
    assert told == ["Email skipped: is not an email address (there must be something after the @-sign)"]
    assert read("Email,Email 2", "a@", "")[1][0].startswith("Email refused:")


def test_the_user_decides_the_order() -> None:
    columns = {"Home": "email", "Email": "email"}
    assert read("Email,Home", "a@b.co", "h@b.co", columns=columns)[0] == {"email": "h@b.co"}


def test_tags_of_all_columns_are_sent() -> None:
    fields, told = read("Email,Tags,Labels", "a@b.co", "VIP, lead", "* myContacts ::: vip ::: Rotary")
    assert (fields["tags"], told) == (["VIP", "lead", "Rotary"], [])


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("a;b,c|d\ne ::: f", ["a", "b", "c", "d", "e", "f"]),
        ('"VIP","Blog"', ["VIP", "Blog"]),
        ('"Boston, MA", lead', ["Boston, MA", "lead"]),
        ('["x, y"]', ["x, y"]),
        ('say "hi"', ['say "hi"']),
        (";;", []),
    ],
)
def test_tags_with_any_separator(cell: str, tags: list[str]) -> None:
    assert read("Email,Tags", "a@b.co", cell)[0].get("tags", []) == tags


def test_addresses_are_not_mixed() -> None:
    header = EXPORTS["Outlook"]
    cells = dict.fromkeys(header.split(","), "")
    home = cells | {"E-mail Address": "a@b.co", "Home City": "Bonn", "Home Street": "Markt 1"}
    both = home | {"Business City": "Ulm"}
    assert read(header, *home.values())[0] == {"email": "a@b.co", "city": "Bonn", "address1": "Markt 1"}
    fields, told = read(header, *both.values())
    assert fields == {"email": "a@b.co", "city": "Ulm"}
    assert told == [
        f"Home {name} skipped: is of another address than the one that is sent" for name in ("Street", "City")
    ]


# ---------------------------------------------------------------------------------------------- what the user says


def test_a_column_goes_where_the_user_says() -> None:
    columns = {"Rep": "owner", "Where": "city", "Email": "ignore", "Mail": "email"}
    result = map_of("Email,Mail,Rep,Where,City", columns=columns, ignored=frozenset({"City"}))
    assert {column.name: column.target.slot for column in result.columns} == {
        "Rep": "assignedTo",
        "Where": "city",
        "Mail": "email",
    }
    assert {unsent.name: unsent.reason for unsent in result.unsent} == {
        "Email": "ignored on request",
        "City": "ignored on request",
    }


def test_a_mapping_that_is_whole_sends_nothing_else() -> None:
    columns = map_of("Email,City", columns={"Email": "email"}, is_whole=True)
    assert [column.name for column in columns.columns] == ["Email"]
    assert columns.unsent[0].reason == "it is not in the mapping file"


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("emial", "did you mean email"),
        ("xyz", "there are firstName"),
        ("dnd:Fax", "there are Call, Email"),
        ("opt-out:Fax", "there are Call, Email.*, all"),
        ("opt-in:", "is not a field"),
        ("custom:", "is not a field"),
        ("custom:Nickname X", "has no custom field 'Nickname X' .did you mean 'Nick Name'.*`create_fields`"),
        ("custom:Contract", "holds files"),
        ("custom:twin", "several custom fields are called 'twin'.*custom:contact.twin_1 or custom:contact.twin_2"),
    ],
)
def test_a_target_that_is_none_is_told_with_what_may_be_meant(target: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        map_of("Email,X", columns={"X": target}, fields=FIELDS)


def test_a_column_that_there_is_not_is_told() -> None:
    with pytest.raises(ConfigurationError, match="`columns` 'Nmae': no file has such a column; did you mean 'Name'"):
        check_names("`columns`", ["Nmae"], ["Name", "Email"])
    with pytest.raises(ConfigurationError, match="`ignore` 'X': no file has such a column; there are Name, Email"):
        check_names("`ignore`", ["X"], ["Name", "Email"])
    check_names("`ignore`", ["Name"], ["Name", "Email"])


# ---------------------------------------------------------------------------------------------- custom fields


def custom(name: str, cell: str) -> Any:
    fields, told = read("Email,X", "a@b.co", cell, columns={"X": f"custom:{name}"}, fields=FIELDS)
    if told:
        return told[0]
    (value,) = fields["customFields"]
    return value["id"], value["field_value"]


@pytest.mark.parametrize("name", ["F1", "nickname", "contact.nickname", "Nick Name", " nick name "])
def test_a_custom_field_is_found_by_id_key_and_name(name: str) -> None:
    assert custom(name, "Bob") == ("F1", "Bob")


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("Plan", "pro", "Pro"),
        ("Score", "42", 42),
        ("Score", "-1.5", -1.5),
        ("Score", "1,234", 1234),
        ("Score", "12,5", 12.5),
        ("Budget", "$1,234.50", 1234.5),
        ("Budget", "1.234,50 €", 1234.5),
        ("Budget", "CHF 1'234", 1234),
        ("Likes", "music; Sport", ["Music", "Sport"]),
        ("Likes", "Art, old", ["Art, old"]),
        ("Likes", '"Art, old", music', ["Art, old", "Music"]),
        ("Likes", '["Sport"]', ["Sport"]),
        ("Since", "09/25/1990", "1990-09-25"),
    ],
)
def test_a_cell_becomes_what_its_custom_field_holds(name: str, cell: str, value: Any) -> None:
    assert custom(name, cell)[1] == value
    assert type(custom(name, cell)[1]) is type(value)


@pytest.mark.parametrize(
    ("name", "cell", "told"),
    [
        ("Plan", "Gold", "X missing: holds 'Gold', which is not an option of the custom field 'Plan'"),
        ("Likes", "Sport, Chess", "X missing: holds 'Chess', which is not an option of the custom field 'Likes'"),
        ("Score", "many", "X skipped: is not a number"),
        ("Score", "1-2", "X skipped: is not a number"),
        ("Score", "nan", "X empty: stands for nothing"),
        ("Since", "soon", "X skipped: is not a date in a form that the service reads; write it as YYYY-MM-DD"),
        ("Nick Name", "x" * 257, "X sent: is longer than 256 characters, and may be cut by the service"),
    ],
)
def test_a_cell_that_its_custom_field_cannot_hold_is_told(name: str, cell: str, told: str) -> None:
    assert custom(name, cell) == told


def test_a_custom_field_that_a_header_names_is_resolved_as_a_mapped_one() -> None:
    unresolved = read("Email,custom:x", "a@b.co", "1")[0]["customFields"]
    assert unresolved == [{"key": "x", "field_value": "1"}], "the fields of the location are not known"
    known = read("Email,custom:plan,Custom:Score", "a@b.co", "pro", "7", fields=FIELDS)
    assert known == read(
        "Email,A,B", "a@b.co", "pro", "7", columns={"A": "custom:plan", "B": "custom:score"}, fields=FIELDS
    )
    assert known[0]["customFields"] == [{"id": "F2", "field_value": "Pro"}, {"id": "F3", "field_value": 7}]
    with pytest.raises(ConfigurationError, match=r"no custom field 'x' .*`create_fields` makes it, and `ignore`"):
        map_of("Email,custom:x", fields=FIELDS)
    assert "X missing" in str(read("Email,X", "a@b.co", "Gold", columns={"X": "custom:plan"}, fields=FIELDS)[1])
    assert "custom:plan missing" in str(read("Email,custom:plan", "a@b.co", "Gold", fields=FIELDS)[1])


# ---------------------------------------------------------------------------------------------- do not disturb


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        *(("true", "active"), ("1", "active"), ("Unsubscribed", "active"), ("2026-01-02 03:04:05", "active")),
        *(("permanent", "permanent"), ("inactive", None), ("no", None), ("0", None), ("subscribed", None)),
    ],
)
def test_do_not_disturb_by_channel(cell: str, status: str | None) -> None:
    settings = read("Email,DND SMS", "a@b.co", cell)[0].get("dndSettings")
    assert settings == (None if status is None else {"SMS": {"status": status}})


def test_channels_of_several_columns_are_one_setting_and_any_no_is_a_no() -> None:
    columns = {"A": "dnd:Email", "B": "dnd:email", "C": "dnd:Call"}
    fields = read("Email,A,B,C", "a@b.co", "no", "yes", "yes", columns=columns)[0]
    assert fields["dndSettings"] == {"Email": {"status": "active"}, "Call": {"status": "active"}}


def test_a_wish_not_to_be_disturbed_that_cannot_be_read_keeps_the_row() -> None:
    assert read("Email,DND SMS", "a@b.co", "maybe")[1][0].startswith("DND SMS refused: 'maybe' is neither yes nor no")


# ---------------------------------------------------------------------------------------------- owners and locations


def test_owners_by_email_or_name(tmp_path: Path) -> None:
    table = tmp_path / "owners.csv"
    table.write_text("Email,Name,User ID\nsam@x.com,Sam,y0BeYjuRIlDwsDcOHOJo\n")
    owners = read_owners(table)
    for cell in ("sam@x.com", "SAM", "y0BeYjuRIlDwsDcOHOJo", "ocQHyuzHvysMo5N5VsXc"):
        assert "assignedTo" in read("Email,Owner", "a@b.co", cell, owners=owners, columns={"Owner": "owner"})[0]
    fields, told = read("Email,Owner", "a@b.co", "kim@x.com", owners=owners, columns={"Owner": "owner"})
    assert (fields, told) == ({"email": "a@b.co"}, ["Owner skipped: is not among the known owners"])
    hubspot = map_of(EXPORTS["HubSpot"], owners=owners)
    assert "Contact owner" in [column.name for column in hubspot.columns]


OURS = "id,firstName,email,assignedTo,tags,additionalEmails,additionalPhones,type,businessId,dateAdded"


@pytest.mark.parametrize("owners", [Directory("owner"), Directory("owner", {"Kim": "ve9EPM428h8vShlRW1KT"})])
def test_ids_of_owners_are_sent_whether_or_not_there_is_a_table(owners: Directory) -> None:
    cells = ("", "Ann", "a@b.co", "y0BeYjuRIlDwsDcOHOJo", "", "", "", "", "", "")
    fields, told = read(OURS, *cells, owners=owners)
    assert (fields["assignedTo"], told) == ("y0BeYjuRIlDwsDcOHOJo", [])


def test_an_owner_by_email_needs_a_table() -> None:
    assert read("email,assignedTo", "a@b.co", "y0BeYjuRIlDwsDcOHOJo")[0]["assignedTo"] == "y0BeYjuRIlDwsDcOHOJo"
    assert read("email,assignedTo", "a@b.co", "sam@x.com")[1] == [
        "assignedTo skipped: is not the id of a user, and there is no file of owners to look it up in (`owners`)"
    ]


@pytest.mark.parametrize("text", ["", "email,name\n", "id\n1\n"])
def test_a_table_of_owners_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "owners.csv").write_text(text)
    with pytest.raises(ConfigurationError, match="needs a column id, and a column email or name"):
        read_owners(tmp_path / "owners.csv")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_owners(tmp_path / "gone.csv")


def test_a_location_by_name_and_one_that_is_not_known() -> None:
    locations = Directory("location", {"Boston Office": "ve9EPM428h8vShlRW1KT"})
    assert read("email,locationId", "a@b.co", "boston office", locations=locations)[0] == {
        "email": "a@b.co",
        "locationId": "ve9EPM428h8vShlRW1KT",
    }
    assert read("email,locationId", "a@b.co", "Ulm Office", locations=locations)[1] == [
        "locationId refused: is not among the known locations"
    ]
    assert read("email,locationId", "a@b.co", "Ulm Office")[1] == [
        "locationId refused: is not the id of a location, and names cannot be looked up here"
    ]
    assert read("email,locationId", "a@b.co", "L17")[0]["locationId"] == "L17"


# ---------------------------------------------------------------------------------------------- nothing is lost


CELLS = st.sampled_from(["", " ", "a@b.co", "a@", "+16175550100", "12", "yes", "maybe", "25.09.1990", "x, y", "Bonn"])
HEADERS = [*EXPORTS.values(), "Email,Email 2,Phone,Phone 2,Tags,Tags 2,dnd,DND SMS,custom:plan,locationId,country"]


@given(st.data())
def test_each_cell_is_sent_or_told(data: st.DataObject) -> None:
    header = data.draw(st.sampled_from(HEADERS))
    columns = map_of(header)
    cells = [data.draw(CELLS) for _ in header.split(",")]
    fields, problems = columns.read(cells)
    told = {problem.column for problem in problems if problem.action in ("skipped", "refused", "fixed")}
    joined = {column.name for column in columns.columns if column.target.is_joined}
    slots = {column.name: column.target.slot for column in columns.columns}
    for name, cell in zip(header.split(","), cells, strict=True):
        if not cell.strip() or name not in slots or name in told or slots[name].startswith(("dnd", "opt-")):
            continue
        if name in joined:
            assert any(cell.strip() in str(value) for value in fields.values())
            continue
        sent = fields[slots[name].partition(":")[0].replace("custom", "customFields")]
        assert sent is not None


def test_problems_are_counted_in_memory_that_does_not_grow() -> None:
    tally = ProblemTally()
    columns = map_of("email,dnd", checks=Checks())
    for number in range(5_000):
        tally.add(columns.read(["a@", f"perhaps {number}"])[1], SimpleNamespace(where=f"row {number}"))
    kinds = tally.kinds()
    assert len(kinds) <= 1_001
    assert sum(kind.count for kind in kinds) == 10_000
    assert (kinds[0].count, kinds[0].column, kinds[1].column) in [(5_000, "email", ""), (5_000, "email", "dnd")]


# ---------------------------------------------------------------------------------------------- values that are known

KEPT = [
    *("", " ", "Ann", " Ann ", "N/A", "n", "'0049", "M\u00c3\u00bcller", "R&amp;D", "K\u00f6ln", "x" * 200),
    *("a@b.co", "MAILTO:a@b.co", "a@b", "+16175550100", "0171 1234567 Ann", "12", "yes", "no", "unsubscribed", "maybe"),
    *("1990-01-02", "0001-01-01", "53111.0", "US", "vip, lead", "vip", "-", "{broken", "\0"),
]
TABLES = (
    ("Email", "First Name", "City", "Zip", "Country", "Birthday", "Tags", "Phone"),
    ("Email", "Email 2", "Phone 1", "Phone 1 DNC", "Phone 2", "Tags", "Labels", "Unsubscribed"),
    ("Email", "Home Street", "Home City", "Business Street", "Business City", "Middle Name", "First Name", "State"),
)


@given(st.sampled_from(TABLES), st.lists(st.lists(st.sampled_from(KEPT), min_size=6, max_size=8), max_size=12))
def test_a_row_is_read_the_same_whatever_was_read_before(headers: tuple[str, ...], rows: list[list[str]]) -> None:
    """Values of cells are kept by column: neither they nor what there is to be told may depend on other rows."""
    known = ColumnMap(headers, headers, NOTHING_SAID)
    for cells in [*rows, *rows]:
        expected = ColumnMap(headers, headers, NOTHING_SAID).read(cells)
        assert known.read(cells) == expected
