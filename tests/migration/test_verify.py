"""A sample says what it can, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async.cli.options import read_sample
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.migration.verify import Sample, describe_confidence, most_differing


def test_the_sentence_of_none() -> None:
    assert describe_confidence(0, 300) == "none of 300 differed: with 95 % confidence at most 1 % of all rows do"


@pytest.mark.parametrize(
    # Clopper and Pearson's one-sided bounds, from tables of the binomial distribution.
    ("differing", "compared", "share"),
    [(0, 1, 0.95), (0, 10, 0.2589), (1, 10, 0.3942), (2, 20, 0.2826), (5, 100, 0.1023), (7, 7, 1.0)],
)
def test_the_bound_is_that_of_the_tables(differing: int, compared: int, share: float) -> None:
    assert most_differing(differing, compared) == pytest.approx(share, abs=0.0001)


@settings(deadline=None, max_examples=30)
@given(compared=st.integers(1, 1000), data=st.data())
def test_the_bound_lies_above_what_was_found_and_grows_with_it(compared: int, data: st.DataObject) -> None:
    differing = data.draw(st.integers(0, compared))
    assert differing / compared <= most_differing(differing, compared) <= 1
    if differing:
        assert most_differing(differing - 1, compared) <= most_differing(differing, compared)


@given(total=st.integers(0, 500), count=st.integers(1, 600), seed=st.integers(0, 2**64 - 1))
def test_a_sample_has_as_many_rows_as_it_says(total: int, count: int, seed: int) -> None:
    picked = Sample(count=count).pick(total, seed)
    assert picked is None if count >= total else picked is not None and len(picked) == count
    assert picked == Sample(count=count).pick(total, seed), "and the same ones, where it goes on"


def test_a_share_is_at_least_one_row() -> None:
    assert read_sample("1%").size(7) == 1
    assert read_sample("100 %").pick(7, 1) is None
    assert read_sample(None).pick(7, 1) is None
    assert read_sample("12").size(100) == 12


@pytest.mark.parametrize("text", ["", "0", "0%", "x", "100.1%", "1.5", "-1"])
def test_what_is_no_sample_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_sample(text)
