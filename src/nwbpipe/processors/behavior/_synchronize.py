"""The processor ``synchronize``: series, pose, spikes and events on one grid of times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import h5py
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._keypoints import describe_datasets
from nwbpipe.processors.behavior._synchronize_clocks import check_clocks

if TYPE_CHECKING:
    from pynwb import NWBFile

Method = Literal["linear", "nearest", "previous", "mean", "count"]
_SAMPLED = ("series", "pose")


class SynchronizeParams(Params):
    """Parameters of ``synchronize``; names are those of the inputs, or patterns (``Wheel*``)."""

    rate_hz: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Rows a second; needed unless the input `grid` gives the times."
    )
    start_s: float | None = Field(
        None, allow_inf_nan=False, description="Time of the first row; by `extent` if null."
    )
    stop_s: float | None = Field(None, allow_inf_nan=False, description="Time of the last row; by `extent` if null.")
    extent: Literal["overlap", "all"] = Field(
        "overlap", description="Rows for the time in which all series have data, or in which any has."
    )
    method: Method = Field(
        "linear", description="How series and poses are read; spikes and events are counted in each row's bin."
    )
    methods: dict[str, Method] = Field(default_factory=dict, description="Methods of single inputs, by name.")
    max_gap_s: float | None = Field(
        None,
        gt=0,
        description="Samples farther apart have nothing between them; null: 1.5 sampling intervals of each series.",
    )
    max_gaps_s: dict[str, float] = Field(default_factory=dict, description="Largest gaps of single inputs, by name.")
    lowpass: float | None = Field(
        0.8,
        gt=0,
        le=1,
        description="Cutoff of the low-pass before `linear` on a slower grid, of half the grid's rate; null: none.",
    )
    min_likelihood: float | None = Field(
        None, ge=0, description="Keypoints with a smaller likelihood count as missing; null: all are used."
    )
    unaligned_clocks: bool = Field(
        False, description="Whether series are taken whose clock was converted without an accepted alignment."
    )

    @model_validator(mode="after")
    def _check_bounds(self) -> SynchronizeParams:
        if self.start_s is not None and self.stop_s is not None and self.stop_s <= self.start_s:
            msg = f"stop_s {self.stop_s:g} is not after start_s {self.start_s:g}"
            raise ValueError(msg)
        for name, gap in self.max_gaps_s.items():
            if not 0 < gap < float("inf"):
                msg = f"max_gaps_s of {name!r} is {gap}: a positive number of seconds is needed"
                raise ValueError(msg)
        return self


class Synchronize(Processor):
    """Series, pose, spikes and events on one grid of times of the reference clock: a row is a moment.

    The grid is regular (`rate_hz`), or has the times of the series bound as ``grid``, such as the frames of a video.
    Each series is read there by its method: ``linear`` between its samples, on a slower grid after a low-pass;
    ``nearest`` or ``previous`` sample; ``mean`` of the samples in the row's bin, or their ``count``. A bin ends
    half-way to its neighbours. Where a series has no data the rows are NaN: nothing is read across a gap. Directions
    and phases (radians or degrees that stay within a turn and jump at its end) are read the short way around.

    Results go into ``behavior``: ``Synchronized_<step>`` (`BehavioralTimeSeries`) has a `TimeSeries` for each input,
    ``<step>_<input>``. They share one dataset of timestamps.
    """

    name: ClassVar[str] = "synchronize"
    revision: ClassVar[int] = 3
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("Synchronized",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "series": Input(
            "TimeSeries",
            "PoseEstimation",
            "Units",
            "EventsTable",
            but_not=("ImageSeries", "IndexSeries", "AnnotationSeries", "PoseEstimationSeries"),
            doc="series, poses, spikes and events; several patterns with commas between",
            many=True,
        ),
        "grid": Input("TimeSeries", doc="the series whose times the rows have, e.g. a video", optional=True),
    }
    Params: ClassVar[type[Params]] = SynchronizeParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.behavior._synchronize_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check clocks, times and methods; return where the data of each input are."""
        params, names = context.params, context.input_names("series")
        grid = _describe_grid(nwbfile, context) if "grid" in context.inputs else None
        if (grid is None) == (params.rate_hz is None):
            raise InputError(
                "the times of the rows are not defined"
                if grid is None
                else "the times of the rows are defined twice",
                expected="either rate_hz, or a series bound to the input grid",
                found="neither" if grid is None else "both",
                hint="-p rate_hz=30, or --input grid=SERIES",
            )
        streams: list[dict[str, Any]] = []
        if not params.unaligned_clocks:
            items = {bound.path: context.input(nwbfile, name) for name, bound in context.inputs.items()}
            check_clocks(_file_of(context.input(nwbfile, names[0])), items)
        for bound in names:
            item, path = context.input(nwbfile, bound), context.inputs[bound].path
            streams.append({"bound": bound, "path": path, **_describe_stream(item, path, params)})
        _name_streams(streams)
        for option in ("methods", "max_gaps_s"):
            _check_names(option, getattr(params, option), streams)
        for stream in streams:
            stream |= _choose_options(stream, params)
        return {"streams": streams, "grid": grid}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write a series for each input, on shared timestamps."""
        from pynwb import TimeSeries
        from pynwb.behavior import BehavioralTimeSeries

        from nwbpipe.processors._dataset_chunks import DatasetChunks

        first: TimeSeries | None = None
        members = []
        for number, stream in enumerate(context.facts["streams"]):
            account = results.summary["streams"][stream["bound"]]
            series = TimeSeries(
                # A name of its own: others would find two objects where they name the input.
                name=f"{context.step}_{stream['name']}",
                description=_describe_result(stream, account, results.summary),
                comments=stream["comments"],
                data=DatasetChunks(results.arrays[str(number)]),
                unit=stream["unit"],
                timestamps=DatasetChunks(results.arrays["timestamps"]) if first is None else first,
            )
            first = first or series
            members.append(series)
        container = BehavioralTimeSeries(name=context.name("Synchronized"), time_series=members)
        context.module(nwbfile, self.module).add(container)


def _file_of(item: Any) -> h5py.File:
    """Return the HDF5 file that an object was read from."""
    kind = _kind(item)
    if kind == "pose":
        return next(iter(item.pose_estimation_series.values())).data.file
    return (item.id.data if kind in ("units", "events") else item.data).file


def _kind(item: Any) -> str:
    if hasattr(item, "pose_estimation_series"):
        return "pose"
    if type(item).__name__ == "Units":
        return "units"
    return "events" if hasattr(item, "colnames") else "series"


def _describe_grid(nwbfile: NWBFile, context: Context) -> dict[str, Any]:
    series, path = context.input(nwbfile, "grid"), context.inputs["grid"].path
    stamps = series.timestamps
    count = series.num_samples if stamps is None else len(stamps)
    if not count or (stamps is None and series.rate is None):
        raise InputError("the series has no times", where=path, hint="bind another series to the input grid")
    return {
        "path": path,
        "timestamps": None if stamps is None else stamps.name,
        "rate": None if stamps is not None else float(series.rate),
        "start": None if stamps is not None else float(series.starting_time or 0.0),
        "count": int(count),
    }


def _describe_stream(item: Any, path: str, params: SynchronizeParams) -> dict[str, Any]:
    """Return kind, unit and datasets of an input."""
    kind = _kind(item)
    if kind == "units":
        return {"kind": kind, "unit": "spikes", **_describe_units(item, path)}
    if kind == "events":
        types = item["event_type"] if "event_type" in item.colnames else None
        labels = [item.name] if types is None else sorted(set(map(str, types.data[:])))
        return {
            "kind": kind,
            "unit": "events",
            "times": item["timestamp"].data.name,
            "types": None if types is None else types.data.name,
            "labels": labels,
            "comments": "Columns: " + ", ".join(labels),
        }
    keypoints = list(item.pose_estimation_series.values()) if kind == "pose" else [item]
    if not keypoints:
        raise InputError("the pose estimation has no keypoints", where=path)
    members = [_describe_member(series, path) for series in keypoints]
    if len({tuple(series.data.shape[1:]) for series in keypoints}) > 1:
        raise InputError("the keypoints have different numbers of coordinates", where=path, hint="bind them by name")
    comments = str(getattr(item, "comments", "") or "no comments")
    if kind == "pose":
        comments = "Second axis: " + ", ".join(series.name for series in keypoints) + "; third axis: coordinates"
    return {
        "kind": kind,
        "unit": keypoints[0].unit,
        "members": members,
        "comments": comments,
        "min_likelihood": params.min_likelihood,
    }


def _describe_units(units: Any, path: str) -> dict[str, Any]:
    if "spike_times" not in units.colnames or not len(units):
        raise InputError("the units have no spike times", where=path, hint="bind other units")
    index = units["spike_times"]
    observed = units["obs_intervals"] if "obs_intervals" in units.colnames else None
    labels = [str(number) for number in units.id[:]]
    return {
        "times": index.target.data.name,
        "index": index.data.name,
        "observed": None if observed is None else {"times": observed.target.data.name, "index": observed.data.name},
        "labels": labels,
        "comments": "Columns: the units with the ids " + ", ".join(labels),
    }


def _describe_member(series: Any, path: str) -> dict[str, Any]:
    if series.data.dtype.kind not in "fiub" or 0 in series.data.shape:
        found = f"shape {tuple(series.data.shape)}, {series.data.dtype}"
        raise InputError("the series holds no numbers", where=path, found=found, hint="leave it out")
    described = describe_datasets(series)
    channels = getattr(series, "channel_conversion", None)
    if channels is not None:
        described["conversion"] = [described["conversion"] * float(factor) for factor in channels[:]]
    return described


def _name_streams(streams: list[dict[str, Any]]) -> None:
    """Give each stream the name of its object; with the names above it where others are called so too."""
    for depth in range(1, 6):
        names = ["_".join(stream["path"].strip("/").split("/")[-depth:]) for stream in streams]
        unclear = {name for name in names if names.count(name) > 1}
        for stream, name in zip(streams, names, strict=True):
            if "name" not in stream and name not in unclear:
                stream["name"] = name
    for stream in streams:
        stream.setdefault("name", stream["path"].strip("/").replace("/", "_"))


def _matches(stream: Mapping[str, Any], pattern: str) -> bool:
    plain = stream["path"].strip("/")
    return any(fnmatchcase(name, pattern.strip("/")) for name in (stream["name"], plain, plain.rpartition("/")[2]))


def _check_names(option: str, values: Mapping[str, Any], streams: list[dict[str, Any]]) -> None:
    for pattern in values:
        if not any(_matches(stream, pattern) for stream in streams):
            raise InputError(
                f"{option} names {pattern!r}, and no input of that name is bound",
                expected="one of " + ", ".join(stream["name"] for stream in streams),
                found=pattern,
                hint=f"correct the name in {option}",
            )


def _choose_options(stream: Mapping[str, Any], params: SynchronizeParams) -> dict[str, Any]:
    chosen = [method for pattern, method in params.methods.items() if _matches(stream, pattern)]
    gaps = [gap for pattern, gap in params.max_gaps_s.items() if _matches(stream, pattern)]
    if stream["kind"] not in _SAMPLED:
        if chosen and chosen[-1] != "count":
            raise InputError(
                "spikes and events have no value between them: they are counted",
                where=stream["path"],
                expected="the method count",
                found=chosen[-1],
                hint="take this input out of methods",
            )
        return {"method": "count", "max_gap_s": None, "lowpass": None}
    method = chosen[-1] if chosen else params.method
    return {
        "method": method,
        "unit": "samples" if method == "count" else stream["unit"],
        "max_gap_s": gaps[-1] if gaps else params.max_gap_s,
        "lowpass": params.lowpass,
    }


def _describe_result(stream: Mapping[str, Any], account: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    return "; ".join(_list_facts(stream, account, summary)) + "."


def _list_facts(stream: Mapping[str, Any], account: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[str]:
    rows = summary["rows"]
    if "events" in account:
        yield f"{stream['path']}: {stream['unit']} in the bin around each time"
        yield f"{account['counted']} of {account['events']} counted, {account['outside']} outside of the bins"
    elif stream["method"] == "count":
        yield f"{stream['path']}: samples in the bin around each time"
    else:
        yield f"{stream['path']} at these times: {stream['method']}, from {account['source_rate']:.6g} Hz"
        if account["low_pass_hz"] is not None:
            yield f"low-pass at {account['low_pass_hz']:.4g} Hz"
        if account["turns"]:
            yield "directions, read over the end of a turn"
    if account["missing"]:
        yield f"{account['missing']} of {rows} rows with values missing (NaN)"
