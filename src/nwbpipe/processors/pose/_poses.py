"""Share the video, the model and the writing of results among processors that find keypoints by a trained network."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from nwbpipe.errors import InputError, ToolMissingError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.pose._models import make_node, read_model

if TYPE_CHECKING:
    from pynwb import NWBFile

Range = tuple[int, int]
VIDEO = Input("ImageSeries", but_not=("TwoPhotonSeries", "OnePhotonSeries"), doc="the video")
_REFERENCE_FRAME = "(0, 0) is the upper left pixel of the video frame, x to the right, y downward"


class PoseParams(Params):
    """Parameters of inference."""

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


class PoseProcessor(Processor):
    """What processors share that find keypoints in a video by a trained network.

    Class attributes
    ----------------
    software : str
        Name of the tool, as the file says it.
    confidence : str
        What the likelihood is.
    """

    software: ClassVar[str]
    confidence: ClassVar[str]
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("PoseEstimation", "Skeletons")
    tolerance: ClassVar[float] = 1e-3
    streams_media: ClassVar[bool] = True

    @abstractmethod
    def describe_model(self, results: Results, context: Context) -> str:
        """Return what the network is, in words."""

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the video and the model; return the number of frames, where each file starts, and the keypoints."""
        require_ndx_pose()
        model = read_model(Path(context.inputs["model"].folder))
        facts = describe_video(context.input(nwbfile, "video"), context.inputs["video"].path)
        named = {name: model[name] for name in ("bodyparts", "skeleton", "likelihood_cutoff")}
        return {**facts, **named, "model_individuals": model.get("individuals", [])}

    def may_write(self, path: str, step: str) -> bool:
        """See `Processor.may_write`: of several animals, each has a container of its own."""
        each = rf"/processing/{self.module}/PoseEstimation[^\W_]+_{re.escape(step)}"
        return super().may_write(path, step) or re.fullmatch(each, path) is not None

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the keypoints at the times of the video."""
        model = self.describe_model(results, context)
        write_poses(nwbfile, results, context, software=self.software, model=model, confidence=self.confidence)


def write_poses(
    nwbfile: NWBFile, results: Results, context: Context, *, software: str, model: str, confidence: str
) -> None:
    """Write ``PoseEstimation_<step>``, of several animals one each, and ``Skeletons_<step>``, at the video's times.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
    results : Results
        ``poses``, float32, (frames, keypoints, 3): x, y and likelihood; in the summary ``sure``, the share of frames
        by keypoint, and ``tool_version``. Of several animals (``individuals`` of the facts): (frames, animals,
        keypoints, 3), ``sure`` by animal, and ``tracked``, the share of frames.
    context : Context
    software : str
        Name of the tool.
    model : str
        What the model is, in words.
    confidence : str
        What the likelihood is.
    """
    from ndx_pose import Skeleton, Skeletons

    facts, summary = context.facts, results.summary
    nodes = list(facts["bodyparts"])
    edges = np.array([[nodes.index(part) for part in pair] for pair in facts["skeleton"]], dtype=np.uint8)
    skeleton = Skeleton(
        name=context.name("Skeleton"),
        nodes=[make_node(part) for part in nodes],
        **({"edges": edges} if len(edges) else {}),
    )
    module = context.module(nwbfile, "behavior")
    module.add(Skeletons(name=context.name("Skeletons"), skeletons=[skeleton]))
    tool = {"software": software, "model": model, "confidence": confidence}
    poses, sure = results.arrays["poses"], summary["sure"]
    if not facts.get("individuals"):
        module.add(_make_pose(nwbfile, context, results, skeleton, poses, sure, tool))
        return
    for number, animal in enumerate(facts["individuals"]):
        module.add(_make_pose(nwbfile, context, results, skeleton, poses[:, number], sure[animal], tool, animal))


def _make_pose(
    nwbfile: NWBFile,
    context: Context,
    results: Results,
    skeleton: Any,
    poses: Any,
    sure: Mapping[str, float],
    tool: Mapping[str, str],
    animal: str = "",
) -> Any:
    from ndx_pose import PoseEstimation, PoseEstimationSeries

    from nwbpipe.nwb_builders import Times

    video, facts, summary = context.input(nwbfile, "video"), context.facts, results.summary
    times = Times.of(video).arguments()
    series = [
        PoseEstimationSeries(
            name=make_node(part),
            description=f"Position of {part}{f' of {animal}' if animal else ''} in each frame of {video.name}",
            data=poses[:, index, :2],
            unit="pixels",
            reference_frame=_REFERENCE_FRAME,
            confidence=poses[:, index, 2],
            confidence_definition=tool["confidence"],
            **times,
        )
        for index, part in enumerate(facts["bodyparts"])
    ]
    whose = ""
    if animal:
        whose = (
            f"Track {animal}, one of {len(facts['individuals'])} animals that the network does not tell apart; NaN "
            f"where it was not tracked ({summary['tracked'][animal]:.0%} of the frames are). "
        )
    listed = ", ".join(f"{part} {share:.0%}" for part, share in sure.items())
    return PoseEstimation(
        name=context.name("PoseEstimation" + shorten_name(animal)),
        pose_estimation_series=series,
        description=f"{whose}Keypoints that {tool['software']} found in {video.name} ({tool['model']}). Frames with "
        f"a likelihood of {facts['likelihood_cutoff']:g} or more: {listed}",
        scorer=f"{tool['software']}, model {context.inputs['model'].identity[:12]}",
        source_software=tool["software"],
        source_software_version=summary["tool_version"],
        skeleton=skeleton,
        source_video=video,
        **({"device": video.device} if video.device is not None else {}),
    )


def shorten_name(animal: str) -> str:
    """Return an animal's name as a part of a container's name: letters and digits, each word with a capital."""
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[\W_]+", animal) if word)


def require_ndx_pose() -> None:
    """Import ndx-pose, whose classes files with keypoints are then opened with; refuse to go on without it."""
    try:
        import ndx_pose  # noqa: F401
    except ImportError as error:
        msg = "keypoints need the package ndx-pose"
        raise ToolMissingError(msg, found=str(error), hint="pip install 'nwbpipe[behavior]'") from error


def describe_video(series: Any, path: str) -> dict[str, Any]:
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
            msg = "the video's frames can't be shown to a network"
            expected = "uint8, shape (frames, height, width) or (frames, height, width, 3)"
            raise InputError(msg, where=path, expected=expected, found=f"{series.data.dtype}, shape {shape}")
        frames = shape[0]
        if series.rate is None and len(series.timestamps) != frames:
            msg = "the video has another number of frames than of times"
            raise InputError(msg, where=path, expected=f"{len(series.timestamps)} frames", found=str(frames))
    if frames == 0:
        raise InputError("the video has no frames", where=path, expected="a frame or more", found="0")
    return {"frames": None if frames is None else int(frames), "starting_frame": starts}
