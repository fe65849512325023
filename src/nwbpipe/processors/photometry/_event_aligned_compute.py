"""Cut traces around events, and average them (compute module).

Each trial is sampled at its event's own time plus the lags, by linear interpolation between the samples' times: no
count of samples is rounded, so that nothing drifts over a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from ._photometry_series import interpolate, median_interval, read_series

Progress = Callable[[float, str], None]

USED = ""


def lags_of(params: dict[str, Any], step: float) -> np.ndarray:
    """Lags in seconds: whole multiples of the interval, 0 among them."""
    spacing = step if params["rate_hz"] is None else 1 / params["rate_hz"]
    first, last = (
        int(np.ceil(-params["before_s"] / spacing - 1e-9)),
        int(np.floor(params["after_s"] / spacing + 1e-9)),
    )
    return np.arange(first, last + 1) * spacing


def drop_reasons(
    events: np.ndarray, kinds: np.ndarray, cuts: np.ndarray, lags: np.ndarray, span: tuple[float, float], params: Any
) -> list[str]:
    """Return the reason why each trial is left out; empty for those that are used."""
    reasons = []
    for k, event in enumerate(events):
        missing = np.count_nonzero(~np.isfinite(cuts[k]))
        if not np.isfinite(event):
            reasons.append("the event has no time")
        elif event + lags[0] < span[0] - 1e-9:
            reasons.append("the window begins before the recording")
        elif event + lags[-1] > span[1] + 1e-9:
            reasons.append("the window ends after the recording")
        elif missing > params["max_missing"] * len(lags):
            reasons.append("%d of %d samples are missing" % (missing, len(lags)))
        elif params["overlapping"] == "drop" and has_overlap(k, events, kinds, lags):
            reasons.append("another event of its kind lies within the window")
        else:
            reasons.append(USED)
    return reasons


def has_overlap(k: int, events: np.ndarray, kinds: np.ndarray, lags: np.ndarray) -> bool:
    """Return True if another event of the same kind lies in the window of event k."""
    same_kind = (kinds == kinds[k]) & (np.arange(len(events)) != k)
    return bool((same_kind & (events >= events[k] + lags[0]) & (events <= events[k] + lags[-1])).any())


def apply_baseline(cuts: np.ndarray, lags: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """Subtract each trial's baseline, or make z-scores by it."""
    if params["baseline"] == "none":
        return cuts
    low, high = params["baseline_s"]
    inside = (lags >= low - 1e-9) & (lags <= high + 1e-9)
    if np.count_nonzero(inside) < 2:
        raise ValueError("the baseline from %g to %g s holds fewer than 2 lags" % (low, high))
    part = cuts[:, inside]
    count = np.isfinite(part).sum(axis=1, keepdims=True)
    mean = np.where(count > 0, np.nansum(part, axis=1, keepdims=True) / np.maximum(count, 1), np.nan)
    if params["baseline"] == "subtract":
        return np.asarray(cuts - mean)
    variance = np.nansum((part - mean) ** 2, axis=1, keepdims=True) / np.maximum(count - 1, 1)
    return np.asarray((cuts - mean) / np.sqrt(np.where((variance > 0) & (count > 1), variance, np.nan)))


def average(cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard error of the mean and number of trials at each lag; the error needs two trials."""
    good = np.isfinite(cuts)
    count = good.sum(axis=0)
    mean = np.where(count > 0, np.sum(cuts, axis=0, where=good) / np.maximum(count, 1), np.nan)
    squares = np.sum((cuts - mean) ** 2, axis=0, where=good)
    error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return mean, np.where(count > 1, error, np.nan), count


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave ``lags``, ``responses`` (events, traces, lags); ``mean``, ``sem``, ``count`` (kinds, traces, lags)."""
    params, facts = request["params"], request["facts"]
    values, times = read_series(request["inputs"]["trace"])
    events, kinds = np.array(facts["times"], dtype=np.float64), np.array(facts["kinds"])
    lags = lags_of(params, median_interval(times))
    sample_times = events[:, None] + lags
    names = facts["names"]
    responses = np.full((len(events), values.shape[1], len(lags)), np.nan)
    averages = {name: np.full((len(names), values.shape[1], len(lags)), np.nan) for name in ("mean", "sem", "count")}
    dropped = []
    for column in range(values.shape[1]):
        cuts = interpolate(
            times, values[:, column], np.where(np.isfinite(sample_times), sample_times, times[0] - 1e9)
        )
        reasons = drop_reasons(events, kinds, cuts, lags, (times[0], times[-1]), params)
        used = np.array([reason == USED for reason in reasons])
        cuts = np.where(used[:, None], apply_baseline(cuts, lags, params), np.nan)
        responses[:, column] = cuts
        for number, name in enumerate(names):
            statistics = average(cuts[kinds == name])
            for key, value in zip(("mean", "sem", "count"), statistics):
                averages[key][number, column] = value
        dropped.append(reasons)
        progress((column + 1) / values.shape[1], "traces")
    results["lags"], results["responses"] = lags, responses
    for key, value in averages.items():
        results[key] = value
    return {"reasons": dropped}
