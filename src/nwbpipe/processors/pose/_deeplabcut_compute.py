"""Track keypoints in a video with a trained DeepLabCut model (compute module: see `nwbpipe.processors`).

Frames are decoded here, one after the other, and handed to DeepLabCut: it opens no video by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_model import choose_device, describe_backbone, read_snapshot
from ._video_frames import check_packets, track_frames

Progress = Callable[[float, str], None]

_BLOCK = 256  # frames that are handed to DeepLabCut at a time


def read_model_config(folder: Path, bodyparts: list[str]) -> dict[str, Any]:
    """Return a model's configuration; refuse one that can't be run here."""
    import yaml

    with (folder / "pytorch_config.yaml").open(encoding="utf-8") as file:
        config: dict[str, Any] = yaml.safe_load(file)
    model_parts = list(config["metadata"]["bodyparts"])
    if model_parts != bodyparts:
        raise ValueError("the model's keypoints are %s, and its index says %s" % (model_parts, bodyparts))
    return config


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
    config = read_model_config(folder, facts["bodyparts"])
    runner = get_pose_inference_runner(
        folder / "pytorch_config.yaml",
        str(snapshot),
        batch_size=params["batch_size"],
        device=device,
        max_individuals=1,
    )

    def predict(images: list[np.ndarray]) -> np.ndarray:
        return np.stack([prediction["bodyparts"][0] for prediction in runner.inference(images)])

    tracked = track_frames(request, predict, _BLOCK, results, progress)
    return {
        **tracked,
        "device": device,
        "backbone": describe_backbone(config),
        "snapshot": snapshot.name,
        "tool_version": str(deeplabcut.__version__),
    }
