"""What the options of the commands mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from ..environment import REDIS_PASSWORD, read_variable
from ..errors import ConfigurationError
from ..limits import Limits, RateLimit
from ..migration.selection import Selection
from ..migration.sharing import PHONE_RULES, PhoneRule
from ..shared_limits import RedisLimits

_LATENCY = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)(ms|s)?")
_MOST_SECONDS: Final = 30.0
TagsRule: TypeAlias = Literal["add", "replace"]
_TAGS_RULES: Final[dict[str, TagsRule]] = {"add": "add", "replace": "replace"}


def read_tags_rule(text: str) -> TagsRule:
    """Read `--tags`.

    Raises:
        ConfigurationError: It is none of its values.
    """
    if text not in _TAGS_RULES:
        raise ConfigurationError(f"--tags {text!r} has no meaning; write add or replace")
    return _TAGS_RULES[text]


def read_empty_rule(text: str) -> bool:
    """Read `--empty`: whether empty cells empty their fields.

    Raises:
        ConfigurationError: It is none of its values.
    """
    if text not in ("clear", "keep"):
        raise ConfigurationError(f"--empty {text!r} has no meaning; write clear or keep")
    return text == "clear"


def check_selection(selection: Selection, *, tags: TagsRule, empties: bool = False) -> Selection:
    """Refuse wishes that contradict each other.

    Raises:
        ConfigurationError: They do.
    """
    if selection.only_new and selection.only_existing:
        raise ConfigurationError("--only-new and --only-existing leave no row to send: give one of them")
    if selection.only_new and selection.fill_empty:
        raise ConfigurationError(
            "--fill-empty is about contacts that are there, which --only-new leaves alone: give one"
        )
    if selection.fill_empty and tags == "replace":
        raise ConfigurationError("--fill-empty overwrites nothing, and --tags replace does: give one of them")
    if selection.fill_empty and empties:
        raise ConfigurationError("--fill-empty overwrites nothing, and --empty clear does: give one of them")
    return selection


def read_phone_rule(text: str) -> PhoneRule:
    """Read `--phone-conflict`.

    Raises:
        ConfigurationError: It is none of its values.
    """
    for rule in PHONE_RULES:
        if text == rule:
            return rule
    raise ConfigurationError(f"--phone-conflict {text!r} has no meaning; write {', '.join(PHONE_RULES)}")


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
            raise ConfigurationError(f"--rate {text!r} is no rate; write calls/seconds, such as 100/10")
        calls, seconds = int(match[1]), float(match[2])
        if not calls or not seconds:
            raise ConfigurationError(f"--rate {text}: both of its numbers must be above 0")
    return RateLimit(max_requests=calls, per_seconds=seconds, daily=usual.daily if daily is None else daily)


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
            f"leave it out there, and set {REDIS_PASSWORD}"
        )
    return RedisLimits(redis, password=read_variable(REDIS_PASSWORD))


def _holds_password(url: str) -> bool:
    """Whether there is a password in it, also where a character that should be escaped hides it from a parser."""
    user = url.partition("://")[2].rpartition("@")[0]
    return ":" in user or "password" in urlsplit(url).query.lower()


def read_latency(text: str | None) -> tuple[float, float]:
    """Read `--latency` (least-most) as seconds; it may name its unit, and numbers above 30 are milliseconds anyway.

    Raises:
        ConfigurationError: It is no latency.
    """
    if text is None:
        return 0.0, 0.0
    match = _LATENCY.fullmatch(text.strip())
    if match is None or float(match[1]) > float(match[2]):
        raise ConfigurationError(f"--latency {text!r} is no latency; write least-most, such as 0.05-0.5 or 50-500ms")
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
            raise ConfigurationError(f"--fault {text!r} is none; write kind=probability, such as 500=0.1") from None
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
        ConfigurationError: It cannot be read or is empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"{option} {path}: cannot be read ({reason})") from None
    if not secret:
        raise ConfigurationError(f"{option} {path}: is empty; it should hold {what}")
    return secret
