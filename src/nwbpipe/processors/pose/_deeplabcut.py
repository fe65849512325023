"""The processor ``deeplabcut``: keypoints in a video, by a trained model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError, ToolMissingError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._project_scope import Artefact
from nwbpipe.processors.pose._deeplabcut_train import DEEPLABCUT

if TYPE_CHECKING:
    from pynwb import NWBFile

Range = tuple[int, int]
_REFERENCE_FRAME = "(0, 0) is the upper left pixel of the video frame, x to the right, y downward"
_CONFIDENCE = "Likelihood as predicted: the peak of DeepLabCut's score map, 0 to 1"


class DeepLabCutParams(Params):
    """Parameters of ``deeplabcut``."""

    batch_size: int = Field(8, ge=1, description="Frames that the network sees at a time.")
    crop: tuple[Range, Range] | None = Field(
        None,
        description="Part of the frame to look at: [[x0, x1], [y0, y1]] in pixels, ends excluded; results are in "
        "pixels of the whole frame all the same.",
    )

    @field_validator("crop")
    @classmethod
    def _check_crop(cls, value: tuple[Range, Range] | None) -> tuple[Range, Range] | None:
        if value is not None and not all(0 <= first < last for first, last in value):
            msg = f"expected [[x0, x1], [y0, y1]], the second of each larger; found {[list(pair) for pair in value]}"
            raise ValueError(msg)
        return value


class DeepLabCut(Processor):
    """Keypoints of one animal in each frame of a video, with DeepLabCut.

    The video is an `ImageSeries`: of external files, one after the other, or with its frames in the NWB file (frames,
    height, width, and 3 for RGB). Its number of frames must be the series'. The model is what ``deeplabcut_train``
    made. A position is where the network's score is highest, however low that is: the likelihood is written as
    predicted, and nothing is masked.

    Results, in the module ``behavior``: ``PoseEstimation_<step>`` with a `PoseEstimationSeries` for each keypoint, at
    the times of the video's own frames, linked to the video and its camera; ``Skeletons_<step>``.

    References
    ----------
    Mathis et al. (2018), "DeepLabCut: markerless pose estimation of user-defined body parts with deep learning",
    Nature Neuroscience 21.
    """

    name: ClassVar[str] = "deeplabcut"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("PoseEstimation", "Skeletons")
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": Input("ImageSeries", but_not=("TwoPhotonSeries", "OnePhotonSeries"), doc="the video"),
        "model": Artefact("deeplabcut_train", doc="the trained network"),
    }
    Params: ClassVar[type[Params]] = DeepLabCutParams
    tool: ClassVar[Tool] = DEEPLABCUT
    compute: ClassVar[str] = "nwbpipe.processors.pose._deeplabcut_compute"
    tolerance: ClassVar[float] = 1e-3

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the video and the model; return the number of frames, where each file starts, and the keypoints."""
        _require_ndx_pose()
        model = _read_model(Path(context.inputs["model"].folder))
        facts = _describe_video(context.input(nwbfile, "video"), context.inputs["video"].path)
        names = ("bodyparts", "skeleton", "likelihood_cutoff")
        return {**facts, **{name: model[name] for name in names}}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the keypoints at the times of the video."""
        from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons

        video, facts, summary = context.input(nwbfile, "video"), context.facts, results.summary
        times = (
            {"timestamps": video}
            if video.rate is None
            else {"rate": float(video.rate), "starting_time": float(video.starting_time or 0.0)}
        )
        poses = results.arrays["poses"]
        series = [
            PoseEstimationSeries(
                name=_make_node(part),
                description=f"Position of {part} in each frame of {video.name}",
                data=poses[:, index, :2],
                unit="pixels",
                reference_frame=_REFERENCE_FRAME,
                confidence=poses[:, index, 2],
                confidence_definition=_CONFIDENCE,
                **times,
            )
            for index, part in enumerate(facts["bodyparts"])
        ]
        nodes = list(facts["bodyparts"])
        edges = np.array([[nodes.index(part) for part in pair] for pair in facts["skeleton"]], dtype=np.uint8)
        skeleton = Skeleton(
            name=context.name("Skeleton"),
            nodes=[_make_node(part) for part in nodes],
            **({"edges": edges} if len(edges) else {}),
        )
        module = context.module(nwbfile, self.module)
        module.add(Skeletons(name=context.name("Skeletons"), skeletons=[skeleton]))
        sure = ", ".join(f"{part} {share:.0%}" for part, share in summary["sure"].items())
        module.add(
            PoseEstimation(
                name=context.name("PoseEstimation"),
                pose_estimation_series=series,
                description=f"Keypoints that DeepLabCut found in {video.name} (backbone {summary['backbone']}, "
                f"{summary['snapshot']}). Frames with a likelihood of {facts['likelihood_cutoff']:g} or more: {sure}",
                scorer=f"DeepLabCut, model {context.inputs['model'].identity[:12]}",
                source_software="DeepLabCut",
                source_software_version=summary["tool_version"],
                skeleton=skeleton,
                source_video=video,
                **({"device": video.device} if video.device is not None else {}),
            )
        )


def _make_node(part: str) -> str:
    return part.replace("/", "_").replace(":", "_")


def _require_ndx_pose() -> None:
    try:
        import ndx_pose  # noqa: F401
    except ImportError as error:
        msg = "keypoints need the package ndx-pose"
        raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[behavior]'") from error


def _read_model(folder: Path) -> dict[str, Any]:
    try:
        model: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        nodes = [_make_node(part) for part in model["bodyparts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = "the model has no list of its keypoints"
        raise InputError(
            msg, where=str(folder), expected="model.json", found=str(error), hint="train it again"
        ) from error
    if len(set(nodes)) != len(nodes):
        raise InputError("two keypoints of the model get one name in NWB", where=str(folder), found=", ".join(nodes))
    return model


def _describe_video(series: Any, path: str) -> dict[str, Any]:
    """Return what the NWB file says of a video; refuse one without frames or times."""
    if series.rate is None and (series.timestamps is None or not len(series.timestamps)):
        msg = "the video has no times"
        raise InputError(msg, where=path, expected="a rate or timestamps", found="neither", hint="convert it again")
    starts = None
    if series.external_file is not None:
        frames = len(series.timestamps) if series.rate is None else series.num_samples
        if series.starting_frame is not None:
            starts = [int(frame) for frame in np.atleast_1d(series.starting_frame)]
        starts = starts if starts is not None and len(starts) == len(series.external_file) else None
    else:
        shape = tuple(series.data.shape)
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or str(series.data.dtype) != "uint8":
            msg = "the video's frames can't be shown to DeepLabCut"
            expected = "uint8, shape (frames, height, width) or (frames, height, width, 3)"
            raise InputError(msg, where=path, expected=expected, found=f"{series.data.dtype}, shape {shape}")
        frames = shape[0]
        if series.rate is None and len(series.timestamps) != frames:
            msg = "the video has another number of frames than of times"
            raise InputError(msg, where=path, expected=f"{len(series.timestamps)} frames", found=str(frames))
    if frames == 0:
        raise InputError("the video has no frames", where=path, expected="a frame or more", found="0")
    return {"frames": None if frames is None else int(frames), "starting_frame": starts}
