"""The processor ``deeplabcut_model``: a network that DeepLabCut trained before, as an artefact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from nwbpipe.disk import read_regular
from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params
from nwbpipe.processors._project_scope import Folder
from nwbpipe.processors.pose._deeplabcut_train import DEEPLABCUT, list_weights
from nwbpipe.processors.pose._load import LoadParams, LoadProcessor
from nwbpipe.provenance import canonical_json, digest, identify_file

_MAX_BYTES = 2**22  # of a configuration


class DeepLabCutModelParams(LoadParams):
    """Parameters of ``deeplabcut_model``."""


class DeepLabCutModel(LoadProcessor):
    """A network that was trained with DeepLabCut 3 (PyTorch), by its window or a script, taken as it is.

    The folder is ``train`` of a shuffle: ``dlc-models-pytorch/iteration-…/…shuffle…/train``. Its best snapshot
    is taken, or the last where none is called best. Nothing is trained. Bottom-up networks, of one animal or of
    several that look alike. Weights of TensorFlow can't be used.

    The artefact: ``model.json`` (keypoints, backbone, ``loaded: true``), ``pytorch_config.yaml`` without the paths of
    the machine that trained it, ``snapshot-best.pt``.
    """

    name: ClassVar[str] = "deeplabcut_model"
    revision: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, Input]] = {
        "trained": Folder(doc="the folder `train` of a shuffle that DeepLabCut trained")
    }
    Params: ClassVar[type[Params]] = DeepLabCutModelParams
    tool: ClassVar[Tool] = DEEPLABCUT
    compute: ClassVar[str] = "nwbpipe.processors.pose._deeplabcut_load_compute"

    def identify_folder(self, name: str, folder: Path) -> str:
        """Return the identity of the snapshot that is taken, and of the configuration."""
        paths = list_weights(folder)
        config = folder / "pytorch_config.yaml"
        if not config.is_file():
            msg = "the model has no configuration"
            raise InputError(msg, where=str(folder), expected="pytorch_config.yaml", found="none")
        return digest(canonical_json([identify_file(path).sha256 for path in (*paths, config)]))

    def prepare_folders(self, context: Context) -> Mapping[str, Any]:
        """Refuse a model in the folder of its project whose keypoints are not those of the project."""
        folder = Path(context.inputs["trained"].folder).absolute()
        if len(folder.parents) < 4 or folder.parents[2].name != "dlc-models-pytorch":
            return {}
        project = folder.parents[3] / "config.yaml"
        parts, declared = _read_keypoints(folder / "pytorch_config.yaml", "metadata"), _read_keypoints(project)
        if parts and declared and set(parts) != set(declared):
            raise InputError(
                "the model finds other keypoints than its project has",
                where=str(folder),
                expected=f"{', '.join(declared)} ({project.parent.name}/config.yaml)",
                found=", ".join(parts),
                hint="train that project anew; or, to take the model with its own keypoints, copy its folder `train` "
                "to a place outside of the project",
            )
        return {}


def _read_keypoints(path: Path, *keys: str) -> list[str]:
    """Return `bodyparts` of a configuration, or of a mapping in it; empty if it names none in a list."""
    try:
        values = yaml.safe_load(read_regular(path, _MAX_BYTES)) if path.is_file() else {}
    except yaml.YAMLError as error:
        msg = f"{path.name} can't be read"
        raise InputError(msg, where=str(path), expected="YAML", found=str(error).partition("\n")[0]) from error
    for key in (*keys, "bodyparts"):
        values = values.get(key) if isinstance(values, dict) else None
    return list(map(str, values)) if isinstance(values, list) else []
