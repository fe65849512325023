"""Scores of recovered against true: what the demo prints and the tests demand. numpy and scipy only."""

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
    """How found masks match true ones.

    Attributes
    ----------
    recall : float
        Matched true masks among all true ones.
    precision : float
        Matched found masks among all found ones; 0 if none was found.
    pairs : ndarray, int64, shape (n_matches, 2)
        Index of the true and of the found mask of each match, in order of the true one.
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
    """Match found masks to true ones, one to one, with the largest total intersection over union (IoU).

    A pair below `min_iou` is no match. Above one half a match is beyond doubt: of masks that don't overlap
    each other, at most one can share more than half of its union with a given mask (Kirillov et al. 2019,
    Panoptic segmentation, section 4.1).

    Parameters
    ----------
    true_masks : array_like, bool, shape (n_true, height, width)
    found_masks : array_like, bool, shape (n_found, height, width)
    min_iou : float, default 0.5
    offset : (float, float), default (0, 0)
        Displacement (y, x) of the found image against the true one in pixels, from
        :func:`reference_offset`; the true masks are moved by it, rounded to whole pixels.

    Raises
    ------
    ValueError
        No true mask is given, or the images differ in shape.
    """
    truth, found = np.asarray(true_masks, dtype=bool), np.asarray(found_masks, dtype=bool)
    if len(truth) == 0:
        raise ValueError("there is no true mask to match")
    if len(found) == 0:
        return MaskMatch(0.0, 0.0, np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    if truth.shape[1:] != found.shape[1:]:
        raise ValueError(f"true masks are of {truth.shape[1:]} pixels, found ones of {found.shape[1:]}")
    truth = _shift_masks(truth, offset)
    flat_truth = truth.reshape(len(truth), -1).astype(np.float32)
    flat_found = found.reshape(len(found), -1).astype(np.float32)
    shared = (flat_truth @ flat_found.T).astype(np.float64)
    union = flat_truth.sum(axis=1)[:, None] + flat_found.sum(axis=1)[None, :] - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    rows, columns = _match_pairs(iou, min_iou)
    pairs = np.column_stack([rows, columns]).astype(np.int64)
    return MaskMatch(len(rows) / len(truth), len(rows) / len(found), pairs, iou[rows, columns])


def trace_correlation(true_traces: ArrayLike, found_traces: ArrayLike) -> Floats:
    """Pearson's r of each pair of traces over time.

    Parameters
    ----------
    true_traces, found_traces : array_like, shape (n_pairs, n_frames)
        Row k of one belongs to row k of the other.

    Returns
    -------
    ndarray, float64, shape (n_pairs,)
        0 where a trace is constant: it says nothing about the other.
    """
    truth, found = np.asarray(true_traces, dtype=np.float64), np.asarray(found_traces, dtype=np.float64)
    if truth.shape != found.shape or truth.ndim != 2:
        raise ValueError(f"traces must be of one shape (n_pairs, n_frames), not {truth.shape} and {found.shape}")
    truth = truth - truth.mean(axis=1, keepdims=True)
    found = found - found.mean(axis=1, keepdims=True)
    size = np.sqrt((truth**2).sum(axis=1) * (found**2).sum(axis=1))
    return np.asarray(np.divide((truth * found).sum(axis=1), size, out=np.zeros_like(size), where=size > 0))


def shift_error(true_shifts: ArrayLike, found_shifts: ArrayLike) -> float:
    """Root mean square error of a rigid motion estimate, in pixels, over frames and both axes.

    The mean difference of each axis is removed: a registration is free to choose its reference image.

    Parameters
    ----------
    true_shifts, found_shifts : array_like, shape (n_frames, 2)
        Displacement (y, x) of the image content in pixels. A tool that gives the correction must be
        negated (NoRMCorre and CaImAn; suite2p gives the displacement).
    """
    truth, found = np.asarray(true_shifts, dtype=np.float64), np.asarray(found_shifts, dtype=np.float64)
    if truth.shape != found.shape or truth.ndim != 2 or truth.shape[1] != 2:
        raise ValueError(f"shifts must be of one shape (n_frames, 2), not {truth.shape} and {found.shape}")
    difference = found - truth
    difference = difference - difference.mean(axis=0)
    return float(np.sqrt((difference**2).mean()))


def reference_offset(true_shifts: ArrayLike, found_shifts: ArrayLike) -> tuple[float, float]:
    """Where registered images lie against the scene without motion: displacement (y, x) in pixels.

    What :func:`shift_error` leaves out, and what :func:`match_masks` needs: a registration lays all frames
    on a reference image that has a displacement of its own.

    Parameters
    ----------
    true_shifts, found_shifts : array_like, shape (n_frames, 2)
        As for :func:`shift_error`.
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
    """Accuracy of each true unit, TP / (TP + FP + FN), as SpikeInterface defines it.

    Spikes of two units match one to one within `tolerance_ms`; units are assigned one to one with the
    largest total agreement, and a pair below `min_agreement` is no match (Buccino et al. 2020, eLife,
    SpikeInterface; Magland et al. 2020, eLife, SpikeForest). An independent implementation: the tests
    compare it with ``spikeinterface.comparison.compare_sorter_to_ground_truth``.

    Parameters
    ----------
    true_spike_times, found_spike_times : sequence of array_like
        For each unit, the times of its spikes in seconds, in one clock.
    tolerance_ms : float, default 0.4
    min_agreement : float, default 0.5

    Returns
    -------
    ndarray, float64, shape (n_true_units,)
        0 for a unit that no found unit matches.
    """
    truth = [np.sort(np.asarray(train, dtype=np.float64)) for train in true_spike_times]
    found = [np.sort(np.asarray(train, dtype=np.float64)) for train in found_spike_times]
    agreement = np.zeros((len(truth), len(found)))
    for row, true_train in enumerate(truth):
        for column, found_train in enumerate(found):
            hits = _count_coincidences(true_train, found_train, tolerance_ms * 1e-3)
            total = len(true_train) + len(found_train) - hits
            agreement[row, column] = hits / total if total else 0.0
    accuracy = np.zeros(len(truth))
    if agreement.size:
        rows, columns = _match_pairs(agreement, min_agreement)
        accuracy[rows] = agreement[rows, columns]
    return accuracy


