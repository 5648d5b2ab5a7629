"""The options that several commands share: their types, with the words of their help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

import typer

from ..bulk.brake import read_max_failures
from ..environment import PROXY, REDIS_PASSWORD, read_variable, set_variable
from ..errors import ConfigurationError, UsageError
from ..limits.limit import Limits, RateLimit
from ..limits.redis import RedisLimits
from ..migration.mapping.targets import read_target, read_targets
from ..migration.matching import PHONE_RULES, PhoneRule
from ..migration.options import MATCHES, EmptyRule, MatchBy, MigrationOptions, TagsRule
from ..migration.tables.open import FORMATS
from ..migration.verify import Sample
from ..private_file import read_secret
from ..rules.countries import country_codes
from .flags import FLAGS, with_flags

# ---------------------------------------------------------------------------------------------- what the options mean

_LATENCY = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)(ms|s)?")
DEFAULT_CONCURRENCY: Final = 64
_MOST_SECONDS: Final = 30.0
_LOST_SLASH: Final = re.compile(r"([A-Za-z][\w+.-]{1,40}):/(?=[^/])")
_TAGS_RULES: Final[dict[str, TagsRule]] = {"add": "add", "replace": "replace"}
_EMPTY_RULES: Final[dict[str, EmptyRule]] = {"keep": "keep", "clear": "clear"}


def read_tags_rule(text: str) -> TagsRule:
    """Read `--tags`.

    Raises:
        ConfigurationError: It is none of its values.
    """
    if text not in _TAGS_RULES:
        raise ConfigurationError(f"--tags {text!r} is not valid; write add or replace")
    return _TAGS_RULES[text]


def read_empty_rule(text: str) -> EmptyRule:
    """Read `--empty`.

    Raises:
        ConfigurationError: It is none of its values.
    """
    if text not in _EMPTY_RULES:
        raise ConfigurationError(f"--empty {text!r} is not valid; write clear or keep")
    return _EMPTY_RULES[text]


def read_phone_rule(text: str) -> PhoneRule:
    """Read `--phone-conflict`.

    Raises:
        ConfigurationError: It is none of its values.
    """
    for rule in PHONE_RULES:
        if text == rule:
            return rule
    raise ConfigurationError(f"--phone-conflict {text!r} is not valid; write {', '.join(PHONE_RULES)}")


def read_match(text: str) -> MatchBy:
    """Read `--match`.

    Raises:
        ConfigurationError: It is none of its values.
    """
    for match in MATCHES:
        if text == match:
            return match
    raise ConfigurationError(f"--match {text!r} is not valid; write {', '.join(MATCHES)}")


def check_dry_run(is_wanted: bool, *, is_resumed: bool) -> bool:
    """Return whether a dry run is wanted.

    Raises:
        ConfigurationError: A load is to go on, too.
    """
    if is_wanted and is_resumed:
        raise ConfigurationError("--dry-run looks at rows before a load: leave out --resume and --retry-failed")
    return is_wanted


def read_rate(text: str | None, daily: int | None) -> RateLimit:
    """Read `--rate` (calls/seconds) and `--daily`; what is not given is as the service has it.

    Raises:
        ConfigurationError: It is no rate.
    """
    usual = RateLimit()
    calls, seconds = usual.max_requests, usual.per_seconds
    if text is not None:
        match = re.fullmatch(r"(\d+)/(\d+(?:\.\d+)?)s?", text.strip())
        if match is None:
            raise ConfigurationError(f"--rate {text!r} is not a rate; write calls/seconds, such as 100/10")
        calls, seconds = int(match[1]), float(match[2])
        if not calls or not seconds:
            raise ConfigurationError(f"--rate {text}: both numbers must be above 0")
    return RateLimit(max_requests=calls, per_seconds=seconds, daily=usual.daily if daily is None else daily)


def check_max_failures(text: str | None) -> str | None:
    """Return `--max-failures` as it is.

    Raises:
        ConfigurationError: It is neither a number nor a share.
    """
    try:
        read_max_failures(text)
    except UsageError as error:
        raise ConfigurationError(with_flags(str(error))) from None
    return text


def read_limits(redis: str | None) -> Limits | None:
    """Read `--redis`: where limits are shared with other processes, or None.

    Raises:
        ConfigurationError: It is no address, holds a password, or the package redis is missing.
    """
    if redis is None:
        return None
    if _holds_password(redis):
        raise ConfigurationError(
            "--redis holds a password, which everybody on this machine could read; "
            f"leave it out, and set {REDIS_PASSWORD} instead"
        )
    return RedisLimits(redis, password=read_variable(REDIS_PASSWORD))


def _holds_password(url: str) -> bool:
    """Whether there is a password in it, also where a character that should be escaped hides it from a parser."""
    user = url.partition("://")[2].rpartition("@")[0]
    return ":" in user or "password" in urlsplit(url).query.lower()


def read_sample(text: str | None) -> Sample:
    """Read `--sample`: a number of rows, or a share in percent; without it, all.

    Raises:
        ConfigurationError: It is neither.
    """
    if text is None:
        return Sample()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\s*%)?", text.strip())
    if match is None or not float(match[1]) or (match[2] and float(match[1]) > 100) or (not match[2] and "." in text):
        raise ConfigurationError(f"--sample {text!r} is not valid; write a number of rows, or a share such as 5%")
    return Sample(share=float(match[1]) / 100) if match[2] else Sample(count=int(match[1]))


def read_latency(text: str | None) -> tuple[float, float]:
    """Read `--latency` (least-most) as seconds; it may name its unit, and numbers above 30 are milliseconds anyway.

    Raises:
        ConfigurationError: It is no latency.
    """
    if text is None:
        return 0.0, 0.0
    match = _LATENCY.fullmatch(text.strip())
    if match is None or float(match[1]) > float(match[2]):
        raise ConfigurationError(f"--latency {text!r} is not a latency; write least-most, such as 0.05-0.5 or 50-500ms")
    least, most, unit = float(match[1]), float(match[2]), match[3]
    is_milliseconds = unit == "ms" or (unit is None and most > _MOST_SECONDS)
    return (least / 1000, most / 1000) if is_milliseconds else (least, most)


def read_faults(texts: list[str]) -> dict[str, float]:
    """Read each `--fault` (kind=probability).

    Raises:
        ConfigurationError: One is none; whether the kind is known the sandbox says.
    """
    faults = {}
    for text in texts:
        kind, _, chance = text.partition("=")
        try:
            faults[kind.strip()] = float(chance)
        except ValueError:
            raise ConfigurationError(
                f"--fault {text!r} is not valid; write kind=probability, such as 500=0.1"
            ) from None
    return faults


def read_token_file(path: Path) -> str:
    """Return the token that a file holds.

    Raises:
        ConfigurationError: It cannot be read or is empty.
    """
    return read_secret_file("--token-file", path, "a Private Integration Token")


def read_secret_file(option: str, path: Path, what: str) -> str:
    """Return the one text that a file holds.

    Args:
        option: What named the file.
        path: The file.
        what: What it should hold.

    Raises:
        ConfigurationError: It cannot be read, is empty, or others can read it.
    """
    try:
        secret = read_secret(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{option} {path}: cannot be read ({reason})") from None
    if not secret:
        raise ConfigurationError(f"{option} {path}: is empty; it should hold {what}")
    return secret


# ---------------------------------------------------------------------------------------------- completion


def address_of(path: str) -> str:
    """Return an address of fsspec as it was written: as a path, it has lost a slash. A path stays as it is."""
    return _LOST_SLASH.sub(r"\1://", path, count=1)


def offer(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def complete_country(incomplete: str) -> list[str]:
    """Complete a code of a country."""
    return offer(sorted(country_codes()))(incomplete)


ENCODINGS: Final = ("utf-8", "utf-16", "windows-1252", "iso-8859-1", "shift_jis", "gb18030")

# What is read
Files: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...", help="CSV, JSON, JSON Lines, Parquet or Excel files, also compressed; patterns; - for stdin."
    ),
]
Sql: TypeAlias = Annotated[
    str | None, typer.Option(metavar="SELECT", help="Load the rows of a query.", show_default=False)
]
Database: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DATABASE",
        help="Database of the query: sqlite:///FILE, postgresql://..., a DuckDB file, or env:NAME.",
        show_default=False,
    ),
]
FileFormat: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        autocompletion=offer(FORMATS),
        help=f"Format of the files: {', '.join(FORMATS)}.",
        show_default="from their names",
    ),
]
Encoding: TypeAlias = Annotated[
    str | None,
    typer.Option(autocompletion=offer(ENCODINGS), help="Encoding of text files.", show_default="detected"),
]
Sheet: TypeAlias = Annotated[
    str | None, typer.Option(help="Sheet of a workbook, by name or number.", show_default="the first")
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Load only the first rows, for a trial.", show_default="all")
]

# What a row becomes
Maps: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=FIELD",
        help="Send a column to a field; repeatable, also for one column.",
        show_default=False,
    ),
]
MappingFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="File that maps all columns, as `leadconnector map` writes it.", show_default=False)
]
Ignored: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Do not send this column; repeatable.", show_default=False),
]
Owners: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="CSV file of users (id, and email or name), to look up owners of contacts.", show_default=False),
]
DefaultCountry: TypeAlias = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_country,
        help="Country of phone numbers without a country code, e.g. US.",
        show_default=False,
    ),
]
DateOrder: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="mdy|dmy",
        autocompletion=offer(("mdy", "dmy")),
        help="How to read dates such as 03/04/1990.",
        show_default=False,
    ),
]
KeepPlaceholders: TypeAlias = Annotated[
    bool,
    typer.Option("--keep-placeholders", help="Send texts such as N/A, NULL and -; by default they count as empty."),
]
Strict: TypeAlias = Annotated[bool, typer.Option("--strict", help="Send nothing if any cell or row cannot be sent.")]
CreateFields: TypeAlias = Annotated[
    bool, typer.Option("--create-fields", help="Create the custom fields that columns need and the location lacks.")
]
Tags: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="add|replace",
        autocompletion=offer(("add", "replace")),
        help="Add tags to those of the contact, or replace them.",
    ),
]
PhoneConflict: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="|".join(PHONE_RULES),
        autocompletion=offer(PHONE_RULES),
        help=(
            "If a row shares its phone with another person: set the phone after all rows, skip the row, or allow "
            "overwriting."
        ),
    ),
]
Match: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="|".join(MATCHES),
        autocompletion=offer(MATCHES),
        help="Match rows by the id of the contact, or by email and phone; auto: by ids that are of this location.",
    ),
]
CreateNameless: TypeAlias = Annotated[
    bool,
    typer.Option("--create-nameless", help="Create a contact for each row with a name but no email, phone or id."),
]
Empty: TypeAlias = Annotated[
    str, typer.Option(metavar="clear|keep", help="Whether an empty cell clears its field or keeps what is stored.")
]

# Which rows are sent, by what is there
OnlyNew: TypeAlias = Annotated[
    bool, typer.Option("--only-new", help="Send only people who were not in the location when the load began.")
]
OnlyExisting: TypeAlias = Annotated[
    bool, typer.Option("--only-existing", help="Send only people who were in the location when the load began.")
]
FillEmpty: TypeAlias = Annotated[
    bool, typer.Option("--fill-empty", help="Overwrite nothing: send only fields that are empty in the location.")
]
SkipUnchanged: TypeAlias = Annotated[
    bool, typer.Option("--skip-unchanged", help="Do not send rows that would change nothing.")
]

# Where it goes
Location: TypeAlias = Annotated[
    str | None, typer.Option(help="Location id; by default LEADCONNECTOR_LOCATION_ID.", show_default=False)
]
InSandbox: TypeAlias = Annotated[bool, typer.Option("--sandbox", help="Use a sandbox in this process; needs no token.")]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="File with the token; by default LEADCONNECTOR_TOKEN, then the stored login.", show_default=False
    ),
]


def _use_proxy(url: str | None) -> None:
    """Have all clients of this command call through a proxy.

    Raises:
        BadParameter: It holds a password.
    """
    if url is None:
        return
    if _holds_password(url):
        raise typer.BadParameter(
            f"it holds a password, which everybody on this machine could read; set {PROXY} in its place"
        )
    set_variable(PROXY, url)


Proxy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        callback=_use_proxy,
        help="HTTP proxy to call through, such as http://proxy:3128; by default LEADCONNECTOR_PROXY.",
        show_default=False,
    ),
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
    typer.Option(help="File with the app's client secret; by default LEADCONNECTOR_CLIENT_SECRET.", show_default=False),
]

Dask: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEDULER",
        help="Load on a Dask cluster: its address, or `local`. Such runs cannot be verified or undone yet.",
        show_default=False,
    ),
]

# How fast, and what is told
Rate: TypeAlias = Annotated[
    str | None, typer.Option(help="Rate limit of each location, as calls/seconds.", show_default="100/10")
]
Daily: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Calls a day for each location.", show_default="200000")
]
Redis: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Share the limits with other processes through Redis: redis://host:6379.", show_default=False),
]
Concurrency: TypeAlias = Annotated[int, typer.Option(min=1, help="Maximum number of calls in flight.")]
NoProgress: TypeAlias = Annotated[bool, typer.Option("--no-progress", help="Do not show progress.")]
AsJson: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as one JSON document on stdout, and all else on stderr. Exit code 2 prints no document.",
    ),
]
RunFolder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of the run, written by `upsert`.", show_default=False)
]


# ---------------------------------------------------------------------------------------------- columns and cells


def words_of(options: MigrationOptions, *, goes_on: bool) -> list[str]:
    """Return options as words of a command.

    Args:
        options: The options.
        goes_on: Whether the command goes on with the same rows; else it loads others, without a limit.
    """
    given: list[tuple[str, object]] = [
        ("--map", f"{column}={target}")
        for column, said in options.columns.items()
        for target in ([said] if isinstance(said, str) else said)
    ]
    given += [("--mapping", options.mapping)]
    given += [("--ignore", name) for name in options.ignore]
    given += [("--owners", options.owners), ("--default-country", options.default_country)]
    given += [("--date-order", options.date_order), ("--limit", options.limit if goes_on else None)]
    given += [("--tags", None if options.tags == "add" else options.tags)]
    given += [("--phone-conflict", None if options.phone_conflict == "second-pass" else options.phone_conflict)]
    given += [("--match", None if options.match == "auto" else options.match)]
    words = [word for name, value in given if value is not None for word in (name, str(value))]
    words += ["--empty", "clear"] * (options.empty == "clear")
    words += ["--create-nameless"] * options.create_nameless
    words += ["--keep-placeholders"] * options.keep_placeholders
    words += ["--strict"] * options.strict + ["--create-fields"] * options.create_fields
    return words + [FLAGS[name] for name in options.selection.names()] + ["--snapshot"] * options.snapshot


def read_maps(texts: Iterable[str]) -> dict[str, str | list[str]]:
    """Read each `--map` (Column=field). A column that several name is sent to all their fields.

    Raises:
        ConfigurationError: One has no meaning, or they contradict each other.
    """
    found: dict[str, dict[str, None]] = {}
    for column, target in map(_read_map, texts):
        found.setdefault(column, {})[target] = None
    for column, targets in found.items():
        read_targets(column, [*targets])
    return {column: next(iter(targets)) if len(targets) == 1 else [*targets] for column, targets in found.items()}


def _read_map(text: str) -> tuple[str, str]:
    column, sign, target = text.rpartition("=")
    if not sign or not column.strip():
        raise ConfigurationError(f'--map {text!r} is not valid; write --map "Column=field"')
    try:
        read_target(target)
    except ConfigurationError as error:
        raise ConfigurationError(f"--map {text!r}: {error}") from None
    return column.strip(), target.strip()
