"""Velocity and movement bouts of a wheel (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable

import h5py
import numpy as np
import scipy
from scipy import ndimage, signal

Progress = Callable[[float, str], None]


def resample(times: np.ndarray, position: np.ndarray, rate: float, hold_s: float) -> tuple[float, np.ndarray]:
    """Bring a position to a constant rate.

    An encoder writes a sample when it moves: between samples that are far apart it stood still, until shortly before
    the later one. A straight line would make a slow movement of it.

    Parameters
    ----------
    times : ndarray of float64, shape (n,)
        Increasing.
    position : ndarray of float64, shape (n,)
    rate : float
        In Hz.
    hold_s : float
        Samples farther apart than that: the position is held until `hold_s` before the later one.

    Returns
    -------
    start : float
        Time of the first sample.
    resampled : ndarray of float64
    """
    late = np.flatnonzero(np.diff(times) > hold_s)
    times = np.insert(times, late + 1, times[late + 1] - hold_s)
    position = np.insert(position, late + 1, position[late])
    count = int(np.floor((times[-1] - times[0]) * rate + 1e-6)) + 1
    return float(times[0]), np.interp(times[0] + np.arange(count) / rate, times, position)


def compute_velocity(position: np.ndarray, rate: float, cutoff_hz: float) -> np.ndarray:
    """Low-pass a position (Butterworth, 4th order, forwards and backwards: no delay), and differentiate it."""
    if position.size < 32:
        return np.asarray(np.gradient(position) * rate)
    sections = signal.butter(4, cutoff_hz, fs=rate, output="sos")
    return np.asarray(np.gradient(signal.sosfiltfilt(sections, position)) * rate)


def find_bouts(position: np.ndarray, rate: float, params: dict[str, Any]) -> np.ndarray:
    """Find when the wheel moved.

    The wheel moves in a window of `window_s` if the position's range in it is over `threshold`. Windows in a row
    make a bout; those closer than `min_gap_s` are one. Its onset is the first sample that is `onset_threshold` away
    from where the wheel stood, its end the last one that is as far from where it stops; shorter than
    `min_duration_s` is none.

    Returns
    -------
    ndarray of int64, shape (n_bouts, 2)
        First and last sample.
    """
    width = max(round(params["window_s"] * rate), 2)
    if position.size < width:
        return np.zeros((0, 2), np.int64)
    # Range of the window that begins at each sample.
    shift = -(width // 2)
    high = ndimage.maximum_filter1d(position, width, origin=shift, mode="nearest")
    low = ndimage.minimum_filter1d(position, width, origin=shift, mode="nearest")
    moving = (high - low)[: position.size - width + 1] > params["threshold"]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], moving.astype(np.int8), [0]])))
    spans = edges.reshape(-1, 2)
    spans[:, 1] += width - 2  # the last sample of the last window
    refined = [_refine_bout(position, first, min(last, position.size - 1), params) for first, last in spans]
    merged: list[list[int]] = []
    for first, last in refined:
        if merged and first - merged[-1][1] < params["min_gap_s"] * rate:
            merged[-1][1] = max(last, merged[-1][1])
        else:
            merged.append([first, last])
    bouts = [span for span in merged if span[1] - span[0] >= params["min_duration_s"] * rate]
    return np.array(bouts, dtype=np.int64).reshape(-1, 2)


def _refine_bout(position: np.ndarray, first: int, last: int, params: dict[str, Any]) -> tuple[int, int]:
    part, near = position[first : last + 1], params["onset_threshold"]
    away = np.flatnonzero(np.abs(part - part[0]) > near)
    short = np.flatnonzero(np.abs(part - part[-1]) > near)
    if not away.size or not short.size:
        return first, last
    # One sample before it is away it stood, and one after it is not yet there it stands.
    onset, end = first + max(int(away[0]) - 1, 0), first + min(int(short[-1]) + 1, part.size - 1)
    return (onset, end) if onset < end else (first, last)


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave ``position``, ``velocity`` and the bouts in `results`."""
    source, params, facts = request["inputs"]["position"], request["params"], request["facts"]
    params = {**params, **facts["thresholds"]}
    with h5py.File(source["file"], "r", locking=False) as file:
        raw = file[source["data"]][()].astype(np.float64).reshape(-1) * facts["conversion"] + facts["offset"]
        if source["timestamps"] is None:
            times = (source["starting_time"] or 0.0) + np.arange(raw.size) / source["rate"]
        else:
            times = file[source["timestamps"]][()].astype(np.float64)
    finite = np.isfinite(raw)
    times, raw = times[finite], raw[finite]
    if times.size < 2:
        raise ValueError("the position has %d samples that are numbers; expected 2 or more" % times.size)
    rate = params["rate_hz"]
    start, position = resample(times, raw, rate, params["hold_s"])
    speed = compute_velocity(position, rate, params["lowpass_hz"])
    progress(0.5, "velocity")
    spans = find_bouts(position, rate, params)
    results["position"], results["velocity"] = position, speed
    results["bounds"] = start + spans / rate
    results["displacement"] = position[spans[:, 1]] - position[spans[:, 0]]
    peaks = [first + int(np.argmax(np.abs(speed[first : last + 1]))) for first, last in spans]
    results["peak_time"] = start + np.array(peaks, dtype=np.float64) / rate
    results["peak_velocity"] = speed[peaks] if peaks else np.zeros(0)
    progress(1.0, "%d movements" % len(spans))
    return {"start": start, "missing": int((~finite).sum()), "tool_version": scipy.__version__}
