"""Whatever reads a text that we did not write takes time in proportion to its length."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache, partial
from itertools import product
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any, Final

import pytest
from openpyxl import Workbook

import leadconnector_async
from leadconnector_async.migration.mapping.custom_fields import FieldDefinition, FieldDefinitions, value_reader
from leadconnector_async.migration.mapping.directories import Directory, may_be_id
from leadconnector_async.migration.mapping.file import write_mapping
from leadconnector_async.migration.mapping.headers import find_target
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import open_row_file
from leadconnector_async.migration.mapping.targets import VALUE_READERS, read_channel, read_target
from leadconnector_async.migration.survey import describe_file
from leadconnector_async.models import ContactUpsert
from leadconnector_async.models.normal import normal_email, normal_phone, phone_digits, read_birthday
from leadconnector_async.models.search import Search
from leadconnector_async.protocol import Scope, build_delete, build_get, build_tags, build_upsert, read_response
from leadconnector_async.protocol.activities import build_task_list
from leadconnector_async.protocol.answers import Response, clean_text, read_quota, read_retry_after
from leadconnector_async.protocol.locations import build_field_list
from leadconnector_async.protocol.redaction import Redactor
from leadconnector_async.protocol.search import build_appointments, build_duplicate, build_search
from leadconnector_async.rules.checks import Checks
from leadconnector_async.rules.consent import KINDS, find_consent, judge, plain, says_nothing
from leadconnector_async.rules.countries import find_country
from leadconnector_async.rules.fields import CUSTOM_RULES, RULES, apply_rules
from leadconnector_async.rules.texts import clean_cell, is_placeholder, notes_of, without_invisible
from leadconnector_async.webhooks import verify_webhook
from leadconnector_async.webhooks.events import read_event

_QUICK: Final = 1_500
"""Nanoseconds for one character: no linear reader needs them, and a quadratic one exceeds them at the lengths below."""
_GROWTH: Final = 2.8
"""When a text is doubled, linear work doubles, and quadratic work is four times as much."""
LENGTHS: Final = (64, 1_024)  # from short ones on, as a cubic reader does not get through the long ones


def is_linear(work: Callable[[Any], object], make: Callable[[int], Any], lengths: Iterable[int] = LENGTHS) -> bool:
    """Whether work on texts of growing length takes time in proportion to it.

    What is quick at the greatest length is linear. What is slow is measured at n, 2n and 4n, in processor time of this
    thread, of which other processes take nothing; the best of three, so that a cold cache does not count.
    """
    for length in lengths:
        if cpu_time(work, make(4 * length)) < _QUICK * 4 * length:
            continue
        once, twice, four_times = (min(cpu_time(work, make(size * length)) for _ in range(3)) for size in (1, 2, 4))
        if twice > _GROWTH * once and four_times > _GROWTH * twice:
            return False
    return True


def cpu_time(work: Callable[[Any], object], text: Any) -> int:
    """Return the nanoseconds that work takes; that it refuses the text is as good."""
    for cached in caches():
        cached.cache_clear()
    start = time.thread_time_ns()
    with suppress(Exception):  # what it says of the text is not asked here
        work(text)
    return max(1, time.thread_time_ns() - start)


# ---------------------------------------------------------------------------------------------- every pattern

_METHODS: Final = ("search", "match", "fullmatch", "sub", "split", "findall", "finditer")
_IN_ONE_PLACE: Final = ("match", "fullmatch")


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(leadconnector_async.__path__, "leadconnector_async."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


@cache
def caches() -> list[Any]:
    """Return the caches of single texts: one that is measured three times must be read three times."""
    found = [value for module in modules() for value in vars(module).values() if hasattr(value, "cache_clear")]
    return [cached for cached in found if cached.cache_info().maxsize is not None]


def find_patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Return each pattern of the package by where it stands, and whether it is searched for."""
    found: dict[str, tuple[re.Pattern[Any], bool]] = {}
    uses: dict[str, set[str]] = {}
    for module in modules():
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
                owner = node.func.value
                if isinstance(owner, ast.Name):
                    uses.setdefault(owner.id, set()).add(node.func.attr)
                    first = node.args[0] if node.args else None
                    if owner.id == "re" and isinstance(first, ast.Constant):
                        where = f"{module.__name__}:{node.lineno}"
                        found[where] = re.compile(first.value), node.func.attr not in _IN_ONE_PLACE
    for module in modules():
        for name, value in vars(module).items():
            for number, pattern in enumerate(patterns_in(value)):
                methods = uses.get(name, {"search"})
                found[f"{module.__name__}.{name}.{number}"] = pattern, not methods <= set(_IN_ONE_PLACE)
    return {where: pattern for where, pattern in found.items() if isinstance(pattern[0], re.Pattern)}


def patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from patterns_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from patterns_in(one)


def texts_of(nodes: Iterable[Any], pumps: set[str]) -> str:
    """Return a text that a parsed pattern takes; add what its parts take, which repeated may keep it busy, to pumps."""
    text = ""
    for kind, value in nodes:
        text += text_of(kind, value, pumps)
        pumps.add(text)
    return text


def text_of(kind: Any, value: Any, pumps: set[str]) -> str:
    if kind is sre.LITERAL:
        return chr(value)
    if kind is sre.NOT_LITERAL:
        return "x" if value != ord("x") else "y"
    if kind is sre.ANY:
        return "x"
    if kind is sre.IN:
        members = [one for one in map(member_of, value) if one]
        pumps.update(members)
        return members[0] if members and value[0][0] is not sre.NEGATE else "x"
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, _, inner = value
        return texts_of(inner, pumps) * max(1, min(least, 4))
    if kind is sre.SUBPATTERN:
        return texts_of(value[-1], pumps)
    if kind is sre.BRANCH:
        return [texts_of(branch, pumps) for branch in value[1]][0]  # noqa: RUF015 - all of them add to the pumps
    if kind is sre.ATOMIC_GROUP:
        return texts_of(value, pumps)
    if kind is sre.GROUPREF:
        return "-"
    return ""  # places, and what is looked for ahead


def member_of(part: tuple[Any, Any]) -> str:
    kind, value = part
    if kind is sre.LITERAL:
        return chr(value)
    if kind is sre.RANGE:
        return chr(value[0])
    return {sre.CATEGORY_DIGIT: "1", sre.CATEGORY_SPACE: " ", sre.CATEGORY_WORD: "a"}.get(value, "!")


