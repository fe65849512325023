"""The processor ``kinematics``: speed, acceleration, heading, angles, distances, and time in regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import h5py
import numpy as np
from pydantic import Field, field_validator, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import BoundInput, Context, Input, Params, Processor, Results
from nwbpipe.processors._keypoints import describe_keypoints, find_keypoints
from nwbpipe.processors._pixel_sizes import find_pixel_size

if TYPE_CHECKING:
    from pynwb import NWBFile

Point = tuple[float, float]
_PIXELS = {"pixels", "pixel", "px"}


class KinematicsParams(Params):
    """Parameters of ``kinematics``; keypoints are named as in the file, or as their tool had them."""

    keypoints: tuple[str, ...] = Field((), description="Keypoints whose speed is computed; all if empty.")
    centroid: tuple[str, ...] = Field(
        (), description="Keypoints whose mean is one more point, `centroid`; missing where one of them is."
    )
    min_likelihood: float | None = Field(
        0.6, ge=0, description="Keypoints with a smaller likelihood are missing; null: all are used."
    )
    mm_per_px: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Size of a pixel: results are in mm instead of pixels; null: that of the video or the pose in "
        "session.yaml, and pixels where there is none.",
    )
    smooth_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Window in seconds in which positions are replaced by the parabola that fits best; null: none.",
    )
    max_gap_s: float | None = Field(
        None,
        gt=0,
        description="Frames farther apart are not differentiated across; null: 5 usual intervals.",
    )
    heading: tuple[str, str] | None = Field(
        None, description="Keypoints at the rear and front of the body: the heading points from one to the other."
    )
    head_direction: tuple[str, str] | None = Field(
        None, description="Keypoints left and right on the head: the head direction is at right angles to their line."
    )
    camera_view: Literal["top_down", "bottom_up"] = Field(
        "top_down", description="From where the camera looks, for `head_direction`."
    )
    distances: dict[str, tuple[str, str]] = Field(
        default_factory=dict, description="Distances between two keypoints, by the name that they get."
    )
    angles: dict[str, tuple[str, str, str]] = Field(
        default_factory=dict, description="Angles at the second of three keypoints, by the name that they get."
    )
    regions: dict[str, tuple[Point, ...]] = Field(
        default_factory=dict, description="Polygons, by name: corners (x, y) in the unit of the pose, mostly pixels."
    )
    region_point: str | None = Field(
        None, description="Keypoint, or `centroid`, whose time in the regions counts; needed for regions."
    )

    @field_validator("regions")
    @classmethod
    def _check_regions(cls, value: dict[str, tuple[Point, ...]]) -> dict[str, tuple[Point, ...]]:
        for name, corners in value.items():
            if len(set(corners)) < 3 or not all(
                abs(number) < float("inf") for corner in corners for number in corner
            ):
                msg = f"the region {name!r} needs 3 different corners or more, each [x, y]"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_points(self) -> KinematicsParams:
        if bool(self.regions) != (self.region_point is not None):
            msg = "regions need region_point, the keypoint whose time counts, and region_point needs regions"
            raise ValueError(msg)
        if self.region_point == "centroid" and not self.centroid:
            msg = "region_point is `centroid`: give the keypoints of centroid"
            raise ValueError(msg)
        for name, keypoints in [*self.distances.items(), *self.angles.items()]:
            if len(set(keypoints)) < len(keypoints):
                msg = f"{name!r} names a keypoint twice"
                raise ValueError(msg)
        for pair in (self.heading, self.head_direction):
            if pair is not None and pair[0] == pair[1]:
                msg = "heading and head_direction need two different keypoints"
                raise ValueError(msg)
        return self


class Kinematics(Processor):
    """Speed, acceleration, heading, angles and distances of keypoints, and their time in regions, with movement.

    Derivatives are by the true times of the frames: a variable frame rate and lost frames don't matter. What is
    missing, or less likely than `min_likelihood`, stays missing (NaN), and so do the derivatives beside it.

    Results go into ``behavior``. ``Kinematics_<step>`` (`BehavioralTimeSeries`) has series at the frames' times:
    ``<step>_speed`` and ``<step>_acceleration`` (its magnitude) with a column for each point, and, if asked for,
    ``<step>_heading`` and ``<step>_head_direction`` (radians from the x axis of the image to its y axis, that is
    clockwise as the video is seen), ``<step>_distances`` and ``<step>_angles``. ``RegionVisits_<step>`` has an
    interval for each stay in a region, ``RegionOccupancy_<step>`` the sums.

    References
    ----------
    movement: Sirmpilatze et al., https://movement.neuroinformatics.dev
    """

    name: ClassVar[str] = "kinematics"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("Kinematics", "RegionVisits", "RegionOccupancy")
    inputs: ClassVar[Mapping[str, Input]] = {"pose": Input("PoseEstimation", doc="the keypoints of an animal")}
    Params: ClassVar[type[Params]] = KinematicsParams
    tool: ClassVar[Tool] = Tool(
        name="movement",
        requirements=("movement>=0.15,<0.16", "h5py>=3.8"),
        python=">=3.11,<3.14",
        licence="BSD-3-Clause",
        preload=("movement.kinematics",),
    )
    compute: ClassVar[str] = "nwbpipe.processors.behavior._kinematics_compute"

    def complete_params(self, params: Any, file: h5py.File, inputs: Mapping[str, BoundInput]) -> Any:
        """Take the size of a pixel that the session gives, where the step gives none and the pose is in pixels."""
        if params.mm_per_px is not None or not _is_flat_in_pixels(file, inputs["pose"].path):
            return params
        size = find_pixel_size(file, inputs["pose"].path)
        return params if size is None else params.model_copy(update={"mm_per_px": size[0]})

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the keypoints, their times and unit; return where they are."""
        pose, path, params = context.input(nwbfile, "pose"), context.inputs["pose"].path, context.params
        keypoints = describe_keypoints(pose, path)
        series = next(iter(pose.pose_estimation_series.values()))
        if params.mm_per_px is not None and series.unit not in _PIXELS:
            raise InputError(
                "the pose is not in pixels: mm_per_px has no meaning",
                where=path,
                expected="pixels",
                found=series.unit,
                hint="leave out mm_per_px",
            )
        flat = params.heading or params.head_direction or params.regions
        if flat and series.data.shape[1] != 2:
            raise InputError("heading, head_direction and regions need positions in two dimensions", where=path)

        def find(names: Any) -> list[int]:
            return find_keypoints(names or (), keypoints, path)

        region_point = params.region_point
        return {
            "keypoints": keypoints,
            "unit": "mm" if params.mm_per_px is not None else series.unit,
            "scale": _describe_scale(params.mm_per_px, find_pixel_size(series.data.file, path)),
            "points": find(params.keypoints) or list(range(len(keypoints))),
            "centroid": find(params.centroid),
            "heading": find(params.heading),
            "head_direction": find(params.head_direction),
            "distances": [find(pair) for pair in params.distances.values()],
            "angles": [find(three) for three in params.angles.values()],
            "region_point": find([region_point])[0] if region_point not in (None, "centroid") else None,
        }

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the series, and the visits to regions."""
        from pynwb import TimeSeries
        from pynwb.behavior import BehavioralTimeSeries

        from nwbpipe.nwb_builders import Times

        first = next(iter(context.input(nwbfile, "pose").pose_estimation_series.values()))
        members = [
            TimeSeries(
                name=f"{context.step}_{name}",
                description=text,
                comments="Columns: " + ", ".join(columns) if columns else "no comments",
                data=results.arrays[name][()],
                unit=unit,
                **Times.of(first).arguments(),
            )
            for name, text, columns, unit in self._list_series(context, results.summary)
        ]
        module = context.module(nwbfile, self.module)
        module.add(BehavioralTimeSeries(name=context.name("Kinematics"), time_series=members))
        if context.params.regions:
            _add_regions(module, results, context)

    @staticmethod
    def _list_series(context: Context, summary: Mapping[str, Any]) -> list[tuple[str, str, list[str], str]]:
        """Return name, description, columns and unit of each series."""
        facts, params = context.facts, context.params
        points = [facts["keypoints"][number]["name"] for number in facts["points"]]
        points += ["centroid"] if facts["centroid"] else []
        unit, path = facts["unit"], context.inputs["pose"].path
        missing = f"{summary['missing']:.1%} of the positions are missing"
        if params.min_likelihood is not None:
            missing += f", {summary['unlikely']:.1%} for a likelihood below {params.min_likelihood:g}"
        if facts["scale"]:
            missing += f"; {facts['scale']}"
        smoothed = f"; positions fitted by parabolas in {params.smooth_s:g} s" if params.smooth_s else ""
        series = [
            ("speed", f"Speed of keypoints of {path}; {missing}{smoothed}.", points, f"{unit}/second"),
            ("acceleration", f"Magnitude of the acceleration of keypoints{smoothed}.", points, f"{unit}/second^2"),
        ]
        clockwise = "from the x axis of the image to its y axis"
        if params.heading:
            series.append(("heading", f"Direction from {' to '.join(params.heading)}, {clockwise}.", [], "radians"))
        if params.head_direction:
            text = f"Direction at right angles to the line of {' and '.join(params.head_direction)}, {clockwise}."
            series.append(("head_direction", text, [], "radians"))
        if params.distances:
            listed = "; ".join(f"{name}: {' to '.join(pair)}" for name, pair in params.distances.items())
            series.append(("distances", f"Distances of keypoints. {listed}.", list(params.distances), unit))
        if params.angles:
            listed = "; ".join(f"{name}: {', '.join(three)}" for name, three in params.angles.items())
            series.append(
                ("angles", f"Angles at the second of three keypoints. {listed}.", list(params.angles), "radians")
            )
        return series


def _is_flat_in_pixels(file: h5py.File, pose: str) -> bool:
    """Return True if the positions of a pose are x and y in pixels."""
    for series in file[pose].values():
        data = series.get("data") if isinstance(series, h5py.Group) else None
        if isinstance(data, h5py.Dataset):
            return data.ndim == 2 and data.shape[1] == 2 and str(data.attrs.get("unit", "")) in _PIXELS
    return False


def _describe_scale(mm_per_px: float | None, given: tuple[float, str] | None) -> str:
    """Return the size of a pixel that counts, and where it comes from; empty text if results are in pixels."""
    if mm_per_px is None:
        return ""
    if given is not None and given[0] == mm_per_px:
        return f"1 px = {mm_per_px:g} mm, as session.yaml gives for {given[1]}"
    other = f"; session.yaml gives {given[0]:g} mm for {given[1]}, which was not used" if given is not None else ""
    return f"1 px = {mm_per_px:g} mm, by the parameter mm_per_px{other}"


def _add_regions(module: Any, results: Results, context: Context) -> None:
    from hdmf.common import DynamicTable, VectorData

    from nwbpipe.nwb_builders import Column, make_intervals_table

    names = list(context.params.regions)
    point, summary = context.params.region_point, results.summary
    bounds, region = results.arrays["visits"][()].reshape(-1, 2), results.arrays["visited"][()]
    text = (
        f"Stays of {point} in regions; {len(bounds)} found. A frame stands for the time half-way to its neighbours."
    )
    columns = [Column("region", "name of the region", np.array(names, dtype=object)[region])] if len(bounds) else []
    module.add(make_intervals_table(context.name("RegionVisits"), text, bounds[:, 0], bounds[:, 1], columns=columns))
    parts = {
        "region": ("name of the region", names),
        "time_s": ("time in it, in seconds", results.arrays["region_time"][()]),
        "fraction": ("of the time in which the point was tracked", results.arrays["region_fraction"][()]),
        "num_visits": ("number of stays", results.arrays["region_visits"][()]),
    }
    module.add(
        DynamicTable(
            name=context.name("RegionOccupancy"),
            description=f"Time of {point} in regions: tracked for {summary['tracked_s']:.3f} s of "
            f"{summary['recorded_s']:.3f} s.",
            columns=[VectorData(name=name, description=text, data=data) for name, (text, data) in parts.items()],
        )
    )
