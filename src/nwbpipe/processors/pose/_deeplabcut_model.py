"""DeepLabCut models in files: networks, snapshots and configurations (part of the compute modules beside it)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


class Network(NamedTuple):
    """A network that can be trained.

    Attributes
    ----------
    net_type : str
        DeepLabCut's name of the configuration to begin with.
    backbone : str
        timm's name of the backbone.
    hub : str
        timm's repository of its ImageNet weights, at Hugging Face.
    channels : int
        Channels of its output, where the configuration is of another backbone; else 0.
    """

    net_type: str
    backbone: str
    hub: str
    channels: int = 0

    @property
    def weights(self) -> str:
        """File of its ImageNet weights in the tool's folder of weights."""
        return self.backbone + ".safetensors"


NETWORKS = {
    "resnet10t": Network("resnet_50", "resnet10t", "timm/resnet10t.c3_in1k", 512),
    "resnet18": Network("resnet_50", "resnet18", "timm/resnet18.a1_in1k", 512),
    "resnet34": Network("resnet_50", "resnet34", "timm/resnet34.a1_in1k", 512),
    "resnet_50": Network("resnet_50", "resnet50_gn", "timm/resnet50_gn.a1h_in1k"),
    "resnet_101": Network("resnet_101", "resnet101", "timm/resnet101.a1h_in1k"),
    "hrnet_w18": Network("hrnet_w18", "hrnet_w18", "timm/hrnet_w18.ms_aug_in1k"),
    "hrnet_w32": Network("hrnet_w32", "hrnet_w32", "timm/hrnet_w32.ms_in1k"),
    "hrnet_w48": Network("hrnet_w48", "hrnet_w48", "timm/hrnet_w48.ms_in1k"),
}


def read_snapshot(folder: Path) -> Path:
    """Return the best snapshot in a folder: of an artefact, or of a shuffle's folder ``train``."""
    named = folder / "snapshot-best.pt"
    if named.is_file():
        return named
    paths = [path for path in folder.glob("snapshot-*.pt") if path.stem.rpartition("-")[2].isdigit()]
    best = [path for path in paths if path.name.startswith("snapshot-best-")]
    if not paths:
        raise ValueError(f"the folder {folder.name} has no weights: no file snapshot-*.pt")
    return max(best or paths, key=lambda path: int(path.stem.rpartition("-")[2]))


def choose_device() -> str:
    """Return the device that torch computes on."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def describe_backbone(config: dict[str, Any]) -> str:
    """Return timm's name of the backbone that a model configuration has, whatever DeepLabCut calls the model."""
    backbone = config["model"]["backbone"]
    return str(backbone.get("model_name") or backbone.get("type"))


def format_yaml(config: dict[str, Any]) -> bytes:
    """Return a configuration as plain YAML."""
    import yaml

    return str(yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)).encode()
