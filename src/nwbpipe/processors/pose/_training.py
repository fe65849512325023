"""Split labelled frames, measure errors, and draw how a network learned.

A part of compute modules, under their rule: standard library, numpy and the tool's matplotlib only.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def split_frames(facts: dict[str, Any], params: dict[str, Any], seed: int) -> tuple[list[int], list[int]]:
    """Return the indices of the frames to train on and of those to test on."""
    names = [frame["name"] for frame in facts["frames"]]
    if params["test_frames"]:
        unknown = sorted(set(params["test_frames"]) - set(names))
        if unknown:
            raise ValueError("test_frames: no labelled frame is called %s; one is %s" % (unknown[0], names[0]))
        test = [index for index, name in enumerate(names) if name in set(params["test_frames"])]
    else:
        shuffled = np.random.RandomState((seed, params["shuffle"])).permutation(len(names))
        count = max(1, round(len(names) * (1 - params["train_fraction"])))
        test = sorted(int(index) for index in shuffled[:count])
    train = [index for index in range(len(names)) if index not in set(test)]
    if len(train) < params["batch_size"] or not test:
        raise ValueError(
            "%d of %d labelled frames are left for training, and batch_size is %d; %d for tests"
            % (len(train), len(names), params["batch_size"], len(test))
        )
    trained = {facts["frames"][index]["image"]: names[index] for index in train}
    for index in test:
        image = facts["frames"][index]["image"]
        if image in trained:
            raise ValueError(
                "%s, to test on, is the same image as %s, to train on: the test would be too good; remove one of them"
                % (names[index], trained[image])
            )
    return train, test


def check_labels(frame: dict[str, Any], names: list[str], width: int, height: int) -> None:
    """Refuse labels outside of their image; `names` are those of the points."""
    for part, (x, y) in zip(names, frame["points"]):
        if x is not None and y is not None and not (-0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5):
            raise ValueError(
                "the label %s of %s is at x %g, y %g, outside of the image of %d x %d pixels"
                % (part, frame["name"], x, y, width, height)
            )


def measure_errors(predicted: np.ndarray, labels: np.ndarray, bodyparts: list[str], cutoff: float) -> dict[str, Any]:
    """Return the errors in pixels for each keypoint and all together, with and without those below the cut-off.

    Parameters
    ----------
    predicted : ndarray, shape (n_frames, n_keypoints, 3)
        x, y and likelihood; NaN where nothing was predicted. Of several animals, each in a frame counts as a frame.
    labels : ndarray, shape (n_frames, n_keypoints, 2)
        x and y, NaN where there is no label.
    """
    distance = np.hypot(*np.moveaxis(predicted[..., :2] - labels, -1, 0))
    sure = np.isfinite(distance) & (predicted[..., 2] >= cutoff)

    def summarize(values: np.ndarray) -> dict[str, Any]:
        values = values[np.isfinite(values)]
        if not values.size:
            return {"n": 0, "rmse": None, "mean": None}
        rmse = float(np.sqrt((values**2).mean()))
        return {"n": int(values.size), "rmse": round(rmse, 4), "mean": round(float(values.mean()), 4)}

    summary: dict[str, Any] = {"all": summarize(distance), "all_above_cutoff": summarize(distance[sure])}
    for index, part in enumerate(bodyparts):
        summary[part] = {
            "all": summarize(distance[:, index]),
            "above_cutoff": summarize(distance[:, index][sure[:, index]]),
        }
    return summary


def draw_learning_curve(rows: list[dict[str, float]]) -> bytes:
    """Return a PNG of the losses and of the error on the test frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), dpi=100, layout="constrained")
    losses, errors = figure.subplots(1, 2)
    for axis, names, label in (
        (losses, ("train_loss", "test_loss"), "loss"),
        (errors, ("test_rmse",), "test error (pixels)"),
    ):
        for name in names:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            if points:
                axis.plot(*zip(*points), marker=".", label=name)
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
