"""Cut a series into trials on a common grid of times (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable

import h5py
import numpy as np

from nwbpipe_kit.turns import find_turns
from nwbpipe_kit.windows import resolve

_BLOCK = 1 << 20  # values of a series that are looked at once

Progress = Callable[[float, str], None]

NO_TIME = "the trial has no alignment time"
OUTSIDE = "the window is not within the recording"
MISSING = "too many samples are missing"


def make_grid(before_s: float, after_s: float, rate: float) -> np.ndarray:
    """Times of the samples from the alignment, in seconds; 0 is always one of them."""
    first, last = -int(np.floor(before_s * rate + 1e-6)), int(np.floor(after_s * rate + 1e-6))
    return np.arange(first, last + 1) / rate


def find_window(
    stamps: np.ndarray | None, rate: float, start: float, count: int, anchor: float, low: float, high: float
) -> tuple[int, int, np.ndarray]:
    """Find the samples of a series around a time, and one more on each side.

    Parameters
    ----------
    stamps : ndarray of float64, shape (n_samples,), or None
        Times of the samples; None if they are regular.
    rate, start : float
        Samples per second, and time of the first one, if they are regular.
    count : int
        Number of samples.
    anchor : float
        The time, in seconds.
    low, high : float
        Ends of the window, in seconds from the anchor.

    Returns
    -------
    first, last : int
        The first sample, and the one after the last.
    times : ndarray of float64
        Their times from the anchor: at the size of Unix times, a sum of times would lose a quarter of a microsecond.
    """
    if stamps is None:
        first = int(np.floor((anchor + low - start) * rate + 1e-6)) - 1
        last = int(np.ceil((anchor + high - start) * rate - 1e-6)) + 2
    else:
        first = int(np.searchsorted(stamps, anchor + low)) - 1
        last = int(np.searchsorted(stamps, anchor + high, side="right")) + 1
    first, last = max(first, 0), min(last, count)
    if stamps is None:
        return first, last, start - anchor + np.arange(first, last) / rate
    return first, last, stamps[first:last] - anchor


def sample_series(
    times: np.ndarray, values: np.ndarray, at: np.ndarray, method: str, max_gap: float, slack: float = 1e-9
) -> np.ndarray:
    """Read a series at given times; NaN where its samples are farther apart than `max_gap`, or missing.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        Increasing.
    values : ndarray of float64, shape (n_samples, n_channels)
    at : ndarray of float64, shape (n_times,)
    method : {"linear", "nearest", "previous"}
    max_gap : float
        In seconds.
    slack : float
        In seconds; a sample that is no farther off is at the given time.

    Returns
    -------
    ndarray of float64, shape (n_times, n_channels)
    """
    right = np.clip(np.searchsorted(times, at - slack, side="left"), 0, len(times) - 1)
    exact = np.abs(times[right] - at) <= slack
    left = np.where(exact, right, np.clip(right - 1, 0, None))
    inside = exact | ((times[left] <= at) & (at <= times[right]) & (times[right] - times[left] <= max_gap + slack))
    if method == "linear":
        span = times[right] - times[left]
        weight = np.where(span > 0, (at - times[left]) / np.where(span > 0, span, 1), 0.0)[:, None]
        # A sample that is missing counts only where it is used.
        sampled = np.where(weight > 0, values[left] * (1 - weight) + values[right] * weight, values[left])
    elif method == "nearest":
        nearer = np.where(np.abs(times[right] - at) < np.abs(at - times[left]), right, left)
        sampled = values[nearer]
    else:
        sampled = values[left]
    return np.where(inside[:, None], sampled, np.nan)


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave ``data`` (trials, samples, channels), ``rows``, ``aligned`` and ``lags`` in `results`."""
    source, params, facts = request["inputs"]["series"], request["params"], request["facts"]
    lags = make_grid(params["before_s"], params["after_s"], facts["rate"])
    max_gap = params["max_gap_s"] if params["max_gap_s"] is not None else 1.5 / facts["source_rate"]
    rows: list[int] = []
    aligned: list[float] = []
    dropped: list[tuple[int, str]] = []
    missing: list[float] = []
    with h5py.File(source["file"], "r", locking=False) as file:
        data, intervals = file[source["data"]], file[request["inputs"]["trials"]["path"]]
        anchors = intervals[params["align"]][()].astype(np.float64)
        shape = (0, lags.size, *data.shape[1:])
        kind = np.float32 if data.dtype.itemsize <= 2 or data.dtype == np.float32 else np.float64
        out = results.create_dataset(
            "data", shape, kind, maxshape=(None, *shape[1:]), chunks=(1, *(max(size, 1) for size in shape[1:]))
        )
        stamps = None if source["timestamps"] is None else file[source["timestamps"]][()].astype(np.float64)
        rate, start, count = source["rate"], source["starting_time"] or 0.0, data.shape[0]
        scale = np.asarray(facts["conversion"], dtype=np.float64)

        def load(first: int, last: int) -> np.ndarray:
            return np.asarray(data[first:last].reshape(last - first, -1) * scale + facts["offset"])

        size = max(_BLOCK // max(int(np.prod(data.shape[1:])), 1), 1)
        blocks = (load(first, min(first + size, count)) for first in range(0, count, size))
        turns = find_turns(facts["unit"], blocks)
        for row, anchor in enumerate(anchors):
            progress((row + 1) / len(anchors), "trials")
            if not np.isfinite(anchor):
                dropped.append((row, NO_TIME))
                continue
            first, last, times = find_window(stamps, rate, start, count, anchor, lags[0], lags[-1])
            if last <= first:
                dropped.append((row, OUTSIDE))
                continue
            slack = resolve(anchor)
            edge = max(1e-6 / facts["source_rate"], slack)
            if lags[0] < times[0] - edge or lags[-1] > times[-1] + edge:
                dropped.append((row, OUTSIDE))
                continue
            values = load(first, last)
            if turns is None or params["method"] != "linear":
                sampled = sample_series(times, values, lags, params["method"], max_gap, slack)
            else:
                sampled = turns.wrap(sample_series(times, turns.unwrap(values), lags, "linear", max_gap, slack))
            lost = float(np.mean(~np.isfinite(sampled).all(axis=1)))
            if lost > params["max_missing"]:
                dropped.append((row, MISSING))
                continue
            out.resize(len(rows) + 1, axis=0)
            out[-1] = sampled.reshape(shape[1:])
            rows.append(row)
            aligned.append(anchor)
            missing.append(lost)
    results["rows"] = np.array(rows, dtype=np.int64)
    results["aligned"] = np.array(aligned, dtype=np.float64)
    results["missing"] = np.array(missing, dtype=np.float64)
    results["lags"] = lags
    described = None
    if turns is not None:
        starts = [float(start) if np.isfinite(start) else None for start in turns.starts]
        described = {"length": turns.length, "starts": starts}
    return {"dropped": dropped, "trials": len(anchors), "turns": described}
