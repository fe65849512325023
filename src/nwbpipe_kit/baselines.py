"""Baselines of fluorescence traces."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np


def compute_baseline(traces: np.ndarray, rate: float, params: Dict[str, Any]) -> np.ndarray:
    """Return the baseline F0 of each trace.

    Parameters
    ----------
    traces : ndarray, shape (frames, rois)
    rate : float
        Frames per second.
    params : dict
        ``baseline``: "percentile" (the `percentile` of a window of `window_s` around each frame), "maximin" (the
        trace smoothed with a Gaussian of `sigma_s`, then the maximum, within the window, of its minimum within the
        window: Pachitariu et al. 2017), or "constant" (the `percentile` of the whole trace).

    Returns
    -------
    ndarray, float64, shape (frames, rois)
    """
    values = np.asarray(traces, dtype=np.float64)
    frames = len(values)
    window = max(1, round(params["window_s"] * rate))
    if params["baseline"] == "constant" or (window >= frames and params["baseline"] == "percentile"):
        return np.broadcast_to(np.percentile(values, params["percentile"], axis=0), values.shape).copy()
    if params["baseline"] == "maximin":
        smooth = smooth_gaussian(values, params["sigma_s"] * rate)
        return -running_min(-running_min(smooth, window), window)
    # The percentile moves slowly: it is taken at ten places in a window, and put between them by straight lines.
    centres = np.unique(np.append(np.arange(0, frames, max(1, window // 10)), frames - 1))
    half = window // 2
    percentiles = np.array(
        [np.percentile(values[max(0, c - half) : c + half + 1], params["percentile"], axis=0) for c in centres]
    )
    return np.stack(
        [np.interp(np.arange(frames), centres, percentiles[:, k]) for k in range(values.shape[1])], axis=1
    )


def smooth_gaussian(values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth along the first axis; at the ends the signal is mirrored."""
    radius = int(np.ceil(4 * sigma))
    if sigma <= 0 or radius < 1:
        return values.copy()
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    inside = np.pad(values, [(radius, radius), (0, 0)], mode="symmetric")
    return np.stack([np.convolve(inside[:, k], kernel, mode="valid") for k in range(values.shape[1])], axis=1)


def running_min(values: np.ndarray, window: int) -> np.ndarray:
    """Return the minimum within `window` frames around each frame, cut at the ends (van Herk 1992)."""
    frames = len(values)
    half = window // 2
    size = 2 * half + 1
    total = -(-(frames + 2 * half) // size) * size
    padded = np.full((total, *values.shape[1:]), np.inf)
    padded[half : half + frames] = values
    blocks = padded.reshape(-1, size, *values.shape[1:])
    forward = np.minimum.accumulate(blocks, axis=1).reshape(padded.shape)
    backward = np.minimum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].reshape(padded.shape)
    return np.minimum(backward[:frames], forward[size - 1 : size - 1 + frames])
