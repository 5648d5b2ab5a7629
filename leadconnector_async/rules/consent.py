"""Columns about consent: recognise headers that say people opted out or in, and read their cells.

Consent fails closed: a cell about consent that cannot be read closes a channel or stops the load, and nothing that is
read from a file opens one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from importlib.resources import files
from itertools import product
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..models import UPSERT_NAMES
from ..models.dnd import ALL, V3_CHANNELS
from ..models.fields import CHANNEL_KINDS, UPSERT_FIELDS
from ..models.normal import normal_letters
from .problems import Fixed

ConsentKind: TypeAlias = Literal["opt-out", "opt-in"]
KINDS: Final[tuple[ConsentKind, ...]] = ("opt-out", "opt-in")
CHANNELS: Final = tuple(V3_CHANNELS)
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

_MOST_AFFIXES: Final = 4
_LONGEST: Final = 100
_PAIRED: Final = "email, sms, text, call, phone, whatsapp"
_LANGUAGES: Final = ("en", "de", "fr", "es", "it", "pt", "nl", "sv")

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


class Weak(Struct, frozen=True):
    """What a header is about that says too little by itself.

    Attributes:
        consent: What it says where cells are words about consent.
        is_alone: Whether words are enough that elsewhere say something of other matters, too (active, cancelled).
    """

    consent: Consent
    is_alone: bool


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
    if kind is None:
        return _suspect_abroad(header)
    if _is_beside(words, kind):
        return None
    return Consent(kind, (ALL,), is_implied=True, is_vague=True)


def _suspect_abroad(header: str) -> Consent | None:
    """Look for what shows in other languages that a header is about consent."""
    words = _words(_bare(header[:_MOST_CHARS]))
    kinds = [kind for kind in KINDS if any(stem in words for one in _languages() for stem in one.stems[kind])]
    if not kinds or not _beside(kinds[0]).isdisjoint(words.split()):
        return None
    return Consent(kinds[0], (ALL,), is_implied=True, is_vague=True)


@cache
def _beside(kind: ConsentKind) -> frozenset[str]:
    """Return the words, in any language, that make of such a header one of why or of something else; or of when, which
    of an opt-out says that there is one."""
    keys = ("why", "other", *(("time before", "time after") if kind == "opt-in" else ()))
    return frozenset(
        _stem(word) for code in _LANGUAGES for key in keys for word in _split(_file(code).get(key, ""))
    ).union(_WHY.replace("?", "").split("|"), _NO_MESSAGES)


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
    if len(name) > _LONGEST:
        return None
    return next((found for language in _languages() if (found := _strip(name, _MOST_AFFIXES, language))), None)


def _strip(name: str, most: int, language: _Language, *, is_time: bool = False) -> Consent | None:
    """Look a name up with fewer and fewer affixes."""
    found = language.match(name)
    if found is not None:
        # The day on which a list of numbers was looked at is no day of an opt-out.
        is_dated = found.kind == "opt-out" and "dnc" not in name and "registry" not in name
        return msgspec.structs.replace(found, is_time=True) if is_time and is_dated else None if is_time else found
    for rest, is_when in language.without_affix(name) if most else ():
        found = _strip(rest, most - 1, language, is_time=is_time or is_when)
        if found is not None:
            return found
    return None


@lru_cache(maxsize=4096)
def find_weak(header: str) -> Weak | None:
    """Return what a header is about that counts only where the cells of its column are words about consent."""
    name = _letters(header)
    if len(name) > _LONGEST or header.lower().startswith("custom:") or find_consent(header) is not None:
        return None
    return next((found for language in _languages() if (found := _strip_weak(name, 2, language))), None)


def _strip_weak(name: str, most: int, language: _Language) -> Weak | None:
    found = language.match_weak(name)
    if found is not None:
        return Weak(found, name in language.alone) if found.channels else None
    rests = (rest for rest, is_time in language.without_affix(name) if not is_time) if most else ()
    return next((weak for rest in rests if (weak := _strip_weak(rest, most - 1, language)) is not None), None)


class _Language(Struct, frozen=True):
    """The headers about consent of one language, read from its file in `languages/`.

    A line of the file is `KEY = phrase, phrase, ...`; {c} in a phrase stands for each word of the lines `channel`, and
    {v} for each of `verb`, whose channels are in the key (`none`: there is no channel for it). The keys:

        opt-out, opt-in           phrases around such a word; with channels in the key, phrases without one
        filled CHANNELS           columns of which whatever is filled in closes, such as the reason why mail came back
        weak                      headers that count only where cells are words about consent; also with channels
        weak alone CHANNELS       of these, where words such as active and cancelled are enough
        prefix, suffix            what may stand around all of them
        time before, time after   the same, and makes of it a column of times
        stem opt-out, opt-in      parts of words that show that an unknown header is about consent
        why, other                words that make of such a header one of why and when, or about something else
        yes, no, closes, ...      what cells say, for all languages together: see `_words`

    Attributes:
        bare: What headers without a word for a channel say.
        phrases: Those with one; the first that fits is meant.
        weak: What weak headers are about; `weak_phrases` those with a word for a channel.
        alone: The weak ones for which weaker words are enough.
        before: What may stand before a name, and whether it is about a time; `after`: what may follow it.
        stems: By kind.
    """

    bare: dict[str, Consent]
    phrases: list[_Phrase]
    weak: dict[str, Consent]
    weak_phrases: list[_Phrase]
    alone: frozenset[str]
    before: dict[str, bool]
    after: dict[str, bool]
    stems: dict[ConsentKind, tuple[str, ...]]

    def match(self, name: str) -> Consent | None:
        if name in self.bare:
            return self.bare[name]
        return next((found for phrase in self.phrases if (found := phrase.match(name)) is not None), None)

    def match_weak(self, name: str) -> Consent | None:
        if name in self.weak:
            return self.weak[name]
        return next((found for phrase in self.weak_phrases if (found := phrase.match(name)) is not None), None)

    def without_affix(self, name: str) -> Iterator[tuple[str, bool]]:
        """Yield a name without each of its affixes, and whether that one is about a time."""
        for affix, is_time in self.before.items():
            if name.startswith(affix):
                yield name[len(affix) :], is_time
        for affix, is_time in self.after.items():
            if name.endswith(affix):
                yield name[: -len(affix)], is_time


@cache
def _file(code: str) -> dict[str, str]:
    """Return what a language's file has for each key."""
    found: dict[str, str] = {}
    table = files(__package__).joinpath("languages", f"{code}.txt").read_text(encoding="utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            key, _, names = line.partition(" = ")
            found[key] = f"{found[key]}, {names}" if key in found else names
    return found


@cache
def _language(code: str) -> _Language:
    text = _file(code)
    words = {"{v}": _with_pairs(_by_channel(text, "verb"), _PAIRED), "{c}": _channels_of(code)}
    bare = {
        name: Consent(kind, channels, is_implied=True)
        for kind in KINDS
        for name, channels in _by_channel(text, kind).items()
    }
    filled = _by_channel(text, "filled")
    bare |= {name: Consent("opt-out", channels, is_time=True) for name, channels in filled.items()}
    alone = _by_channel(text, "weak alone")
    weak = {name: Consent("opt-in", channels, is_implied=True) for name, channels in _by_channel(text, "weak").items()}
    return _Language(
        bare=bare,
        phrases=[
            phrase for place in words for kind in KINDS for phrase in _phrases(kind, text.get(kind, ""), place, words)
        ],
        weak=weak | {name: Consent("opt-in", channels, is_implied=True) for name, channels in alone.items()},
        weak_phrases=_phrases("opt-in", text.get("weak", ""), "{c}", words),
        alone=frozenset(alone),
        before=_affixes(text, "prefix", "time before"),
        after=_affixes(text, "suffix", "time after"),
        stems={kind: tuple(_stem(stem) for stem in _split(text.get(f"stem {kind}", ""))) for kind in KINDS},
    )


def _languages() -> Iterator[_Language]:
    return map(_language, _LANGUAGES)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _phrases(
    kind: ConsentKind, text: str, place: str, words: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> list[_Phrase]:
    return [_phrase(kind, one, place, words[place]) for one in _both_spellings(text) if place in one]


def _phrase(kind: ConsentKind, text: str, place: str, words: Mapping[str, tuple[str, ...]]) -> _Phrase:
    before, _, after = text.partition(place)
    return _Phrase(kind, _letters(before), _letters(after), words)


def _affixes(text: Mapping[str, str], plain_key: str, time_key: str) -> dict[str, bool]:
    return dict.fromkeys(_names(text.get(plain_key, "")), False) | dict.fromkeys(_names(text.get(time_key, "")), True)


def _by_channel(text: Mapping[str, str], what: str) -> dict[str, tuple[str, ...]]:
    """Return the channels of each phrase of lines whose key is a word and channels, in plain form."""
    known: dict[str, tuple[str, ...]] = {}
    for key, names in text.items():
        channels = tuple(_split(key.removeprefix(f"{what} "))) if key.startswith(f"{what} ") else ()
        if channels == ("none",):
            known |= dict.fromkeys(_names(names), ())
        elif channels and all(channel in CHANNELS or channel == ALL for channel in channels):
            known |= dict.fromkeys(_names(names), channels)
    return known


@cache
def _channels_of(code: str = "en") -> Mapping[str, tuple[str, ...]]:
    """Return the words for channels: English ones are used in all languages."""
    pairs = f"{_PAIRED}, calls, texts, emails, email marketing, sms marketing"
    own = _with_pairs(_by_channel(_file(code), "channel"), pairs)
    return own if code == "en" else {**_channels_of(), **own}


def _with_pairs(words: dict[str, tuple[str, ...]], paired: str) -> dict[str, tuple[str, ...]]:
    """Add two words together: "call or text", "email/SMS"."""
    names = [name for name in _names(paired) if name in words]
    pairs = {
        f"{one}{joint}{other}": tuple(dict.fromkeys(words[one] + words[other]))
        for one, joint, other in product(names, ("", "or", "and"), names)
        if one != other
    }
    return pairs | words


def _both_spellings(text: str) -> list[str]:
    phrases = _split(text)
    return [*phrases, *(phrase.replace("do not", "don't") for phrase in phrases if "do not" in phrase)]


def _names(text: str) -> list[str]:
    names = _both_spellings(text)
    return [_letters(name) for name in (*names, *map(_transcribe, names))]


def _transcribe(name: str) -> str:
    """Write umlauts as where there are none."""
    return name.translate(_UMLAUTS)


_UMLAUTS: Final = str.maketrans({"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue"})


def _letters(name: str) -> str:
    """Return the plain form without digits, as several columns of a kind are numbered, and without accents."""
    return re.sub(r"\d+", "", plain(_bare(name)))


def _bare(text: str) -> str:
    """Leave out accents, which people and systems do."""
    parted = normal_letters(text, "NFKD")
    return "".join(one for one in parted if not unicodedata.combining(one)).replace("\u00df", "ss")


def _stem(text: str) -> str:
    return " ".join(re.findall(r"[^\W\d_]+", _bare(text.lower())))


# ---------------------------------------------------------------------------------------------- cells


class _Words(Struct, frozen=True):
    """What cells say, in all languages.

    Attributes:
        yes: Yes; `no`: no.
        closes: What says in every column that somebody is not to be written to; `leaves` that he is.
        closes_beside: The same of addresses, by words that other matters have, too, such as bounced.
        asked_closes: The same where one was asked, such as denied; `asked_leaves` its opposite.
        member: What lets a channel be where the column asks who wants to hear something; of an opt-out it could say
            that it is confirmed, or granted. `no_member` closes it.
    """

    yes: frozenset[str]
    no: frozenset[str]
    closes: frozenset[str]
    closes_beside: frozenset[str]
    asked_closes: frozenset[str]
    leaves: frozenset[str]
    asked_leaves: frozenset[str]
    member: frozenset[str]
    no_member: frozenset[str]


_YES_SIGNS: Final = ("1", "1.0", "x", "\u2713", "\u2714", "\u2611")
_NO_SIGNS: Final = ("0", "0.0", "\u2717", "\u2718", "\u2610")


@cache
def _cell_words() -> _Words:
    found = {
        name: {word for code in _LANGUAGES for word in _spellings(_file(code).get(name.replace("_", " "), ""))}
        for name in _Words.__struct_fields__
    }
    found["yes"].update(_YES_SIGNS)
    found["no"].update(_NO_SIGNS)
    # What closes in one language goes before what leaves in another.
    found["leaves"] -= found["closes"]
    return _Words(**{name: frozenset(words) for name, words in found.items()})


def _spellings(text: str) -> Iterator[str]:
    for word in _split(text):
        yield from (_bare(word), _bare(_transcribe(word)))


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
_MOST_KNOWN: Final = 1_000
MOST_UNREAD: Final = 0.2
"""The share of filled cells that may be unknown words before a column about consent counts as not understood."""
ConsentAnswer: TypeAlias = Literal["closes", "leaves", "unread"]


def judge(cell: str, kind: ConsentKind, *, is_time: bool = False) -> ConsentAnswer:
    """Say what a cell does to the channels of its column.

    Args:
        cell: Not empty.
        kind: What the column asks for.
        is_time: Whether it holds the time of an opt-out, in whatever form: then all that is filled in is one.
    """
    is_yes = read_answer(cell)
    if is_yes is not None:  # before all else: no other rule may take a yes for nothing
        return "closes" if is_yes == (kind == "opt-out") else "leaves"
    text, word = _read_word(cell)
    words = _cell_words()
    if word in words.closes or word in words.closes_beside or word in words.asked_closes:
        return "closes"
    if kind == "opt-in" and word in words.no_member:
        return "closes"
    if _is_nothing(text, word) or word in words.leaves or word in words.asked_leaves:
        return "leaves"
    if kind == "opt-in" and word in words.member:
        return "leaves"
    if _DATE.fullmatch(text) is not None:
        return "closes" if kind == "opt-out" else "leaves"
    return "closes" if is_time else "unread"


def read_answer(cell: str) -> bool | None:
    """Return whether a cell says yes or no, in any of the languages; None where it says neither."""
    _, word = _read_word(cell)
    words = _cell_words()
    return True if word in words.yes else False if word in words.no else None


WordWeight: TypeAlias = Literal["strong", "weaker", "weakest", "none"]


def weigh(cell: str) -> WordWeight:
    """Say how much a cell shows that its column is about consent: `strong` words are about nothing else, `weaker` ones
    about addresses, and `weakest` ones about many things. Yes and no show nothing."""
    _, word = _read_word(cell)
    words = _cell_words()
    if word in words.closes or word in words.leaves:
        return "strong"
    if word in words.closes_beside:
        return "weaker"
    others = (words.asked_closes, words.asked_leaves, words.member, words.no_member)
    return "weakest" if any(word in some for some in others) else "none"


class WeakCells:
    """Finds out whether the cells under a weak header are words about consent.

    Strong words show it, even one among many. Weaker words (`bounced`) have other uses, so nearly all cells must be
    understood, too; the weakest (`cancelled`) count only under a header that is about little else.

    Args:
        weak: What the header is about.

    Attributes:
        filled: How many cells there were.
    """

    def __init__(self, weak: Weak) -> None:
        self.filled = 0
        self._weak = weak
        self._showing = ("strong", "weaker", "weakest") if weak.is_alone else ("strong", "weaker")
        self._strong = self._shown = 0
        self._known: dict[str, tuple[WordWeight, bool]] = {}
        self._unread = 0

    def add(self, cell: str) -> None:
        """Take note of a cell that is not empty."""
        found = self._known.get(cell)
        if found is None:
            found = weigh(cell), judge(cell, self._weak.consent.kind) == "unread"
            if len(self._known) < _MOST_KNOWN:
                self._known[cell] = found
        weight, is_unread = found
        self._strong += weight == "strong"
        self._shown += weight in self._showing
        self.filled += 1
        self._unread += is_unread

    @property
    def are_consent(self) -> bool:
        """Whether they are."""
        return self._strong > 0 or (self.are_shown and self._unread <= MOST_UNREAD * self.filled)

    @property
    def are_shown(self) -> bool:
        """Whether some cell shows it, as far as its header lets it count."""
        return self._shown > 0


def says_nothing(cell: str) -> bool:
    """Whether a cell is one of the ways to write that there is nothing."""
    return _is_nothing(*_read_word(cell))


def _read_word(cell: str) -> tuple[str, str]:
    """Return a cell in lower case and plain width, and the same with its words parted by one space."""
    text = normal_letters(cell, "NFKC").lower()
    word = text if text.isascii() else _bare(text)
    return text, " ".join(re.sub(r"[-_]", " ", word).split())


def _is_nothing(text: str, word: str) -> bool:
    return word in _NOTHING or (word not in _cell_words().no and _NO_DATE.fullmatch(text) is not None)


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
