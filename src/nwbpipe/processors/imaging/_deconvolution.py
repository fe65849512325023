"""The processor ``deconvolution``: activity out of calcium traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.imaging._traces import ROIS, select_rois, trace_facts

if TYPE_CHECKING:
    from pynwb import NWBFile


class DeconvolutionParams(Params):
    """Parameters of ``deconvolution``."""

    tau: float = Field(
        1.0,
        gt=0,
        le=10,
        description=(
            "Decay time of the indicator, in seconds: 0.7 for GCaMP6f, 1.0 for GCaMP6m, 1.25 to 1.5 for GCaMP6s."
        ),
    )
    baseline: Literal["maximin", "percentile", "constant", "none"] = Field(
        "maximin", description="Baseline that is taken off first (see the processor 'dff'); 'none' for dF/F around 0."
    )
    percentile: float = Field(8.0, ge=0, le=100, description="Percentile of the trace that is its baseline.")
    window_s: float = Field(60.0, gt=0, description="Length of the baseline's window, in seconds.")
    sigma_s: float = Field(0.5, ge=0, description="Width (sigma) of the smoothing before 'maximin', in seconds.")
    penalty: float = Field(
        0.0, ge=0, description="Weight of the L1 penalty on the activity, in standard deviations of the noise."
    )
    smallest: float = Field(
        0.0, ge=0, description="Smallest jump that is activity, in standard deviations of the noise."
    )


class Deconvolution(Processor):
    """Non-negative deconvolution of calcium traces (OASIS, order 1), with nwbpipe's own implementation.

    Results: ``Deconvolved_<step>`` with the series ``Deconvolved``, of the same ROIs (or those that ``rois`` takes),
    at the same times: the jump of the calcium at each frame, in the unit of the traces. It is proportional to the
    number of spikes, and no rate.

    References
    ----------
    Friedrich, Zhou & Paninski (2017), "Fast online deconvolution of calcium imaging data", PLOS Computational Biology
    13: e1005423.
    """

    name: ClassVar[str] = "deconvolution"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("Deconvolved",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "traces": Input("RoiResponseSeries", doc="dF/F or neuropil-corrected traces, (frames, ROIs)"),
        "rois": ROIS,
    }
    Params: ClassVar[type[Params]] = DeconvolutionParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.imaging._deconvolution_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Return the traces' rate."""
        return trace_facts(nwbfile, context, "traces")

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write ``Deconvolved``."""
        from nwbpipe.processors.imaging._segmentation_write import Traces, write_traces

        series, params = context.input(nwbfile, "traces"), context.params
        rows, roi_note = select_rois(series, context)
        text = (
            f"Deconvolved activity of {series.name}: jump of the calcium at each frame, proportional to the number "
            f"of spikes. OASIS, order 1, tau {params.tau:g} s; baseline {params.baseline}; penalty "
            f"{params.penalty:g} and smallest jump {params.smallest:g} standard deviations of the noise.{roi_note}"
        )
        write_traces(
            context.module(nwbfile, self.module),
            context,
            series,
            series.rois.table,
            deconvolved=[Traces("Deconvolved", results.arrays["deconvolved"][:], text, str(series.unit))],
            rows=rows,
        )
