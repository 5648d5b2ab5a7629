"""The blocks of pages: text stays text, and what they show can be read by all."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async.migration.report.charts import Chart, Series, build_chart
from leadconnector_async.migration.report.html import (
    Column,
    Page,
    Part,
    build_bar,
    build_commands,
    build_facts,
    build_grouped_table,
    build_table,
    element,
    link_to_file,
    quoted,
    shorten,
)
from tests.page_reader import PageReader

HOSTILE = "</title></style><script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;\0\u202egnp\ud800"


def a_page(text: str) -> str:
    page = Page(text, heading=text, eyebrow=text)
    page.add_to_top(build_commands(text), build_bar([Part(text, 3, "created"), Part(text, 0, "failed")]))
    page.add_section(
        "Tables",
        build_table(text, [Column(text), Column(text, "number")], [[text, 1], [quoted(text), text]]),
        build_grouped_table(text, [Column("a"), Column("b")], [([text], [[text], [quoted(text)]])]),
    )
    chart = Chart(title=text, summary=text, series=[Series(text, "created", [1.0])], labels=[text], limit_name=text)
    page.add_section("More", build_facts([(text, text)]), build_chart(chart), element("a", text, title=text, href="#x"))
    return page.render(text, link_to_file(text))


def test_text_from_outside_stays_text_wherever_it_stands() -> None:
    plain, hostile = PageReader(a_page("x")), PageReader(a_page(HOSTILE))
    assert hostile.names == plain.names
    assert len(hostile.ids) == len(plain.ids)
    assert "<script>alert('x')</script>" in hostile.text
    assert "alert('x')" not in "".join(re.findall(r"<[^>]*>", a_page(HOSTILE)))


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_text_makes_a_page_that_can_be_written_and_read(text: str) -> None:
    page = a_page(text)
    page.encode("utf-8")
    assert PageReader(page).names == PageReader(a_page("x")).names
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200bb@example.com", r"a\u200bb@example.com"),
        ("\ufeffname", r"\ufeffname"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("zero\0byte", r"zero\x00byte"),
        ("two\r\nlines", "two\u21b5 lines"),
        ("caf\udce9", r"caf\udce9"),
        ("\u0645\u0631\u062d\u0628\u0627", "\u0645\u0631\u062d\u0628\u0627"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_what_would_not_be_seen_is_shown(text: str, shown: str) -> None:
    assert quoted(text) == f"<bdi>{shown}</bdi>"


def test_a_long_text_is_cut_and_says_how_long_it_is() -> None:
    cut = shorten("W" * 3000)
    assert cut == "W" * 240 + "\u2026 (3,000 characters)"
    assert shorten(cut) == cut


def test_no_name_of_a_file_is_an_address() -> None:
    for name in ("javascript:alert(1)", "//example.com/x", "a b#c?d", 'x"y', "\udcff.csv"):
        (link,) = PageReader(link_to_file(name, "x")).links
        assert re.fullmatch(r"\./[\w.%~-]+", link[0]), link
    assert 'href="./failed.csv#row=7"' in link_to_file("failed.csv", fragment="row=7")


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    page = a_page("x")
    style = page.split("<style>")[1].split("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    parts = dict(part.strip().split(" ", 1) for part in policy[1].replace("&#x27;", "'").split(";"))
    assert parts == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "url(" not in style
    assert "@import" not in style


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_can_be_told_apart_in_light_in_dark_and_on_paper() -> None:
    style = a_page("x").split("<style>")[1]
    palettes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(palettes) == 3
    for found in palettes:
        colours = {
            name: "#" + "".join(c * 2 for c in code[1:]) if len(code) == 4 else code for name, code in found.items()
        }
        for ground in (colours["paper"], colours["raised"]):
            for text in ("ink", "soft", "link"):
                assert contrast(colours[text], ground) >= 4.5, (text, colours)
        for shape in ("created", "updated", "failed", "unknown", "rest"):  # WCAG 1.4.11
            assert contrast(colours[shape], colours["paper"]) >= 3, (shape, colours)


def test_a_table_says_what_its_cells_are() -> None:
    table = build_grouped_table("Rows", [Column("Kind"), Column("Place")], [(["a"], [["1"], ["2"]]), (["b"], [["3"]])])
    assert table.count("<tbody>") == 2
    assert '<th scope="rowgroup" rowspan="2"' in table
    assert table.count('<th scope="col"') == 2
    assert "<caption>Rows</caption>" in table


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 5.0, 2.5], [1e9], [1e-9, 0.0]])
def test_a_chart_stays_within_its_frame(values: list[float]) -> None:
    chart = Chart(
        title="t",
        summary="s",
        series=[Series("a", "created", values), Series("b", "failed", values)],
        labels=["from", "to"],
        limit=[value or None for value in values],
        cuts=[len(values)],
    )
    drawn = build_chart(chart)
    for path in re.findall(r' d="([^"]*)"', drawn):
        numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?", path)]
        assert all(-0.01 <= number <= 1000.01 for number in numbers), path
    assert "nan" not in drawn
