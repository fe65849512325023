"""Quality metrics of calcium imaging: of scans, of masks, of traces (numpy only: a compute module imports it).

Each metric's formula, unit and source are in the text beside its name, which is also what the file says of it.
DataJoint's element-calcium-imaging has some under the same names: its "variance" is a standard deviation, and its
roundness, ``mean(e) / max(e)`` of the covariance's eigenvalues, lies between 0.5 and 1. Here variance is the
variance, and roundness goes from 0 to 1.
"""

from __future__ import annotations

import numpy as np

FRAME_METRICS = {
    "min": "Smallest value of the frame, in stored values.",
    "mean": "Mean of the frame, in stored values.",
    "max": "Largest value of the frame, in stored values.",
    "contrast": "99th less 1st percentile of the frame, in stored values (as element-calcium-imaging).",
}
SCAN_METRICS = {
    "bleaching": "Slope of the frames' mean over time (least squares) over its value at the start, per minute; the "
    "level without light is taken off first, where it was given. Negative: it fades.",
    "brightness_jumps": "Number of frames whose mean differs from the one before by more than 8 robust standard "
    "deviations (1.4826 MAD) of these differences and by more than 2 % of the mean.",
    "focus_jumps": "The same for the sharpness of the mean image of each second: variance of its Laplacian over its "
    "squared mean (Pech-Pacheco et al. 2000), beyond 20 % of the median.",
    "saturation_share": "Part of all pixels that are at the saturation level, or above it.",
    "constant_frames": "Number of frames of one value only.",
    "motion_median": "Median distance of a frame's shift from the median shift, in pixels.",
    "motion_p95": "95th percentile of the same, in pixels.",
    "motion_max": "Largest of the same, in pixels.",
    "gaps": "Number of places where the times lack a frame or more.",
}
#: A pixel is one of a mask if its weight is this part of the mask's largest: footprints of CaImAn and EXTRACT have
#: wide, faint skirts.
FAINTEST = 0.25
MASK_METRICS = {
    "area": "Number of pixels. Of a mask only those count, here and in what follows, that have at least a quarter of "
    "its largest weight.",
    "area_um2": "Number of pixels times the area of one, in square micrometers.",
    "center_x": "Centre of mass along x, by the pixels' weights, in pixels.",
    "center_y": "Centre of mass along y, by the pixels' weights, in pixels.",
    "roundness": "Square root of the smaller over the larger eigenvalue of the pixels' covariance (weighted; each "
    "pixel a square of side 1): ratio of the axes of the ellipse with the same moments. 1: round, 0: a line.",
    "eccentricity": "Eccentricity of that ellipse, sqrt(1 - roundness^2). 0: round, 1: a line.",
    "overlap": "Part of the pixels that other ROIs of the plane have, too.",
    "border_contact": "Part of the pixels that lie on the frame's border.",
}
TRACE_METRICS = {
    "skewness": "Third central moment over the 1.5th power of the second, of the corrected trace.",
    "variance": "Variance of the corrected trace (mean squared deviation), in squared stored values.",
    "snr": "1 - 0.5 var(diff(trace)) / var(trace) of the corrected trace (suite2p): 0 for white noise, 1 for a trace "
    "without any.",
    "noise_level": "Median of |dF/F[t+1] - dF/F[t]| over the square root of the rate, times 100: % per sqrt(Hz) "
    "(Rupprecht et al. 2021, Nature Neuroscience 24: 1324).",
    "baseline_drift": "Baseline (8th percentile) of the trace's last tenth less that of its first, over the first.",
    "event_rate": "Events per minute: dF/F rises above 3 standard deviations of its noise, for two frames or more.",
    "peak_dff": "99th percentile of dF/F.",
    "neuropil_coefficient": "Slope of the raw trace over the neuropil's (least squares), in the frames where the "
    "trace is not above its median.",
}

Metrics = dict[str, np.ndarray]


