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
        false = rng.uniform(events[0], events[-1], int(round(rng.uniform(0.0, extra) * len(events))))
        again = seen[rng.random(len(seen)) < bounce] + rng.uniform(0.001, 0.02) * smallest
        trains.append(np.unique(clock(np.concatenate([seen, false, again]))))
    return Case(trains[0], trains[1], offset, drift, sigma, smallest)


def wrong(case: Case, mapping, sigma: float) -> bool:
    """Whether a mapping is off by more than the jitter can explain, anywhere among the source's pulses."""
    error = np.abs(mapping(case.source) - case.true(case.source)).max()
    return bool(error > max(2.0 * case.jitter, 1e-6, 6 * sigma / np.sqrt(len(case.source))))
