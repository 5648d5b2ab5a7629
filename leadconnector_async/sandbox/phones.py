"""Phone numbers as the service reads them: to E.164, or refused with the wording of the library it uses."""

from __future__ import annotations

import re
from typing import Final

from .refusals import Refusal

_CALLING_CODES: Final = frozenset(
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 "
    "82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 "
    "234 235 236 237 238 239 240 241 242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 "
    "261 262 263 264 265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 "
    "372 373 374 375 376 377 378 380 381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 "
    "508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 "
    "686 687 688 689 690 691 692 850 852 853 855 856 880 886 960 961 962 963 964 965 966 967 968 970 971 972 "
    "973 974 975 976 977 992 993 994 995 996 998".split()
)
_OF_COUNTRY: Final = {
    "US": "1", "CA": "1", "GB": "44", "DE": "49", "FR": "33", "CH": "41", "AT": "43", "NL": "31", "ES": "34",
    "IT": "39", "AU": "61", "NZ": "64", "IN": "91", "BR": "55", "MX": "52", "ZA": "27", "IE": "353", "PL": "48",
    "SE": "46",
}  # fmt: skip
_EXTENSION = re.compile(r"\s*(?:ext\.?|x|#)\s*\d{1,7}\s*$", re.I)
_SHAPE = re.compile(r"\+?[\d\s().\-/]+", re.ASCII)
_MOST_DIGITS = 15
_FEWEST_DIGITS = 7

_NO_NUMBER = "The string supplied did not seem to be a phone number"
_TOO_LONG = "The string supplied is too long to be a phone number"
_TOO_SHORT = "The string supplied is too short to be a phone number"
_NO_COUNTRY = "Invalid country calling code"


def read_phone(text: str, country: str) -> str:
    """Return the number in E.164, read as a national one of `country` (two letters) unless it names another.

    Raises:
        Refusal: 400, it is no phone number.
    """
    text = _EXTENSION.sub("", text.strip())
    if not _SHAPE.fullmatch(text):
        raise Refusal(400, _NO_NUMBER)
    digits = re.sub(r"\D", "", text)
    number = digits if text.startswith("+") else _international(digits, _OF_COUNTRY.get(country, "1"))
    if len(number) > _MOST_DIGITS:
        raise Refusal(400, _TOO_LONG)
    if not any(number.startswith(code) for code in (number[:1], number[:2], number[:3]) if code in _CALLING_CODES):
        raise Refusal(400, _NO_COUNTRY)
    if len(number) < _FEWEST_DIGITS + 1:
        raise Refusal(400, _TOO_SHORT)
    return f"+{number}"


def _international(digits: str, code: str) -> str:
    if code == "1":
        if digits.startswith("011"):
            return digits[3:]
        return digits if len(digits) == 11 and digits.startswith("1") else "1" + digits
    if digits.startswith("00"):
        return digits[2:]
    return code + digits.removeprefix("0")