def robust_sd(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return 1.4826 times the median absolute deviation: the standard deviation, for normal values."""
    centre = np.median(values, axis=axis, keepdims=True)
    return np.asarray(1.4826 * np.median(np.abs(values - centre), axis=axis))


def frame_metrics(frames: np.ndarray) -> Metrics:
    """Return `FRAME_METRICS` of frames (n, …), each of shape (n,)."""
    flat = frames.reshape(len(frames), -1)
    low, high = np.percentile(flat, [1, 99], axis=1)
    return {"min": flat.min(axis=1), "mean": flat.mean(axis=1), "max": flat.max(axis=1), "contrast": high - low}


def sharpness(image: np.ndarray) -> float:
    """Return the variance of an image's Laplacian (4 neighbours) over its squared mean; NaN if that is 0."""
    image = np.asarray(image, dtype=np.float64)
    inner = image[1:-1, 1:-1]
    laplacian = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * inner
    mean = image.mean()
    return float(laplacian.var() / mean**2) if mean != 0 else float("nan")


def jumps(values: np.ndarray, deviations: float, part: float) -> np.ndarray:
    """Return the indices at which a series jumps.

    A jump differs from the value before by more than `deviations` robust standard deviations of such differences, and
    by more than `part` of the series' median.
    """
    if len(values) < 3:
        return np.zeros(0, dtype=np.int64)
    steps = np.diff(np.asarray(values, dtype=np.float64))
    limit = max(deviations * float(robust_sd(steps)), part * abs(float(np.median(values))))
    return np.flatnonzero(np.abs(steps - np.median(steps)) > limit) + 1


def scan_metrics(
    frames: Metrics,
    times: np.ndarray,
    dark: float,
    focus: np.ndarray,
    saturated: float | None,
    constant: int,
    gaps: int,
) -> dict[str, float]:
    """Return those of `SCAN_METRICS` that the movie gives.

    Parameters
    ----------
    frames : dict
        `frame_metrics` of all frames.
    times : ndarray, shape (frames,)
        In seconds.
    dark : float
        Value of no light.
    focus : ndarray
        `sharpness` of the mean image of each second.
    saturated : float, optional
        Part of the pixels that are saturated; without it there is no ``saturation_share``.
    constant, gaps : int
    """
    mean = np.asarray(frames["mean"], dtype=np.float64)
    slope, start = np.polyfit(times - times[0], mean - dark, 1) if len(mean) > 1 else (0.0, 1.0)
    metrics = {
        "bleaching": float(60 * slope / start) if start > 0 else float("nan"),
        "brightness_jumps": float(len(jumps(mean, 8.0, 0.02))),
        "focus_jumps": float(len(jumps(focus, 8.0, 0.2))),
        "constant_frames": float(constant),
        "gaps": float(gaps),
    }
    return metrics if saturated is None else {**metrics, "saturation_share": float(saturated)}


def motion_metrics(shifts: np.ndarray) -> dict[str, float]:
    """Return the metrics of motion out of shifts (frames, [planes,] 2), in pixels."""
    moved = np.hypot(*np.moveaxis(shifts - np.median(shifts, axis=0), -1, 0))
    return {
        "motion_median": float(np.median(moved)),
        "motion_p95": float(np.percentile(moved, 95)),
        "motion_max": float(moved.max()),
    }


def mask_metrics(
    index: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    shape: tuple[int, int],
    plane: np.ndarray | None = None,
    pixel_area: float | None = None,
) -> Metrics:
    """Return `MASK_METRICS` of ROIs whose pixels lie end to end, each of shape (rois,).

    Pixels of less than `FAINTEST` of their mask's largest weight are no part of it.

    Parameters
    ----------
    index : ndarray, int, shape (rois,)
        End of each ROI's pixels.
    x, y, weight : ndarray, shape (pixels,)
    shape : (int, int)
        Size of the frame (x, y).
    plane : ndarray, int, shape (rois,), optional
    pixel_area : float, optional
        In square micrometers; without it there is no ``area_um2``.
    """
    count = len(index)
    planes = np.zeros(count, np.int64) if plane is None else np.asarray(plane, np.int64)
    roi = np.repeat(np.arange(count), np.diff(np.concatenate([[0], index])).astype(np.int64))
    largest = np.zeros(count)
    np.maximum.at(largest, roi, weight)
    strong = weight >= FAINTEST * largest[roi] if len(roi) else np.zeros(0, bool)
    x, y, weight, roi = x[strong], y[strong], weight[strong], roi[strong]
    ends = np.cumsum(np.bincount(roi, minlength=count))
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if count else np.zeros(0, np.int64)
    pixel_index = (planes[roi] * shape[0] + x.astype(np.int64)) * shape[1] + y.astype(np.int64)
    # A pixel twice in one ROI is one pixel of it.
    owners = np.unique(np.stack([pixel_index, roi]), axis=1)
    _, inverse, having = np.unique(owners[0], return_inverse=True, return_counts=True)
    shared = having[inverse.reshape(-1)] > 1
    metrics = {name: np.full(count, np.nan) for name in MASK_METRICS if name != "area_um2"}
    metrics["area"] = np.bincount(owners[1], minlength=count).astype(np.float64)
    metrics["overlap"] = np.bincount(owners[1], weights=shared, minlength=count) / np.maximum(metrics["area"], 1)
    for k, (start, end) in enumerate(zip(starts, ends)):
        if end <= start:
            continue
        px, py = x[start:end].astype(np.float64), y[start:end].astype(np.float64)
        w = np.clip(weight[start:end].astype(np.float64), 0, None)
        w = w / w.sum() if w.sum() > 0 else np.full(len(px), 1 / len(px))
        cx, cy = float(w @ px), float(w @ py)
        covariance = np.array(
            [
                [w @ (px - cx) ** 2 + 1 / 12, w @ ((px - cx) * (py - cy))],
                [w @ ((px - cx) * (py - cy)), w @ (py - cy) ** 2 + 1 / 12],
            ]
        )
        small, large = np.linalg.eigvalsh(covariance)
        metrics["center_x"][k], metrics["center_y"][k] = cx, cy
        metrics["roundness"][k] = np.sqrt(max(small, 0) / large)
        metrics["eccentricity"][k] = np.sqrt(max(0.0, 1 - small / large))
        edge = (px <= 0) | (py <= 0) | (px >= shape[0] - 1) | (py >= shape[1] - 1)
        metrics["border_contact"][k] = edge.mean()
    if pixel_area is not None:
        metrics["area_um2"] = metrics["area"] * pixel_area
    return metrics


def trace_metrics(
    traces: np.ndarray, rate: float, neuropil: np.ndarray | None = None, coefficient: float = 0.7
) -> Metrics:
    """Return `TRACE_METRICS` of traces (frames, rois), each of shape (rois,).

    The corrected trace is F less `coefficient` times the neuropil's deviation from its median; dF/F is over its 8th
    percentile. What can't be told (a constant trace, a baseline that is not positive) is NaN.
    """
    raw = np.asarray(traces, dtype=np.float64)
    corrected = raw if neuropil is None else raw - coefficient * (neuropil - np.median(neuropil, axis=0))
    frames = len(raw)
    centred = corrected - corrected.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    # Rounding leaves some 1e-16 of the level in a constant trace.
    varies = variance > 1e-20 * np.maximum(np.abs(corrected).max(axis=0, initial=0), 1e-150) ** 2
    base = np.percentile(corrected, 8, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        dff = np.where(base > 0, corrected / base - 1, np.nan)
        third = (centred**3).mean(axis=0)
        steps = np.diff(corrected, axis=0)
        noise = np.median(np.abs(np.diff(dff, axis=0)), axis=0)
        tenth = max(1, frames // 10)
        first, last = np.percentile(corrected[:tenth], 8, axis=0), np.percentile(corrected[-tenth:], 8, axis=0)
        metrics = {
            "skewness": np.where(varies, third / variance**1.5, np.nan),
            "variance": variance,
            "snr": np.where(varies, 1 - 0.5 * steps.var(axis=0) / variance, np.nan),
            "noise_level": 100 * noise / np.sqrt(rate),
            "baseline_drift": np.where(first > 0, last / first - 1, np.nan),
            "event_rate": _events(dff, noise / (0.6745 * np.sqrt(2))) / (frames / rate / 60),
            "peak_dff": np.percentile(dff, 99, axis=0),
        }
    if neuropil is not None:
        quiet = raw <= np.median(raw, axis=0)
        slope = np.full(raw.shape[1], np.nan)
        for k in range(raw.shape[1]):
            around = neuropil[quiet[:, k], k] - neuropil[quiet[:, k], k].mean()
            if (around**2).sum() > 0:
                slope[k] = around @ raw[quiet[:, k], k] / (around**2).sum()
        metrics["neuropil_coefficient"] = slope
    return metrics


def _events(dff: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Count the times that dF/F, less its median, stays above 3 noise for two frames or more."""
    with np.errstate(invalid="ignore"):
        above = (dff - np.median(dff, axis=0)) > 3 * noise
    sustained = above[1:] & above[:-1]
    counts = (
        sustained[:1].sum(axis=0) + (sustained[1:] & ~sustained[:-1]).sum(axis=0)
        if len(sustained)
        else np.zeros(dff.shape[1])
    )
    return np.where(np.isnan(dff).any(axis=0), np.nan, counts.astype(np.float64))
