"""Columns about consent: recognise headers that say people opted out or in, and read their cells.

Consent fails closed: a cell about consent that cannot be read closes a channel or stops the load, and nothing that is
read from a file opens one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from itertools import product
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..models import UPSERT_NAMES
from ..models.dnd import V3_CHANNELS
from ..models.fields import CHANNEL_KINDS, UPSERT_FIELDS
from ..models.normal import normal_letters
from .problems import Fixed

ConsentKind: TypeAlias = Literal["opt-out", "opt-in"]
KINDS: Final[tuple[ConsentKind, ...]] = ("opt-out", "opt-in")
CHANNELS: Final = tuple(V3_CHANNELS)
ALL: Final = "all"
CLOSED: Final = {"status": "active"}
"""What closes a channel, on the wire."""


class Consent(Struct, frozen=True):
    """What a header says its column is about.

    Attributes:
        kind: `opt-out`: yes closes channels. `opt-in`: no does.
        channels: Which, or `all` alone; none where it is about post or fax, for which there is no channel.
        is_implied: Whether the header names no channel, and only habit says which it is.
        is_time: Whether cells hold the time since when.
        is_vague: Whether the header holds a phrase of consent among words that are not understood.
    """

    kind: ConsentKind
    channels: tuple[str, ...]
    is_implied: bool = False
    is_time: bool = False
    is_vague: bool = False


# ---------------------------------------------------------------------------------------------- headers

# What headers call the channels; {c} in the phrases below stands for each of these words. "Phone" alone means calls and
# texts. Nothing before the equals sign: there is no channel for it.
_WORDS: Final = """
    Email = email, emails, email address, email marketing, emailing, marketing email, marketing emails, mail, mails
    Email = newsletter, newsletters, email newsletter, email newsletters, bulk email, bulk emails, mass email
    Email = mass emails, mailing, mailings, mailing list, mailing lists, email list, email lists, email communication
    Email = email communications, email campaigns, email messages, email subscription, email updates, promotional emails
    SMS = sms, text, texts, texting, text message, text messages, text messaging, text marketing, sms marketing
    SMS = marketing sms, marketing texts, sms message, sms messages, sms messaging, mms, sms updates, sms subscription
    Call = call, calls, calling, phone call, phone calls, telephone call, telephone calls, voice, voice call
    Call = voice calls, voicemail, marketing calls, telemarketing, landline, landlines
    Call, SMS = phone, phones, telephone, tel, mobile, mobile phone, cell, cell phone, phone number, mobile number
    Call, SMS = phone marketing, mobile marketing
    WhatsApp = whatsapp, whatsapp message, whatsapp messages, whatsapp marketing
    FB = facebook, messenger, facebook messenger, fb, fb messenger
    GMB = gmb, google my business, google business, google business messages
    RCS = rcs, rcs messages
    all = all, everything, all channels, marketing, all marketing, marketing communication, marketing communications
    all = marketing messages, communication, communications, all communication, all communications, messages, messaging
    all = promotions, promotional messages, advertising, solicitation
    = post, postal, postal mail, direct mail, physical mail, letters, fax, faxes, bulk fax
"""
# What one does to people, or must not do; {v} in the phrases.
_VERBS: Final = """
    Email = email, mass email, bulk email, send email, send emails, send bulk email, send newsletter
    SMS = text, sms, mms, send text, send texts, send sms, text message
    Call = call, phone, telephone, dial, cold call, robocall, call by phone
    WhatsApp = whatsapp
    all = contact, be contacted, market, market to, send marketing, solicit, message, communicate
    = mail, send mail, bulk mail, allow mail, allow mails, allow bulk mail, allow bulk mails, postal mail, post, fax
    = send fax
