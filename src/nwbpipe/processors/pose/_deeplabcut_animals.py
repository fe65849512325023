"""Match several animals with their labels, and link them from frame to frame (part of the compute modules beside it).

What DeepLabCut 3 does with the animals that its network finds in each frame (`deeplabcut.analyze_videos` with
``auto_track``), without its files: tracklets by a tracker, and as many tracks as animals by stitching.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

#: DeepLabCut's ``inference_cfg.yaml`` for its trackers, as it writes it for a new project.
_TRACKER = {"max_age": 1, "min_hits": 1, "iou_threshold": 0.6, "pcutoff": 0.1}

#: Keypoints of an animal that are needed for an ellipse around them.
ELLIPSE_POINTS = 3


def mark_absent(predicted: np.ndarray) -> np.ndarray:
    """Return predictions, (..., 3 or more), with NaN where DeepLabCut says by -1 that nothing was found."""
    poses = np.array(predicted[..., :3], dtype=np.float64)
    poses[(poses[..., :2] < 0).any(axis=-1) | (poses[..., 2] < 0)] = np.nan
    return poses


def match_animals(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the predicted animals in the order of the labelled ones, by the smallest sum of their mean distances.

    Parameters
    ----------
    predicted : ndarray, shape (n_predicted, n_keypoints, 3)
        NaN where nothing was found.
    labels : ndarray, shape (n_animals, n_keypoints, 2)
        NaN where there is no label.

    Returns
    -------
    ndarray, shape (n_animals, n_keypoints, 3)
        NaN for an animal without a prediction that shares a keypoint with it.
    """
    from scipy.optimize import linear_sum_assignment

    apart = predicted[None, ..., :2] - labels[:, None]
    distances = np.hypot(apart[..., 0], apart[..., 1])
    shared = np.isfinite(distances).any(axis=2)
    counts = np.maximum(np.isfinite(distances).sum(axis=2), 1)
    costs = np.where(shared, np.nansum(distances, axis=2) / counts, 1e9)
    matched = np.full((*labels.shape[:2], 3), np.nan)
    for animal, candidate in zip(*linear_sum_assignment(costs), strict=True):
        if shared[animal, candidate]:
            matched[animal] = predicted[candidate]
    return matched


def count_missed(predicted: np.ndarray, labels: np.ndarray) -> int:
    """Return the number of labelled keypoints for which no animal was found, or not this keypoint of it."""
    labelled = np.isfinite(labels).all(axis=-1)
    return int((labelled & ~np.isfinite(predicted[..., :2]).all(axis=-1)).sum())


def make_filter(dim: int, order: int, dim_z: int = 1, order_by_dim: bool = False) -> Any:
    """Return a Kalman filter of constant velocity in which each position is measured by itself.

    That is what `filterpy.common.kinematic_kf` of filterpy 1 returns, for which DeepLabCut's trackers are written.
    The one of filterpy 2, which DeepLabCut 3.0.2 allows, measures in each the sum of all positions: ellipses are then
    nowhere near the animals, and each frame begins new tracklets.
    """
    from filterpy.kalman import KalmanFilter

    if order != 1 or dim_z > dim or order_by_dim:
        raise RuntimeError("DeepLabCut's trackers ask for a filter that is not known here")
    kalman = KalmanFilter(dim_x=2 * dim, dim_z=dim)
    kalman.F = np.kron([[1.0, 1.0], [0.0, 1.0]], np.eye(dim))
    kalman.H = np.eye(dim, 2 * dim)
    return kalman


class Tracks(NamedTuple):
    """Animals in each frame, each the same one in all frames as far as the tracker could follow it.

    Attributes
    ----------
    poses : ndarray of float32, shape (n_frames, n_tracks, n_keypoints, 3)
        x, y and likelihood; NaN where the animal was not tracked.
    tracklets : int
        Pieces without a gap that the tracker made.
    """

    poses: np.ndarray
    tracklets: int


def link_animals(found: np.ndarray, bodyparts: list[str], n_tracks: int, tracking: dict[str, Any]) -> Tracks:
    """Link the animals that were found in each frame to tracks.

    Parameters
    ----------
    found : ndarray, shape (n_frames, n_animals, n_keypoints, 3)
        NaN where nothing was found.
    bodyparts : list of str
    n_tracks : int
        Number of tracks.
    tracking : dict
        ``tracker``, "ellipse" or "box"; ``box_margin_px``, pixels that a box is wider on each side than its
        keypoints; ``min_tracklet_frames``, of the shortest tracklet that decides which belong together: shorter ones
        are added afterwards.
    """
    from deeplabcut.core import trackingutils
    from deeplabcut.pose_estimation_pytorch.apis.tracklets import build_tracklets
    from deeplabcut.refine_training_dataset.stitch import TrackletStitcher

    n_frames, n_animals, n_parts = found.shape[:3]
    tracks = np.full((n_frames, n_tracks, n_parts, 3), np.nan, dtype=np.float32)
    assemblies: dict[Any, Any] = {"single": {}}
    for number, animals in enumerate(found):
        present = animals[np.isfinite(animals[..., :2]).all(axis=-1).any(axis=-1)]
        # DeepLabCut's numbers of ellipses are those of animals only if the ones without an ellipse come last.
        likely = (np.nan_to_num(present[..., 2]) >= _TRACKER["pcutoff"]).sum(axis=1)
        present = present[np.argsort(likely < ELLIPSE_POINTS, kind="stable")]
        missing = ~np.isfinite(present).all(axis=-1, keepdims=True)
        # As DeepLabCut leaves them: -1 where a keypoint is missing, and for the identity, which is not learned.
        assemblies[number] = np.concatenate([np.where(missing, -1.0, present), np.full(missing.shape, -1.0)], axis=2)
    trackingutils.kinematic_kf = make_filter
    tracklets = build_tracklets(
        assemblies_data=assemblies,
        track_method=tracking["tracker"],
        inference_cfg={**_TRACKER, "boundingboxslack": tracking["box_margin_px"], "topktoretain": max(n_animals, 2)},
        joints=list(bodyparts),
        scorer="nwbpipe",
        num_frames=n_frames,
    )
    pieces = len(tracklets) - 1  # beside the header
    if not pieces:
        return Tracks(tracks, 0)
    try:
        stitcher = TrackletStitcher.from_dict_of_dict(tracklets, n_tracks, min_length=tracking["min_tracklet_frames"])
    except OSError:  # "Tracklets are empty": none is long enough
        return Tracks(tracks, pieces)
    stitcher.build_graph()
    stitcher.stitch()
    table = stitcher.format_df([f"track{number}" for number in range(n_tracks)])
    values = table.to_numpy(dtype=np.float32).reshape(len(table), n_tracks, n_parts, 3)
    tracks[: len(values)] = values
    tracks[~np.isfinite(tracks[..., :2]).all(axis=-1)] = np.nan
    return Tracks(tracks, pieces)
