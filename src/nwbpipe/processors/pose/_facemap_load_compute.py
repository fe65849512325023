"""Take a trained network of Facemap as it is (compute module: see `nwbpipe.processors`).

That the weights are those of such a network, with as many keypoints, is seen here, and not in the first session.
"""

from __future__ import annotations

import io
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._facemap_model import WEIGHTS, build_network, import_facemap, read_weights

Progress = Callable[[float, str], None]

_DEPTHS = 5


def read_channels(state: dict[str, Any], name: str) -> list[int]:
    """Return the number of features at each depth of the network that weights are of."""
    channels = []
    for depth in range(_DEPTHS):
        kernels = [
            value for key, value in state.items() if key.startswith("Conv.conv%d." % depth) and len(value.shape) == 4
        ]
        if not kernels:
            raise ValueError(
                "%s is not of Facemap's network for keypoints: it has no weights Conv.conv%d" % (name, depth)
            )
        channels.append(int(kernels[-1].shape[0]))
    return channels


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Load the network once, and leave its weights in `results`."""
    (path,) = sorted(Path(request["inputs"]["trained"]["folder"]).glob("*.pt"))
    bodyparts = list(request["params"]["keypoints"])
    progress(0.0, "starting Facemap")
    import torch

    state = read_weights(path)
    channels = read_channels(state, path.name)
    last = state.get("Conv2_1x1.conv0.weight")
    if last is None or last.shape[0] != len(bodyparts):
        count = 0 if last is None else last.shape[0]
        raise ValueError(
            "%s finds %d keypoints, but `keypoints` names %d: %s"
            % (path.name, count, len(bodyparts), ", ".join(bodyparts))
        )
    network = build_network(import_facemap(), bodyparts, channels, "cpu")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError("%s is not of Facemap's network for keypoints: %s" % (path.name, error)) from error
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    results["files/" + WEIGHTS] = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    progress(1.0, path.name)
    return {
        "channels": channels,
        "bodyparts": bodyparts,
        "skeleton": [],
        "facemap": version("facemap"),
    }