"""
_PHRASES: Final = """
    opt-out = unsubscribed {c}, unsubscribed from {c}, unsubscribed from all {c}, {c} unsubscribed, unsubscribe {c}
    opt-out = unsubscribe from {c}, unsubscribe from all {c}, {c} unsubscribe, unsub {c}, {c} unsub
    opt-out = opt out {c}, opt out of {c}, opt out of all {c}, opt out from {c}, opt out for {c}, {c} opt out
    opt-out = opted out {c}, opted out of {c}, opted out of all {c}, opted out from {c}, opted out for {c}
    opt-out = {c} opted out, opts out of {c}, opting out of {c}, not opted in to {c}, {c} do not contact, {c} dnc
    opt-out = dnc {c}, do not {v}, do not allow {c}, do not receive {c}, do not want {c}, does not want {c}
    opt-out = do not contact {c}, do not contact by {c}, do not contact via {c}, do not disturb {c}, dnd {c}, {c} dnd
    opt-out = {c} disabled, {c} suppressed, {c} suppression, suppressed {c}, suppressed from {c}, {c} blacklisted
    opt-out = {c} blocklisted, blacklisted {c}, blocklisted {c}, excluded from {c}, exclude from {c}
    opt-out = suppress {c}, {c} suppressions, no longer subscribed to {c}, not subscribed to {c}, stop {c}
    opt-out = removed from {c}, {c} consent withdrawn, {c} consent revoked, no {c} consent, no consent to {c}
    opt-out = no consent for {c}
    opt-in = accepts {c}, accept {c}, accepting {c}, accepts marketing {c}, {c} marketing accepted, allows {c}
    opt-in = wants {c}, agrees to {c}, agree to {c}, agreed to {c}, agrees to receive {c}, agreed to receive {c}
    opt-in = agree to receive {c}, consents to {c}, consented to {c}, consent to {c}, consent to receive {c}
    opt-in = consent for {c}, {c} consent, {c} consented, {c} consent given, marketing consent {c}, {c} opt in
    opt-in = {c} opted in, {c} double opt in, opt in {c}, opt in to {c}, opt in for {c}, opted in {c}, opted in to {c}
    opt-in = opted in for {c}, marketing opt in {c}, receives {c}, receive {c}, subscribed to {c}, {c} subscribed
    opt-in = {c} permission, {c} permissions, permission for {c}, allow {c}, {c} allowed, {c} permitted
    opt-in = can {v}, may {v}, ok to {v}, okay to {v}, permission to {v}, consent to {v}
