"""Each test for a clock that was set in mid-session: a match that it alone refuses, and one that it must leave."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nwbpipe.converters.clocks.pulses import _contradiction, match_pulses


def trains(seed: int, count: int, jitter: float, part: slice, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Two records of the same uneven pulses; a part of the first is shifted (all in seconds)."""
    rng = np.random.default_rng(seed)
    events = np.cumsum(rng.uniform(0.5, 1.5, count))
    source = events + rng.normal(0, jitter, count)
    source[part] += shift
    return np.sort(source), events


# The shifts are so small that the pulses still pair, well (set back soon, or swallowed by the line) or by chance.
ALONE = [
    ("_find_misfit", 0, 100, 0.05, slice(40, 48), 0.2),
    ("_find_step", 0, 36, 0.05, slice(18, None), 0.15),
    ("_find_step", 1, 36, 0.04, slice(18, None), 0.12),
    ("_find_sparse_stretch", 2, 100, 0.06, slice(80, None), 0.45),
    ("_find_sparse_stretch", 19, 60, 0.05, slice(48, None), 0.6),
]


@pytest.mark.parametrize(("test", "seed", "count", "jitter", "part", "shift"), ALONE)
def test_a_clock_that_was_set_is_refused_by_one_test_alone(
    test: str, seed: int, count: int, jitter: float, part: slice, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, reference = trains(seed, count, jitter, part, shift)
    match = match_pulses(source, reference)
    assert match.verdict == "broken"
    place = re.search(r"from ([\d.]+) s to ([\d.]+) s", match.detail)
    assert place is not None
    low, high = map(float, place.groups())
    assert low < reference[part].mean() < high
    assert high - low < 0.6 * (reference[-1] - reference[0])
    monkeypatch.setattr(_contradiction, test, lambda *_: None)
    assert match_pulses(source, reference).is_accepted


def test_a_step_far_below_the_jitter_is_left() -> None:
    match = match_pulses(*trains(0, 4000, 0.05, slice(2000, None), 0.02))
    assert match.is_accepted
    residual = match.reference[match.best.of_reference] - match.best(match.source)[match.best.of_source]
    sums = np.abs(np.cumsum(residual - residual.mean()))
    assert sums.max() > 1.63 * residual.std() * np.sqrt(len(residual))  # it is seen, but not material


def test_losing_somewhat_more_pulses_for_a_while_is_left() -> None:
    source, reference = trains(0, 4000, 0.01, slice(0), 0.0)
    lost = np.where(np.arange(4000) < 2000, 0.02, 0.10)
    source = source[np.random.default_rng(1).random(4000) >= lost]
    match = match_pulses(source, reference)
    assert match.is_accepted
    assert match.best.missed > 200
