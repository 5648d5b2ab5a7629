"""Where the results of a load go."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from ..journal import is_journal_of
from ..migration.results import JOURNAL, make_folder

_RUN: Final = "leadconnector-run-"


def choose_folder(out: Path | None, whole: dict[str, str], *, is_resumed: bool) -> Path:
    """Choose the folder for results and journal, and make it.

    Args:
        out: The one that the user names; None for one named by the time, or where a load goes on, that of its last run.
        whole: What the load is known by.
        is_resumed: Whether it goes on.

    Raises:
        ConfigurationError: It cannot be used, or there is no run to go on with.
    """
    folder = out
    if folder is None and is_resumed:
        folder = _latest_run(whole)
    folder = folder or Path(f"{_RUN}{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    make_folder(folder, is_resumed=is_resumed)
    return folder


def discard_folder(folder: Path) -> None:
    """Take back the folder of a run that was not begun; what is not of the run stays."""
    for name in (f"{JOURNAL}*", "input.*"):
        for path in folder.glob(name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _latest_run(whole: dict[str, str]) -> Path:
    in_use: ConfigurationError | None = None
    for folder in sorted(Path().glob(f"{_RUN}*"), reverse=True):
        try:
            if (folder / JOURNAL).is_file() and is_journal_of(folder / JOURNAL, whole):
                return folder
        except ConfigurationError as error:
            in_use = in_use or error
    raise in_use or ConfigurationError(
        f"there is no run of this load here to go on with (looked for {_RUN}*/{JOURNAL}); name its folder with --out, "
        "or leave --resume out to begin anew"
    )
