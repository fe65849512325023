"""What processors share that train a network on labelled frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Results
from nwbpipe.processors._project_scope import Folder, ProjectProcessor
from nwbpipe.processors.pose._deeplabcut_project import read_labelled_project
from nwbpipe.processors.pose._models import write_model
from nwbpipe.processors.pose._pose_training import name_image, name_video, read_pose_training, require_count
from nwbpipe.processors.pose._poses import describe_video
from nwbpipe.provenance import canonical_json, digest, identify_file

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Where labelled frames come from: a project, sessions, or both.
LABELLED: dict[str, Input] = {
    "project": Folder(doc="the project of DeepLabCut, with labelled frames", optional=True),
    "labels": Input(
        "PoseTraining", doc="labelled frames of a session, as `nwbpipe pose import-labels` writes them", optional=True
    ),
    "video": Input(
        "ImageSeries", doc="the videos of a session that its labelled frames are of", optional=True, many=True
    ),
}


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
    """A network from labelled frames of a project of DeepLabCut, of session files, or both, kept as an artefact."""

    tolerance: ClassVar[float] = 0.05
    any_of: ClassVar[tuple[str, ...]] = ("project", "labels")
    several_animals: ClassVar[bool] = False  # whether it learns labels of several

    @abstractmethod
    def list_weights(self, folder: Path) -> list[Path]:
        """Return the files of a model to begin with; refuse a folder without."""

    def identify_folder(self, name: str, folder: Path) -> str:
        """Return the identity of the labels and labelled images, or of the weights."""
        if name == "project":
            return f"sha256:{read_labelled_project(folder).identity}"
        return digest(canonical_json([identify_file(path).sha256 for path in self.list_weights(folder)]))

    def prepare_folders(self, context: Context) -> Mapping[str, Any]:
        """Read the labels of the project."""
        if "project" not in context.inputs:
            return {}
        project = read_labelled_project(Path(context.inputs["project"].folder))
        self._check_animals(project.individuals, context.inputs["project"].folder)
        return asdict(project)

    def _check_animals(self, individuals: Sequence[str], where: str) -> None:
        if individuals and not self.several_animals:
            msg = f"the labels are of several animals: {self.name} learns one"
            hint = "train it with deeplabcut_train"
            raise InputError(msg, where=where, expected="one animal", found=", ".join(individuals), hint=hint)

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Read the labels of a session; each of its labelled videos is bound, too."""
        if "labels" not in context.inputs:
            return {}
        labels = read_pose_training(context.input(nwbfile, "labels"), context.inputs["labels"].path)
        self._check_animals(labels.individuals, context.inputs["labels"].path)
        videos, frames = [], []
        for name in context.input_names("video"):
            series = context.input(nwbfile, name)
            numbered = labels.frames.get(series.object_id, {})
            if not numbered:
                continue
            facts = describe_video(series, context.inputs[name].path)
            count = require_count(facts, context.inputs[name].path)
            video_name = name_video(nwbfile, series.name)
            videos.append({"input": name, "starting_frame": facts["starting_frame"]})
            frames += [
                {
                    "video": name,
                    "frame": number,
                    "name": f"{video_name}/{name_image(number, count)}",
                    "points": points,
                }
                for number, points in numbered.items()
            ]
        if len(videos) != len(labels.frames):
            unbound = sorted(
                nwbfile.objects[video].name if video in nwbfile.objects else video
                for video in set(labels.frames) - {context.inputs[item["input"]].object_id for item in videos}
            )
            msg = "labelled frames are of a video that is not bound"
            hint = 'bind the labelled videos: inputs.video = "acquisition/…"'
            raise InputError(
                msg, where=context.inputs["labels"].path, expected="the input `video`", found=unbound[0], hint=hint
            )
        named = {name: getattr(labels, name) for name in ("bodyparts", "skeleton", "individuals")}
        return {**named, "videos": videos, "frames": frames}

    def check(self, facts: Sequence[Mapping[str, Any]]) -> None:
        """Refuse sessions whose labels are of other keypoints or animals."""
        for key, thing in (("bodyparts", "keypoints"), ("individuals", "animals")):
            values = {tuple(session[key]) for session in facts if session}
            if len(values) > 1:
                msg = f"the sessions' labels are of other {thing}"
                listed = "; ".join(sorted(", ".join(names) or "one" for names in values))
                raise InputError(msg, expected=f"the same {thing} in every session", found=listed)

    def make(self, folder: Path, results: Results, context: Context) -> None:
        """Write the artefact's files."""
        write_model(folder, results, context)
