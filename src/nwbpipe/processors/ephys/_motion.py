"""The processor ``motion``: how the tissue moves along a probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.nwb_builders import regular_times
from nwbpipe.processors._base import Context, Input, Processor, Results
from nwbpipe.processors.ephys import _electrodes
from nwbpipe.processors.ephys._motion_choice import decide_motion
from nwbpipe.processors.ephys._motion_write import add_motion
from nwbpipe.processors.ephys._parameters import SPIKEINTERFACE, TORCH_TOOLS, WITH_TORCH, PreprocessingParams
from nwbpipe.processors.ephys._quality_inputs import CHANNELS, read_quality
from nwbpipe.processors.ephys._recording import check_band, describe_recording

if TYPE_CHECKING:
    from pynwb import NWBFile


class MotionParams(PreprocessingParams):
    """Parameters of ``motion``: those of preprocessing, and the method."""

    motion: Literal["decentralized", "dredge", "dredge_fast", "iterative_template"] = Field(
        "decentralized", description="Method of the estimate; dredge and dredge_fast need torch"
    )


class Motion(Processor):
    """Estimate the motion of the tissue along each dense probe or shank, from the depths of its spikes.

    Results go into ``ecephys``: ``Motion_<step>`` (`TimeSeries`, displacement in micrometers in each depth window),
    ``MotionWindows_<step>`` (depths of the windows), and ``DriftRaster_<step>`` (`TimeSeries`, spikes in each bin of
    time and depth).

    Notes
    -----
    Decentralized registration: Varol et al. 2021 (ICASSP), Windolf et al. 2025 (Nature Methods).
    """

    name: ClassVar[str] = "motion"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("DriftRaster", "Motion", "MotionWindows")
    inputs: ClassVar[Mapping[str, Input]] = {
        "recording": Input(
            "ElectricalSeries", but_not=("SpikeEventSeries",), doc="Voltages, sampled fast enough for spikes"
        ),
        "channels": CHANNELS,
        "artifacts": Input("TimeIntervals", optional=True, doc="Stretches that are left out"),
    }
    Params: ClassVar[type[MotionParams]] = MotionParams
    tool: ClassVar[Tool] = SPIKEINTERFACE
    further_tools: ClassVar[tuple[Tool, ...]] = (TORCH_TOOLS["spikeinterface"],)
    compute: ClassVar[str] = "nwbpipe.processors.ephys._motion_compute"

    def tool_for(self, params: Any) -> Tool:
        """Return SpikeInterface, with torch for DREDge."""
        return TORCH_TOOLS["spikeinterface"] if params.motion in WITH_TORCH else self.tool

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series and its geometry, and find the dense groups."""
        series, path = context.input(nwbfile, "recording"), context.inputs["recording"].path
        params = context.params
        check_band(series, params.freq_max if params.freq_max is not None else params.freq_min, path)
        facts = describe_recording(series, path, needs="the estimate of motion")
        _, dense, _ = decide_motion(params, np.asarray(facts["locations"]), facts["groups"], path)
        facts |= {"motion_method": "none", "motion_groups": dense}
        return facts | read_quality(nwbfile, context, series)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the displacement, its windows and the raster."""
        from pynwb import TimeSeries

        series = context.input(nwbfile, "recording")
        module = context.module(nwbfile, self.module)
        arrays = results.arrays
        add_motion(module, context, arrays["motion"], _electrodes.electrode_groups(series)[0])
        depths = arrays["raster_depths"][:]
        step = float(depths[1] - depths[0]) if len(depths) > 1 else 0.0
        text = (
            f"Spikes in each time bin (row) and depth bin (column) of all dense groups; depths from {depths[0]:g} to "
            f"{depths[-1]:g} micrometers in steps of {step:g}"
        )
        module.add(
            TimeSeries(
                name=context.name("DriftRaster"),
                description=text,
                data=arrays["raster"][:].astype("int32"),
                unit="spikes",
                **regular_times(arrays["raster_times"][:]).arguments(),
            )
        )