"""
# Phrases that name no channel, with what they are taken to mean.
_WITHOUT_CHANNEL: Final[dict[ConsentKind, str]] = {
    "opt-out": """
        Email = unsubscribed, unsubscribe, unsub, unsubbed, unsubscribed from all lists, unsubscribed from list
        Email = no longer subscribed, not subscribed
        all = opt out, opt outs, opted out, opting out, not opted in, suppressed, suppression, suppression list
        all = on suppression list, blacklisted, on blacklist, on blocklist
        all = blocklisted, do not contact list, no consent, consent withdrawn, consent revoked, withdrawn consent
        all = revoked consent, withdrew consent
        Call, SMS = dnc, dnc list, on dnc, on dnc list, dnc registry, on dnc registry, national dnc, federal dnc
        Call, SMS = state dnc, internal dnc, dncr, do not call list, on do not call list, do not call registry
        Call, SMS = on do not call registry, dnc registered, registered dnc, national do not call, federal do not call
        Call, SMS = state do not call, national do not call registry, national do not call list
        Call, SMS = mobile do not call, cell do not call, cell phone do not call, mobile phone do not call
        Call, SMS = do not call mobile, do not call cell, do not call cell phone, do not call mobile phone
        Call = phone do not call, telephone do not call, landline do not call, do not call phone, do not call landline
    """,
    "opt-in": """
        Email = subscribed
        all = opt in, opted in, double opt in, marketing allowed, marketing accepted, marketing agreed
        Call, SMS = tcpa consent, tcpa opt in
    """,
}
_PREFIXES: Final = (
    "contact, lead, person, people, customer, client, member, subscriber, user, profile, recipient, buyer, guest, "
    "primary, secondary, main, other, alternate, work, business, company, office, home, personal, private, account, "
    "properties, property, hs, custom, has, have, is, was, are, been, currently, global, globally, gdpr, casl, et4ae5"
)
_SUFFIXES: Final = "flag, status, indicator, checkbox, yn, yes no, y n, true false, c"
_TIMES_BEFORE: Final = "date, date of, time, time of, timestamp, when"
_TIMES_AFTER: Final = "date, time, date time, timestamp, at, on, since, utc"
_MOST_AFFIXES: Final = 4
_LONGEST: Final = 100
_PAIRED: Final = "email, sms, text, call, phone, whatsapp"

# What shows in any company that a header is about consent, looked for in its words: in lower case, with one space
# between. Where the rest is not understood, nobody can say which channels the cells close. The second pattern of a kind
# counts only beside a word for messages.
_VAGUE: Final[dict[ConsentKind, tuple[re.Pattern[str], re.Pattern[str]]]] = {
    "opt-out": (
        re.compile(
            r"opt(?:ed|s|ing)?out|\bopt(?:ed|s|ing)? (?:\w{1,20} )?outs?\b|unsub|dnc|\bdnd|dnd\b|"
            r"\bsuppress(?:ed|ions?)?\b|"
            r"do(?:es)? ?n ?o?t ?(?:(?:ever|want|wish|to|allow|accept|receive|be|any|bulk|mass|cold|marketing) ?){0,5}"
            r"(?:call|phone|dial|e ?mail|text|sms|mms|contact|market|solicit|messag|disturb|send|communicat|robocall)|"
            r"\b(?:no longer|not|never|non|isn ?t) ?subscrib|\b(?:not|never) opt(?:ed)? ?in\b|\bbl(?:ack|ock) ?list|"
            r"\b(?:never|stop|can ?not|can ?t|may not|must ?n[o ]*t|should ?n[o ]*t) (?:be )?"
            r"(?:call|phone|e ?mail|text|sms|contact|market|messag|solicit)|"
            r"\bno (?:contact|marketing|solicit\w{0,9}|newsletters?)\b|"
            r"\bconsents? (?:\w{1,20} )?(?:withdrawn|revoked|refused|denied|declined)|"
            r"\b(?:withdr[ae]wn?|revoked?|refused?|declined?|denied|no) (?:\w{1,20} )?consent\b"
        ),
        re.compile(
            r"\b(?:no|not|never|without|non|do(?:es)? ?n ?o?t) (?:\w{1,20} ){0,2}"
            r"(?:permi\w{2,9}|allow(?:ed)?|consent\w{0,6}|agreed?|accept\w{0,3}|want\w{0,3}|receiv\w{1,3})\b|"
            r"\b(?:excluded?|removed?) from\b|\bno (?:more|longer)\b"
        ),
    ),
    "opt-in": (
        re.compile(r"opt(?:ed)?in\b|\bopt(?:ed|s|ing)? in\b"),
        re.compile(r"\b(?:consent\w{0,6}|permi\w{2,9}|agree[sd]?|ok|okay|allow(?:ed|s)?|may|accepts?)\b"),
    ),
}
_OF_MESSAGES: Final = re.compile(
    r"\b(?:e ?mails?|mailings?|newsletters?|sms|mms|text(?:s|ed|ing)?|call(?:s|ed|ing)?|phoned?|whatsapp|"
    r"contact(?:ed)?|marketing|messag\w{1,3}|communications?|promotion\w{0,2}|solicit\w{0,9}|advert\w{0,9})\b"
)
# What makes such a header one of why, where from or how many.
_WHY: Final = (
    "source|reasons?|reason other|ip|ip address|mode|method|url|link|comments?|notes?|title|version|id|user agent|"
    "browser|count|rate|total|token|hash|feedback"
)
_IS_WHY: Final = re.compile(
    rf".* (?:{_WHY})|(?:{_WHY}) (?:of|for|from) .*|(?:.* )?(?:unsubscribes|unsubs)|"
    r"(?:total|number|count) of .*|total (?:unsub\w{0,20}|opt ?outs)"
)
_IS_WHEN: Final = re.compile(
    r".* (?:date|time|datetime|timestamp|at|on|since|utc|checked|scrubbed)|(?:date|time)s? (?:of|for) .*"
)
_NO_MESSAGES: Final = frozenset(
    "post postal letters fax photo photos photography picture pictures image images video treatment terms privacy "
    "cookie cookies tracking sale sell sharing research survey waiver".split()
)
_OPTS: Final = re.compile(r"\bopt(?:ed|s|ing)? ?(?:out|in)s?\b|consent")
_MOST_CHARS: Final = 1000  # of a header; a whole question of a survey may be one

# After a colon, a dash or a bracket: what makes of a header about consent one about something else.
_TIME_WORDS: Final = frozenset("date time datetime timestamp at on since utc".split())
_PROVENANCE: Final = _TIME_WORDS | frozenset(
    "source ip address reason reasons mode method by url page form campaign comment comments note notes text version "
    "user language country id name of the".split()
)
_OTHER_SUBJECTS: Final = frozenset(
    "post postal letters fax photo photos photography picture pictures image images video treatment medical "
    "health insurance terms privacy cookie cookies tracking sale sell sharing research survey waiver".split()
)
_TAIL: Final = re.compile(r"[:(\[?]|\s[-\u2013\u2014]\s")


class _Phrase(Struct, frozen=True):
    """A way to say it, in plain form: the channels are those of the word between `before` and `after`."""

    kind: ConsentKind
    before: str
    after: str
    words: Mapping[str, tuple[str, ...]]

    def match(self, name: str) -> Consent | None:
        if not (name.startswith(self.before) and name.endswith(self.after)):
            return None
        channels = self.words.get(name[len(self.before) : len(name) - len(self.after)])
        return None if channels is None else Consent(self.kind, channels, is_implied=channels == (ALL,))


def plain(name: str) -> str:
    """Leave out what people write in several ways: case, width, spaces and marks."""
    return re.sub(r"[\W_]+", "", normal_letters(name, "NFKC").lower())


@lru_cache(maxsize=4096)
def find_consent(header: str) -> Consent | None:
    """Return what a header says by itself about consent; None where it says nothing, or only when, where from or why.

    Spaces, marks, digits and case do not matter, so `HasOptedOutOfEmail` and `email_opt_out__c` are found, too. What
    holds such a phrase among other words is vague: it is about consent, and nobody knows what its cells say.
    """
    if header.lower().startswith("custom:"):  # a custom field of that name, as `export` writes it
        return None
    header = normal_letters(header, "NFKC")
    return _understand(header) or _suspect(header)


def _understand(header: str) -> Consent | None:
    whole = _look_up(header)
    tail = _TAIL.search(header)
    if whole is not None or tail is None:
        return whole
    head = _look_up(header[: tail.start()])
    return None if head is None else _narrow(head, re.findall(r"[a-z]+", header[tail.end() :].lower()))


def _narrow(head: Consent, words: list[str]) -> Consent | None:
    """Return what the tail of a header leaves of its head: "Opted out of email: Newsletter", "Opt out (date)"."""
    if words and _PROVENANCE.issuperset(words):
        is_time = head.kind == "opt-out" and not _TIME_WORDS.isdisjoint(words)
        return msgspec.structs.replace(head, is_time=True) if is_time else None
    if not head.is_implied:
        return head
    named = [channel for word in words for channel in _channels_of().get(word, ())]
    if named and ALL not in named:
        return msgspec.structs.replace(head, channels=tuple(dict.fromkeys(named)), is_implied=False)
    return None if not _OTHER_SUBJECTS.isdisjoint(words) else head


def _suspect(header: str) -> Consent | None:
    """Return that a header is about consent where it holds a phrase of it, in whatever company."""
    words = _words(header[:_MOST_CHARS])
    kind = next((kind for kind in KINDS if _is_phrase(words, kind)), None)
    if kind is None or _is_beside(words, kind):
        return None
    return Consent(kind, (ALL,), is_implied=True, is_vague=True)


def _words(header: str) -> str:
    """Return the words of a header, also where capitals alone part them; what nobody sees parts none."""
    seen = "".join(one for one in header if unicodedata.category(one) != "Cf")
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"['\u2019]", "", seen))
    return " ".join(re.findall(r"[^\W\d_]+", parted.lower()))


def _is_phrase(words: str, kind: ConsentKind) -> bool:
    always, beside_messages = _VAGUE[kind]
    if always.search(words) is not None:
        return True
    return beside_messages.search(words) is not None and _OF_MESSAGES.search(words) is not None


def _is_beside(words: str, kind: ConsentKind) -> bool:
    """Whether a header with a phrase of consent is not about who may be written to, but about why, when, or another
    subject than messages."""
    # The day of an opt-out is one; that on which a list of numbers was looked up, or of an opt-in, is none.
    is_when_beside = kind == "opt-in" or "dnc" in words or "registry" in words
    if _IS_WHY.fullmatch(words) or (is_when_beside and _IS_WHEN.fullmatch(words)):
        return True
    rest = _OPTS.sub("", words)
    is_of_another = not _NO_MESSAGES.isdisjoint(rest.split())
    return is_of_another and _OF_MESSAGES.search(rest) is None and not _is_phrase(rest, kind)


def _look_up(header: str) -> Consent | None:
    name = _letters(header)
    return _strip(name, _MOST_AFFIXES) if len(name) <= _LONGEST else None


def _strip(name: str, most: int, *, is_time: bool = False) -> Consent | None:
    """Look a name up with fewer and fewer affixes."""
    found = _match(name)
    if found is not None:
        # The day on which a list of numbers was looked at is no day of an opt-out.
        is_dated = found.kind == "opt-out" and "dnc" not in name and "registry" not in name
        return msgspec.structs.replace(found, is_time=True) if is_time and is_dated else None if is_time else found
    for rest, is_when in _without_affix(name) if most else ():
        found = _strip(rest, most - 1, is_time=is_time or is_when)
        if found is not None:
            return found
    return None


def _without_affix(name: str) -> Iterator[tuple[str, bool]]:
    """Yield a name without each of its affixes, and whether that one is about a time."""
    before, after = _affixes()
    for affix, is_time in before.items():
        if name.startswith(affix):
            yield name[len(affix) :], is_time
    for affix, is_time in after.items():
        if name.endswith(affix):
            yield name[: -len(affix)], is_time


def _match(name: str) -> Consent | None:
    bare, phrases = _table()
    if name in bare:
        return bare[name]
    return next((found for phrase in phrases if (found := phrase.match(name)) is not None), None)


@cache
def _table() -> tuple[dict[str, Consent], list[_Phrase]]:
    """Return what names without a channel say, and the phrases for others: the first that fits is meant."""
    bare: dict[str, Consent] = {}
    for kind, text in _WITHOUT_CHANNEL.items():
        bare |= {name: Consent(kind, channels, is_implied=True) for name, channels in _read_words(text).items()}
    words = {"{v}": _with_pairs(_read_words(_VERBS), _PAIRED), "{c}": _channels_of()}
    phrases = [
        _phrase(kind, phrase, place, words[place])
        for place, (name, text) in product(words, _lines(_PHRASES))
        for kind in KINDS
        for phrase in _both_spellings(text)
        if kind == name and place in phrase
    ]
    return bare, phrases


def _phrase(kind: ConsentKind, text: str, place: str, words: Mapping[str, tuple[str, ...]]) -> _Phrase:
    before, _, after = text.partition(place)
    return _Phrase(kind, _letters(before), _letters(after), words)


@cache
def _affixes() -> tuple[dict[str, bool], dict[str, bool]]:
    before = dict.fromkeys(_names(_PREFIXES), False) | dict.fromkeys(_names(_TIMES_BEFORE), True)
    after = dict.fromkeys(_names(_SUFFIXES), False) | dict.fromkeys(_names(_TIMES_AFTER), True)
    return before, after


@cache
def _channels_of() -> Mapping[str, tuple[str, ...]]:
    return _with_pairs(_read_words(_WORDS), f"{_PAIRED}, calls, texts, emails, email marketing, sms marketing")


def _read_words(text: str) -> dict[str, tuple[str, ...]]:
    """Return the channels of each word, in plain form; those that the API has no channel for are left out."""
    known: dict[str, tuple[str, ...]] = {}
    for left, names in _lines(text):
        channels = tuple(channel for channel in left.split(", ") if channel)
        if all(channel in CHANNELS or channel == ALL for channel in channels):
            known |= dict.fromkeys(_names(names), channels)
    return known


def _with_pairs(words: dict[str, tuple[str, ...]], paired: str) -> dict[str, tuple[str, ...]]:
    """Add two words together: "call or text", "email/SMS"."""
    names = [name for name in _names(paired) if name in words]
    pairs = {
        f"{one}{joint}{other}": tuple(dict.fromkeys(words[one] + words[other]))
        for one, joint, other in product(names, ("", "or", "and"), names)
        if one != other
    }
    return pairs | words


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.strip().splitlines():
        left, _, right = line.partition("=")
        yield left.strip(), right


def _both_spellings(text: str) -> list[str]:
    phrases = text.split(",")
    return [*phrases, *(phrase.replace("do not", "don't") for phrase in phrases if "do not" in phrase)]


def _names(text: str) -> list[str]:
    return [_letters(name) for name in _both_spellings(text)]


def _letters(name: str) -> str:
    """Return the plain form without digits: several columns of a kind are numbered."""
    return re.sub(r"\d+", "", plain(name))


# ---------------------------------------------------------------------------------------------- cells

# Words that say the same in every column about consent, then those that depend on what the column asks for.
_CLOSES: Final = frozenset(
    "unsubscribed|unsubscribe|unsub|opted out|opt out|optout|do not contact|do not email|do not call|do not text|"
    "do not allow|not allowed|dnc|suppressed|blacklisted|blocklisted|archived|bounced|hard bounced|hard bounce|cleaned|"
    "complained|spam complaint|never subscribed|not subscribed|non subscribed|no consent|not consented|"
    "consent withdrawn|withdrawn|revoked|denied|declined|refused|pending|pending double opt in|unconfirmed|"
    "not confirmed|not opted in".split("|")
)
_LEAVES: Final = frozenset(
    "subscribed|resubscribed|opted in|opt in|optin|consented|consent given|allow|allowed|"
    "double opt in|single opt in".split("|")
)
_YES: Final = frozenset("true|t|yes|y|1|1.0|x|on|checked|selected|\u2713|\u2714|\u2611".split("|"))
_NO: Final = frozenset("false|f|no|n|0|0.0|off|unchecked|not selected|\u2717|\u2718|\u2610".split("|"))
# Where the column asks who wants to hear something; of an opt-out they could say that it is confirmed, or granted.
_MEMBER: Final = frozenset(
    "active|accepted|agreed|accepts|agrees|granted|confirmed|express|explicit|implied".split("|")
)
_NO_MEMBER: Final = frozenset(("inactive", "cancelled", "canceled"))
_NOTHING: Final = frozenset("|null|none|n/a|#n/a|na|nan|nat|\\n|--|\u2014".split("|"))
# What databases write for no date. No letter alone is one: T is a yes.
_NO_DATE: Final = re.compile(
    r"[0\s:./-]+|0{4}-00-00t00:00(:00(\.0+)?)?(z|[+-]00:?00)?|0{4}-00-00 00:00:00(\.0+)?(z|[+-]00:?00)"
)
_DATE: Final = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|\d{1,2}\.? [a-z]{3,9}\.?,? \d{4}|"
    r"[a-z]{3,9}\.? \d{1,2}(st|nd|rd|th)?,? \d{4})(\D.*)?",
    re.ASCII,
)
_UNREAD: Final = "is neither yes nor no, and is taken for an opt-out"
ConsentAnswer: TypeAlias = Literal["closes", "leaves", "unread"]


def judge(cell: str, kind: ConsentKind, *, is_time: bool = False) -> ConsentAnswer:
    """Say what a cell does to the channels of its column.

    Args:
        cell: Not empty.
        kind: What the column asks for.
        is_time: Whether it holds the time of an opt-out, in whatever form: then all that is filled in is one.
    """
    text, word = _read_word(cell)
    if word in _YES or word in _NO:  # before all else: no other rule may take a yes for nothing
        return "closes" if (word in _YES) == (kind == "opt-out") else "leaves"
    if word in _CLOSES or word in (_NO_MEMBER if kind == "opt-in" else ()):
        return "closes"
    if _is_nothing(text, word) or word in _LEAVES or word in (_MEMBER if kind == "opt-in" else ()):
        return "leaves"
    if _DATE.fullmatch(text) is not None:
        return "closes" if kind == "opt-out" else "leaves"
    return "closes" if is_time else "unread"


def says_nothing(cell: str) -> bool:
    """Whether a cell is one of the ways to write that there is nothing."""
    return _is_nothing(*_read_word(cell))


def _read_word(cell: str) -> tuple[str, str]:
    """Return a cell in lower case and plain width, and the same with its words parted by one space."""
    text = normal_letters(cell, "NFKC").lower()
    return text, " ".join(re.sub(r"[-_]", " ", text).split())


def _is_nothing(text: str, word: str) -> bool:
    return word in _NOTHING or (word not in _NO and _NO_DATE.fullmatch(text) is not None)


def consent_reader(kind: ConsentKind, *, is_time: bool = False) -> Callable[[str], Any]:
    """Make what reads the cells of a column: True closes its channels, None leaves them. What it cannot read closes."""
    return partial(_read, kind=kind, is_time=is_time)


def _read(cell: str, kind: ConsentKind, is_time: bool) -> bool | Fixed | None:
    answer = judge(cell, kind, is_time=is_time)
    if answer == "unread":
        return Fixed(True, _UNREAD, "fixed")
    return True if answer == "closes" else None


# ---------------------------------------------------------------------------------------------- openings

_SETTINGS: Final = [field.wire for field in UPSERT_FIELDS if field.kind in CHANNEL_KINDS]
_SPELLINGS: Final = frozenset(name for name, wire in UPSERT_NAMES.items() if wire in ("dnd", *_SETTINGS))


def without_openings(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a row's fields what would open a channel: no file knows of an opt-out that came after it was made.

    Args:
        fields: By their names, in any spelling.
    """
    if _SPELLINGS.isdisjoint(fields):
        return fields
    kept = {}
    for name, value in fields.items():
        wire = UPSERT_NAMES.get(name)
        if wire in _SETTINGS and isinstance(value, Mapping):
            value = {channel: setting for channel, setting in value.items() if not _opens(setting)}
            if not value:  # none at all could pass for "no channel is closed"
                continue
        if not (wire == "dnd" and (value is False or value is None)):  # null, too, leaves it open
            kept[name] = value
    return kept


def _opens(setting: Any) -> bool:
    return isinstance(setting, Mapping) and setting.get("status") == "inactive"
