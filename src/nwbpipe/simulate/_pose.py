"""Simulate keypoints of the face video, as DeepLabCut's CSV with its project's config.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nwbpipe.simulate._common import Floats
from nwbpipe.simulate._face import HEIGHT, WIDTH, FaceTruth, locate_marker

SCORER = "DLC_Resnet50_simfaceMay1shuffle1_snapshot_best-40"
BODYPARTS = ("pupil", "whisker", "nose", "mouth")
SKELETON = (("whisker", "nose"), ("nose", "mouth"))
ERROR_PX = 0.3
OUTLIER_FRACTION, OUTLIER_PX = 0.01, 15.0


@dataclass(frozen=True)
class PoseTruth:
    """The truth of the simulated pose estimate.

    Attributes
    ----------
    bodyparts : tuple of str
        Names of the keypoints, in the order of the file.
    keypoints : ndarray, float64, shape (n_frames, n_bodyparts, 2)
        True position (x, y) in pixels of the video, (0, 0) at the top left.
    estimates : ndarray, float64, shape (n_frames, n_bodyparts, 2)
        Position as the file gives it: the truth with an error of :data:`ERROR_PX`, and 1 % outliers.
    likelihood : ndarray, float64, shape (n_frames, n_bodyparts)
        Likelihood in the file; below 0.3 for outliers.
    frame_times : ndarray, float64, shape (n_frames,)
        Time of each row in seconds, in the reference clock (the video's frames).
    """

    bodyparts: tuple[str, ...]
    keypoints: Floats
    estimates: Floats
    likelihood: Floats
    frame_times: Floats


def write_pose(folder: Path, video: Path, rng: np.random.Generator, face: FaceTruth) -> PoseTruth:
    """Write `folder`/<video stem><scorer>.csv and `folder`/config.yaml.

    Parameters
    ----------
    folder : Path
        Folder of the two files.
    video : Path
        The video that the keypoints belong to; only its name is used.
    rng : numpy.random.Generator
        Source of all randomness.
    face : FaceTruth
        The movements in that video.
    """
    marker_y, marker_x = locate_marker()
    n_frames = len(face.frame_times)
    whisker = np.column_stack([np.full(n_frames, marker_y), marker_x + face.whisker_position])
    keypoints = np.stack([face.pupil_center, whisker, face.nose, face.mouth], axis=1)[:, :, ::-1]
    shape = keypoints.shape
    error = rng.normal(0.0, ERROR_PX, shape)
    outlier = rng.uniform(size=shape[:2]) < OUTLIER_FRACTION
    error[outlier] += rng.normal(0.0, OUTLIER_PX, (int(outlier.sum()), 2))
    estimates: Floats = np.round(keypoints + error, 4)
    certain, doubtful = rng.uniform(0.97, 1.0, shape[:2]), rng.uniform(0.01, 0.3, shape[:2])
    likelihood = np.asarray(np.round(np.where(outlier, doubtful, certain), 6), dtype=np.float64)
    folder.mkdir(parents=True, exist_ok=True)
    build_pose_path(folder, video).write_text(_format_csv(estimates, likelihood), encoding="ascii")
    (folder / "config.yaml").write_text(_format_config(video.name), encoding="ascii")
    return PoseTruth(BODYPARTS, np.ascontiguousarray(keypoints), estimates, likelihood, face.frame_times)


def build_pose_path(folder: Path, video: Path) -> Path:
    """Return the path of the CSV with the name that DeepLabCut gives it: the video's stem, then the scorer."""
    return folder / f"{video.stem}{SCORER}.csv"


def _format_csv(estimates: Floats, likelihood: Floats) -> str:
    columns = [(part, coordinate) for part in BODYPARTS for coordinate in ("x", "y", "likelihood")]
    lines = [
        ",".join(["scorer"] + [SCORER] * len(columns)),
        ",".join(["bodyparts"] + [part for part, _ in columns]),
        ",".join(["coords"] + [coordinate for _, coordinate in columns]),
    ]
    for frame, (points, certainty) in enumerate(zip(estimates, likelihood, strict=True)):
        cells = [f"{x:.4f},{y:.4f},{p:.6f}" for (x, y), p in zip(points, certainty, strict=True)]
        lines.append(",".join([str(frame), *cells]))
    return "\n".join(lines) + "\n"


def _format_config(video_name: str) -> str:
    parts = "".join(f"- {part}\n" for part in BODYPARTS)
    edges = "".join(f"- - {first}\n  - {second}\n" for first, second in SKELETON)
    return (
        "# Project definitions (do not edit)\n"
        "Task: simface\nscorer: nwbpipe\ndate: May1\nmultianimalproject: false\nidentity:\n\n"
        "# Project path (change when moving around)\n"
        "project_path: /data/simface-nwbpipe-2024-05-01\n\n"
        "engine: pytorch\n\n"
        "# Annotation data set configuration (and individual video cropping parameters)\n"
        "video_sets:\n"
        f"  /data/simface-nwbpipe-2024-05-01/videos/{video_name}:\n"
        f"    crop: 0, {WIDTH}, 0, {HEIGHT}\n"
        f"bodyparts:\n{parts}\n"
        "# Fraction of video to start/stop when extracting frames for labeling/refinement\n"
        "start: 0\nstop: 1\nnumframes2pick: 20\n\n"
        f"# Plotting configuration\nskeleton:\n{edges}"
        "skeleton_color: black\npcutoff: 0.6\ndotsize: 6\nalphavalue: 0.7\ncolormap: rainbow\n\n"
        "# Training,Evaluation and Analysis configuration\n"
        "TrainingFraction:\n- 0.95\niteration: 0\ndefault_net_type: resnet_50\n"
        "default_augmenter: default\nsnapshotindex: -1\nbatch_size: 8\n"
    )
