"""The processor ``labeled_video``: a copy of a video with the keypoints drawn on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._keypoints import describe_keypoints, shorten_keypoint
from nwbpipe.processors.pose._poses import VIDEO, describe_video, require_ndx_pose

if TYPE_CHECKING:
    from pynwb import NWBFile

_DEFAULT_DAYS = 7
_PIXELS = ("pixels", "pixel", "px")


class LabeledVideoParams(Params):
    """Parameters of ``labeled_video``."""

    keep: str = Field(
        f"{_DEFAULT_DAYS}d",
        description='How long the copy stays: "7d" or another number of days, "always", or "passed": always where '
        f"the pose passed (see pass_fraction), else {_DEFAULT_DAYS} days. `nwbpipe run` removes it afterwards; the "
        "pose stays.",
    )
    pass_fraction: float = Field(
        0.9, gt=0, le=1, description="The pose passed if each keypoint is drawn in this share of its samples or more."
    )
    min_likelihood: float | None = Field(
        0.6, ge=0, description="Keypoints with a smaller likelihood are not drawn; null: all are."
    )
    skeleton: bool = Field(True, description="Draw the lines between the keypoints, too.")
    radius_px: float | None = Field(
        None, gt=0, le=500, description="Radius of a keypoint in pixels; null: an eightieth of the frame."
    )
    crf: int = Field(
        23, ge=0, le=51, description="Quality of the video: 0 is the best and largest, 51 the worst (x264's crf)."
    )

    @field_validator("keep")
    @classmethod
    def _check_keep(cls, value: str) -> str:
        if value not in ("always", "passed") and not re.fullmatch(r"[1-9]\d{0,4}d", value):
            msg = f'expected a number of days such as "7d", "always" or "passed"; found {value!r}'
            raise ValueError(msg)
        return value


class LabeledVideo(Processor):
    """A copy of a video with the keypoints drawn on, for a look at the pose.

    The copy (MP4, H.264) is placed in the folder of the session's videos, named after the NWB file and beside it; its
    frames are shown at the times of the session. ``LabeledVideo_<step>`` (`ImageSeries`) in ``behavior`` names it,
    relative to the file, with the times of the video itself. The pose is not changed: NWB's link ``labeled_video`` of
    a `PoseEstimation` is a part of another step's result.

    Each sample of the pose is drawn on the frame that is nearest in time, if it is at most half an interval away.
    """

    name: ClassVar[str] = "labeled_video"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("LabeledVideo",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "video": VIDEO,
        "pose": Input("PoseEstimation", many=True, doc="the keypoints; of several animals, one pose each"),
    }
    Params: ClassVar[type[Params]] = LabeledVideoParams
    tool: ClassVar[Tool] = Tool("av", ("av>=12", "numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.pose._labeled_video_compute"
    streams_media: ClassVar[bool] = True
    medium: ClassVar[str | None] = "labeled.mp4"

    def keep_medium(self, params: Any, results: Results) -> timedelta | None:
        """See `Processor.keep_medium`."""
        if params.keep == "always" or (
            params.keep == "passed" and float(results.summary["sure"]) >= params.pass_fraction
        ):
            return None
        return timedelta(days=_DEFAULT_DAYS if params.keep == "passed" else int(params.keep[:-1]))

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the poses are of this video, in pixels; return where their keypoints are."""
        require_ndx_pose()
        video = context.input(nwbfile, "video")
        poses = {}
        for name in context.input_names("pose"):
            pose, path = context.input(nwbfile, name), context.inputs[name].path
            poses[name] = {
                "keypoints": _describe_flat_keypoints(pose, path),
                "edges": _find_edges(pose),
            }
            source = getattr(pose, "source_video", None)
            if source is not None and source.object_id != video.object_id:
                raise InputError(
                    "the pose is of another video",
                    where=path,
                    expected=source.name,
                    found=video.name,
                    hint="bind the video that the pose was found in: inputs.video",
                )
        return {**describe_video(video, context.inputs["video"].path), "poses": poses}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the series that names the copy."""
        from pynwb.image import ImageSeries

        from nwbpipe.nwb_builders import Times

        video, params, summary = context.input(nwbfile, "video"), context.params, results.summary
        poses = ", ".join(context.inputs[name].path for name in context.input_names("pose"))
        likely = "" if params.min_likelihood is None else f" with a likelihood of {params.min_likelihood:g} or more"
        first = next(iter(context.facts["poses"].values()))["keypoints"]
        colours = [f"{part['name']} {colour}" for part, colour in zip(first, summary["colours"], strict=True)]
        times = Times.of(video).arguments()
        dimension = {} if video.dimension is None else {"dimension": [int(size) for size in video.dimension[:2]]}
        context.module(nwbfile, self.module).add(
            ImageSeries(
                name=context.name("LabeledVideo"),
                description=f"Copy of {video.name} with the keypoints of {poses} drawn on{likely}: "
                f"{summary['shown']} in {summary['frames']} frames. Not to be measured from.",
                comments="Colours: " + ", ".join(colours),
                unit="n.a.",
                format="external",
                external_file=[context.medium],
                starting_frame=[0],
                **({"num_samples": int(summary["frames"])} if "rate" in times else {}),
                **({"device": video.device} if video.device is not None else {}),
                **dimension,
                **times,
            )
        )


def _describe_flat_keypoints(pose: Any, path: str) -> list[dict[str, Any]]:
    keypoints = describe_keypoints(pose, path)
    first = next(iter(pose.pose_estimation_series.values()))
    if first.unit not in _PIXELS or first.data.shape[1] != 2:
        raise InputError(
            "the pose can't be drawn on a video",
            where=path,
            expected="positions in pixels, in two dimensions",
            found=f"{first.unit}, {first.data.shape[1]} dimensions",
        )
    return keypoints


def _find_edges(pose: Any) -> list[list[int]]:
    """Return the pairs of keypoints that the skeleton joins, as numbers of the pose's series."""
    skeleton = getattr(pose, "skeleton", None)
    if skeleton is None or skeleton.edges is None:
        return []
    series = {shorten_keypoint(name).lower(): k for k, name in enumerate(pose.pose_estimation_series)}
    numbers = [series.get(shorten_keypoint(str(node)).lower()) for node in skeleton.nodes]
    edges = np.asarray(skeleton.edges).reshape(-1, 2)
    pairs = [[numbers[int(end)] for end in pair] for pair in edges if max(pair) < len(numbers)]
    return [[int(first), int(last)] for first, last in pairs if first is not None and last is not None]
