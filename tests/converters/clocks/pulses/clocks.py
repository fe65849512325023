"""Simulated pairs of pulse trains whose clocks are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """Two trains of the same events; `offset` and `drift` carry the first onto the second.

    `jitter` is the standard deviation of the difference that both trains' jitter makes.
    """

    source: np.ndarray
    reference: np.ndarray
    offset: float
    drift: float
    jitter: float
    smallest: float

    def true(self, times: np.ndarray) -> np.ndarray:
        return times * (1 + self.drift) + self.offset


def intervals(rng: np.random.Generator, count: int, kind: str) -> np.ndarray:
    if kind == "uniform":
        return rng.uniform(0.5, 1.5, count)
    if kind == "exponential":
        return 0.3 + rng.exponential(1.0, count)
    if kind == "bursts":
        return np.where(rng.random(count) < 0.2, rng.uniform(3.0, 20.0, count), rng.uniform(0.2, 0.6, count))
    if kind == "choices":
        return rng.choice([2.0, 2.5, 3.0, 4.0], count) + rng.uniform(0, 0.3, count)
    if kind == "regular":
        return np.ones(count)
    raise ValueError(kind)


def make(
    rng: np.random.Generator,
    kind: str,
    *,
    count: tuple[int, int] = (40, 240),
    missing: float = 0.1,
    extra: float = 0.05,
    jitter: float = 0.1,
    hours: float = 3.0,
    drift_ppm: float = 200.0,
    bounce: float = 0.0,
    events: np.ndarray | None = None,
) -> Case:
    """Make one: the rates are upper bounds, drawn anew for each case."""
    number = int(rng.integers(*count))
    scale = float(10.0 ** rng.uniform(-2, 1))
    if events is None:
        events = np.cumsum(intervals(rng, number, kind)) * scale
    smallest = float(np.diff(events).min())
    offset, drift = float(rng.uniform(-hours, hours) * 3600), float(rng.uniform(-drift_ppm, drift_ppm) * 1e-6)
    sigma = float(rng.uniform(0.0, jitter)) * smallest
    share = rng.uniform(0.0, 1.0)
    trains = []
    for clock, part in ((lambda t: (t - offset) / (1 + drift), share), (lambda t: t, 1 - share)):
        kept = events[rng.random(len(events)) >= rng.uniform(0.0, missing)] if missing else events
        seen = kept + rng.normal(0.0, sigma * np.sqrt(part), len(kept))
        false = rng.uniform(events[0], events[-1], round(rng.uniform(0.0, extra) * len(events)))
        again = seen[rng.random(len(seen)) < bounce] + rng.uniform(0.001, 0.02) * smallest
        trains.append(np.unique(clock(np.concatenate([seen, false, again]))))
    return Case(trains[0], trains[1], offset, drift, sigma, smallest)


def wrong(case: Case, mapping, sigma: float) -> bool:
    """Whether a mapping is off by more than the jitter can explain, anywhere among the source's pulses."""
    error = np.abs(mapping(case.source) - case.true(case.source)).max()
    return bool(error > max(2.0 * case.jitter, 1e-6, 6 * sigma / np.sqrt(len(case.source))))


KINDS = ("uniform", "exponential", "bursts", "choices")


def solvable(rng: np.random.Generator) -> Case:
    """What has to be aligned: up to 10 % missing, 5 % extra, jitter up to 10 % of the smallest interval."""
    return make(rng, str(rng.choice(KINDS)))


def harder(rng: np.random.Generator) -> Case:
    """Up to 30 % missing on either clock, 10 % extra; some with few pulses, some whose contacts bounce."""
    return make(
        rng,
        str(rng.choice(KINDS)),
        missing=0.3,
        extra=0.1,
        count=(5, 60) if rng.random() < 0.5 else (40, 240),
        bounce=float(rng.choice([0.0, 0.2])),
    )


def unrelated(rng: np.random.Generator) -> Case:
    """Two trains of different events, of one kind and one mean interval."""
    kind = str(rng.choice(KINDS))
    one, two = make(rng, kind, jitter=0.01), make(rng, kind, jitter=0.01)
    scale = np.diff(one.reference).mean() / np.diff(two.reference).mean()
    return Case(one.source, two.reference * scale, np.inf, 0.0, one.jitter, one.smallest)


def even(rng: np.random.Generator) -> Case:
    """A train as a camera makes it: even, with few or no pulses missing; or nearly even; or of bursts."""
    missing, count = float(rng.choice([0.0, 0.02, 0.1])), int(rng.integers(40, 240))
    steps = np.ones(count)
    which = rng.integers(0, 4)
    if which == 1:
        steps[rng.choice(count, int(rng.integers(1, 4)), replace=False)] = rng.uniform(3, 30)
    elif which == 2:
        steps += rng.normal(0, 10 ** rng.uniform(-4, -1.3), count)
    events = np.cumsum(steps)
    if which == 3:
        events = np.sort(np.arange(count) + rng.normal(0, 10 ** rng.uniform(-4, -1), count))
    return make(rng, "regular", missing=missing, extra=0.0, events=events)


def repeated(rng: np.random.Generator) -> Case:
    """A sequence that is played again and again, of which one clock lacks the start, or the other the end."""
    block = intervals(rng, int(rng.integers(10, 60)), "uniform")
    case = make(rng, "uniform", events=np.cumsum(np.tile(block, int(rng.integers(3, 6)))), jitter=0.05)
    first = int(rng.integers(0, len(case.source) // 2)) if rng.random() < 0.5 else 0
    last = int(rng.integers(len(case.reference) // 2, len(case.reference))) if rng.random() < 0.5 else None
    return Case(case.source[first:], case.reference[:last], case.offset, case.drift, case.jitter, case.smallest)


def restarted(rng: np.random.Generator) -> Case:
    """A clock that was set anew in mid-session."""
    case = make(rng, str(rng.choice(KINDS)), count=(80, 240))
    count = len(case.source)
    at = int(rng.integers(count // 4, 3 * count // 4))
    step = float(np.median(np.diff(case.source))) * rng.uniform(0.8, 50)
    source = case.source.copy()
    source[at:] += max(-step, 0.5 * (source[at - 1] - source[at])) if rng.random() < 0.3 else step
    return Case(source, case.reference, case.offset, case.drift, case.jitter, case.smallest)


def started_together(rng: np.random.Generator) -> Case:
    """An even train without missing pulses, whose first pulses are known to belong together."""
    return make(rng, "regular", missing=0.0, extra=0.0, jitter=0.05)
