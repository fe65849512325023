"""Aligning by the pattern of intervals: trial lengths that two systems both have, one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbpipe.converters.clocks.pulses._lines import Index, Times

_MAX_PRODUCT = 25_000_000
_AGREE = 0.9  # of the intervals that both have
_MARGIN = float(np.log(1e4))


@dataclass(frozen=True)
class IntervalMatch:
    """Which pulses of two trains are the same, by order alone.

    Attributes
    ----------
    of_source, of_reference : array of int64
        Indices of the pulses that pair.
    differences : array of float64
        Interval of the reference minus interval of the source, for each pair of intervals, in seconds.
    correlation : float
        Of the intervals.
    verdict, detail : str
        As of `PulseMatch`.
    """

    of_source: Index
    of_reference: Index
    differences: Times
    correlation: float
    verdict: str = "accepted"
    detail: str = ""


def match_intervals(
    source: Times, reference: Times, *, tolerance_s: float, max_drift_ppm: float = 500.0
) -> IntervalMatch:
    """Find the shift at which the intervals of two trains agree.

    The clocks may stand still between the pulses, or be set: only the intervals count. But none may be missing
    within: where they may, `match_pulses` is the way.

    Parameters
    ----------
    source, reference : array of float64
        Times of the pulses in seconds, each on its clock, increasing.
    tolerance_s : float
        By how much intervals that agree may differ, in seconds, the largest drift not counted.
    max_drift_ppm : float
        The largest drift, in parts per million.

    Examples
    --------
    >>> import numpy as np
    >>> starts = np.cumsum(np.random.default_rng(0).uniform(3, 9, 30))
    >>> match_intervals(starts[2:], starts + 100.0, tolerance_s=0.001).of_reference[:3]
    array([2, 3, 4])
    """
    none = np.empty(0, np.int64)
    one, two = np.diff(source), np.diff(reference)
    if min(len(one), len(two)) < 5:
        return IntervalMatch(none, none, np.empty(0), 0.0, "too few pulses", "at least 6 on both clocks are needed")
    if len(one) * len(two) > _MAX_PRODUCT:
        return IntervalMatch(
            none, none, np.empty(0), 0.0, "too many pulses", "use `align: pulses` for trains so long"
        )
    limit = tolerance_s + max_drift_ppm * 1e-6 * one
    ordered = np.sort(two)
    alike = np.searchsorted(ordered, one + limit, "right") - np.searchsorted(ordered, one - limit)
    said = -np.log(np.clip(alike / len(two), 1 / len(two), 1.0))  # how much an interval that agrees says, in nats
    lags = np.arange(-(len(one) - 5), len(two) - 4)
    found = [_score_lag(one, two, limit, said, int(lag)) for lag in lags]
    support = np.asarray([item[0] for item in found])
    share = np.asarray([item[1] for item in found])
    best = int(np.argmax(support))
    lag = int(lags[best])
    start, stop = max(0, -lag), min(len(one), len(two) - lag)
    indices = np.arange(start, stop + 1, dtype=np.int64)
    x, y = one[start:stop], two[start + lag : stop + lag]
    correlation = float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 and y.std() > 0 else float("nan")
    verdict, detail = "accepted", ""
    others = (support >= 0.5 * support[best]) & (share >= _AGREE) & (lags != lag)
    if share[best] < _AGREE:
        verdict = "no fit"
        detail = (
            f"at the best shift, {lag}, {share[best]:.0%} of {stop - start} intervals agree (r = {correlation:.6f})"
        )
    elif support[best] < np.log(len(lags)) + _MARGIN:
        verdict, detail = "chance", "what fits could fit by chance: too few intervals, or too even"
    elif others.any():
        verdict = "ambiguous"
        detail = f"the intervals agree at the shifts {lag} and {int(lags[others][0])}"
    return IntervalMatch(indices, indices + lag, y - x, correlation, verdict, detail)


def _score_lag(one: Times, two: Times, limit: Times, said: Times, lag: int) -> tuple[float, float]:
    start, stop = max(0, -lag), min(len(one), len(two) - lag)
    agree = np.abs(two[start + lag : stop + lag] - one[start:stop]) <= limit[start:stop]
    share = float(agree.mean())
    return (float(said[start:stop][agree].sum()) if share >= 0.5 else 0.0), share
