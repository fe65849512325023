"""Trial lengths that two systems both have."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.converters.clocks.pulses import match_intervals


def starts(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(3, 9, count))


@pytest.mark.parametrize(("first", "last"), [(0, 40), (3, 40), (0, 30), (5, 33)])
def test_the_shift_is_found(first: int, last: int) -> None:
    found = match_intervals(starts()[first:last], starts() + 50.0, tolerance_s=0.001)
    assert found.verdict == "accepted"
    assert found.of_reference[0] - found.of_source[0] == first
    assert len(found.of_source) == last - first
    assert found.correlation > 0.99999


def test_even_intervals_are_ambiguous_and_others_do_not_fit() -> None:
    even = np.arange(40) * 5.0
    assert match_intervals(even, even, tolerance_s=0.001).verdict in ("ambiguous", "chance")
    assert match_intervals(starts(seed=1), starts(), tolerance_s=0.001).verdict in ("no fit", "chance")
    assert match_intervals(starts(5), starts(), tolerance_s=0.001).verdict == "too few pulses"


def test_a_pattern_that_repeats_is_ambiguous() -> None:
    pattern = np.cumsum(np.tile(np.diff(starts(21)), 3))
    assert match_intervals(pattern[:25], pattern, tolerance_s=0.001).verdict == "ambiguous"


def test_a_missing_pulse_is_refused() -> None:
    assert match_intervals(np.delete(starts(), 20), starts(), tolerance_s=0.001).verdict != "accepted"


def test_no_random_pair_is_accepted() -> None:
    for seed in range(300):
        one, two = starts(30, 2 * seed + 10), starts(35, 2 * seed + 11)
        assert match_intervals(one, two, tolerance_s=0.05).verdict != "accepted"
