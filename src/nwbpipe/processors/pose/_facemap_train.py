"""The processor ``facemap_train``: Facemap's network for keypoints, from labelled frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Results
from nwbpipe.processors._project_scope import Folder, ProjectProcessor
from nwbpipe.processors.face import FACEMAP
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project
from nwbpipe.processors.pose._models import write_model
from nwbpipe.provenance import canonical_json, digest, identify_file


class FacemapTrainParams(Params):
    """Parameters of ``facemap_train``."""

    channels: tuple[int, ...] = Field(
        (16, 32, 48, 64, 64),
        min_length=5,
        max_length=5,
        description="Features at each of the network's five depths: more find finer details, and take longer.",
    )
    shuffle: int = Field(1, ge=0, description="Number of the split: another number, another random split.")
    train_fraction: float = Field(0.8, gt=0, lt=1, description="Share of the labelled frames to train on.")
    test_frames: tuple[str, ...] = Field(
        (), description="The frames to test on by name (VIDEO/IMAGE) in place of a random split."
    )
    epochs: int = Field(36, ge=1, description="How often each labelled frame is shown in training.")
    batch_size: int = Field(8, ge=1, description="Frames that the network sees at a time.")
    learning_rate: float = Field(
        1e-3, gt=0, description="A tenth of it in the last six epochs, a twenty-fifth in the last three."
    )
    weight_decay: float = Field(0.0, ge=0, description="How strongly large weights are pulled to 0.")
    augment: bool = Field(True, description="Show frames with other contrast, and mirrored if `mirror` is set.")
    mirror: bool = Field(
        False, description="Mirror frames at random, as Facemap does; not where keypoints are called left and right."
    )
    evaluate_every: int = Field(4, ge=1, description="Epochs between tests, of which the best gives the model.")
    likelihood_cutoff: float = Field(
        0.6, ge=0, le=1, description="Keypoints below it are left out in the second figure of the evaluation."
    )


class FacemapTrain(ProjectProcessor):
    """Facemap's network for keypoints of the face, trained on labelled frames; any set of keypoints.

    Labels are those of a project of DeepLabCut (``config.yaml``, ``labeled-data``), whose GUI serves for labelling.
    It is read only. The labelled images have one size.

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
        "project": Folder(doc="the project of DeepLabCut, with labelled frames"),
        "weights": Folder(doc="a model to begin with: a folder with one file .pt, or an artefact", optional=True),
    }
    Params: ClassVar[type[Params]] = FacemapTrainParams
    tool: ClassVar[Tool] = FACEMAP
    compute: ClassVar[str] = "nwbpipe.processors.pose._facemap_train_compute"
    tolerance: ClassVar[float] = 0.05

    def identify_folder(self, name: str, folder: Path) -> str:
        """Return the identity of the labels and labelled images, or of the weights."""
        if name == "project":
            return f"sha256:{read_labelled_project(folder).identity}"
        files = sorted(folder.glob("*.pt"))
        if not files:
            msg = "the folder has no weights"
            raise InputError(msg, where=str(folder), expected="a file .pt", found="none")
        return digest(canonical_json([identify_file(path).sha256 for path in files]))

    def prepare_folders(self, context: Context) -> Mapping[str, Any]:
        """Read the labels."""
        return asdict(read_labelled_project(Path(context.inputs["project"].folder)))

    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the artefact's files."""
        write_model(folder, results, context)
