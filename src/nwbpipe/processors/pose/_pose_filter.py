"""The processor ``pose_filter``: keypoints without outliers, and with short gaps filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._keypoints import describe_keypoints
from nwbpipe.processors.pose._poses import require_ndx_pose

if TYPE_CHECKING:
    from pynwb import NWBFile

_FILLED = "; of filled frames: that of the less likely neighbour"


class PoseFilterParams(Params):
    """Parameters of ``pose_filter``; the steps are done in this order."""

    min_likelihood: float | None = Field(
        0.6, ge=0, description="Positions with a smaller likelihood are left out; null: all are used."
    )
    median_frames: int | None = Field(
        5, ge=3, le=1001, description="Odd number of frames of the running median of what is left; null: no median."
    )
    fill_gap_s: float | None = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="Missing positions are filled along a line if those around them lie at most that far apart, "
        "in seconds; null: none is filled.",
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> PoseFilterParams:
        if self.median_frames is not None and self.median_frames % 2 == 0:
            msg = f"median_frames is {self.median_frames}: an odd number is needed, so that a frame is in the middle"
            raise ValueError(msg)
        if self.min_likelihood is None and self.median_frames is None and self.fill_gap_s is None:
            msg = "nothing to do: give min_likelihood, median_frames or fill_gap_s"
            raise ValueError(msg)
        return self


class PoseFilter(Processor):
    """Filter keypoints: leave out what is unlikely, take a running median, fill short gaps.

    The predictions stay as they are; the result is a `PoseEstimation` of its own, ``PoseEstimation_<step>`` in
    ``behavior``, with the same keypoints, times, skeleton and video. Long gaps stay missing (NaN). The median is of
    the frames around a frame that have a position, and does not reach over a pause of the camera. A frame without a
    position gets none by it.
    """

    name: ClassVar[str] = "pose_filter"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("PoseEstimation",)
    inputs: ClassVar[Mapping[str, Input]] = {"pose": Input("PoseEstimation", doc="the predicted keypoints")}
    Params: ClassVar[type[Params]] = PoseFilterParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.pose._pose_filter_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the keypoints and their times; return where they are."""
        require_ndx_pose()  # before the file is opened for writing: what is linked must be of its classes
        return {"keypoints": describe_keypoints(context.input(nwbfile, "pose"), context.inputs["pose"].path)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the filtered keypoints beside the predicted ones."""
        from ndx_pose import PoseEstimation, PoseEstimationSeries

        from nwbpipe.nwb_builders import Times

        raw, summary = context.input(nwbfile, "pose"), results.summary
        series = []
        for number, (keypoint, counts) in enumerate(
            zip(context.facts["keypoints"], summary["keypoints"], strict=True)
        ):
            source = raw.pose_estimation_series[keypoint["series"]]
            confidence = {}
            if keypoint["confidence"] is not None:
                defined = str(source.confidence_definition or "as predicted")
                confidence = {
                    "confidence": results.arrays[f"{number}/confidence"][()],
                    "confidence_definition": defined.rstrip(".") + _FILLED,
                }
            series.append(
                PoseEstimationSeries(
                    name=source.name,
                    description=f"{source.description.rstrip('.')}, filtered: {_describe(counts)}.",
                    data=results.arrays[f"{number}/data"][()],
                    unit=source.unit,
                    reference_frame=source.reference_frame,
                    **confidence,
                    **Times.of(source).arguments(),
                )
            )
        names = ("scorer", "source_software", "source_software_version", "skeleton", "source_video", "device")
        linked = {name: getattr(raw, name) for name in names if getattr(raw, name, None) is not None}
        total = {key: sum(counts[key] for counts in summary["keypoints"]) for key in summary["keypoints"][0]}
        context.module(nwbfile, self.module).add(
            PoseEstimation(
                name=context.name("PoseEstimation"),
                description=f"{context.inputs['pose'].path}, filtered ({_describe_steps(context.params)}): "
                f"{_describe(total)}.",
                pose_estimation_series=series,
                **linked,
            )
        )


def _describe(counts: Mapping[str, int]) -> str:
    return (
        f"{counts['unlikely']} of {counts['frames']} positions left out as unlikely, {counts['filled']} filled, "
        f"{counts['missing']} missing"
    )


def _describe_steps(params: PoseFilterParams) -> str:
    steps = [
        f"likelihood {params.min_likelihood:g} or more" if params.min_likelihood is not None else "",
        f"median of {params.median_frames} frames" if params.median_frames is not None else "",
        f"gaps filled up to {params.fill_gap_s:g} s" if params.fill_gap_s is not None else "",
    ]
    return ", ".join(filter(None, steps))
