"""Filter keypoints (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import h5py
import numpy as np

Progress = Callable[[float, str], None]

_BLOCK = 1 << 14
_PAUSE = 5  # usual intervals: frames farther apart are not of one movement


def running_median(times: np.ndarray, values: np.ndarray, frames: int) -> np.ndarray:
    """Return the median of the finite values in a window of frames around each; NaN stays NaN.

    Parameters
    ----------
    times : ndarray of float64, shape (n_frames,)
        A window does not reach over a pause of more than five usual intervals.
    values : ndarray of float64, shape (n_frames, n_columns)
    frames : int
        Width of the window, odd; at the ends of a stretch it has the frames that there are.
    """
    out = np.full(values.shape, np.nan)
    steps = np.diff(times)
    pause = np.flatnonzero(steps > _PAUSE * np.median(steps)) + 1 if steps.size else np.zeros(0, np.int64)
    edges = [0, *pause.tolist(), times.size]
    half = frames // 2
    for first, last in zip(edges[:-1], edges[1:]):
        padded = np.pad(values[first:last], ((half, half), (0, 0)), constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)
        for start in range(0, last - first, _BLOCK):
            block = windows[start : start + _BLOCK]
            finite = np.isfinite(values[first + start : first + start + len(block)])
            # Where the middle is known the window is not empty; elsewhere the result does not count.
            medians = np.nanmedian(np.where(finite[..., None], block, 0.0), axis=2)
            out[first + start : first + start + len(block)] = np.where(finite, medians, np.nan)
    return out


def fill_gaps(times: np.ndarray, values: np.ndarray, max_gap: float) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill missing rows along a line where those around them are near enough in time.

    Returns
    -------
    filled : ndarray of float64, shape (n_frames, n_columns)
    rows : ndarray of int
        The rows that were filled.
    neighbours : ndarray of int, shape (n_rows, 2)
        The rows that each was filled from.
    """
    filled = values.copy()
    finite = np.flatnonzero(np.isfinite(values).all(axis=1))
    lost = np.flatnonzero(~np.isfinite(values).all(axis=1))
    next_row = np.searchsorted(finite, lost)
    inner = (next_row > 0) & (next_row < finite.size)
    lost, next_row = lost[inner], next_row[inner]
    neighbours = (
        np.column_stack([finite[next_row - 1], finite[next_row]]) if lost.size else np.zeros((0, 2), np.int64)
    )
    near = times[neighbours[:, 1]] - times[neighbours[:, 0]] <= max_gap + 1e-9
    lost, neighbours = lost[near], neighbours[near]
    lower, upper = neighbours.T
    weight = ((times[lost] - times[lower]) / (times[upper] - times[lower]))[:, None]
    filled[lost] = values[lower] * (1 - weight) + values[upper] * weight
    return filled, lost, neighbours


def filter_keypoint(
    times: np.ndarray, positions: np.ndarray, likelihood: Any, params: Dict[str, Any]
) -> Tuple[np.ndarray, Any, Dict[str, int]]:
    """Return the filtered positions of a keypoint, their likelihood (None if it has none), and what was done."""
    positions = positions.copy()
    finite = np.isfinite(positions).all(axis=1)
    unlikely = np.zeros(times.size, dtype=bool)
    if likelihood is not None and params["min_likelihood"] is not None:
        unlikely = finite & ~(likelihood >= params["min_likelihood"])
    positions[unlikely | ~finite] = np.nan
    if params["median_frames"] is not None:
        positions = running_median(times, positions, params["median_frames"])
    rows = np.zeros(0, np.int64)
    if params["fill_gap_s"] is not None:
        positions, rows, neighbours = fill_gaps(times, positions, params["fill_gap_s"])
        if likelihood is not None:
            likelihood = likelihood.copy()
            likelihood[rows] = likelihood[neighbours].min(axis=1)
    missing = int((~np.isfinite(positions).all(axis=1)).sum())
    counts = {
        "frames": int(times.size),
        "unlikely": int(unlikely.sum()),
        "filled": int(rows.size),
        "missing": missing,
    }
    return positions, likelihood, counts


def compute(request: Dict[str, Any], results: h5py.File, progress: Progress) -> Dict[str, Any]:
    """Leave ``data`` and ``confidence`` of each keypoint, under its number, in `results`."""
    keypoints, params = request["facts"]["keypoints"], request["params"]
    counts = []
    with h5py.File(request["inputs"]["pose"]["file"], "r", locking=False) as file:
        first = keypoints[0]
        if first["timestamps"] is None:
            times = first["start"] + np.arange(file[first["data"]].shape[0]) / first["rate"]
        else:
            times = file[first["timestamps"]][()].astype(np.float64)
        wrong = np.flatnonzero(~(np.diff(times) > 0))
        if wrong.size:
            message = "the times of the pose don't increase: the first that doesn't is at frame %d"
            raise ValueError(message % (wrong[0] + 1))
        for number, keypoint in enumerate(keypoints):
            raw = file[keypoint["data"]][()].astype(np.float64) * keypoint["conversion"] + keypoint["offset"]
            likelihood = None
            if keypoint["confidence"] is not None:
                likelihood = file[keypoint["confidence"]][()].astype(np.float64)
            positions, likelihood, account = filter_keypoint(times, raw, likelihood, params)
            results["%d/data" % number] = positions
            if likelihood is not None:
                results["%d/confidence" % number] = likelihood
            counts.append(account)
            progress((number + 1) / len(keypoints), keypoint["name"])
    return {"keypoints": counts}
