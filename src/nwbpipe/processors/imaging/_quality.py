"""The processor ``imaging_quality``: metrics of a scan and of its ROIs, and verdicts by a set of thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError, SpecError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.quality import ThresholdSet, default_thresholds
from nwbpipe.quality._imaging_thresholds import KNOWN

if TYPE_CHECKING:
    from pynwb import NWBFile, ProcessingModule


class ImagingQualityParams(Params):
    """Parameters of ``imaging_quality``."""

    thresholds: dict[str, Any] = Field(
        default_factory=lambda: default_thresholds().as_dict(),
        description="The set of thresholds: its name, and bounds for metrics of 'roi' and 'scan' (see docs).",
    )
    neuropil_coefficient: float = Field(
        0.7,
        ge=0,
        description="Part of the neuropil's change that is taken off the traces, where a neuropil is bound.",
    )
    saturation: float | None = Field(
        None, description="Value at which a pixel is saturated; the largest of the movie's integer type by default."
    )

    dark_level: float = Field(
        0.0,
        description="Stored value of a pixel without light (the digitiser's offset): bleaching is over the rest.",
    )

    @field_validator("thresholds")
    @classmethod
    def _check_thresholds(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            return ThresholdSet.from_dict(value, KNOWN).as_dict()
        except SpecError as error:
            raise ValueError("; ".join(str(problem).replace("\n", ", ") for problem in error.problems)) from error


class ImagingQuality(Processor):
    """Quality metrics of a scan, its masks and traces, with a verdict on the scan and on each ROI.

    Every input is optional: what is bound is measured. `nwbpipe.review.measure_quality` binds what a step read and
    wrote. Results, in the module ``ophys``:

    - ``RoiQuality_<step>``: a row for each ROI, with a reference to it, its metrics, ``verdict`` (pass, warn, fail)
      and ``reasons``;
    - ``ScanQuality_<step>``: one row for the scan, likewise;
    - ``FrameQuality_<step>``: `TimeSeries` (frames, 4), minimum, mean, maximum and contrast of each frame;
    - ``QualityThresholds_<step>``: the bounds that the verdicts are by; name and hash are in its description.

    What each metric is stands in the description of its column.
    """

    name: ClassVar[str] = "imaging_quality"
    revision: ClassVar[int] = 2  # 2: faint skirts of masks don't count
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("RoiQuality", "ScanQuality", "FrameQuality", "QualityThresholds")
    inputs: ClassVar[Mapping[str, Input]] = {
        "movie": Input("TwoPhotonSeries", "OnePhotonSeries", doc="the movie", optional=True),
        "segmentation": Input("PlaneSegmentation", doc="the ROIs", optional=True),
        "traces": Input("RoiResponseSeries", doc="raw traces of all these ROIs", optional=True),
        "neuropil": Input("RoiResponseSeries", doc="neuropil of the same ROIs", optional=True),
        "shifts": Input("TimeSeries", doc="shifts of the frames, in pixels", optional=True),
    }
    Params: ClassVar[type[Params]] = ImagingQualityParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.imaging._quality_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the inputs belong together; return rate, gaps, and the size of frames and pixels."""
        from nwbpipe.processors.imaging._movie import movie_facts
        from nwbpipe.processors.imaging._traces import trace_facts

        bound = {name: context.input(nwbfile, name) for name in context.inputs}
        if not set(bound) - {"neuropil"}:
            msg = "nothing is bound that could be measured"
            raise InputError(
                msg, expected=", ".join(self.inputs), hint="`nwbpipe qc FILE --measure` binds what it finds"
            )
        facts: dict[str, Any] = {}
        if "traces" in bound:
            facts.update(trace_facts(nwbfile, context, "traces", "neuropil"))
        if "movie" in bound:
            movie = movie_facts(bound["movie"], context.inputs["movie"].path)
            facts.update(rate=movie["rate"], gaps=movie["gaps"], frame_shape=movie["shape"][1:3])
        if "segmentation" in bound:
            facts.update(_segmentation_facts(bound, context))
        return facts

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write metrics, verdicts and the thresholds that these are by."""
        module = context.module(nwbfile, self.module)
        thresholds = ThresholdSet.from_dict(context.params.thresholds, KNOWN)
        if "roi" in results.arrays:
            values = {
                name: results.arrays[f"roi/{name}"][:] for name in KNOWN["roi"] if name in results.arrays["roi"]
            }
            if "segmentation" in context.inputs:
                table = context.input(nwbfile, "segmentation")
                rows = list(range(len(table)))
            else:
                region = context.input(nwbfile, "traces").rois
                table, rows = region.table, [int(row) for row in region.data[:]]
            _write_table(module, context, thresholds, "roi", values, (table, rows))
        scan = {name: math.nan if value is None else value for name, value in results.summary["scan"].items()}
        if scan:
            _write_table(
                module, context, thresholds, "scan", {name: [scan[name]] for name in KNOWN["scan"] if name in scan}
            )
        if "frames" in results.arrays:
            _write_frames(module, context, context.input(nwbfile, "movie"), results)
        _write_thresholds(module, context, thresholds)


def _segmentation_facts(bound: Mapping[str, Any], context: Context) -> dict[str, Any]:
    table, path = bound["segmentation"], context.inputs["segmentation"].path
    if "pixel_mask" not in table.colnames:
        msg = "the ROIs have no pixel masks"
        raise InputError(msg, where=path, expected="a column pixel_mask", found=", ".join(table.colnames))
    series = bound.get("traces")
    rows = [] if series is None else [int(row) for row in series.rois.data[:]]
    if series is not None and (series.rois.table is not table or rows != list(range(len(table)))):
        msg = "the traces are not those of all these ROIs"
        raise InputError(msg, where=context.inputs["traces"].path, expected=f"the {len(table)} ROIs of {table.name}")
    facts: dict[str, Any] = {}
    movies = [bound["movie"]] if "movie" in bound else list(table.reference_images or ())
    if not movies:
        msg = "the size of the frame is not known"
        raise InputError(msg, where=path, hint="bind the movie, too: --input movie=PATH")
    facts["frame_shape"] = [int(size) for size in movies[0].data.shape[1:3]]
    plane = table.imaging_plane
    if plane.grid_spacing is not None and plane.grid_spacing_unit in ("meters", "m"):
        facts["pixel_area_um2"] = float(plane.grid_spacing[0]) * float(plane.grid_spacing[1]) * 1e12
    return facts


def _write_table(
    module: ProcessingModule,
    context: Context,
    thresholds: ThresholdSet,
    of: str,
    metrics: Mapping[str, Any],
    rois: tuple[Any, list[int]] | None = None,
) -> None:
    from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

    rows = [dict(zip(metrics, row, strict=True)) for row in zip(*metrics.values(), strict=True)]
    judged = [thresholds.judge(of, row) for row in rows]
    columns = [VectorData(name=name, description=KNOWN[of][name], data=values) for name, values in metrics.items()]
    by = f"by the thresholds {thresholds.name!r} ({thresholds.hash[:12]})"
    columns += [
        VectorData(name="verdict", description=f"pass, warn or fail, {by}.", data=[verdict for verdict, _ in judged]),
        VectorData(
            name="reasons",
            description="Bounds that are not kept, '; ' between them.",
            data=["; ".join(reasons) for _, reasons in judged],
        ),
    ]
    if rois is not None:
        text = f"The ROI, a row of {rois[0].name}."
        columns.insert(0, DynamicTableRegion(name="roi", description=text, data=rois[1], table=rois[0]))
    standard, subject = {"roi": ("RoiQuality", "ROIs"), "scan": ("ScanQuality", "the scan")}[of]
    module.add(
        DynamicTable(
            name=context.name(standard),
            description=f"Quality of {subject}, judged {by}.",
            columns=columns,
            colnames=[column.name for column in columns],
        )
    )


def _write_frames(module: ProcessingModule, context: Context, movie: Any, results: Results) -> None:
    import numpy as np
    from pynwb import TimeSeries

    from nwbpipe.nwb_builders import Times
    from nwbpipe.processors.imaging._segmentation_write import compress
    from nwbpipe_kit.imaging_metrics import FRAME_METRICS

    values = np.stack([results.arrays[f"frames/{name}"][:] for name in FRAME_METRICS], axis=1).astype(np.float32)
    texts = " ".join(f"{column}: {text}" for column, text in enumerate(FRAME_METRICS.values()))
    module.add(
        TimeSeries(
            name=context.name("FrameQuality"),
            data=compress(values),
            unit="n.a.",
            description=f"Brightness of each frame of {movie.name}. Columns: {texts}",
            **Times.of(movie).arguments(),
        )
    )


def _write_thresholds(module: ProcessingModule, context: Context, thresholds: ThresholdSet) -> None:
    from hdmf.common import DynamicTable, VectorData

    rows = [
        (of, metric, bound, float(value))
        for of, metrics in thresholds.bounds.items()
        for metric, bounds in metrics.items()
        for bound, value in bounds.items()
    ]
    texts = {
        "of": "What the metric is of: roi or scan.",
        "metric": "Name of the metric.",
        "bound": "Beyond which side of the value it warns or fails.",
        "value": "The bound; a metric that equals it is within.",
    }
    module.add(
        DynamicTable(
            name=context.name("QualityThresholds"),
            description=f"The set of thresholds {thresholds.name!r}, SHA-256 {thresholds.hash}.",
            columns=[
                VectorData(name=name, description=text, data=[row[k] for row in rows])
                for k, (name, text) in enumerate(texts.items())
            ],
        )
    )
