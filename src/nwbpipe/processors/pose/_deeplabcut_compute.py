"""Track keypoints in a video with a trained DeepLabCut model (compute module: see `nwbpipe.processors`).

Frames are decoded here, one after the other, and handed to DeepLabCut: it opens no video by itself.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_model import choose_device, describe_backbone, read_snapshot
from ._video_frames import check_packets, crop_image, explain_count, iter_frames

Progress = Callable[[float, str], None]

_BLOCK = 256  # frames that are handed to DeepLabCut at a time


def read_model_config(folder: Path, bodyparts: list[str]) -> dict[str, Any]:
    """Return a model's configuration; refuse one that can't be run here."""
    import yaml

    with (folder / "pytorch_config.yaml").open(encoding="utf-8") as file:
        config: dict[str, Any] = yaml.safe_load(file)
    own = list(config["metadata"]["bodyparts"])
    if own != bodyparts:
        raise ValueError("the model's keypoints are %s, and its index says %s" % (own, bodyparts))
    return config


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Predict the keypoints in each frame of the video."""
    params, facts, item = request["params"], request["facts"], request["inputs"]["video"]
    folder, expected = Path(request["inputs"]["model"]["folder"]), facts["frames"]
    snapshot = read_snapshot(folder)
    check_packets(item, expected)
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
    frames, blocks, count = iter_frames(item, facts["starting_frame"]), [], 0
    while True:
        images = [crop_image(image, params["crop"]) for image in islice(frames, _BLOCK)]
        if not images:
            break
        count += len(images)
        if expected is not None and count > expected:
            raise ValueError(explain_count(count + sum(1 for _ in frames), expected))
        blocks.append(np.stack([prediction["bodyparts"][0] for prediction in runner.inference(images)]))
        progress(0.02 + 0.97 * (count / expected if expected else 0.5), "%d frames" % count)
    if expected is not None and count != expected:
        raise ValueError(explain_count(count, expected))
    if not count:
        raise ValueError("the video has no frames")
    poses = np.concatenate(blocks).astype(np.float32)
    if params["crop"]:
        poses[..., :2] += np.array([params["crop"][0][0], params["crop"][1][0]], dtype=np.float32)
    results["poses"] = poses
    sure = poses[..., 2] >= facts["likelihood_cutoff"]
    progress(1.0, "%d frames" % count)
    return {
        "frames": count,
        "device": device,
        "backbone": describe_backbone(config),
        "snapshot": snapshot.name,
        "sure": {part: round(float(sure[:, index].mean()), 4) for index, part in enumerate(facts["bodyparts"])},
        "tool_version": str(deeplabcut.__version__),
    }
