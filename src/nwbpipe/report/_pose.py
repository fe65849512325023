"""Pose: where each keypoint was, and how sure the model was of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup

from nwbpipe.report._content import Figure, SessionContent, name_with_step
from nwbpipe.report._envelope import read_envelope
from nwbpipe.report._plot import PALETTE, Plot, find_limits
from nwbpipe.report._table import draw_table

_MOST_POINTS = 1500  # of a trajectory
_SURE = 0.9


def draw_pose(content: SessionContent) -> Iterator[Figure]:
    """Draw the trajectories and likelihoods of each pose estimation."""
    for pose in content.find("PoseEstimation"):
        keypoints = [item for item in pose.pose_estimation_series.values() if item.data.shape[0]]
        if keypoints:
            content.mark_shown(*keypoints)
            yield from _draw_pose(content, pose, keypoints)


def _draw_pose(content: SessionContent, pose: Any, keypoints: list[Any]) -> Iterator[Figure]:
    paths, rows = [], []
    for keypoint in keypoints:
        step = max(1, keypoint.data.shape[0] // _MOST_POINTS)
        points = np.asarray(keypoint.data[::step], dtype=np.float64)
        likelihood = None if keypoint.confidence is None else np.asarray(keypoint.confidence[:], dtype=np.float64)
        if likelihood is not None:
            points[~(likelihood[::step] >= _SURE)] = np.nan
        paths.append(points)
        unsure = None if likelihood is None else float(np.mean(~(likelihood >= _SURE)))
        rows.append([keypoint.name, keypoint.data.shape[0], "" if unsure is None else f"{unsure:.1%}"])
    all_points = np.concatenate(paths)
    x, y = find_limits(all_points[:, 0]), find_limits(all_points[:, 1])
    plot = Plot(
        x, y[::-1], width=480, height=int(np.clip(420 * (y[1] - y[0]) / max(x[1] - x[0], 1e-9), 160, 480)) + 42,
        x_label=f"x ({keypoints[0].unit})", y_label=f"y ({keypoints[0].unit})",
    )  # fmt: skip
    for index, points in enumerate(paths):
        plot.line(points[:, 0], points[:, 1], PALETTE[index % len(PALETTE)], 0.7)
    key = Markup(" ").join(
        Markup('<span class="key" style="color:{}">■ {}</span>').format(PALETTE[index % len(PALETTE)], item.name)
        for index, item in enumerate(keypoints)
    )
    table = draw_table(["keypoint", "frames", f"likelihood below {_SURE:g}"], rows)
    name = name_with_step(content, pose)
    body = Markup('<div class="row">{}<div>{}</div></div><div>{}</div>').format(plot.render(), table, key)
    yield Figure(
        f"{name}: trajectories",
        body,
        f"Where the likelihood is at least {_SURE:g}; y grows downwards, as in the video.",
    )
    with_likelihood = [item for item in keypoints if item.confidence is not None][: len(PALETTE)]
    if with_likelihood:
        yield Figure(f"{name}: likelihood", _draw_likelihood(with_likelihood), "Least value of each bin of time.")


def _draw_likelihood(keypoints: list[Any]) -> Markup:
    envelopes = [read_envelope(_Likelihood(item)) for item in keypoints]
    plot = Plot(
        find_limits(*(item.times for item in envelopes), pad=0), (0, 1.02), x_label="time (s)", y_label="likelihood"
    )
    for index, envelope in enumerate(envelopes):
        plot.line(envelope.times, envelope.low[:, 0], PALETTE[index % len(PALETTE)], 0.9)
    return plot.render()


class _Likelihood:
    """The likelihood of a keypoint, as a series."""

    conversion, offset = 1.0, 0.0

    def __init__(self, keypoint: Any) -> None:
        self.data, self.timestamps = keypoint.confidence, keypoint.timestamps
        self.rate, self.starting_time = keypoint.rate, keypoint.starting_time
