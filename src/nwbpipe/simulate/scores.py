"""Score results against the truth, for the demo and the tests. Only numpy and scipy are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nwbpipe.simulate._common import require

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MaskMatch:
    """The matches of found masks with true ones.

    Attributes
    ----------
    recall : float
        Fraction of the true masks that are matched.
    precision : float
        Fraction of the found masks that are matched; 0 if none was found.
    pairs : ndarray, int64, shape (n_matches, 2)
        Index of the true and of the found mask of each match, sorted by the true one.
    iou : ndarray, float64, shape (n_matches,)
        Intersection over union of each match.
    """

    recall: float
    precision: float
    pairs: NDArray[np.int64]
    iou: Floats


def match_masks(
    true_masks: ArrayLike,
    found_masks: ArrayLike,
    min_iou: float = 0.5,
    offset: tuple[float, float] = (0.0, 0.0),
) -> MaskMatch:
    """Match found masks with true ones, one to one, for the largest total intersection over union (IoU).

    Pairs below `min_iou` don't match. A match above one half is unique: of masks that don't overlap each other, at
    most one can share more than half of its union with a given mask (Kirillov et al. 2019, Panoptic segmentation,
    section 4.1).

    Parameters
    ----------
    true_masks : array_like, bool, shape (n_true, height, width)
    found_masks : array_like, bool, shape (n_found, height, width)
    min_iou : float, default 0.5
    offset : (float, float), default (0, 0)
        Displacement (y, x) of the found image against the true one in pixels, from
        :func:`reference_offset`; the true masks are moved by it, rounded to integer pixels.

    Raises
    ------
    ValueError
        There is no true mask, or the images differ in shape.
    """
    truth, estimate = np.asarray(true_masks, dtype=bool), np.asarray(found_masks, dtype=bool)
    if len(truth) == 0:
        raise ValueError("there is no true mask to match")
    if len(estimate) == 0:
        return MaskMatch(0.0, 0.0, np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    if truth.shape[1:] != estimate.shape[1:]:
        raise ValueError(f"true masks have {truth.shape[1:]} pixels, found masks {estimate.shape[1:]}")
    truth = _shift_masks(truth, offset)
    flat_truth = truth.reshape(len(truth), -1).astype(np.float32)
    flat_found = estimate.reshape(len(estimate), -1).astype(np.float32)
    shared = (flat_truth @ flat_found.T).astype(np.float64)
    union = flat_truth.sum(axis=1)[:, None] + flat_found.sum(axis=1)[None, :] - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    rows, columns = _match_pairs(iou, min_iou)
    pairs = np.column_stack([rows, columns]).astype(np.int64)
    return MaskMatch(len(rows) / len(truth), len(rows) / len(estimate), pairs, iou[rows, columns])


def trace_correlation(true_traces: ArrayLike, found_traces: ArrayLike) -> Floats:
    """Return Pearson's r of each pair of traces over time.

    Parameters
    ----------
    true_traces, found_traces : array_like, shape (n_pairs, n_frames)
        Row k of the first belongs to row k of the second.

    Returns
    -------
    ndarray, float64, shape (n_pairs,)
        0 if a trace is constant.
    """
    truth, estimate = np.asarray(true_traces, dtype=np.float64), np.asarray(found_traces, dtype=np.float64)
    if truth.shape != estimate.shape or truth.ndim != 2:
        raise ValueError(f"traces must be of one shape (n_pairs, n_frames), not {truth.shape} and {estimate.shape}")
    truth = truth - truth.mean(axis=1, keepdims=True)
    estimate = estimate - estimate.mean(axis=1, keepdims=True)
    size = np.sqrt((truth**2).sum(axis=1) * (estimate**2).sum(axis=1))
    return np.asarray(np.divide((truth * estimate).sum(axis=1), size, out=np.zeros_like(size), where=size > 0))


def shift_error(true_shifts: ArrayLike, found_shifts: ArrayLike) -> float:
    """Return the root mean square error of a rigid motion estimate, in pixels, over frames and both axes.

    The mean difference of each axis is removed: a registration is free to choose its reference image.

    Parameters
    ----------
    true_shifts, found_shifts : array_like, shape (n_frames, 2)
        Displacement (y, x) of the image content in pixels. Negate the output of tools that give the correction
        (NoRMCorre and CaImAn; suite2p gives the displacement).
    """
    truth, estimate = np.asarray(true_shifts, dtype=np.float64), np.asarray(found_shifts, dtype=np.float64)
    if truth.shape != estimate.shape or truth.ndim != 2 or truth.shape[1] != 2:
        raise ValueError(f"shifts must be of one shape (n_frames, 2), not {truth.shape} and {estimate.shape}")
    difference = estimate - truth
    difference = difference - difference.mean(axis=0)
    return float(np.sqrt((difference**2).mean()))


def drift_error(true_drift: ArrayLike, found_drift: ArrayLike) -> float:
    """Return the largest error of an estimated drift of the tissue along a probe, in its unit.

    The median difference of each window is removed: an estimate is free to choose its zero.

    Parameters
    ----------
    true_drift : array_like, shape (n_times,)
        True displacement.
    found_drift : array_like, shape (n_times, n_windows)
        Estimated displacement in each window of depth, at the same times.
    """
    truth, estimate = np.asarray(true_drift, dtype=np.float64), np.asarray(found_drift, dtype=np.float64)
    if estimate.ndim != 2 or truth.shape != estimate.shape[:1]:
        raise ValueError(f"drifts must be of the same times, not {truth.shape} and {estimate.shape}")
    difference = estimate - truth[:, None]
    return float(np.abs(difference - np.median(difference, axis=0)).max())


def reference_offset(true_shifts: ArrayLike, found_shifts: ArrayLike) -> tuple[float, float]:
    """Return the displacement (y, x) of registered images against the scene without motion, in pixels.

    A registration aligns all frames to a reference image that is itself displaced. :func:`shift_error` removes this
    offset, and :func:`match_masks` needs it.

    Parameters
    ----------
    true_shifts, found_shifts : array_like, shape (n_frames, 2)
        See :func:`shift_error`.
    """
    difference = np.asarray(true_shifts, dtype=np.float64) - np.asarray(found_shifts, dtype=np.float64)
    y, x = difference.mean(axis=0)
    return float(y), float(x)


def unit_accuracy(
    true_spike_times: Sequence[ArrayLike],
    found_spike_times: Sequence[ArrayLike],
    tolerance_ms: float = 0.4,
    min_agreement: float = 0.5,
) -> Floats:
    """Return the accuracy of each true unit, TP / (TP + FP + FN), as SpikeInterface defines it.

    Spikes of two units match one to one within `tolerance_ms`. Units are assigned one to one for the largest total
    agreement, and pairs below `min_agreement` don't match (Buccino et al. 2020, eLife, SpikeInterface; Magland et
    al. 2020, eLife, SpikeForest). This implementation is independent: the tests compare it with
    ``spikeinterface.comparison.compare_sorter_to_ground_truth``.

    Parameters
    ----------
    true_spike_times, found_spike_times : sequence of array_like
        For each unit the times of its spikes in seconds, in the same clock.
    tolerance_ms : float, default 0.4
    min_agreement : float, default 0.5

    Returns
    -------
    ndarray, float64, shape (n_true_units,)
        0 for a unit without a match.
    """
    truth = [np.sort(np.asarray(train, dtype=np.float64)) for train in true_spike_times]
    estimate = [np.sort(np.asarray(train, dtype=np.float64)) for train in found_spike_times]
    agreement = np.zeros((len(truth), len(estimate)))
    for row, true_train in enumerate(truth):
        for column, found_train in enumerate(estimate):
            hits = _count_coincidences(true_train, found_train, tolerance_ms * 1e-3)
            total = len(true_train) + len(found_train) - hits
            agreement[row, column] = hits / total if total else 0.0
    accuracy = np.zeros(len(truth))
    if agreement.size:
        rows, columns = _match_pairs(agreement, min_agreement)
        accuracy[rows] = agreement[rows, columns]
    return accuracy


def pupil_correlation(true_area: ArrayLike, found_area: ArrayLike, min_valid: float = 0.9) -> float:
    """Return Pearson's r of the pupil's area, over the frames in which a pupil was found.

    Parameters
    ----------
    true_area, found_area : array_like, shape (n_frames,)
        Area in square pixels; not finite where no pupil was found.
    min_valid : float, default 0.9
        Smallest fraction of frames with a pupil. Below it the score is 0: a correlation over a few selected frames
        would be too good.
    """
    truth, estimate = np.asarray(true_area, dtype=np.float64), np.asarray(found_area, dtype=np.float64)
    if truth.shape != estimate.shape or truth.ndim != 1:
        raise ValueError(f"areas must be of one shape (n_frames,), not {truth.shape} and {estimate.shape}")
    valid = np.isfinite(estimate)
    if valid.sum() < max(2.0, min_valid * len(estimate)):
        return 0.0
    return float(trace_correlation(truth[None, valid], estimate[None, valid])[0])


def dff_correlation(true_dff: ArrayLike, found_dff: ArrayLike, min_valid: float = 0.9) -> float:
    """Return Pearson's r of a photometry trace, over the samples that are not missing.

    Parameters
    ----------
    true_dff, found_dff : array_like, shape (n_samples,)
        dF/F at the same times; not finite where it is missing.
    min_valid : float, default 0.9
        Smallest fraction of samples; below it the score is 0.
    """
    return pupil_correlation(true_dff, found_dff, min_valid)


def event_error_ms(true_times: ArrayLike, found_times: ArrayLike) -> float:
    """Return the largest error of event times in milliseconds; infinite if the number of events differs.

    Parameters
    ----------
    true_times, found_times : array_like, shape (n_events,)
        Sorted times in seconds, in the same clock. A found time that is not finite gives infinity, too.
    """
    truth, estimate = np.asarray(true_times, dtype=np.float64), np.asarray(found_times, dtype=np.float64)
    if truth.shape != estimate.shape or not np.isfinite(estimate).all():
        return math.inf
    if truth.size == 0:
        return 0.0
    return float(np.abs(estimate - truth).max() * 1e3)


def _shift_masks(masks: NDArray[np.bool_], offset: tuple[float, float]) -> NDArray[np.bool_]:
    """Move masks by integer pixels; pixels that leave the image are lost, pixels that enter it are empty."""
    dy, dx = (round(component) for component in offset)
    height, width = masks.shape[1:]
    moved = np.zeros_like(masks)
    moved[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = masks[
        :, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved


def _match_pairs(score: Floats, minimum: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Assign rows to columns, one to one, for the largest total score; use only pairs that reach `minimum`."""
    optimize: Any = require("scipy.optimize", "scipy")
    eligible = np.where(score >= minimum, score, 0.0)
    rows, columns = optimize.linear_sum_assignment(eligible, maximize=True)
    is_match = eligible[rows, columns] > 0
    return rows[is_match], columns[is_match]


def _count_coincidences(first: Floats, second: Floats, tolerance: float) -> int:
    """Count the spikes of two sorted trains that pair one to one within `tolerance` seconds."""
    # One nanosecond more: 12 samples of 1/30000 s are 0.4 ms only up to rounding.
    tolerance += 1e-9
    i = j = hits = 0
    while i < len(first) and j < len(second):
        distance = second[j] - first[i]
        if abs(distance) <= tolerance:
            hits, i, j = hits + 1, i + 1, j + 1
        elif distance > 0:
            i += 1
        else:
            j += 1
    return hits
