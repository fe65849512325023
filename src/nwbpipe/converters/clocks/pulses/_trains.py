"""Pair the pulses of two trains, and weigh the pairs as evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbpipe.converters.clocks.pulses._lines import Index, Times, subsample

FLOOR_S = 1e-7  # pulses are not told apart below it
WIDTH = 5.0  # standard deviations within which pulses pair
_POOL = 20_000  # intervals that stand for all of a train's
_EVEN = 0.7  # nats of evidence that jitter alone seems to give, where all intervals are alike


@dataclass(frozen=True)
class TrainPair:
    """Two pulse trains, their spans and the largest drift between them.

    Attributes
    ----------
    source, reference : array of float64
        Times of the pulses in seconds, strictly increasing.
    source_span, reference_span : (float, float)
        Start and end of either recording: the pulses' own span where nothing more is known.
    max_drift : float
        The largest drift.
    intervals : tuple of arrays of float64
        Sorted samples of the reference's intervals over one, two and three steps.
    """

    source: Times
    reference: Times
    source_span: tuple[float, float]
    reference_span: tuple[float, float]
    max_drift: float
    intervals: tuple[Times, ...]

    @classmethod
    def make(
        cls,
        source: Times,
        reference: Times,
        max_drift: float,
        source_span: tuple[float, float] | None,
        reference_span: tuple[float, float] | None,
    ) -> TrainPair:
        """Make a pair of trains; the spans are widened to hold all pulses."""

        def span(times: Times, declared: tuple[float, float] | None) -> tuple[float, float]:
            low, high = declared or (times[0], times[-1])
            return float(min(low, times[0])), float(max(high, times[-1]))

        def pool(step: int) -> Times:
            starts = np.arange(max(len(reference) - step, 0))
            if len(starts) > _POOL:
                starts = np.linspace(0, len(starts) - 1, _POOL).astype(np.int64)
            return np.sort(reference[starts + step] - reference[starts])

        return cls(
            source,
            reference,
            span(source, source_span),
            span(reference, reference_span),
            max_drift,
            (pool(1), pool(2), pool(3)),
        )


def pair_nearest(mapped: Times, reference: Times, window: float) -> tuple[Index, Index, Times]:
    """Pair pulses one to one with the nearest within a window.

    Parameters
    ----------
    mapped : array of float64
        Times of the source's pulses, carried to the reference, increasing.
    reference : array of float64
        Times of the reference's pulses.
    window : float
        In seconds.

    Returns
    -------
    of_source, of_reference : array of int64
    residual : array of float64
        Reference minus mapped, in seconds.
    """
    middles = reference[1:] + reference[:-1]
    middles *= 0.5
    nearest = np.searchsorted(middles, mapped)
    residual = reference[nearest] - mapped
    of_source = np.flatnonzero(np.abs(residual) <= window)
    if len(of_source) < len(mapped):
        nearest, residual = nearest[of_source], residual[of_source]
    # Where several pulses have one nearest (a bouncing contact), the closest of them keeps it.
    while len(nearest) > 1:
        same = np.flatnonzero(nearest[1:] == nearest[:-1])
        if not len(same):
            break
        worse = np.where(np.abs(residual[same]) <= np.abs(residual[same + 1]), same + 1, same)
        keep = np.ones(len(nearest), dtype=bool)
        keep[worse] = False
        of_source, nearest, residual = of_source[keep], nearest[keep], residual[keep]
    return of_source, nearest.astype(np.int64), residual


def drop_bounces(times: Times) -> Times:
    """Leave out pulses that follow another at once: within 3 % of the median interval."""
    if len(times) < 3:
        return times
    intervals = np.diff(times)
    keep = np.concatenate([[True], intervals > 0.03 * np.median(subsample(intervals))])
    return times if keep.all() else times[keep]


def compute_support(trains: TrainPair, of_source: Index, of_reference: Index, sigma: float, unpaired: int) -> float:
    """Return the evidence of the intervals that agree, less that of the pulses without a partner, in nats.

    The rarer an interval among the reference's own, the stronger its evidence. An interval over a pulse without a
    partner is compared with those of two (or three) steps: in an even train it is as common there, and no evidence.
    """
    count = len(of_source)
    steps = np.maximum(np.diff(of_source), np.diff(of_reference))
    lengths = np.diff(trains.reference[of_reference])
    if len(lengths) > _POOL:
        sample = np.linspace(0, len(lengths) - 1, _POOL).astype(np.int64)
        lengths, steps = lengths[sample], steps[sample]
    half = 2.07 * sigma  # a normal distribution is as wide as a uniform one of 4.13 standard deviations
    span = max(trains.reference[-1] - trains.reference[0], FLOOR_S)
    nearby = 2 * half * len(trains.reference) / span
    support = 0.0
    for step, pool in enumerate(trains.intervals, 1):
        chosen = lengths[steps == step]
        if len(chosen) and len(pool):
            alike = np.searchsorted(pool, chosen + half, "right") - np.searchsorted(pool, chosen - half)
            chance = np.clip(np.maximum(alike / len(pool), nearby), 1 / len(pool), 1.0)
            support -= float((np.log(chance) + _EVEN * alike.mean() / len(pool)).sum())
    rate = (unpaired + 1) / (count + unpaired + 2)
    by_chance = np.exp(-min(2 * WIDTH * sigma * len(trains.reference) / span, 2.0))
    # An offset and a drift were chosen: two intervals are no evidence.
    support *= max(count - 3, 0) / max(len(lengths), 1)
    return float(support + count * np.log(1 - rate) + unpaired * min(np.log(rate / by_chance), 0.0))