def attacks(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], Any]]:
    """Yield what makes texts that may keep a pattern busy: something, a part of it many times, and what ends it."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    pumps: set[str] = {" ", "a", "1"}
    texts_of(
        _parser.parse(source, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags),
        pumps,
    )
    used = sorted((pump for pump in pumps if pump), key=lambda pump: (len(pump), pump))[:48]
    heads = ["", *used[:3], *(pump for pump in used if len(pump) > 1)][:6]
    for head, pump, tail in product(dict.fromkeys(heads), used, ("", "\0", "\n!")):
        yield (
            lambda size, head=head, pump=pump, tail=tail: to_kind(  # type: ignore[misc]
                pattern, head + (pump * (size // len(pump) + 1))[:size] + tail
            )
        )


def to_kind(pattern: re.Pattern[Any], text: str) -> Any:
    return text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")


PATTERNS: Final = find_patterns()


@pytest.mark.parametrize("where", PATTERNS)
def test_every_pattern_is_linear(where: str) -> None:
    pattern, is_searched = PATTERNS[where]
    work = (lambda text: [None for _ in pattern.finditer(text)]) if is_searched else pattern.fullmatch
    assert next((make(24) for make in attacks(pattern) if not is_linear(work, make)), None) is None


# ---------------------------------------------------------------------------------------------- every rule

CHECKS: Final = Checks(default_country="US", date_order="dmy")
OPTIONS: Final = ("red", "green, light")


def every_rule() -> Iterator[tuple[str, Callable[[str], object]]]:
    """Yield whatever reads one text that stands in a file or in an answer."""
    for name, rules in RULES.items():
        for rule in rules:
            yield f"{name}: {rule.__name__}", partial(rule, checks=CHECKS)
            yield f"{name}: {rule.__name__}, nothing assumed", partial(rule, checks=Checks())
    yield from VALUE_READERS.items()
    for kind in ("TEXT", "LARGE_TEXT", "NUMERICAL", "DATE", "PHONE", "EMAIL", "CHECKBOX", "SINGLE_OPTIONS"):
        field = FieldDefinition(id="id", key="contact.key", name="Name", data_type=kind, options=OPTIONS)
        yield f"custom {kind}", value_reader(field, CHECKS)
    for consent in KINDS:
        yield f"judge {consent}", partial(judge, kind=consent)
    for work in (says_nothing, plain, find_consent, find_target, read_target, find_country, may_be_id, read_channel):
        yield work.__name__, work
    for name, rules in CUSTOM_RULES.items():
        yield f"rules of custom {name}", partial(apply_rules, rules, checks=CHECKS)
    for work in (clean_cell, is_placeholder, without_invisible, lambda text: notes_of(text, text)):
        yield work.__name__, work
    yield "owner", Directory("owner", {"Ann": "id"}).read
    yield "nearest field", FieldDefinitions([FieldDefinition(id="i", key="k", name="a" * 40, data_type="TEXT")]).nearest
    for work in (normal_email, normal_phone, phone_digits, read_birthday, clean_text):
        yield work.__name__, work
    yield "redaction", Redactor("pit-5e0f7a31-90c4-4b1f-8e6d-27f3ab51c0d9").clean_text


PUMPS: Final = [
    *" \t\n\u00a0aA10.,;:@<>'\"-+([{/\\|$%&=_#*\u00e9\u0301\0",
    *(
        "1 ",
        "1,",
        " ;",
        "::",
        "a@",
        "a.",
        "<a@",
        "<a ",
        "@a.",
        "x1",
        "\u0301\u0316",
        "opt out ",
        "no ",
        "not ",
        "a, ",
        '"a",',
    ),
    *("[[", '{"a":', "[1,", "\\u", "%25", "&#", "eyJ", "<style", "&amp;", "1/1/", "call ", "dnd", "Ab"),
]
HEADS: Final = ("", "a@b", '"', "[", "opt out ")
TAILS: Final = ("", "!", "@")


def many(head: str, pump: str, tail: str) -> Callable[[int], str]:
    return lambda size: head + (pump * (size // len(pump) + 1))[:size] + tail


RULE_WORKS: Final = dict(every_rule())


@pytest.mark.parametrize("name", RULE_WORKS)
@pytest.mark.slow
def test_every_rule_is_linear(name: str) -> None:
    for head, pump, tail in product(HEADS, PUMPS, TAILS):
        assert is_linear(RULE_WORKS[name], many(head, pump, tail)), f"{head!r} + {pump!r} * n + {tail!r}"


# ---------------------------------------------------------------------------------------------- columns and rows

HEADERS: Final[dict[str, Callable[[int], str]]] = {
    "one name for all": lambda _: "name",
    "a name each": lambda number: f"name {number}",
    "names with numbers": lambda number: "name" if number % 2 else f"name ({number // 2})",
    "tags": lambda _: "tags",
    "custom fields": lambda number: f"custom:{number}",
    "one custom field": lambda _: "custom:key",
    "consent": lambda _: "Opted out of email",
    "first names": lambda _: "First Name",
}


def make_table(header: Callable[[int], str], ending: str) -> Callable[[int], bytes]:
    """Return what makes a file of many columns, with one row."""

    def make(size: int) -> bytes:
        names = [header(number) for number in range(size // 16)]
        if ending == ".csv":
            return ",".join(["email", *names]).encode() + b"\n" + b",".join([b"a@example.com", *[b"no"] * len(names)])
        return json.dumps([{"email": "a@example.com"} | dict.fromkeys(names, "no")]).encode()

    return make


def plan(path: Path, meaning: Meaning) -> None:
    """Do what is done with a file before it is loaded."""
    file = open_row_file(path, meaning)
    rows = [file.keep(row) for row in file.rows()]
    file.about(len(rows))
    describe_file(file, len(rows))
    for _ in write_mapping([file.table], meaning):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".json"])
@pytest.mark.parametrize("header", HEADERS)
def test_a_plan_of_many_columns_is_linear(header: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"wide{ending}"
    make = make_table(HEADERS[header], ending)

    def work(data: bytes) -> None:
        path.write_bytes(data)
        plan(path, Meaning())

    work(make(256))  # it can be read
    assert is_linear(work, make, [8_192])


@pytest.mark.slow
def test_a_mapping_of_many_columns_is_linear(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    for target in ("custom:{}", "city@{}", "tags", "opt-out:all"):

        def work(names: list[str], target: str = target) -> None:
            path.write_text(",".join(["email", *names]) + "\n" + ",".join(["a@example.com", *["no"] * len(names)]))
            columns = {"email": "email"} | {name: target.format(name) for name in names}
            plan(path, Meaning(columns=columns, is_whole=True))

        work(make_names(256))  # it can be read
        assert is_linear(work, make_names, [8_192]), target


def make_names(size: int) -> list[str]:
    return [f"name {number}" for number in range(size // 16)]


# ---------------------------------------------------------------------------------------------- files and answers


def texts_inside(pump: str, size: int) -> dict[str, bytes]:
    """Return files of each kind that is text, with a long text in each place of them."""
    text = (pump * (size // len(pump) + 1))[:size]
    data, told = text.encode(), json.dumps(text).encode()
    return {
        "header.csv": b"email," + data + b"\na@example.com,b\n",
        "cell.csv": b"email,name\na@example.com," + data + b"\n",
        "cell.tsv": b"email\tname\na@example.com\t" + data + b"\n",
        "quoted.csv": b'email,name\na@example.com,"' + data.replace(b'"', b'""') + b'"\n',
        "raw.json": b"[" + data,
        "value.json": b'[{"email": "a@example.com", "name": ' + told + b"}]",
        "key.json": b'[{"email": "a@example.com", ' + told + b": 1}]",
        "before.json": b'{"' + data.replace(b'"', b"") + b'": 1, "rows": [{"email": "a@example.com"}]}',
        "raw.jsonl": b'{"email": "a@example.com"}\n' + data,
        "value.jsonl": b'{"email": "a@example.com", "name": ' + told + b"}",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", texts_inside("a", 1))
def test_every_reader_of_text_is_linear(name: str, tmp_path: Path) -> None:
    path = tmp_path / name

    def work(data: bytes) -> None:
        path.write_bytes(data)
        plan(path, Meaning())

    for pump in PUMPS:
        assert is_linear(work, lambda size, pump=pump: texts_inside(pump, size)[name], [4_096]), pump  # type: ignore[misc]


SHEET: Final = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    "pump", ["<c", "<c>", "<c><f", "<c><f>", "<c><f></f>", "<f", "<", "a", " ", '<c r="A1"><v>1</v></c>', "</c>"]
)
def test_the_reader_of_workbooks_is_linear(pump: str, tmp_path: Path) -> None:
    path, sheet = tmp_path / "a.xlsx", Workbook()
    sheet.active.append(["email"])
    sheet.active.append(["a@example.com"])
    sheet.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def work(data: bytes) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, member in members.items():
                archive.writestr(name, member.replace(b"</row>", data + b"</row>") if name == SHEET else member)
        plan(path, Meaning())

    assert is_linear(work, lambda size: (pump * (size // len(pump) + 1))[:size].encode(), [4_096])


def answer_readers() -> Iterator[tuple[str, Callable[[bytes], object]]]:
    scope = Scope("L", "2021-07-28")
    for request in (
        build_upsert(ContactUpsert(email="a@example.com"), "2021-07-28"),
        build_get("id", scope),
        build_search(Search(), scope),
        build_duplicate("a@example.com", None, scope),
        build_appointments("id", scope),
        build_task_list("id", scope),
        build_field_list(scope, model=None),
        build_delete("id", scope),
        build_tags("POST", "id", ["a"], scope),
    ):
        for status in (200, 400, 401, 422, 429, 502):
            yield (
                f"{request.method} {request.path} {status}",
                lambda body, request=request, status=status: read_response(request, Response(status, {}, body)),
            )
    yield "retry-after", lambda body: read_retry_after({"Retry-After": body.decode()})
    yield "quota", lambda body: read_quota(dict.fromkeys(QUOTA_HEADERS, body.decode()))
    yield "event", read_event
    yield "signature", lambda body: verify_webhook(body, {"x-ghl-signature": body.decode()})


QUOTA_HEADERS: Final = ("x-ratelimit-max", "x-ratelimit-remaining", "x-ratelimit-interval-milliseconds")
ANSWER_READERS: Final = dict(answer_readers())


def bodies(pump: str) -> Iterator[Callable[[int], bytes]]:
    for head, tail in (
        ("", ""),
        ('{"message": "', '"}'),
        ('{"contact": {"id": "', '"}}'),
        ('{"message": [', "]}"),
        ("<html>", "</html>"),
    ):
        yield lambda size, head=head, tail=tail: many(head, pump, tail)(size).encode()  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWER_READERS)
def test_every_reader_of_answers_is_linear(name: str) -> None:
    for pump in (*PUMPS, '"a",', '{"message":"a"},', "\\ud800"):
        for make in bodies(pump):
            assert is_linear(ANSWER_READERS[name], make, [2_048]), make(24)


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 400])
def test_the_search_for_secrets_is_linear(status: int) -> None:
    redactor = Redactor("pit-5e0f7a31-90c4-4b1f-8e6d-27f3ab51c0d9")
    for pump in (*PUMPS, "pit-5e0f7a31", "cGl0LTVlMGY3"):
        for make in bodies(pump):
            assert is_linear(lambda body: redactor.clean(Response(status, {}, body)), make, [2_048]), make(24)