def pupil_correlation(true_area: ArrayLike, found_area: ArrayLike, min_valid: float = 0.9) -> float:
    """Pearson's r of the pupil's area over the frames in which one was found.

    Parameters
    ----------
    true_area, found_area : array_like, shape (n_frames,)
        Area in square pixels; not finite where no pupil was found.
    min_valid : float, default 0.9
        The smallest share of frames with a pupil. With fewer the score is 0: a correlation over a few
        chosen frames would flatter.
    """
    truth, found = np.asarray(true_area, dtype=np.float64), np.asarray(found_area, dtype=np.float64)
    if truth.shape != found.shape or truth.ndim != 1:
        raise ValueError(f"areas must be of one shape (n_frames,), not {truth.shape} and {found.shape}")
    valid = np.isfinite(found)
    if valid.sum() < max(2.0, min_valid * len(found)):
        return 0.0
    return float(trace_correlation(truth[None, valid], found[None, valid])[0])


def dff_correlation(true_dff: ArrayLike, found_dff: ArrayLike, min_valid: float = 0.9) -> float:
    """Pearson's r of a photometry trace, over the samples that are not missing.

    Parameters
    ----------
    true_dff, found_dff : array_like, shape (n_samples,)
        dF/F at the same times; not finite where it is missing.
    min_valid : float, default 0.9
        The smallest share of samples; with fewer the score is 0.
    """
    return pupil_correlation(true_dff, found_dff, min_valid)


def event_error_ms(true_times: ArrayLike, found_times: ArrayLike) -> float:
    """Largest error of event times in milliseconds; infinite if an event is missing, surplus or not finite.

    Parameters
    ----------
    true_times, found_times : array_like, shape (n_events,)
        In seconds, in one clock, both in order of time.
    """
    truth, found = np.asarray(true_times, dtype=np.float64), np.asarray(found_times, dtype=np.float64)
    if truth.shape != found.shape or not np.isfinite(found).all():
        return math.inf
    if truth.size == 0:
        return 0.0
    return float(np.abs(found - truth).max() * 1e3)


def _shift_masks(masks: NDArray[np.bool_], offset: tuple[float, float]) -> NDArray[np.bool_]:
    """Masks moved by whole pixels; what leaves the image is lost, what enters is empty."""
    dy, dx = (round(component) for component in offset)
    height, width = masks.shape[1:]
    moved = np.zeros_like(masks)
    moved[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = masks[
        :, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved


def _match_pairs(score: Floats, minimum: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One-to-one assignment with the largest total score, of pairs that reach `minimum`."""
    optimize: Any = require("scipy.optimize", "scipy")
    eligible = np.where(score >= minimum, score, 0.0)
    rows, columns = optimize.linear_sum_assignment(eligible, maximize=True)
    kept = eligible[rows, columns] > 0
    return rows[kept], columns[kept]


def _count_coincidences(first: Floats, second: Floats, tolerance: float) -> int:
    """How many spikes of two sorted trains pair off one to one within `tolerance` seconds."""
    # A nanosecond of grace: 12 samples of 1/30000 s are 0.4 ms only up to rounding.
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
