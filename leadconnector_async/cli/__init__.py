"""The command line: parse, call, print, exit code."""

from __future__ import annotations

import sys

from .printing import accept_any_text


def main() -> None:
    """Run `leadconnector`. It needs the extra `cli`; the package itself does not."""
    accept_any_text()
    try:
        from .commands import app

        app()
    except KeyboardInterrupt:  # before anything began
        raise SystemExit(130) from None
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print("leadconnector needs two more packages: pip install 'leadconnector-async[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
