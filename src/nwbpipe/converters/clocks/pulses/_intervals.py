"""Align by the pattern of intervals: trial lengths that two systems both have, one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbpipe.converters.clocks.pulses._lines import Index, Times

_MAX_PRODUCT = 25_000_000
_AGREE = 0.9  # of the intervals that both have
_MARGIN = float(np.log(1e4))


@dataclass(frozen=True)
class IntervalMatch:
    """Pulses of two trains that are the same events, by order alone.

    Attributes
    ----------
    of_source, of_reference : array of int64
        Indices of the pulses that pair.
    differences : array of float64
        Interval of the reference minus interval of the source, for each pair of intervals, in seconds.
    correlation : float
        Correlation of the intervals.
    verdict, detail : str
        As in `PulseMatch`.
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

    The clocks may stand still between the pulses, or be set: only the intervals count. No pulse may be missing in
    between; use `match_pulses` where pulses may be.

    Parameters
    ----------
    source, reference : array of float64
        Times of the pulses in seconds, each on its clock, increasing.
    tolerance_s : float
        Largest difference of intervals that agree, in seconds, beside the largest drift.
    max_drift_ppm : float
        The largest drift, in parts per million.

    Examples
    --------
    >>> import numpy as np
    >>> starts = np.cumsum(np.random.default_rng(0).uniform(3, 9, 30))
    >>> match_intervals(starts[2:], starts + 100.0, tolerance_s=0.001).of_reference[:3]
    array([2, 3, 4])
    """
    empty = np.empty(0, np.int64)
    source_intervals, reference_intervals = np.diff(source), np.diff(reference)
    if min(len(source_intervals), len(reference_intervals)) < 5:
        return IntervalMatch(empty, empty, np.empty(0), 0.0, "too few pulses", "at least 6 on both clocks are needed")
    if len(source_intervals) * len(reference_intervals) > _MAX_PRODUCT:
        return IntervalMatch(
            empty, empty, np.empty(0), 0.0, "too many pulses", "use `align: pulses` for trains so long"
        )
    limit = tolerance_s + max_drift_ppm * 1e-6 * source_intervals
    ordered = np.sort(reference_intervals)
    alike = np.searchsorted(ordered, source_intervals + limit, "right") - np.searchsorted(
        ordered, source_intervals - limit
    )
    # The rarer an interval, the more its agreement says, in nats.
    weights = -np.log(np.clip(alike / len(reference_intervals), 1 / len(reference_intervals), 1.0))
    lags = np.arange(-(len(source_intervals) - 5), len(reference_intervals) - 4)
    scores = [_score_lag(source_intervals, reference_intervals, limit, weights, int(lag)) for lag in lags]
    support = np.asarray([item[0] for item in scores])
    share = np.asarray([item[1] for item in scores])
    best = int(np.argmax(support))
    lag = int(lags[best])
    start, stop = max(0, -lag), min(len(source_intervals), len(reference_intervals) - lag)
    indices = np.arange(start, stop + 1, dtype=np.int64)
    x, y = source_intervals[start:stop], reference_intervals[start + lag : stop + lag]
    correlation = float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 and y.std() > 0 else float("nan")
    verdict, detail = "accepted", ""
    rivals = (support >= 0.5 * support[best]) & (share >= _AGREE) & (lags != lag)
    if share[best] < _AGREE:
        verdict = "no fit"
        detail = (
            f"at the best shift, {lag}, {share[best]:.0%} of {stop - start} intervals agree (r = {correlation:.6f})"
        )
    elif support[best] < np.log(len(lags)) + _MARGIN:
        verdict, detail = "chance", "the fit could be chance: the intervals are too few, or too even"
    elif rivals.any():
        verdict = "ambiguous"
        detail = f"the intervals agree at the shifts {lag} and {int(lags[rivals][0])}"
    return IntervalMatch(indices, indices + lag, y - x, correlation, verdict, detail)


def _score_lag(source: Times, reference: Times, limit: Times, weights: Times, lag: int) -> tuple[float, float]:
    start, stop = max(0, -lag), min(len(source), len(reference) - lag)
    agree = np.abs(reference[start + lag : stop + lag] - source[start:stop]) <= limit[start:stop]
    share = float(agree.mean())
    return (float(weights[start:stop][agree].sum()) if share >= 0.5 else 0.0), share
