"""Say what a project of DeepLabCut has in its config.yaml and in its tables of labels (part of compute modules)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def describe_project(
    name: str,
    scorer: str,
    folder: str,
    videos: dict[str, Any],
    bodyparts: Sequence[str],
    skeleton: Sequence[Sequence[str]],
    individuals: Sequence[str],
) -> dict[str, Any]:
    """Return the content of config.yaml; `individuals` are empty where there is one animal."""
    config: dict[str, Any] = {
        "Task": name,
        "scorer": scorer,
        "date": "Jan1",
        "multianimalproject": False,
        "identity": None,
        "project_path": folder,
        "engine": "pytorch",
        "video_sets": videos,
        "bodyparts": list(bodyparts),
        "start": 0,
        "stop": 1,
        "numframes2pick": 20,
        "skeleton": [list(pair) for pair in skeleton],
        "skeleton_color": "black",
        "pcutoff": 0.6,
        "dotsize": 6,
        "alphavalue": 0.7,
        "colormap": "rainbow",
        "TrainingFraction": [0.8],
        "iteration": 0,
        "default_net_type": "resnet_50",
        "default_augmenter": "default",
        "snapshotindex": -1,
        "batch_size": 8,
    }
    if individuals:
        config.update(
            multianimalproject=True,
            identity=False,
            individuals=list(individuals),
            uniquebodyparts=[],
            multianimalbodyparts=list(bodyparts),
            bodyparts="MULTI!",
        )
    return config


def make_label_columns(scorer: str, bodyparts: Sequence[str], individuals: Sequence[str]) -> Any:
    """Return the columns of a table of labels, a `pandas.MultiIndex`: with a level of the animals, if several."""
    import pandas

    levels = {"scorer": [scorer], "individuals": list(individuals), "bodyparts": list(bodyparts)}
    levels = {name: values for name, values in levels.items() if values}
    levels["coords"] = ["x", "y"]
    return pandas.MultiIndex.from_product(list(levels.values()), names=list(levels))
