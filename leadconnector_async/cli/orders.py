"""What the command line asks of a load, and the exit codes of commands that were ended."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..migration.inputs import Sources
from ..migration.selection import Selection
from ..migration.sharing import PhoneRule
from .logins import LoginOptions
from .options import TagsRule, read_rate
from .saying import Saying
from .stock import Wish

DEFAULT_CONCURRENCY: Final = 64


class Order(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    sources: Sources
    location_id: str | None
    is_sandbox: bool
    out: Path | None
    is_resumed: bool
    retry_failed: bool
    rate: str | None
    daily: int | None
    waits: bool
    concurrency: int
    tags: TagsRule = "add"
    selection: Selection = Selection()
    phone_conflict: PhoneRule = "second-pass"
    limit: int | None = None
    is_dry_run: bool = False
    takes_snapshot: bool = False
    redis: str | None = None
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions
    saying: Saying = Saying()
    is_agreed: bool = False

    @property
    def wish(self) -> Wish:
        """What it says of rows that meet contacts which are there."""
        return Wish(
            selection=self.selection,
            replaces_tags=self.tags == "replace",
            limit=read_rate(self.rate, self.daily),
            waits=self.waits,
        )


def describe_command(order: Order, sources: list[str], *more: str) -> str:
    """Return the command that loads other files, or goes on, with the options of this one."""
    options = {
        "--location": order.location_id,
        "--rate": order.rate,
        "--daily": order.daily,
        "--limit": order.limit if more else None,  # of what failed, all
        "--tags": None if order.tags == "add" else order.tags,
        "--phone-conflict": None if order.phone_conflict == "second-pass" else order.phone_conflict,
        "--redis": order.redis,
        "--concurrency": None if order.concurrency == DEFAULT_CONCURRENCY else order.concurrency,
        "--token-file": order.token_file,
        "--store": order.login.store,
        "--client-secret-file": order.login.secret_file,
    }
    words = ["leadconnector", "upsert", *sources, *more]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += order.saying.words() + order.selection.words()
    words += ["--snapshot"] * order.takes_snapshot
    words += ["--wait"] * order.waits + ["--sandbox"] * order.is_sandbox
    return shlex.join(words)
