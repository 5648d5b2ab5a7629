"""The page on what is recognised in files, leadconnector_async/migration/mapping/README.md, rendered from the tables.

`python -m tests.migration.mapping.reference` writes it into the page anew; test_reference.py checks that it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from leadconnector_async.migration.mapping import presets
from leadconnector_async.migration.mapping.headers import read_entries
from leadconnector_async.models.fields import UPSERT_FIELDS
from leadconnector_async.rules import consent

PAGE = Path(presets.__file__).parent / "README.md"
BEGIN = "<!-- reference: python -m tests.migration.mapping.reference -->\n"
END = "<!-- end of the reference -->\n"
NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "sv": "Swedish",
}
HEADERS = {
    "opt-out": "opted out",
    "opt-in": "opted in",
    "filled": "opted out, whatever is filled in",
    "weak": "counts if cells are words about consent",
    "weak alone": "counts if cells are words about consent, even weak ones",
    "channel": "{c} is one of",
    "verb": "{v} is one of",
    "prefix": "may stand before",
    "suffix": "may stand behind",
    "time before": "before it: since when",
    "time after": "behind it: since when",
    "stem opt-out": "shows that a header is about opt-outs",
    "stem opt-in": "shows that a header is about opt-ins",
    "why": "with it, a header is about the reason",
    "other": "with it, a header is about something else",
}
"""What the keys of lines about headers say; channels may follow a key."""
WORDS = {
    "yes": "yes",
    "no": "no",
    "closes": "opted out",
    "leaves": "opted in",
    "closes beside": "opted out (words that other columns have, too)",
    "asked closes": "refused",
    "asked leaves": "granted",
    "member": "opted in, in a column that asks who opted in",
    "no member": "opted out, in a column that asks who opted in",
}
"""What the keys of lines about cells say."""


def render() -> str:
    """The reference, as it stands between the marks."""
    return "".join([*systems(), *(part for code in NAMES for part in language(code))])


def systems() -> Iterator[str]:
    yield "\n## Systems\n\n"
    rows = [
        (preset.name, joined(preset, preset.own), joined(preset, preset.signs - preset.own), about_consent(preset))
        for preset in presets.PRESETS
    ]
    yield from table(("export of", "one of these headers", "or two of these", "of them about consent"), rows)


def joined(preset: presets.Preset, headers: Iterable[str]) -> str:
    return ", ".join(sorted(preset.written[header] for header in headers))


def about_consent(preset: presets.Preset) -> str:
    return ", ".join(sorted(header for header in preset.written.values() if is_about_consent(header)))


def is_about_consent(header: str) -> bool:
    found = consent.find_consent(header)
    return (found is not None and bool(found.channels)) or consent.find_weak(header) is not None


def language(code: str) -> Iterator[str]:
    yield f"\n## {NAMES[code]}\n"
    yield f"\n### {NAMES[code]}: fields\n\n"
    yield from table(("field", "headers"), fields(code).items())
    lines = consent._file(code)
    about_headers = [(label(key, HEADERS), lines[key]) for key in lines if key not in WORDS]
    yield f"\n### {NAMES[code]}: headers about consent\n\n"
    yield from table(("a header that says", "is written"), about_headers)
    yield f"\n### {NAMES[code]}: cells about consent\n\n"
    yield from table(("a cell that says", "is written"), [(WORDS[key], lines[key]) for key in lines if key in WORDS])


def fields(code: str) -> dict[str, str]:
    """The headers of each field; in English those of the table of fields, too."""
    found: dict[str, list[str]] = {}
    for field in UPSERT_FIELDS if code == "en" else ():
        if field.headers:
            found[field.wire] = field.headers.split()
    for left, entries in read_entries(code):
        name = left.partition("|")[0]
        if name == "?":
            name = "words of a question around one"
        elif name.startswith("@"):
            name = f"words of {name[1:] or 'no'} address"
        found.setdefault(name, []).extend(entries)
    return {name: ", ".join({consent.plain(one): one for one in entries}.values()) for name, entries in found.items()}


def label(key: str, labels: dict[str, str]) -> str:
    """What a key says, with the channels that follow it."""
    known = max((name for name in labels if key == name or key.startswith(f"{name} ")), key=len)
    channels = key[len(known) :].strip()
    return labels[known] + (f" ({'no channel' if channels == 'none' else channels})" if channels else "")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for row in rows:
        yield f"| {' | '.join(map(escape, row))} |\n"


def escape(text: str) -> str:
    """Write a text as a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def parts(page: str) -> tuple[str, str, str]:
    """What stands before the reference, the reference, and what stands behind it."""
    before, _, rest = page.partition(BEGIN)
    found, _, after = rest.partition(END)
    return before, found, after


if __name__ == "__main__":
    before, _, after = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(before + BEGIN + render() + END + after, encoding="utf-8")
