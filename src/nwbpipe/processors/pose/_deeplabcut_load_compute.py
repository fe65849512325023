"""Take a trained model of DeepLabCut as it is (compute module: see `nwbpipe.processors`).

That the weights fit the configuration is seen here, and not in the first session.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._deeplabcut_model import describe_backbone, format_yaml, read_snapshot

Progress = Callable[[float, str], None]


def check_config(config: Any) -> dict[str, Any]:
    """Return the metadata of a model's configuration; refuse models that are not run here."""
    metadata = config.get("metadata") if isinstance(config, dict) else None
    if not isinstance(metadata, dict) or not metadata.get("bodyparts"):
        raise ValueError("pytorch_config.yaml has no keypoints: expected metadata.bodyparts")
    if str(config.get("method", "bu")).lower() != "bu":
        raise ValueError("the model is of the method %s; expected bu (bottom-up)" % config["method"])
    if metadata.get("unique_bodyparts"):
        parts = ", ".join(metadata["unique_bodyparts"])
        raise ValueError(
            "the model has keypoints that are of no animal (unique_bodyparts: %s); expected none" % parts
        )
    if metadata.get("with_identity"):
        raise ValueError("the model was trained with identity: true; expected false, as that was not tried")
    animals = list_animals(metadata)
    predictor = config["model"]["heads"]["bodypart"]["predictor"]["type"] if animals else ""
    if animals and predictor != "PartAffinityFieldPredictor":
        message = "the model of several animals is assembled by %s; expected PartAffinityFieldPredictor"
        raise ValueError(message % predictor)
    return metadata


def list_animals(metadata: dict[str, Any]) -> list[str]:
    """Return the names of the animals that a model finds, if they are several."""
    names = [str(name) for name in metadata.get("individuals") or ()]
    return names if len(names) > 1 else []


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Load the model once, and leave its files in `results`."""
    import yaml

    folder = Path(request["inputs"]["trained"]["folder"])
    snapshot = read_snapshot(folder)
    with (folder / "pytorch_config.yaml").open(encoding="utf-8") as file:
        config = yaml.safe_load(file)
    metadata = check_config(config)
    progress(0.0, "starting DeepLabCut")
    import deeplabcut
    import torch
    from deeplabcut.pose_estimation_pytorch.models import PoseModel

    state = torch.load(str(snapshot), map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or "model" not in state:
        raise ValueError("%s holds no weights of a DeepLabCut model" % snapshot.name)
    model = PoseModel.build(copy.deepcopy(config["model"]), weight_init=None, pretrained_backbone=False)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise ValueError("%s does not fit pytorch_config.yaml: %s" % (snapshot.name, error)) from error
    metadata.update(project_path="", pose_config_path="")
    for name, content in (("pytorch_config.yaml", format_yaml(config)), ("snapshot-best.pt", snapshot.read_bytes())):
        results["files/" + name] = np.frombuffer(content, dtype=np.uint8)
    progress(1.0, snapshot.name)
    return {
        "network": str(config.get("net_type", "")),
        "backbone": describe_backbone(config),
        "bodyparts": [str(part) for part in metadata["bodyparts"]],
        "skeleton": [],
        **({"individuals": list_animals(metadata)} if list_animals(metadata) else {}),
        "snapshot": snapshot.name,
        "deeplabcut": str(deeplabcut.__version__),
    }
