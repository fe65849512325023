"""What speaks against a match that is otherwise the best: that a clock was restarted or set in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nwbpipe.converters.pulses._hypothesis import Hypothesis, overlap
from nwbpipe.converters.pulses._lines import Times
from nwbpipe.converters.pulses._trains import Trains

# Sums that contradict a match: chance has had 3.9 in 600 good ones, the restart that says least 6.5.
_MISFIT = 5.5
_CAP = 2.0


def contradiction(trains: Trains, one: Hypothesis, margin: float) -> tuple[float, float] | None:
    """Find where the pulses contradict a match.

    Parameters
    ----------
    trains : Trains
    one : Hypothesis
    margin : float
        Logarithm of the odds that are asked for.

    Returns
    -------
    (float, float) or None
        Start and end on the reference, in seconds.
    """
    found = _misfit(trains, one)
    if found is None and one.pieces is None:
        found = _step(trains, one)
    return found or _run(trains, one, margin)


def _misfit(trains: Trains, one: Hypothesis) -> tuple[float, float] | None:
    """Find a stretch of time in which the pulses of both trains contradict each other, as after a restart.

    Every pulse tells how much likelier it is if the clocks have nothing to do with each other than if they fit
    (a pulse without a partner, or a residual that is no normal one); the stretch with the largest sum is refused if
    chance would not bring it about. A train that was merely not recorded for a while looks the same, and is refused.

    Returns
    -------
    (float, float) or None
        Start and end on the reference, in seconds.
    """
    times, said = _witnesses(trains, one)
    if not len(times):
        return None
    sums = np.concatenate([[0.0], np.cumsum(said)])
    total = sums[-1]
    lowest = np.minimum.accumulate(sums)
    stop = int(np.argmax(sums - lowest))
    start = int(np.argmin(sums[: stop + 1]))
    options = [
        (sums[stop] - sums[start] - np.log(len(times)), start, stop),
        (float(sums.max()), 0, int(np.argmax(sums))),
        (float(total - sums.min()), int(np.argmin(sums)), len(said)),
    ]
    worst, start, stop = max(options)
    if worst < _MISFIT:
        return None
    return float(times[start]), float(times[stop - 1])


def _run(trains: Trains, one: Hypothesis, margin: float) -> tuple[float, float] | None:
    """Find pulses in a row without a partner, where both trains were recorded, more than chance would bring about.

    Returns
    -------
    (float, float) or None
        Its first and last pulse on the reference, in seconds.
    """
    mapping: Callable[[Times], Times] = one
    low, high = overlap(trains, one.fit.line if one.pieces is None else one.pieces, one.window)
    for times, partners in ((mapping(trains.source), one.of_source), (trains.reference, one.of_reference)):
        alone = np.ones(len(times), dtype=bool)
        alone[partners] = False
        inside = (times >= low) & (times <= high)
        alone, times = alone[inside], times[inside]
        ends = np.flatnonzero(np.diff(np.concatenate([[0], alone, [0]])))
        if not len(ends):
            continue
        starts, lengths = ends[::2], np.diff(ends)[::2]
        length = int(lengths.max())
        rest = len(times) - length
        rate = (alone.sum() - length + 1) / (rest + 2)  # without the run itself
        if np.log(len(times)) + length * np.log(rate) < -margin:
            first = int(starts[lengths.argmax()])
            return float(times[first]), float(times[first + length - 1])
    return None


def _step(trains: Trains, one: Hypothesis) -> tuple[float, float] | None:
    """Find a step in the residuals that a straight line has swallowed, as after a restart by less than an interval.

    The largest cumulated sum of the residuals (the OLS-CUSUM test of Ploberger and Krämer, 1992: 1.63 is passed by
    chance once in a hundred lines without a slope, and less often with one), where what it says is material: the
    means on either side of it are half a standard deviation apart or more.

    Returns
    -------
    (float, float) or None
        From the step to the last pulse on the reference, in seconds.
    """
    times = trains.reference[one.of_reference]
    residual = times - one(trains.source)[one.of_source]
    spread = float(residual.std())
    if len(residual) < 10 or spread <= 1e-9 * (times[-1] - times[0]):
        return None
    sums = np.abs(np.cumsum(residual - residual.mean())[:-1])
    at = int(np.argmax(sums)) + 1
    apart = abs(float(residual[at:].mean() - residual[:at].mean()))
    if sums[at - 1] <= 1.63 * spread * np.sqrt(len(residual)) or apart < 0.5 * spread:
        return None
    return float(times[at]), float(times[-1])


def _witnesses(trains: Trains, one: Hypothesis) -> tuple[Times, Times]:
    """Times of all pulses where both trains were recorded, and what each says for a misfit, in nats."""
    mapping: Callable[[Times], Times] = one
    low, high = overlap(trains, one.fit.line if one.pieces is None else one.pieces, one.window)
    mapped = mapping(trains.source)
    paired = np.zeros(len(trains.source), dtype=bool)
    paired[one.of_source] = True
    lone = mapped[~paired]
    wanted = np.ones(len(trains.reference), dtype=bool)
    wanted[one.of_reference] = False
    missing = trains.reference[wanted]
    lone, missing = (times[(times >= low) & (times <= high)] for times in (lone, missing))
    at = mapped[one.of_source]
    residual = trains.reference[one.of_reference] - at
    span = max(trains.reference[-1] - trains.reference[0], 1e-9)
    chance = float(np.clip(2 * one.window * len(trains.reference) / span, 0.02, 0.9))
    rate = one.error_rate
    right = np.log(1 - rate) - 0.5 * (residual / one.sigma) ** 2 - np.log(one.sigma * np.sqrt(2 * np.pi))
    wrong = np.log(chance / (2 * one.window))
    alone = max(np.log((1 - chance) / rate), 0.0)
    others = np.sort(np.concatenate([lone, missing]))
    places = np.searchsorted(at, others)
    return np.insert(at, places, others), np.insert(np.minimum(wrong - right, _CAP), places, alone)
