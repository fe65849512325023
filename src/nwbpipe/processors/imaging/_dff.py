"""The processor ``dff``: fluorescence over its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.imaging._traces import ROIS, select_rois, trace_facts

if TYPE_CHECKING:
    from pynwb import NWBFile


class BaselineParams(Params):
    """Parameters of a trace's baseline."""

    baseline: Literal["percentile", "maximin", "constant"] = Field(
        "percentile",
        description=(
            "'percentile': of a window around each frame; 'maximin': the running maximum of the running minimum of "
            "the smoothed trace, as suite2p does; 'constant': the percentile of the whole trace."
        ),
    )
    percentile: float = Field(8.0, ge=0, le=100, description="Percentile of the trace that is its baseline.")
    window_s: float = Field(60.0, gt=0, description="Length of the window, in seconds.")
    sigma_s: float = Field(1.0, ge=0, description="Width (sigma) of the smoothing before 'maximin', in seconds.")


class DffParams(BaselineParams):
    """Parameters of ``dff``."""

    neuropil_coefficient: float = Field(
        0.7,
        ge=0,
        description="Part of the neuropil's change that is taken off the traces, where a neuropil is bound.",
    )


class Dff(Processor):
    """dF/F = (F - F0) / F0 of the traces of ROIs.

    Where ``neuropil`` is bound, F is the trace less `neuropil_coefficient` times the neuropil's deviation from its
    median. Traces that were corrected before (``NeuropilCorrected``) have lost the level that F0 is measured at: bind
    ``RoiResponseSeries`` and ``Neuropil``. An ROI whose F0 is not positive throughout is NaN, and named in the
    description.

    Results: ``DfOverF_<step>`` with the series ``DfOverF``, of the same ROIs (or those that ``rois`` takes), at the
    same times.
    """

    name: ClassVar[str] = "dff"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("DfOverF",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "traces": Input("RoiResponseSeries", doc="raw fluorescence of ROIs, (frames, ROIs)"),
        "neuropil": Input("RoiResponseSeries", doc="neuropil of the same ROIs", optional=True),
        "rois": ROIS,
    }
    Params: ClassVar[type[Params]] = DffParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.imaging._dff_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the traces belong together; return their rate."""
        return trace_facts(nwbfile, context, "traces", "neuropil")

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write ``DfOverF``."""
        from nwbpipe.processors.imaging._segmentation_write import Traces, write_traces

        series = context.input(nwbfile, "traces")
        params = context.params
        rows, roi_note = select_rois(series, context)
        baseline_text = {
            "percentile": f"percentile {params.percentile:g} of {params.window_s:g} s around each frame",
            "maximin": f"running maximum of the running minimum, {params.window_s:g} s, sigma {params.sigma_s:g} s",
            "constant": f"percentile {params.percentile:g} of the whole trace",
        }[params.baseline]
        text = f"(F - F0) / F0 of {series.name}; F0: {baseline_text}."
        if "neuropil" in context.inputs:
            text += f" F is less {params.neuropil_coefficient:g} times the neuropil's deviation from its median."
        text += roi_note
        if results.summary["unusable"]:
            text += f" NaN, for want of a positive F0: columns {', '.join(map(str, results.summary['unusable']))}."
        write_traces(
            context.module(nwbfile, self.module),
            context,
            series,
            series.rois.table,
            dff=[Traces("DfOverF", results.arrays["dff"][:], text, "n.a.")],
            rows=rows,
        )
