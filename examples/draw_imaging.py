"""Draw the mean image of a movie with the outlines of its ROIs, and their mean activity.

    python examples/draw_imaging.py FILE.nwb OUT.png

Needs a file with a movie and a segmentation, such as the one of `nwbpipe demo`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nwbpipe
from nwbpipe.export import to_xarray


def main(file: Path, out: Path, movie: str = "TwoPhotonSeries*") -> np.ndarray:
    """Return the mean fluorescence of each ROI in each frame, and write the figure."""
    (node,) = to_xarray(file, series=[movie]).children.values()
    (name,) = (str(variable) for variable in node.data_vars)
    frames = node[name]
    masks = read_masks(file, frames.shape[1:])
    weights = np.array([mask.ravel() / max(mask.sum(), 1e-9) for mask in masks])
    mean, traces = np.zeros(frames.shape[1:]), []
    for start in range(0, len(frames), 200):  # a block at a time: a movie may be larger than the memory
        block = frames[start : start + 200].values.astype(np.float64)
        mean += block.sum(axis=0) / len(frames)
        traces.append(weights @ block.reshape(len(block), -1).T)
    activity = np.concatenate(traces, axis=1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.imshow(mean.T, cmap="gray", vmax=np.quantile(mean, 0.995))
    for mask in masks:
        left.contour(mask.T > 0, levels=[0.5], colors="tab:orange", linewidths=1)
    left.set(xlabel="x (pixels)", ylabel="y (pixels)", title=f"mean of {len(frames)} frames, {len(masks)} ROIs")
    scaled = (activity - activity.mean(axis=1, keepdims=True)) / activity.std(axis=1, keepdims=True)
    for number, trace in enumerate(scaled):
        right.plot(frames.time, trace / 6 + number, linewidth=0.7)
    right.set(xlabel="time (s)", ylabel="ROI", title="fluorescence, scaled")
    figure.savefig(out, dpi=100)
    plt.close(figure)
    return activity


def read_masks(file: Path, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return the weights of each ROI of the first segmentation, shape (x, y)."""
    with nwbpipe.read(file) as nwbfile:
        table = next(item for item in nwbfile.objects.values() if item.neurodata_type == "PlaneSegmentation")
        if "image_mask" in table.colnames:
            return [np.asarray(mask, dtype=np.float64) for mask in table["image_mask"][:]]
        masks = []
        for pixels in table["pixel_mask"][:]:
            masks.append(np.zeros(shape))
            for x, y, weight in pixels:
                masks[-1][int(x), int(y)] = weight
        return masks


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
