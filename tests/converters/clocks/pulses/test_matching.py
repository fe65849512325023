"""The matcher against simulated clocks whose offset and drift are known: nothing wrong is accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nwbpipe.converters.clocks.pulses import match_pulses
from tests.converters.clocks.pulses import clocks
from tests.converters.clocks.pulses.clocks import Case

# Cases of each kind, here, in the thorough form and in the long one.
CASES = {
    "solvable": (150, 400, 4000),
    "harder": (50, 150, 1500),
    "unrelated": (50, 120, 1500),
    "even": (40, 120, 1500),
    "repeated": (30, 80, 800),
    "restarted": (30, 80, 800),
    "started_together": (30, 60, 400),
}


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Iterator[Counter[str]]:
    """Count cases; the sum over all tests is printed at the end."""
    cases: Counter[str] = Counter()
    yield cases
    record_property("clock cases", dict(cases))


class Outcome:
    """What became of the cases of one kind."""

    def __init__(self, kind: str, count: int, counted: Counter[str], seed: int) -> None:
        rng = np.random.default_rng([seed, *map(ord, kind)])
        self.verdicts: Counter[str] = Counter()
        self.wrong: list[int] = []
        self.offsets: list[float] = []
        self.drifts: list[float] = []
        for number in range(count):
            case: Case = getattr(clocks, kind)(rng)
            within = {"start_within_s": 0.4 * case.smallest} if kind == "started_together" else {}
            match = match_pulses(case.source, case.reference, **within)
            self.verdicts[match.verdict] += 1
            if not match.is_accepted:
                continue
            best = match.best
            if clocks.wrong(case, best, best.sigma):
                self.wrong.append(number)
            if case.jitter > 1e-5 and best.pieces is None:
                fit = best.fit
                self.offsets.append((fit.line.at - case.true(fit.line.centre)) * np.sqrt(fit.count) / case.jitter)
                self.drifts.append((fit.line.drift - case.drift) / fit.drift_error)
        counted[kind] += count
        print(f"{kind}: {count} cases, {dict(self.verdicts)}, wrong: {len(self.wrong)}")

    @property
    def accepted(self) -> float:
        return self.verdicts["accepted"] / self.verdicts.total()


def check(kind: str, count: int, counted: Counter[str], seed: int) -> None:
    outcome = Outcome(kind, count, counted, seed)
    assert outcome.wrong == []
    if kind == "solvable":
        assert outcome.accepted >= 0.99
        offsets, drifts = np.abs(outcome.offsets), np.abs(outcome.drifts)
        # Of normal errors 99.73 % are within three standard errors; and they are as large as they should be.
        assert len(offsets) > 0.8 * count
        assert (offsets <= 3).mean() >= 0.99
        assert (drifts <= 3).mean() >= 0.99
        assert 0.9 < np.std(outcome.offsets) < 1.1
        assert 0.9 < np.std(outcome.drifts) < 1.1
    elif kind == "started_together":
        assert outcome.accepted == 1.0
    elif kind == "harder":
        assert outcome.accepted > 0.4
    elif kind != "even":
        assert outcome.accepted < 0.05


@pytest.mark.parametrize("kind", CASES)
def test_nothing_wrong_is_accepted(kind: str, counted: Counter[str]) -> None:
    check(kind, CASES[kind][0], counted, 1)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", CASES)
def test_nothing_wrong_is_accepted_in_a_thousand_cases(kind: str, counted: Counter[str]) -> None:
    assert sum(many for _, many, _ in CASES.values()) >= 1000
    check(kind, CASES[kind][1], counted, 1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", CASES)
def test_nothing_wrong_is_accepted_in_ten_thousand_cases(kind: str, counted: Counter[str]) -> None:
    assert sum(many for *_, many in CASES.values()) >= 10_000
    check(kind, CASES[kind][2], counted, 2)


def irregular(count: int = 100, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.5, 1.5, count))


def test_an_exact_copy_gives_the_exact_line() -> None:
    events = irregular()
    match = match_pulses((events - 3600.0) / (1 + 150e-6), events)
    assert match.is_accepted
    assert match.anchor == "intervals"
    assert (match.best.num_pairs, match.best.missed, match.best.extra) == (100, 0, 0)
    assert match.best.fit.line.offset_s == pytest.approx(3600.0, abs=1e-9)
    assert match.best.fit.line.drift == pytest.approx(150e-6, abs=1e-12)


def test_missed_and_extra_pulses_are_counted() -> None:
    events = irregular()
    source = np.sort(np.append(np.delete(events, [10, 50, 51]), [20.123, 70.456]))
    match = match_pulses(source - 7.0, events)
    assert (match.best.num_pairs, match.best.missed, match.best.extra) == (97, 3, 2)


def test_a_clock_of_seconds_since_1970_keeps_its_microseconds() -> None:
    events = irregular()
    best = match_pulses(events + 1.7e9, events).best
    np.testing.assert_allclose(best(events + 1.7e9), events, atol=1e-6)


def test_more_drift_than_is_allowed_is_not_accepted() -> None:
    events = irregular(400)
    assert not match_pulses(events / 1.002, events).is_accepted
    assert match_pulses(events / 1.002, events, max_drift_ppm=3000).is_accepted


def test_a_drift_that_changes_gives_a_broken_line() -> None:
    rng = np.random.default_rng(3)
    events = irregular(3000)
    source = events + 0.05 * np.sin(events / 800) + rng.normal(0, 1e-4, len(events))
    match = match_pulses(source, events)
    assert match.is_accepted
    assert match.best.pieces is not None
    np.testing.assert_allclose(match.best(source), events, atol=2e-3)
    assert np.sqrt(np.mean((match.best(source) - events) ** 2)) < 3e-4


def test_silence_around_an_even_train_anchors_it() -> None:
    frames = np.arange(100) / 30.0
    args = (frames + 5.0, frames + 65.0)
    assert match_pulses(*args).verdict == "ambiguous"
    spans = {"source_span": (0.0, 20.0), "reference_span": (0.0, 100.0)}
    match = match_pulses(*args, **spans)
    assert match.is_accepted
    assert match.anchor == "gaps"
    assert match.best.fit.line.offset_s == pytest.approx(60.0, abs=1e-6)
    # One pulse lost at an end: then nothing tells which.
    assert not match_pulses(args[0][1:], args[1], **spans).is_accepted


def test_the_start_anchors_an_even_train() -> None:
    frames = np.arange(1000) / 30.0
    match = match_pulses(frames, frames[:990] + 12.345, start_within_s=0.01)
    assert match.is_accepted
    assert match.anchor == "start_within_s"
    assert match.best.fit.line.offset_s == pytest.approx(12.345, abs=1e-6)


@pytest.mark.parametrize(("source", "reference"), [(2, 100), (100, 2), (100, 0)])
def test_too_few_pulses(source: int, reference: int) -> None:
    match = match_pulses(irregular(source), irregular(reference))
    assert match.verdict == "too few pulses"
    assert match.best is None


def test_a_long_train_is_followed_by_sample_and_paired_whole() -> None:
    rng = np.random.default_rng(5)
    events = np.cumsum(rng.uniform(0.5, 1.5, 150_000)) * 1e-3
    source, reference = (events[rng.random(len(events)) > 0.02] + rng.normal(0, 1e-5) for _ in range(2))
    match = match_pulses((source + 40.0) * (1 - 80e-6), reference)
    assert match.is_accepted
    assert match.best.num_pairs == len(np.intersect1d(np.round(source, 4), np.round(reference, 4))) or (
        match.best.num_pairs > 0.955 * len(events)
    )
    np.testing.assert_allclose(match.best((source + 40.0) * (1 - 80e-6)), source, atol=5e-5)
