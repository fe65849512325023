"""The processor ``spikesorting``: units of an extracellular recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Loader, Processor, Results
from nwbpipe.processors._resources import Resources
from nwbpipe.processors.ephys import _electrodes
from nwbpipe.processors.ephys._motion_choice import MOTION, plan_motion
from nwbpipe.processors.ephys._motion_write import add_motion
from nwbpipe.processors.ephys._parameters import (
    GPU_ONLY,
    SPIKEINTERFACE,
    TOOLS,
    TORCH_TOOLS,
    WITHOUT_GEOMETRY,
    SpikeSortingParams,
)
from nwbpipe.processors.ephys._quality_inputs import CHANNELS, read_quality
from nwbpipe.processors.ephys._recording import check_band, describe_recording
from nwbpipe.processors.ephys._units import check_units_are_free, set_units, units_table

if TYPE_CHECKING:
    from pynwb import NWBFile


_HINT = "leave out `primary`: the units then go to processing/ecephys"


class SpikeSorting(Processor):
    """Sort the spikes of an `ElectricalSeries` with any sorter that SpikeInterface runs.

    The result is a `Units` table: spike times in the session's clock (seconds), the mean waveform and its
    standard deviation on every channel (volts), estimated locations, and quality metrics as described columns. It
    goes to ``processing/ecephys/Units_<step>``, or to ``nwbfile.units`` if the step is the session's primary one.

    Notes
    -----
    SpikeInterface: Buccino et al. 2020, eLife 9:e61834. The default sorter, SpyKING CIRCUS 2, is its rewriting of
    Yger et al. 2018, eLife 7:e34518. Templates, metrics and locations come from SpikeInterface's
    `SortingAnalyzer`, on the recording as it was preprocessed here.
    """

    name: ClassVar[str] = "spikesorting"
    revision: ClassVar[int] = 3
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("Units", "Motion", "MotionWindows")
    inputs: ClassVar[Mapping[str, Input]] = {
        "recording": Input(
            "ElectricalSeries", but_not=("SpikeEventSeries",), doc="Voltages, sampled fast enough for spikes"
        ),
        "channels": CHANNELS,
        "artifacts": Input(
            "TimeIntervals", optional=True, doc="Stretches that are set to zero and cut out of obs_intervals"
        ),
        "motion": MOTION,
    }
    Params: ClassVar[type[SpikeSortingParams]] = SpikeSortingParams
    tool: ClassVar[Tool] = SPIKEINTERFACE
    further_tools: ClassVar[tuple[Tool, ...]] = (*TOOLS.values(), *TORCH_TOOLS.values())
    compute: ClassVar[str] = "nwbpipe.processors.ephys._spikesorting_compute"
    loader: ClassVar[Loader] = Loader(
        "a folder of Phy or Kilosort (the one with params.py), or a sorting or analyzer that SpikeInterface saved",
        "nwbpipe.processors.ephys._sorting_load",
    )
    stages: ClassVar[tuple[str, ...]] = ("preprocessed", "sorted")

    def tool_for(self, params: Any) -> Tool:
        """Return the tool of the sorter (SpikeInterface, or its own), with torch where motion correction needs it."""
        tool = TOOLS.get(params.sorter, self.tool)
        return TORCH_TOOLS.get(tool.name, tool) if params.needs_torch else tool

    def resources_for(self, params: Any) -> Resources:
        """Ask for a GPU for sorters that need one, and for Kilosort 4 unless its parameters name the CPU."""
        on_gpu = params.sorter in GPU_ONLY or (
            params.sorter == "kilosort4" and params.sorter_params.get("torch_device", "auto") != "cpu"
        )
        return replace(self.resources, gpu=1 if on_gpu else 0)

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series, its electrodes and their geometry; return what the sorter needs to know of them."""
        series, path = context.input(nwbfile, "recording"), context.inputs["recording"].path
        if context.primary:
            check_units_are_free(nwbfile, context.step, _HINT)
        params = context.params
        check_band(series, params.freq_max if params.freq_max is not None else params.freq_min, path)
        needs = None if params.sorter in WITHOUT_GEOMETRY else f"the sorter {params.sorter!r}"
        facts = describe_recording(series, path, needs=needs)
        facts["channel_names"] = _electrodes.channel_names(series)
        return facts | plan_motion(nwbfile, context, series, facts) | read_quality(nwbfile, context, series)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of units, and the motion that was corrected."""
        series = context.input(nwbfile, "recording")
        if "motion" in results.arrays:
            module = context.module(nwbfile, self.module)
            add_motion(module, context, results.arrays["motion"], _electrodes.electrode_groups(series)[0])
        table = units_table(
            "units" if context.primary else context.name("Units"), nwbfile.electrodes, series, results, context.params
        )
        if context.primary:
            set_units(nwbfile, table, context.step, _HINT)
        else:
            context.module(nwbfile, self.module).add(table)
