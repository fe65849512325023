"""Angles, stretches and visits of points (part of a compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

import numpy as np

_BLOCK = 4096


def find_stretches(times: np.ndarray, max_gap: float) -> list[tuple[int, int]]:
    """Return first frame, and the one after the last, of each stretch without a gap."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(times) > max_gap) + 1, [times.size]])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist()))  # noqa: B905 (Python 3.9)


def compute_angle(first: np.ndarray, middle: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the angle at the middle of three points, 0 to π; arrays of positions, (n_frames, 2 or 3)."""
    to_first, to_last = first - middle, last - middle
    lengths = np.linalg.norm(to_first, axis=1) * np.linalg.norm(to_last, axis=1)
    cosine = np.einsum("ts,ts->t", to_first, to_last) / np.where(lengths > 0, lengths, np.nan)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def smooth_positions(times: np.ndarray, positions: np.ndarray, window_s: float) -> np.ndarray:
    """Replace each position by the value of the parabola that fits those around it best, by their true times.

    Fewer than four positions in the window stay as they are; what is missing stays missing, and is not used.

    Parameters
    ----------
    times : ndarray of float64, shape (n_frames,)
        In seconds, increasing.
    positions : ndarray of float64, shape (n_frames, n_dimensions)
    window_s : float
        Whole width of the window, in seconds.
    """
    present = np.flatnonzero(np.isfinite(positions).all(axis=1))
    smoothed = np.full(positions.shape, np.nan)
    known_times, values = times[present], positions[present]
    half = window_s / 2 + 1e-9
    first, last = (
        np.searchsorted(known_times, known_times - half),
        np.searchsorted(known_times, known_times + half, side="right"),
    )
    width = int((last - first).max(initial=1))
    for start in range(0, present.size, _BLOCK):
        rows = slice(start, start + _BLOCK)
        index = first[rows, None] + np.arange(width)
        used = index < last[rows, None]
        index = np.minimum(index, present.size - 1)
        lag = (known_times[index] - known_times[rows, None]) / half
        powers = np.where(used, 1.0, 0.0)[..., None] * lag[..., None] ** np.arange(3)
        normal = np.einsum("twi,twj->tij", powers, powers)
        sums = np.einsum("twi,twd->tid", powers, values[index])
        enough = used.sum(axis=1) >= 4
        fitted = values[rows].copy()
        fitted[enough] = np.linalg.solve(normal[enough], sums[enough])[:, 0]
        smoothed[present[rows]] = fitted
    return smoothed


def frame_durations(times: np.ndarray, step: float, max_gap: float) -> np.ndarray:
    """Return the interval that each frame stands for, (n_frames, 2): half-way to its neighbours.

    At the ends, and beside a gap, it ends half a usual interval from the frame.
    """
    middle = (times[:-1] + times[1:]) / 2
    gap = np.diff(times) > max_gap
    begins_at = np.concatenate([[times[0] - step / 2], np.where(gap, times[1:] - step / 2, middle)])
    ends_at = np.concatenate([np.where(gap, times[:-1] + step / 2, middle), [times[-1] + step / 2]])
    return np.column_stack([begins_at, ends_at])


def find_visits(inside: np.ndarray, tracked: np.ndarray, gap_before: np.ndarray) -> np.ndarray:
    """Return first and last frame of each stay in a region, (n_visits, 2).

    A stay ends where the point is lost, and at a gap: nobody knows where it was.
    """
    stay = inside & tracked
    begins = stay & ~np.concatenate([[False], stay[:-1]]) | (stay & gap_before)
    ends = stay & ~np.concatenate([stay[1:], [False]]) | (stay & np.concatenate([gap_before[1:], [True]]))
    return np.column_stack([np.flatnonzero(begins), np.flatnonzero(ends)])
