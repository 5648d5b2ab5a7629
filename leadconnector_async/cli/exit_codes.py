"""How commands end that did not come to their end; 0, 1 and 2 are said where they arise."""

from __future__ import annotations

from typing import Final

STOPPED: Final = 3
INTERRUPTED: Final = 130
