"""Track keypoints in a video with a trained DeepLabCut model (compute module: see `nwbpipe.processors`).

Frames are decoded here, one after the other, and handed to DeepLabCut: it opens no video by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_animals import link_animals, mark_absent
from ._deeplabcut_model import choose_device, describe_backbone, read_snapshot
from ._video_frames import check_packets, measure_sure, predict_frames, track_frames

Progress = Callable[[float, str], None]

_BLOCK = 256  # frames that are handed to DeepLabCut at a time


def read_model_config(folder: Path, bodyparts: list[str], n_animals: int) -> dict[str, Any]:
    """Return a model's configuration; refuse one that can't be run here."""
    import yaml

    with (folder / "pytorch_config.yaml").open(encoding="utf-8") as file:
        config: dict[str, Any] = yaml.safe_load(file)
    model_parts = list(config["metadata"]["bodyparts"])
    if model_parts != bodyparts:
        raise ValueError("the model's keypoints are %s, and its index says %s" % (model_parts, bodyparts))
    in_model = len(config["metadata"].get("individuals") or [""])
    if in_model != n_animals:
        raise ValueError("the model finds %d animals, and its index says %d" % (in_model, n_animals))
    return config


def track_animals(
    request: dict[str, Any],
    predict: Callable[[list[np.ndarray]], np.ndarray],
    results: h5py.File,
    progress: Progress,
) -> dict[str, Any]:
    """Find several animals in each frame and link them; leave ``poses``, float32, (frames, animals, keypoints, 3)."""
    facts = request["facts"]
    found = predict_frames(request, predict, _BLOCK, lambda part, text: progress(0.97 * part, text))
    progress(0.98, "linking the animals from frame to frame")
    names = facts["individuals"]
    tracks = link_animals(found, facts["bodyparts"], len(names), facts["tracking"])
    results["poses"] = tracks.poses
    present = np.isfinite(found[..., :2]).all(axis=-1).any(axis=-1).sum(axis=1)
    tracked = np.isfinite(tracks.poses[..., :2]).all(axis=-1).any(axis=-1)
    progress(1.0, "%d frames, %d tracklets" % (len(found), tracks.tracklets))
    return {
        "frames": len(found),
        "tracklets": tracks.tracklets,
        "found": {str(count): int((present == count).sum()) for count in np.unique(present)},
        "tracked": {name: round(float(share), 4) for name, share in zip(names, tracked.mean(axis=0))},
        "sure": {name: measure_sure(tracks.poses[:, number], facts) for number, name in enumerate(names)},
    }


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Predict the keypoints in each frame of the video."""
    params, facts, item = request["params"], request["facts"], request["inputs"]["video"]
    folder = Path(request["inputs"]["model"]["folder"])
    snapshot = read_snapshot(folder)
    check_packets(item, facts["frames"])
    progress(0.0, "starting DeepLabCut")
    import deeplabcut
    import torch
    from deeplabcut.pose_estimation_pytorch.apis.utils import get_pose_inference_runner

    torch.set_num_threads(max(1, int(request["threads"])))
    device = choose_device()
    animals = facts["model_individuals"]  # empty: of one
    config = read_model_config(folder, facts["bodyparts"], len(animals) or 1)
    runner = get_pose_inference_runner(
        folder / "pytorch_config.yaml",
        str(snapshot),
        batch_size=params["batch_size"],
        device=device,
        max_individuals=len(animals) or 1,
    )

    def predict(images: list[np.ndarray]) -> np.ndarray:
        return np.stack([prediction["bodyparts"][0] for prediction in runner.inference(images)])

    def predict_animals(images: list[np.ndarray]) -> np.ndarray:
        return mark_absent(np.stack([prediction["bodyparts"] for prediction in runner.inference(images)]))

    if animals:
        tracked = track_animals(request, predict_animals, results, progress)
    else:
        tracked = track_frames(request, predict, _BLOCK, results, progress)
    return {
        **tracked,
        "device": device,
        "backbone": describe_backbone(config),
        "snapshot": snapshot.name,
        "tool_version": str(deeplabcut.__version__),
    }
