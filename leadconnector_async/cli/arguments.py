"""The options that several commands share: their types, with the words of their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from ..migration.readers.tables import FORMATS
from ..migration.sharing import PHONE_RULES
from .completion import complete_country, offer

ENCODINGS: Final = ("utf-8", "utf-16", "windows-1252", "iso-8859-1", "shift_jis", "gb18030")

# What is read
Files: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...", help="CSV, JSON, JSON Lines, Parquet, Excel; packed ones, patterns, - for stdin."
    ),
]
Sql: TypeAlias = Annotated[
    str | None, typer.Option(metavar="SELECT", help="Load what a query gives.", show_default=False)
]
Database: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DATABASE",
        help="Of that: sqlite:///FILE, postgresql://..., a DuckDB file, or env:NAME.",
        show_default=False,
    ),
]
FileFormat: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        autocompletion=offer(FORMATS),
        help=f"What the files are: {', '.join(FORMATS)}.",
        show_default="by their names",
    ),
]
Encoding: TypeAlias = Annotated[
    str | None,
    typer.Option(autocompletion=offer(ENCODINGS), help="How text is encoded.", show_default="found out"),
]
Sheet: TypeAlias = Annotated[
    str | None, typer.Option(help="Sheet of a workbook, by name or number.", show_default="the first")
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Take the first rows only, for a trial.", show_default="all")
]

# What a row becomes
Maps: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=FIELD", help="Where a column goes; again for more.", show_default=False),
]
MappingFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="Where all columns go: a file of `leadconnector map`.", show_default=False)
]
Ignored: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column not to be sent; again for more.", show_default=False),
]
Owners: TypeAlias = Annotated[
    Path | None, typer.Option(help="CSV of users: id, and email or name.", show_default=False)
]
DefaultCountry: TypeAlias = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_country, help="Of phone numbers that name none, such as US.", show_default=False
    ),
]
DateOrder: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="mdy|dmy", autocompletion=offer(("mdy", "dmy")), help="What 03/04/1990 means.", show_default=False
    ),
]
Strict: TypeAlias = Annotated[bool, typer.Option("--strict", help="Send nothing where a cell or row cannot be sent.")]
CreateFields: TypeAlias = Annotated[
    bool, typer.Option("--create-fields", help="Make custom fields that columns are for and that are missing.")
]
Tags: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="add|replace",
        autocompletion=offer(("add", "replace")),
        help="Add tags to those a contact has, or replace them.",
    ),
]
PhoneConflict: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="|".join(PHONE_RULES),
        autocompletion=offer(PHONE_RULES),
        help="Rows that share a phone with another person's: set it afterwards, leave the row out, or overwrite.",
    ),
]
Empty: TypeAlias = Annotated[
    str, typer.Option(metavar="clear|keep", help="What an empty cell does to its field at the contact.")
]

# Which rows are sent, by what is there
OnlyNew: TypeAlias = Annotated[
    bool, typer.Option("--only-new", help="Send only people who were not there when the load began.")
]
OnlyExisting: TypeAlias = Annotated[
    bool, typer.Option("--only-existing", help="Send only people who were there when the load began.")
]
FillEmpty: TypeAlias = Annotated[
    bool, typer.Option("--fill-empty", help="Overwrite nothing that was there: send only fields that were empty.")
]
SkipUnchanged: TypeAlias = Annotated[
    bool, typer.Option("--skip-unchanged", help="Do not send rows that would change nothing.")
]

# Where it goes
Location: TypeAlias = Annotated[
    str | None, typer.Option(help="Location id; else LEADCONNECTOR_LOCATION_ID.", show_default=False)
]
InSandbox: TypeAlias = Annotated[bool, typer.Option("--sandbox", help="Use a sandbox in this process; no token.")]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="File with the token; else LEADCONNECTOR_TOKEN, else the stored login.", show_default=False),
]
Store: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        autocompletion=offer(("keyring",)),
        help="Where logins are kept: `keyring`, or a file.",
        show_default="your own folder",
    ),
]
SecretFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="File with the app's client secret; else LEADCONNECTOR_CLIENT_SECRET.", show_default=False),
]

Dask: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEDULER",
        help="Load on a Dask cluster: its address, or `local`.",
        show_default=False,
    ),
]

# How fast, and what is told
Rate: TypeAlias = Annotated[str | None, typer.Option(help="Calls/seconds for a location.", show_default="100/10")]
Daily: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Calls a day.", show_default="200000")]
Redis: TypeAlias = Annotated[
    str | None, typer.Option(help="Share limits with other processes: redis://host:6379.", show_default=False)
]
Concurrency: TypeAlias = Annotated[int, typer.Option(min=1, help="Calls in flight at most.")]
NoProgress: TypeAlias = Annotated[bool, typer.Option("--no-progress", help="Do not tell how far it is.")]
AsJson: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print the result as one JSON document, all else on stderr. Exit code 2: no document."),
]
RunFolder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder that upsert left.", show_default=False)
]
