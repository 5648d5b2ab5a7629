"""The command line: parse, call, print, exit code. It decides nothing about contacts.

Uses `migration`, `cluster`, `sandbox`, `auth`. Begin with `load_commands.py`; `options.py` is what all commands share.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

from ..version import __version__

_NEEDED: Final = ("typer", "rich", "email_validator", "phonenumbers")


def main() -> None:
    """Run `leadconnector`. It needs the extra `cli`; the package itself does not."""
    try:
        _require_extra()
        if sys.argv[1:] == ["--version"]:  # asked by scripts and packagers, and no reason to import every command
            print(f"leadconnector-async {__version__}")
            return
        from .commands import app
        from .terminal import accept_any_text

        accept_any_text()
        app()
    except KeyboardInterrupt:  # before anything began
        raise SystemExit(130) from None
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        print("leadconnector needs some more packages: pip install 'leadconnector-async[cli]'", file=sys.stderr)
        raise SystemExit(2) from None


def _require_extra() -> None:
    """Look for what is imported late as well, so that it is not missed in the midst of a load."""
    for name in _NEEDED:
        if find_spec(name) is None:
            raise ModuleNotFoundError(name=name)
