"""Pages that hold all they need: no script, no network. The blocks are the same for every report.

page = Page("A load", heading="All 250 rows are done")
page.add_section("Errors", build_table("Errors", [Column("Rows", "number"), Column("Message")], rows))
Path("report.html").write_text(page.render(), encoding="utf-8")
"""

from .blocks import (
    Column,
    Part,
    build_bar,
    build_commands,
    build_facts,
    build_grouped_table,
    build_table,
    count_of,
    number,
)
from .chart import Chart, Series, build_chart
from .document import Page
from .html import Content, Html, element, join, link_to_file, quoted, shorten

__all__ = [
    "Chart",
    "Column",
    "Content",
    "Html",
    "Page",
    "Part",
    "Series",
    "build_bar",
    "build_chart",
    "build_commands",
    "build_facts",
    "build_grouped_table",
    "build_table",
    "count_of",
    "element",
    "join",
    "link_to_file",
    "number",
    "quoted",
    "shorten",
]
