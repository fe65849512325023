"""A pose estimation with what a test puts in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def add_pose(
    nwbfile: Any,
    name: str,
    keypoints: Mapping[str, Any],
    *,
    likelihood: Any = None,
    unit: str = "pixels",
    **times: Any,
) -> Any:
    """Add a `PoseEstimation` to ``behavior``: positions (frames, 2) by keypoint, likelihood (frames, keypoints)."""
    from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons

    from nwbpipe import Context

    nodes = list(keypoints)
    skeleton = Skeleton(name=f"Skeleton{name}", nodes=nodes, edges=np.zeros((0, 2), np.uint8))
    series: list[Any] = []
    for number, node in enumerate(nodes):
        shared = {"timestamps": series[0]} if series and "timestamps" in times else times
        confidence = (
            {} if likelihood is None else {"confidence": likelihood[:, number], "confidence_definition": "peak"}
        )
        series.append(
            PoseEstimationSeries(
                name=node, description="d", data=np.asarray(keypoints[node], dtype=np.float64), unit=unit,
                reference_frame="(0,0) is the top left corner", **confidence, **shared,
            )
        )  # fmt: skip
    pose = PoseEstimation(
        name=name, pose_estimation_series=series, skeleton=skeleton, source_software="SLEAP", scorer="model-7"
    )
    module = Context.module(nwbfile, "behavior")
    if "Skeletons" in module.data_interfaces:
        module["Skeletons"].add_skeletons(skeleton)
    else:
        module.add(Skeletons(skeletons=[skeleton]))
    module.add(pose)
    return pose
