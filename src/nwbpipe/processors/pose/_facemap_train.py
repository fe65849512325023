"""The processor ``facemap_train``: Facemap's network for keypoints, from labelled frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Input, Params
from nwbpipe.processors._project_scope import Folder
from nwbpipe.processors.face import FACEMAP
from nwbpipe.processors.pose._train import LABELLED, TrainParams, TrainProcessor


class FacemapTrainParams(TrainParams):
    """Parameters of ``facemap_train``."""

    channels: tuple[int, ...] = Field(
        (16, 32, 48, 64, 64),
        min_length=5,
        max_length=5,
        description="Features at each of the network's five depths: more find finer details, and take longer.",
    )
    epochs: int = Field(36, ge=1, description="How often each labelled frame is shown in training.")
    learning_rate: float = Field(
        1e-3, gt=0, description="A tenth of it in the last six epochs, a twenty-fifth in the last three."
    )
    weight_decay: float = Field(0.0, ge=0, description="How strongly large weights are pulled to 0.")
    augment: bool = Field(True, description="Show frames with other contrast, and mirrored if `mirror` is set.")
    mirror: bool = Field(
        False, description="Mirror frames at random, as Facemap does; not where keypoints are called left and right."
    )
    evaluate_every: int = Field(4, ge=1, description="Epochs between tests, of which the best gives the model.")


class FacemapTrain(TrainProcessor):
    """Facemap's network for keypoints of the face, trained on labelled frames; any set of keypoints.

    Labels are those of a project of DeepLabCut (``config.yaml``, ``labeled-data``), whose GUI serves for labelling,
    of containers `PoseTraining` in session files, or of both. The project is read only. The labelled images have one
    size.

    The artefact: ``model.json`` (keypoints, and the error of each on the frames of training and of the test, in
    pixels of the frames), ``facemap-best.pt`` (by the error on the test), ``facemap-last.pt``,
    ``learning_curve.csv`` and ``.png``, ``training_index.json`` (a digest of each labelled frame and of its labels).

    References
    ----------
    Syeda et al. (2024), "Facemap: a framework for modeling neural activity based on orofacial tracking",
    Nature Neuroscience 27.
    """

    name: ClassVar[str] = "facemap_train"
    revision: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, Input]] = {
        **LABELLED,
        "weights": Folder(doc="a model to begin with: a folder with one file .pt, or an artefact", optional=True),
    }
    Params: ClassVar[type[Params]] = FacemapTrainParams
    tool: ClassVar[Tool] = FACEMAP
    compute: ClassVar[str] = "nwbpipe.processors.pose._facemap_train_compute"

    def list_weights(self, folder: Path) -> list[Path]:
        """Return the files ``.pt`` of the folder."""
        files = sorted(folder.glob("*.pt"))
        if not files:
            msg = "the folder has no weights"
            raise InputError(msg, where=str(folder), expected="a file .pt", found="none")
        return files
