"""Load Facemap's network for keypoints, and prepare frames for it.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool (Facemap) only.

What is done otherwise than in Facemap 1.0.8, which would give other positions than those that the network learned:

- A frame is normalized by itself, as in training. Facemap normalizes the frames of a batch together: positions then
  depend on the batch.
- A frame is resized as in training (corners aligned); Facemap resizes otherwise when it predicts.
- A mirrored frame has its keypoints at ``255 - x``, not ``256 - x``.
- Nothing is downloaded: the modules that do so as they are imported are left alone. Facemap's window for the progress
  of training, which needs Qt, is replaced.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Callable

import numpy as np

#: Height and width of what the network sees.
SIZE = (256, 256)
WEIGHTS = "facemap-best.pt"


def import_facemap(on_epoch: Callable[[], None] | None = None) -> Any:
    """Return Facemap's modules for keypoints; `on_epoch` is called after each epoch of training."""

    class ProgressBarPopup:
        def __init__(self, *_: Any) -> None:
            pass

        def update_progress_bar(self, *_: Any) -> None:
            if on_epoch is not None:
                on_epoch()

        def close(self) -> None:
            pass

    gui, windows = types.ModuleType("facemap.gui"), types.ModuleType("facemap.gui.help_windows")
    windows.ProgressBarPopup = ProgressBarPopup  # type: ignore[attr-defined]
    gui.help_windows = windows  # type: ignore[attr-defined]
    sys.modules.update({"facemap.gui": gui, "facemap.gui.help_windows": windows})
    from facemap.pose import datasets, facemap_network, model_training, pose_helper_functions, transforms

    return types.SimpleNamespace(
        datasets=datasets,
        network=facemap_network,
        training=model_training,
        helpers=pose_helper_functions,
        transforms=transforms,
    )


def build_network(facemap: Any, bodyparts: list[str], channels: list[int], device: str) -> Any:
    """Return a network with random weights."""
    import torch

    network = facemap.network.FMnet(
        img_ch=1,
        output_ch=len(bodyparts),
        labels_id=bodyparts,
        channels=channels,
        kernel=3,
        shape=SIZE,
        device=torch.device(device),
    )
    return network.to(torch.device(device))


def read_weights(path: Path) -> Any:
    """Read a state of weights; code in the file is not run.

    Raises
    ------
    ValueError
        If the file is not one.
    """
    import pickle

    import torch

    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError("%s can't be read as weights: %s" % (path.name, str(error).partition("\n")[0])) from error
    if not isinstance(state, dict) or not all(hasattr(value, "shape") for value in state.values()):
        raise ValueError("%s does not hold the weights of a network" % path.name)
    return state


def to_gray(image: np.ndarray) -> np.ndarray:
    """Return a frame as gray levels, float32, (height, width)."""
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    return np.asarray(gray, dtype=np.float32)


def normalize(gray: np.ndarray) -> np.ndarray:
    """Return a frame with its 1st percentile at 0 and its 99th at 1."""
    low, high = np.percentile(gray, (1, 99))
    return np.asarray((gray - low) / max(float(high - low), 1e-6), dtype=np.float32)


def predict_frames(facemap: Any, network: Any, frames: list[np.ndarray]) -> np.ndarray:
    """Return x, y and likelihood of each keypoint in frames of one size.

    Parameters
    ----------
    facemap : namespace
        From `import_facemap`.
    network : FMnet
    frames : list of ndarray, float32, shape (height, width)
        Gray levels.

    Returns
    -------
    ndarray, float32, shape (frames, keypoints, 3)
        In pixels of the frames.
    """
    import torch

    padded, scale, pads = [], (1.0, 1.0), (0, 0, 0, 0)
    for gray in frames:
        image, pads = facemap.transforms.pad_img_to_square(torch.from_numpy(normalize(gray)[None]))
        scale = (image.shape[-1] / SIZE[1], image.shape[-2] / SIZE[0])
        padded.append(facemap.transforms.resize_image(image, SIZE))
    network.eval()
    batch = torch.stack(padded).to(network.device, dtype=torch.float32)
    x, y, likelihood = (value.cpu().numpy() for value in facemap.helpers.predict(network, batch))
    return np.stack([x * scale[0] - pads[0], y * scale[1] - pads[2], likelihood], axis=-1).astype(np.float32)
