"""Answers that say no more than that it was done."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct


class _SuccessAnswer(Struct, frozen=True):
    # The misspelling is the service's own up to v3, which has both.
    succeded: bool | None = None
    succeeded: bool | None = None
    success: bool | None = None


_SUCCESS: Final = msgspec.json.Decoder(_SuccessAnswer)


def read_success(body: bytes) -> None:
    """Read `{"succeded": true}`, in any of its spellings.

    Raises:
        ValueError: It does not say so.
    """
    answer = _SUCCESS.decode(body)
    if not (answer.succeded or answer.succeeded or answer.success):
        raise ValueError("it does not say that it succeeded")
