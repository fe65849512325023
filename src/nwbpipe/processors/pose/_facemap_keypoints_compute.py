"""Track keypoints in a video with Facemap's network (compute module: see `nwbpipe.processors`).

Frames are decoded here, one after the other: Facemap opens no video by itself. `_facemap_model` says what is done
otherwise than in Facemap.
"""

from __future__ import annotations

from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_model import choose_device
from ._facemap_model import WEIGHTS, build_network, import_facemap, predict_frames, read_weights, to_gray
from ._video_frames import check_packets, crop_image, explain_count, iter_frames

Progress = Callable[[float, str], None]


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Predict the keypoints in each frame of the video."""
    params, facts, item = request["params"], request["facts"], request["inputs"]["video"]
    folder, expected = Path(request["inputs"]["model"]["folder"]), facts["frames"]
    if not (folder / WEIGHTS).is_file():
        raise ValueError("the model has no weights: no file %s" % WEIGHTS)
    check_packets(item, expected)
    progress(0.0, "starting Facemap")
    import torch

    torch.set_num_threads(max(1, int(request["threads"])))
    facemap, device = import_facemap(), choose_device()
    network = build_network(facemap, facts["bodyparts"], facts["channels"], device)
    try:
        network.load_state_dict(read_weights(folder / WEIGHTS))
    except RuntimeError as error:
        raise ValueError("the weights do not fit the model's keypoints and channels: %s" % error) from error
    frames, blocks, count = iter_frames(item, facts["starting_frame"]), [], 0
    while True:
        images = [to_gray(crop_image(image, params["crop"])) for image in islice(frames, params["batch_size"])]
        if not images:
            break
        count += len(images)
        if expected is not None and count > expected:
            raise ValueError(explain_count(count + sum(1 for _ in frames), expected))
        blocks.append(predict_frames(facemap, network, images))
        progress(0.02 + 0.97 * (count / expected if expected else 0.5), "%d frames" % count)
    if expected is not None and count != expected:
        raise ValueError(explain_count(count, expected))
    if not count:
        raise ValueError("the video has no frames")
    poses = np.concatenate(blocks)
    if params["crop"]:
        poses[..., :2] += np.array([params["crop"][0][0], params["crop"][1][0]], dtype=np.float32)
    results["poses"] = poses
    sure = poses[..., 2] >= facts["likelihood_cutoff"]
    progress(1.0, "%d frames" % count)
    return {
        "frames": count,
        "device": device,
        "sure": {part: round(float(sure[:, index].mean()), 4) for index, part in enumerate(facts["bodyparts"])},
        "tool_version": version("facemap"),
    }
