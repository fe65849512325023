"""Track keypoints in a video with Facemap's network (compute module: see `nwbpipe.processors`).

Frames are decoded here, one after the other: Facemap opens no video by itself. `_facemap_model` says what is done
otherwise than in Facemap.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_model import choose_device
from ._facemap_model import WEIGHTS, build_network, import_facemap, predict_frames, read_weights, to_gray
from ._video_frames import check_packets, track_frames

Progress = Callable[[float, str], None]


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Predict the keypoints in each frame of the video."""
    params, facts, item = request["params"], request["facts"], request["inputs"]["video"]
    folder = Path(request["inputs"]["model"]["folder"])
    if not (folder / WEIGHTS).is_file():
        raise ValueError("the model has no weights: no file %s" % WEIGHTS)
    check_packets(item, facts["frames"])
    progress(0.0, "starting Facemap")
    import torch

    torch.set_num_threads(max(1, int(request["threads"])))
    facemap, device = import_facemap(), choose_device()
    network = build_network(facemap, facts["bodyparts"], facts["channels"], device)
    try:
        network.load_state_dict(read_weights(folder / WEIGHTS))
    except RuntimeError as error:
        raise ValueError("the weights do not fit the model's keypoints and channels: %s" % error) from error

    def predict(images: list[np.ndarray]) -> np.ndarray:
        return predict_frames(facemap, network, [to_gray(image) for image in images])

    tracked = track_frames(request, predict, params["batch_size"], results, progress)
    return {
        **tracked,
        "device": device,
        "tool_version": version("facemap"),
    }
