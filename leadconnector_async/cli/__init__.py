"""The command line: parse, call, print, exit code."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

from .printing import accept_any_text

_NEEDED: Final = ("typer", "rich", "email_validator", "phonenumbers")


def main() -> None:
    """Run `leadconnector`. It needs the extra `cli`; the package itself does not."""
    accept_any_text()
    if not all(find_spec(name) for name in _NEEDED):
        print("leadconnector needs some more packages: pip install 'leadconnector-async[cli]'", file=sys.stderr)
        raise SystemExit(2)
    try:
        from .commands import app

        app()
    except KeyboardInterrupt:  # before anything began
        raise SystemExit(130) from None
