"""What speaks against a match that is otherwise the best: that a clock was restarted or set in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.clocks.pulses._hypothesis import Hypothesis, find_overlap
from nwbpipe.converters.clocks.pulses._lines import Times
from nwbpipe.converters.clocks.pulses._trains import TrainPair

# Sums that contradict a match: chance has had 3.9 in 600 good ones, the restart that says least 6.5.
_MISFIT = 5.5
# The same of shares of pulses without a partner: chance has had 2.4 in 1,050 good ones.
_SPARSE = 4.0
_CAP = 2.0
_EDGES = 512  # between which stretches are looked for


def find_contradiction(trains: TrainPair, one: Hypothesis) -> tuple[float, float] | None:
    """Find where the pulses contradict a match.

    Returns
    -------
    (float, float) or None
        Start and end on the reference, in seconds.
    """
    seen = _collect_evidence(trains, one)
    found = _find_misfit(seen)
    if found is None and one.pieces is None:
        found = _find_step(trains, one)
    return found or _find_sparse_stretch(seen)


@dataclass(frozen=True)
class _PulseEvidence:
    """All pairs, and all pulses without a partner where both trains were recorded, by time.

    `times` are on the reference, in seconds; `alone` tells the pulses without a partner; `said` is what each says
    for a misfit, in nats; `chance` is the share of pulses that pair where the clocks have nothing to do with each
    other.
    """

    times: Times
    unpaired: npt.NDArray[np.bool_]
    evidence: Times
    chance: float


def _collect_evidence(trains: TrainPair, one: Hypothesis) -> _PulseEvidence:
    low, high = find_overlap(trains, one.mapping, one.window)
    mapped = one(trains.source)
    lone, missing = (
        np.delete(times, pairs) for times, pairs in ((mapped, one.of_source), (trains.reference, one.of_reference))
    )
    others = np.sort(np.concatenate([lone, missing]))
    others = others[(others >= low) & (others <= high)]
    at = mapped[one.of_source]
    residual = trains.reference[one.of_reference] - at
    span = max(trains.reference[-1] - trains.reference[0], 1e-9)
    chance = float(np.clip(2 * one.window * len(trains.reference) / span, 0.02, 0.9))
    rate = one.error_rate
    right = np.log(1 - rate) - 0.5 * (residual / one.sigma) ** 2 - np.log(one.sigma * np.sqrt(2 * np.pi))
    wrong = np.log(chance / (2 * one.window))
    unpaired = max(np.log((1 - chance) / rate), 0.0)
    places = np.searchsorted(at, others)
    return _PulseEvidence(
        np.insert(at, places, others),
        np.insert(np.zeros(len(at), dtype=bool), places, True),
        np.insert(np.minimum(wrong - right, _CAP), places, unpaired),
        chance,
    )


def _find_misfit(seen: _PulseEvidence) -> tuple[float, float] | None:
    """Find a stretch of time in which the pulses of both trains contradict each other, as after a restart.

    Every pulse tells how much likelier it is if the clocks have nothing to do with each other than if they fit
    (a pulse without a partner, or a residual that is no normal one); the stretch with the largest sum is refused if
    chance would not bring it about. A train that was merely not recorded for a while looks the same, and is refused.
    """
    times = seen.times
    sums = np.concatenate([[0.0], np.cumsum(seen.evidence)])
    lowest = np.minimum.accumulate(sums)
    stop = int(np.argmax(sums - lowest))
    start = int(np.argmin(sums[: stop + 1]))
    options = [
        (sums[stop] - sums[start] - np.log(len(times)), start, stop),
        (float(sums.max()), 0, int(np.argmax(sums))),
        (float(sums[-1] - sums.min()), int(np.argmin(sums)), len(times)),
    ]
    worst, start, stop = max(options)
    if worst < _MISFIT:
        return None
    return float(times[start]), float(times[stop - 1])


def _find_sparse_stretch(seen: _PulseEvidence) -> tuple[float, float] | None:
    """Find a stretch in which more pulses lack a partner than elsewhere, as after a restart that chance hides.

    The scan statistic of Kulldorff (1997) for shares: what a share of its own within says over one share for all,
    in nats, less the logarithm of the number of stretches. It must be material, too: nearer to the share that
    clocks give that have nothing to do with each other than to that elsewhere.
    """
    count = len(seen.times)
    edges = np.unique(np.linspace(0, count, min(count, _EDGES) + 1).astype(np.int64))
    lone = np.concatenate([[0], np.cumsum(seen.unpaired)])[edges]
    first, last = np.triu_indices(len(edges), 1)
    within, lone_within = edges[last] - edges[first], lone[last] - lone[first]
    elsewhere, lone_elsewhere = count - within, lone[-1] - lone_within
    says = (
        _log_likelihood(lone_within, within)
        + _log_likelihood(lone_elsewhere, elsewhere)
        - _log_likelihood(lone[-1], count)
    )
    by_chance = 2 * (1 - seen.chance) / (2 - seen.chance)  # two pulses without a partner, or one pair
    share = lone_elsewhere / np.maximum(elsewhere, 1)
    says[lone_within < 0.5 * (share + np.maximum(by_chance, share)) * within] = 0.0
    worst = int(np.argmax(says))
    if says[worst] - np.log(len(says)) < _SPARSE:
        return None
    return float(seen.times[edges[first[worst]]]), float(seen.times[edges[last[worst]] - 1])


def _log_likelihood(some: npt.ArrayLike, of: npt.ArrayLike) -> Times:
    """Logarithm of the largest likelihood of `some` among `of`."""
    some, of = np.asarray(some, dtype=np.float64), np.asarray(of, dtype=np.float64)
    share = some / np.maximum(of, 1.0)
    return np.asarray(
        some * np.log(np.maximum(share, 1e-300)) + (of - some) * np.log(np.maximum(1.0 - share, 1e-300))
    )


def _find_step(trains: TrainPair, one: Hypothesis) -> tuple[float, float] | None:
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
