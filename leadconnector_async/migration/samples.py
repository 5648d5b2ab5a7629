"""What a sample tells of all rows, and how sure that is."""

from __future__ import annotations

import math
import random
import re
from typing import Final

from msgspec import Struct

from ..errors import ConfigurationError

CONFIDENCE: Final = 0.95
_HALVINGS: Final = 40


class Sample(Struct, frozen=True):
    """How many rows to look at.

    Attributes:
        count: So many, or None where a share is named.
        share: Such a part of all, above 0 and at most 1.
    """

    count: int | None = None
    share: float = 1.0

    def size(self, total: int) -> int:
        """Return how many of so many rows that is; of a share at least one."""
        if self.count is not None:
            return min(self.count, total)
        return min(total, math.ceil(total * self.share))

    def pick(self, total: int) -> frozenset[int] | None:
        """Return which of so many rows, from 0, by chance; None where it is all of them."""
        size = self.size(total)
        return None if size == total else frozenset(random.SystemRandom().sample(range(total), size))


def read_sample(text: str | None) -> Sample:
    """Read `--sample`: a number of rows, or a share in percent; without it, all.

    Raises:
        ConfigurationError: It is neither.
    """
    if text is None:
        return Sample()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\s*%)?", text.strip())
    if match is None or not float(match[1]) or (match[2] and float(match[1]) > 100) or (not match[2] and "." in text):
        raise ConfigurationError(f"--sample {text!r} has no meaning; write a number of rows, or a share such as 5%")
    return Sample(share=float(match[1]) / 100) if match[2] else Sample(count=int(match[1]))


def most_differing(differing: int, compared: int) -> float:
    """Return the share of all rows that differs at most, at 95 % confidence.

    The one-sided bound of Clopper and Pearson: the share at which so few in a sample are found in 1 of 20 samples. It
    holds for any number of rows; of a sample that is much of all of them, the truth is better.

    Args:
        differing: How many rows of the sample differ.
        compared: How many rows it has.
    """
    if differing >= compared:
        return 1.0
    ways = _log_ways(differing, compared)
    low, high = differing / compared, 1.0
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        hit, miss = math.log(share), math.log1p(-share)
        chance = math.fsum(math.exp(way + n * hit + (compared - n) * miss) for n, way in enumerate(ways))
        if chance > 1 - CONFIDENCE:
            low = share
        else:
            high = share
    return high


def _log_ways(most: int, tries: int) -> list[float]:
    """Return the logarithm of how many ways there are to have 0, 1, ... hits."""
    return [math.lgamma(tries + 1) - math.lgamma(n + 1) - math.lgamma(tries - n + 1) for n in range(most + 1)]


def describe_confidence(differing: int, compared: int) -> str:
    """Say in plain words what a sample tells of all rows."""
    found = "none" if not differing else f"{differing:,}"
    share = math.ceil(most_differing(differing, compared) * 10_000) / 100
    return f"{found} of {compared:,} differed: with 95 % confidence at most {share:g} % of all rows do"
