"""Find evidence against the best match: a clock was restarted or set in between."""

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


def find_contradiction(trains: TrainPair, match: Hypothesis) -> tuple[float, float] | None:
    """Find where the pulses contradict a match.

    Returns
    -------
    (float, float) or None
        Start and end on the reference, in seconds.
    """
    pulses = _collect_evidence(trains, match)
    stretch = _find_misfit(pulses)
    if stretch is None and match.pieces is None:
        stretch = _find_step(trains, match)
    return stretch or _find_sparse_stretch(pulses)


@dataclass(frozen=True)
class _PulseEvidence:
    """All pairs, and all pulses without a partner where both trains were recorded, by time.

    Attributes
    ----------
    times : array of float64
        On the reference, in seconds.
    unpaired : array of bool
        True for the pulses without a partner.
    evidence : array of float64
        Evidence of each for a misfit, in nats.
    chance : float
        Share of pulses that pair where the clocks have nothing to do with each other.
    """

    times: Times
    unpaired: npt.NDArray[np.bool_]
    evidence: Times
    chance: float


def _collect_evidence(trains: TrainPair, match: Hypothesis) -> _PulseEvidence:
    low, high = find_overlap(trains, match.mapping, match.window)
    mapped = match(trains.source)
    lone, missing = (
        np.delete(times, pairs)
        for times, pairs in ((mapped, match.of_source), (trains.reference, match.of_reference))
    )
    alone = np.sort(np.concatenate([lone, missing]))
    alone = alone[(alone >= low) & (alone <= high)]
    pair_times = mapped[match.of_source]
    residual = trains.reference[match.of_reference] - pair_times
    span = max(trains.reference[-1] - trains.reference[0], 1e-9)
    chance = float(np.clip(2 * match.window * len(trains.reference) / span, 0.02, 0.9))
    rate = match.error_rate
    as_pair = np.log(1 - rate) - 0.5 * (residual / match.sigma) ** 2 - np.log(match.sigma * np.sqrt(2 * np.pi))
    by_chance = np.log(chance / (2 * match.window))
    unpaired = max(np.log((1 - chance) / rate), 0.0)
    positions = np.searchsorted(pair_times, alone)
    return _PulseEvidence(
        np.insert(pair_times, positions, alone),
        np.insert(np.zeros(len(pair_times), dtype=bool), positions, True),
        np.insert(np.minimum(by_chance - as_pair, _CAP), positions, unpaired),
        chance,
    )


def _find_misfit(pulses: _PulseEvidence) -> tuple[float, float] | None:
    """Find a stretch of time in which the pulses of both trains contradict each other, as after a restart.

    The evidence of a pulse is how much likelier it is if the clocks have nothing to do with each other than if they
    fit (a pulse without a partner, or a residual that is no normal one); the stretch with the largest sum is refused
    if chance would not bring it about. A train that was merely not recorded for a while looks the same, and is
    refused.
    """
    times = pulses.times
    sums = np.concatenate([[0.0], np.cumsum(pulses.evidence)])
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


def _find_sparse_stretch(pulses: _PulseEvidence) -> tuple[float, float] | None:
    """Find a stretch in which more pulses lack a partner than elsewhere, as after a restart that chance hides.

    The scan statistic of Kulldorff (1997) for shares: the gain in log-likelihood of a share of its own within the
    stretch, in nats, less the logarithm of the number of stretches. The share must also be nearer to that of clocks
    which have nothing to do with each other than to the share elsewhere.
    """
    count = len(pulses.times)
    edges = np.unique(np.linspace(0, count, min(count, _EDGES) + 1).astype(np.int64))
    lone = np.concatenate([[0], np.cumsum(pulses.unpaired)])[edges]
    first, last = np.triu_indices(len(edges), 1)
    within, lone_within = edges[last] - edges[first], lone[last] - lone[first]
    elsewhere, lone_elsewhere = count - within, lone[-1] - lone_within
    support = (
        _log_likelihood(lone_within, within)
        + _log_likelihood(lone_elsewhere, elsewhere)
        - _log_likelihood(lone[-1], count)
    )
    by_chance = 2 * (1 - pulses.chance) / (2 - pulses.chance)  # two pulses without a partner, or one pair
    share = lone_elsewhere / np.maximum(elsewhere, 1)
    support[lone_within < 0.5 * (share + np.maximum(by_chance, share)) * within] = 0.0
    worst = int(np.argmax(support))
    if support[worst] - np.log(len(support)) < _SPARSE:
        return None
    return float(pulses.times[edges[first[worst]]]), float(pulses.times[edges[last[worst]] - 1])


def _log_likelihood(part: npt.ArrayLike, total: npt.ArrayLike) -> Times:
    """Return the logarithm of the largest likelihood of `part` among `total`."""
    part, total = np.asarray(part, dtype=np.float64), np.asarray(total, dtype=np.float64)
    share = part / np.maximum(total, 1.0)
    return np.asarray(
        part * np.log(np.maximum(share, 1e-300)) + (total - part) * np.log(np.maximum(1.0 - share, 1e-300))
    )


def _find_step(trains: TrainPair, match: Hypothesis) -> tuple[float, float] | None:
    """Find a step in the residuals that a straight line has swallowed, as after a restart by less than an interval.

    The largest cumulated sum of the residuals (the OLS-CUSUM test of Ploberger and Krämer, 1992: 1.63 is passed by
    chance once in a hundred lines without a slope, and less often with one), where the means on either side of the
    step are half a standard deviation apart or more.

    Returns
    -------
    (float, float) or None
        From the step to the last pulse on the reference, in seconds.
    """
    times = trains.reference[match.of_reference]
    residual = times - match(trains.source)[match.of_source]
    spread = float(residual.std())
    if len(residual) < 10 or spread <= 1e-9 * (times[-1] - times[0]):
        return None
    sums = np.abs(np.cumsum(residual - residual.mean())[:-1])
    step = int(np.argmax(sums)) + 1
    difference = abs(float(residual[step:].mean() - residual[:step].mean()))
    if sums[step - 1] <= 1.63 * spread * np.sqrt(len(residual)) or difference < 0.5 * spread:
        return None
    return float(times[step]), float(times[-1])
