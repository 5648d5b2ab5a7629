"""A plan as a page for people. Its numbers are those of the plan as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...protocol.text import count_of
from ...version import __version__
from ..plan import Closings, Comparison, FieldChange, Plan, PlannedFile, PlannedTags, SharedContact, SharedRow
from .html import (
    Column,
    Content,
    Html,
    Page,
    Part,
    build_bar,
    build_facts,
    build_grouped_table,
    build_table,
    element,
    number,
    quoted,
)
from .words import (
    ACTION_WORDS,
    DND_WORDS,
    TAGS_WORDS,
    about_comparison,
    about_matching,
    about_time,
    name_channel,
    where_to,
)

_MOST_KINDS: Final = 100
_FATES: Final = {
    "makes": "makes the contact",
    "updates": "updates it",
    "overwrites": "overwrites it",
    "keeps": "keeps the phone",
    "waits": "is sent without it, which is set afterwards, if the service takes it",
    "skipped": "is left out",
}


def build_plan_page(plan: Plan) -> str:
    """Return the page as text."""
    heading = _verdict(plan)
    page = Page(f"Plan: {count_of(plan.rows, 'row')}", heading=heading, eyebrow=_about(plan))
    page.add_to_top(build_bar(_parts(plan)), _to_know(plan))
    page.add_section("In figures", build_facts(_facts(plan)))
    page.add_section("Columns", [_columns(file) for file in plan.files])
    if plan.overwritten:
        page.add_section("Overwritten", _shared("Contacts that rows about other people meet.", plan.overwritten))
    if plan.sharing:
        page.add_section("Shared phones", _shared("Phones that rows of several people have.", plan.sharing))
    if plan.repeated:
        page.add_section("Repeated", _shared("Contacts that more than one row is about.", plan.repeated))
    if plan.comparison is not None:
        page.add_section("Compared with the stored contacts", _comparison(plan.comparison))
    if plan.problems:
        page.add_section("Problems", _problems(plan))
    if plan.tags is not None:
        page.add_section("Tags", _tags(plan.tags))
    _add_consent(page, plan)
    if plan.emptied:
        page.add_section("Emptied fields", _emptied(plan.emptied))
    page.add_section("Calls and time", _locations(plan))
    if plan.assumptions:
        page.add_section("Assumptions", _list(plan.assumptions))
    made = f"leadconnector-async {__version__}. Nothing was written. This page holds personal data."
    return page.render(made)


def _add_consent(page: Page, plan: Plan) -> None:
    if plan.dnd:
        facts = ((word, number(count)) for word, count in plan.dnd.items())
        page.add_section("Do not disturb", [element("p", f"{DND_WORDS}."), build_facts(facts)])
    if plan.closings is not None:
        page.add_section("Opt-outs", show_closings(plan.closings))


def _verdict(plan: Plan) -> str:
    if not plan.rows:
        return "There is nothing to load"
    if plan.obstacles:
        return "The load cannot begin yet"
    if not plan.refused and not plan.skipped:
        return f"{'All ' if plan.rows > 1 else ''}{count_of(plan.rows, 'row')} would be sent"
    would_not = plan.refused + plan.skipped
    return f"{plan.to_send:,} of {count_of(plan.rows, 'row')} would be sent, {would_not:,} would not"


def _about(plan: Plan) -> list[Content]:
    names = [[quoted(file.name), ", "] for file in plan.files[:3]]
    more = f"and {count_of(len(plan.files) - 3, 'more file')}, " if len(plan.files) > 3 else None
    return ["A plan for ", names, more, quoted(plan.target) if plan.target else "the service was not asked"]


def _parts(plan: Plan) -> list[Part]:
    told = plan.forecast
    return [
        Part("contacts", told.contacts, "created", "contacts"),
        Part("repeats of a person", told.repeats, "updated", "repeats"),
        Part("overwrite another person", told.overwrites, "unknown", "overwrites"),
        Part("left out", plan.skipped, "rest", "skipped"),
        Part("not sent", plan.refused, "failed", "refused"),
    ]


def _to_know(plan: Plan) -> Html:
    told = [*plan.obstacles, *about_matching(plan), *plan.effects]
    if plan.new_fields:
        told.append(f"Custom fields would be created: {', '.join(plan.new_fields)}")
    return element("div", element("h2", "What to know before"), _list(told), class_="todo")


def _list(sentences: list[str]) -> Html:
    return element("ul", [element("li", element("bdi", sentence)) for sentence in sentences])


def _facts(plan: Plan) -> Iterator[tuple[str, Content]]:
    yield "Rows", number(plan.rows, key="rows")
    yield "Would be sent", number(plan.to_send, key="to_send")
    yield "Calls at most", number(plan.calls, key="calls")
    yield "Time", about_time(plan.seconds, plan.days)
    yield "Locations", number(plan.location_count, key="location_count")
    yield "Phone set afterwards", number(plan.forecast.deferred, key="deferred")
    yield "Phone would be refused", number(plan.forecast.refused_phones, key="refused_phones")
    yield "Would lose the email", number(plan.forecast.lost_emails, key="lost_emails")
    yield "Would lose the phone", number(plan.forecast.lost_phones, key="lost_phones")


def _columns(file: PlannedFile) -> Html:
    rows: list[list[Content]] = [
        [quoted(column.name), quoted(where_to(column, file)), quoted(column.reason or "")] for column in file.columns
    ]
    export = [", an export of ", quoted(file.looks_like)] if file.looks_like else None
    caption: list[Content] = [quoted(file.name), f": {count_of(file.rows, 'row')}", export]
    return build_table(caption, [Column("Column"), Column("Goes to"), Column("Why not", "sentence")], rows)


def _shared(caption: str, contacts: list[SharedContact]) -> Html:
    columns = [Column("Rows", "number"), Column("Row"), Column("Who"), Column("What it does"), Column("By", "word")]
    groups = [([number(contact.size)], [_shared_row(row) for row in contact.rows]) for contact in contacts]
    told = f"{caption} The first {len(contacts):,}, with the first rows of each."
    return build_grouped_table(told, columns, groups)


def _shared_row(row: SharedRow) -> list[Content]:
    return [quoted(row.where), quoted(row.who), _FATES[row.fate], row.field or ""]


def _comparison(found: Comparison) -> list[Content]:
    facts: list[tuple[str, Content]] = [
        ("New", number(found.new, key="new")),
        ("Would change a contact", number(found.changed, key="changed")),
        ("Would change nothing", number(found.same, key="same")),
        ("About somebody of an earlier row", number(found.repeated, key="repeated")),
    ]
    told = [build_facts(facts), _list(list(about_comparison(found)))]
    columns = [Column("Row"), Column("Who"), Column("Field"), Column("Is there"), Column("Would be")]
    groups = [
        ([quoted(row.where), quoted(row.who)], [_change(change) for change in row.changes]) for row in found.examples
    ]
    return [
        *told,
        build_grouped_table("The first rows that would change a contact.", columns, groups) if groups else None,
    ]


def _change(change: FieldChange) -> list[Content]:
    return [quoted(change.field), quoted(change.stored or "nothing"), quoted(change.sent or "nothing")]


def _problems(plan: Plan) -> list[Content]:
    columns = [
        Column("Cells", "number"),
        Column("Column"),
        Column("What is wrong", "sentence"),
        Column("What becomes of it"),
        Column("First"),
        Column("Value"),
    ]
    rows: list[list[Content]] = [
        [
            number(kind.count),
            quoted(kind.column),
            quoted(kind.sentence),
            ACTION_WORDS[kind.action],
            quoted(kind.where),
            quoted(kind.value),
        ]
        for kind in plan.problems[:_MOST_KINDS]
    ]
    more = len(plan.problems) - _MOST_KINDS
    rest = element("p", f"{count_of(more, 'more kind')}.") if more > 0 else None
    return [build_table("By kind, the gravest first.", columns, rows), rest]


def _tags(tags: PlannedTags) -> list[Content]:
    told = element("p", f"{count_of(tags.rows, 'row')} with tags. {TAGS_WORDS[tags.rule]}")
    rows: list[list[Content]] = [[quoted(name), number(count)] for name, count in tags.names.items()]
    caption = f"The most frequent of {count_of(tags.kinds, 'tag')}."
    return [told, build_table(caption, [Column("Tag"), Column("Rows", "number")], rows)]


def show_closings(closings: Closings) -> list[Content]:
    """Show whose channels are closed, by which words of which columns, and how many were before."""
    channels = dict.fromkeys([*closings.channels, *(closings.before or {})])
    before = closings.before or {}
    counts: list[list[Content]] = [
        [
            name_channel(channel),
            number(closings.channels.get(channel, 0), key=f"closed_{channel}"),
            number(before[channel], key=f"closed_before_{channel}") if channel in before else "not known",
        ]
        for channel in channels
    ]
    words: list[list[Content]] = [
        [
            quoted(column.file),
            quoted(column.column),
            quoted(column.target),
            number(column.rows),
            quoted(", ".join(f"{word} ({count:,})" for word, count in column.words.items())),
        ]
        for column in closings.columns
    ]
    heads = [Column("Channel"), Column("Rows that close it", "number"), Column("Contacts closed before", "number")]
    names = [Column("File"), Column("Column"), Column("Read as"), Column("Rows", "number")]
    return [
        build_table(f"{count_of(closings.rows, 'row')} of people who must not be reached so any more.", heads, counts),
        build_table("What says so.", [*names, Column("Cells", "sentence")], words) if words else None,
    ]


def _emptied(fields: dict[str, int]) -> Html:
    rows: list[list[Content]] = [[quoted(name), number(count)] for name, count in fields.items()]
    caption = "Fields of contacts that empty cells would empty."
    return build_table(caption, [Column("Field"), Column("Rows", "number")], rows)


def _locations(plan: Plan) -> Html:
    columns = [
        Column("Location"),
        Column("Rows", "number"),
        Column("Calls at most", "number"),
        Column("Time"),
        Column("Limits"),
        Column("Matches by"),
    ]
    rows: list[list[Content]] = [
        [
            quoted(location.id or "not said"),
            number(location.rows),
            number(location.calls),
            about_time(location.seconds, location.days),
            _limits(location.max_requests, location.per_seconds, location.daily, location.left_today),
            f"{', '.join(location.match_order)} ({'as it says' if location.is_asked else 'the default'})",
        ]
        for location in plan.locations
    ]
    more = plan.location_count - len(plan.locations)
    caption = "Locations do not wait for each other." + (f" {more:,} more are not shown." if more else "")
    return build_table(caption, columns, rows)


def _limits(calls: int, seconds: float, daily: int | None, left: int | None) -> str:
    told = f"{calls:,} in {seconds:g} s"
    told += f", {daily:,} a day" if daily is not None else ""
    return told + (f", {left:,} left today" if left is not None else "")
