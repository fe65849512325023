"""What processors share that train a network on labelled frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from nwbpipe.processors._base import Context, Params, Results
from nwbpipe.processors._project_scope import ProjectProcessor
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project
from nwbpipe.processors.pose._models import write_model
from nwbpipe.provenance import canonical_json, digest, identify_file


class TrainParams(Params):
    """Parameters of training: how labelled frames are split, shown and tested."""

    shuffle: int = Field(1, ge=0, description="Number of the split: another number, another random split.")
    train_fraction: float = Field(0.8, gt=0, lt=1, description="Share of the labelled frames to train on.")
    test_frames: tuple[str, ...] = Field(
        (), description="The frames to test on by name (VIDEO/IMAGE) in place of a random split."
    )
    batch_size: int = Field(8, ge=1, description="Frames that the network sees at a time.")
    likelihood_cutoff: float = Field(
        0.6, ge=0, le=1, description="Keypoints below it are left out in the second figure of the evaluation."
    )


class TrainProcessor(ProjectProcessor):
    """A network from the labels of a project of DeepLabCut, its input ``project``, kept as an artefact."""

    tolerance: ClassVar[float] = 0.05

    @abstractmethod
    def list_weights(self, folder: Path) -> list[Path]:
        """Return the files of a model to begin with; refuse a folder without."""

    def identify_folder(self, name: str, folder: Path) -> str:
        """Return the identity of the labels and labelled images, or of the weights."""
        if name == "project":
            return f"sha256:{read_labelled_project(folder).identity}"
        return digest(canonical_json([identify_file(path).sha256 for path in self.list_weights(folder)]))

    def prepare_folders(self, context: Context) -> Mapping[str, Any]:
        """Read the labels."""
        return asdict(read_labelled_project(Path(context.inputs["project"].folder)))

    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the artefact's files."""
        write_model(folder, results, context)
