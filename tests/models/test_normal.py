"""Normal forms: two spellings of one value are one, as the service sees them."""

from __future__ import annotations

import phonenumbers
import pytest

from leadconnector_async.models.normal import normal_phone
from leadconnector_async.rules.checks import Checks
from leadconnector_async.rules.fields import RULES, apply_rules
from leadconnector_async.sandbox.validation import read_phone

KINDS = (*range(11),)  # of numbers, in the library's own order
# Their numbers of eight digits begin with 06.
WITHOUT_RULE = ("RW",)


def examples(region: str) -> list[str]:
    found = (phonenumbers.example_number_for_type(region, kind) for kind in KINDS)
    return [phonenumbers.format_number(one, phonenumbers.PhoneNumberFormat.E164) for one in found if one is not None]


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_is_its_own_normal_form_and_a_trunk_zero_changes_nothing(region: str) -> None:
    code = f"+{phonenumbers.country_code_for_region(region)}"
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    for number in examples(region):
        assert normal_phone(number) == number[1:]
        is_usual = 9 <= len(number) <= 15  # a plus, and as many digits as the service takes, less a zero
        assert not is_usual or read_phone(number, "US") == number
        if metadata.national_prefix == "0" and region not in WITHOUT_RULE:
            with_zero = f"{code}0{number.removeprefix(code)}"
            assert normal_phone(with_zero) == normal_phone(number)
            assert not is_usual or read_phone(with_zero, "US") == number
            assert apply_rules(RULES["phone"], with_zero, Checks()) == number


def test_the_zero_of_italy_belongs_to_the_number() -> None:
    for number in ("+39061234567", "+3780549886377"):
        assert normal_phone(number) == number[1:]
        assert read_phone(number, "US") == number


def test_spellings_of_one_number_are_one_identity() -> None:
    spellings = ("+447911123456", "+4407911123456", "+44 (0)7911 123456", "0044 7911 123456", "0044 07911 123456")
    assert {normal_phone(one) for one in spellings} == {"447911123456"}
