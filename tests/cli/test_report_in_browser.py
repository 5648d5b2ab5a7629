"""`report.html` in a real browser, from a file:// address: no error, no request, the numbers of `report.json`."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_report_page import COUNTS, HOSTILE

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NUMBERS = (
    "Object.fromEntries([...document.querySelectorAll('data[data-key]')].map(d => [d.dataset.key, Number(d.value)]))"
)
SEEN = "d => { const box = d.getBoundingClientRect(); return box.height > 0 && box.bottom <= innerHeight; }"


@pytest.fixture
def path(run: Run, tmp_path: Path) -> Path:
    """Load rows of every kind, some of them hostile, and return the page that tells of them."""
    people = tmp_path / "<b>people\u202e&.csv"
    rows = [["no address", name, "", "US", ""] for name in HOSTILE]
    rows += [
        [f"p{n}@example.com", HOSTILE[n % 5], f"+1617555{n % 90:04}", "US", "Pro" * (n % 9 == 0)] for n in range(120)
    ]
    rows += [[f"q{n}@example.com", "", "", "Narnia" * (n % 2), ""] for n in range(40)]
    rows += [[f"q{n}@example.com", "", f"+1617555{n:04}", "US", ""] for n in range(0, 40, 4)]  # phones of others
    with people.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["email", "firstName", "phone", "country", "custom:plan"], *rows])
    assert (
        run("upsert", people, "--sandbox", "--out", tmp_path / "out", "--rate", "60/1", "--phone-conflict", "allow")[0]
        == 1
    )
    return tmp_path / "out" / "report.html"


@pytest.fixture
def browser(path: Path) -> Iterator[Any]:
    """Chromium without a window, started when no loop of ours runs any more."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed (dependency group `browser`)"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page as it is open in a browser, and what came of opening it."""

    def __init__(self, browser: Any, path: Path, *, media: str = "screen", **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: self.troubles.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.emulate_media(media=media)
        self.address = path.as_uri()


def test_it_opens_without_error_and_asks_the_network_for_nothing(path: Path, browser: Any) -> None:
    report = json.loads(path.with_name("report.json").read_text())
    assert min(report[key] for key in ("created", "updated", "failed", "collisions", "partially_applied")) > 0
    shots = Path(os.environ.get("LEADCONNECTOR_SCREENSHOTS") or path.parent)  # to be looked at
    ways: list[tuple[str, dict[str, Any]]] = [
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": {"width": 360, "height": 740}, "is_mobile": True}),
        ("paper", {"media": "print", "viewport": {"width": 700, "height": 990}}),
    ]
    for name, options in ways:
        visit = Visit(browser, path, **options)
        assert (visit.troubles, visit.requests) == ([], [visit.address]), name
        numbers = visit.page.evaluate(NUMBERS)
        assert {key: numbers[key] for key in COUNTS.split()} == {key: report[key] for key in COUNTS.split()}, name
        width = visit.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], f"{name}: the page moves sideways"
        visit.page.screenshot(path=shots / f"report-{name}.png", full_page=True)
        visit.context.close()


def test_the_answer_is_on_the_first_screen(path: Path, browser: Any) -> None:
    visit = Visit(browser, path, viewport={"width": 1280, "height": 720})
    for place in ("h1", "svg.bar", ".todo h2", ".todo pre"):
        assert visit.page.eval_on_selector(place, SEEN), place


def test_light_and_dark_differ_and_paper_is_white(path: Path, browser: Any) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"

    def ground_of(**options: str) -> str:
        return str(Visit(browser, path, **options).page.evaluate(ground))

    assert ground_of(color_scheme="light") != ground_of(color_scheme="dark")
    assert ground_of(color_scheme="dark", media="print") == "rgb(255, 255, 255)"
    pdf = Visit(browser, path).page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")


def test_all_of_it_is_reached_by_keyboard(path: Path, browser: Any) -> None:
    page = Visit(browser, path).page
    wanted = page.evaluate("document.querySelectorAll('a, [tabindex]').length")
    page.evaluate("window.reached = new Set(); addEventListener('focusin', e => reached.add(e.target))")
    for _ in range(wanted):
        page.keyboard.press("Tab")
    assert page.evaluate("reached.size") == wanted
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_script_that_gets_in_would_not_run(path: Path, browser: Any) -> None:
    path.write_text(path.read_text().replace("</main>", "<script>alert('run')</script><img src='x.png'></main>"))
    visit = Visit(browser, path)
    assert "run" not in visit.troubles
    assert len(visit.troubles) == 2  # what the policy refused: the script and the image
    assert all("Content Security Policy" in trouble for trouble in visit.troubles)
