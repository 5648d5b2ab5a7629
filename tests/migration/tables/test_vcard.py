"""Address books as vCards: every version, however its lines are broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError, ContactUpsert
from leadconnector_async.migration.mapping.rows import open_row_file
from leadconnector_async.migration.tables import open_table
from leadconnector_async.migration.tables.vcard import _plain, _split

ICLOUD = """BEGIN:VCARD
VERSION:3.0
N:de Wit;Ada;Maria;;
FN:Ada Maria de Wit
ORG:Wit\\, Sons & Co;Sales
EMAIL;type=INTERNET;type=WORK:ada@work.example
EMAIL;type=INTERNET;type=HOME;type=pref:ada@home.example
TEL;type=CELL:+31 20 555 0101
item1.ADR;type=HOME;type=pref:;;Gracht 1\\nbis;Amsterdam;NH;1011 AB;Netherlands
item1.X-ABADR:nl
BDAY;value=date:1985-04-03
NOTE:long
  note
CATEGORIES:vip,friends
PHOTO;ENCODING=b;TYPE=JPEG:AAAA
 BBBB
END:VCARD
"""
PHONE_2_1 = """BEGIN:VCARD
VERSION:2.1
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6=
rg;;;
TEL;CELL;PREF:+49 30 5550101
EMAIL:jorg@example.com
END:VCARD
"""
IN_4 = """begin:vcard
version:4.0
fn:Bea Odd
tel;value=uri;pref=1;type="voice,home":tel:+1-212-555-0101
email:bea@example.com
bday:19901231T000000Z
end:vcard
"""


def contacts(tmp_path: Path, text: str) -> list[ContactUpsert]:
    path = tmp_path / "book.vcf"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    found = [row.contact for row in open_row_file(path).rows()]
    assert all(isinstance(one, ContactUpsert) for one in found), found
    return [one for one in found if isinstance(one, ContactUpsert)]


def test_cards_of_all_versions_are_rows(tmp_path: Path) -> None:
    ada, jorg, bea = contacts(tmp_path, ICLOUD + PHONE_2_1 + IN_4)
    assert (ada.first_name, ada.last_name, ada.email) == ("Ada Maria", "de Wit", "ada@home.example")
    assert (ada.company_name, ada.phone, ada.date_of_birth) == ("Wit, Sons & Co", "+31205550101", "1985-04-03")
    assert (ada.address1, ada.city, ada.postal_code, ada.country) == ("Gracht 1, bis", "Amsterdam", "1011 AB", "NL")
    assert ada.tags == ["vip", "friends"]
    assert (jorg.first_name, jorg.last_name, jorg.phone) == ("J\u00f6rg", "M\u00fcller", "+49305550101")
    assert (bea.name, bea.phone, bea.date_of_birth) == ("Bea Odd", "+12125550101", "1990-12-31")


def test_only_what_some_card_fills_is_a_column(tmp_path: Path) -> None:
    path = tmp_path / "book.vcf"
    path.write_text(IN_4)
    assert open_table(path).columns == ["Name", "Email", "Phone", "Birthday"]


def test_a_card_that_is_cut_off_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "book.vcf"
    path.write_text("BEGIN:VCARD\nFN:Cut\n" + IN_4 + "BEGIN:VCARD\nFN:Cut, too\n")
    assert [record.error for record in open_table(path).rows()] == [
        "ends without END:VCARD",
        None,
        "ends without END:VCARD",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("END:VCARD\n", "holds no vCard"),
        ("email\na@b.co\n", "holds no vCard"),
        ("BEGIN:VCARD\nX-ODD:1\nEND:VCARD\n", "hold no names, emails or phones"),
    ],
)
def test_what_is_no_address_book_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "book.vcf"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        open_table(path)


def test_a_photo_of_any_size_costs_no_memory(tmp_path: Path) -> None:
    photo = "PHOTO:" + "".join(f"{'A' * 70}\n " for _ in range(50_000)) + "\n"
    (bea,) = contacts(tmp_path, IN_4.replace("end:vcard", photo + "end:vcard"))
    assert bea.email == "bea@example.com"


@given(st.lists(st.text(), min_size=1))
def test_what_was_escaped_comes_back(parts: list[str]) -> None:
    escaped = [
        part.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n") for part in parts
    ]
    assert [_plain(part) for part in _split(";".join(escaped), ";")] == parts
