"""The processor ``spikesorting``: units of an extracellular recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError, ResultExistsError
from nwbpipe.processors._base import Context, Input, Loader, Processor, Results
from nwbpipe.processors._resources import Resources
from nwbpipe.processors.ephys import _electrodes
from nwbpipe.processors.ephys._clock import sampling_rate
from nwbpipe.processors.ephys._electrodes import Floats
from nwbpipe.processors.ephys._motion_write import add_motion
from nwbpipe.processors.ephys._parameters import (
    CORRECT_MOTION,
    SPIKEINTERFACE,
    TOOLS,
    TORCH_TOOLS,
    WITHOUT_GEOMETRY,
    PreprocessingParams,
    SpikeSortingParams,
)
from nwbpipe.processors.ephys._units import units_table

if TYPE_CHECKING:
    from pynwb import NWBFile
    from pynwb.ecephys import ElectricalSeries


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
    revision: ClassVar[int] = 2
    module: ClassVar[str] = "ecephys"
    inputs: ClassVar[Mapping[str, Input]] = {
        "recording": Input(
            "ElectricalSeries", but_not=("SpikeEventSeries",), doc="Voltages, sampled fast enough for spikes"
        )
    }
    Params: ClassVar[type[SpikeSortingParams]] = SpikeSortingParams
    tool: ClassVar[Tool] = SPIKEINTERFACE
    further_tools: ClassVar[tuple[Tool, ...]] = (*TOOLS.values(), *TORCH_TOOLS.values())
    compute: ClassVar[str] = "nwbpipe.processors.ephys._spikesorting_compute"
    loader: ClassVar[Loader] = Loader(
        "a folder of Phy or Kilosort (the one with params.py)", "nwbpipe.processors.ephys._sorting_load"
    )
    stages: ClassVar[tuple[str, ...]] = ("preprocessed", "sorted")

    def tool_for(self, params: Any) -> Tool:
        """Return the tool of the sorter (SpikeInterface, or its own), with torch where motion correction needs it."""
        tool = TOOLS.get(params.sorter, self.tool)
        return TORCH_TOOLS.get(tool.name, tool) if params.needs_torch else tool

    def resources_for(self, params: Any) -> Resources:
        """Ask for a GPU for Kilosort 4, unless its parameters name the CPU; for no other sorter."""
        on_gpu = params.sorter == "kilosort4" and params.sorter_params.get("torch_device", "auto") != "cpu"
        return replace(self.resources, gpu=1 if on_gpu else 0)

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series, its electrodes and their geometry; return what the sorter needs to know of them."""
        series, path = context.input(nwbfile, "recording"), context.inputs["recording"].path
        _check_no_other_units(nwbfile, context)
        shape = tuple(series.data.shape)
        channels = 1 if len(shape) == 1 else shape[1]
        if len(shape) > 2 or channels != len(series.electrodes.data):
            msg = "the series and its electrodes don't fit"
            raise InputError(
                msg, where=path, expected=f"data of shape (time, {len(series.electrodes.data)})", found=str(shape)
            )
        if shape[0] < 2:
            msg = "the series holds no samples"
            raise InputError(msg, where=path, expected="two samples or more", found=str(shape))
        _check_band(series, context.params, path)
        names, group_of = _electrodes.electrode_groups(series)
        locations = _electrodes.channel_locations(series, group_of)
        if locations is None and context.params.sorter not in WITHOUT_GEOMETRY and channels > 1:
            msg = f"the sorter {context.params.sorter!r} needs to know where the electrodes are"
            raise InputError(
                msg,
                where=f"{path}/electrodes",
                expected="finite columns rel_x and rel_y (or x, y and z) in the electrodes table, in micrometers, no "
                "two channels of a group in one place",
                found=", ".join(series.electrodes.table.colnames),
                hint="add the probe's geometry to the electrodes table",
            )
        gains, offsets = _electrodes.gains_and_offsets(series)
        method, dense, reason = decide_motion(context.params, locations, group_of, path)
        stand_in = np.column_stack([np.zeros(channels), 200.0 * np.arange(channels)])
        return {
            "rate": sampling_rate(series),
            "samples": shape[0],
            "group_names": names,
            "groups": group_of,
            "has_geometry": locations is not None,
            "locations": (stand_in if locations is None else locations).tolist(),
            "gains_to_uv": gains,
            "offsets_to_uv": offsets,
            "inter_sample_shift": _electrodes.sample_shifts(series),
            "motion_method": method,
            "motion_groups": dense,
            "motion_reason": reason,
        }

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of units, and the motion that was corrected."""
        series = context.input(nwbfile, "recording")
        if "motion" in results.arrays:
            module = context.module(nwbfile, self.module)
            add_motion(module, context, results.arrays["motion"], _electrodes.electrode_groups(series)[0])
        table = units_table(
            "units" if context.primary else context.name("Units"), nwbfile.electrodes, series, results, context.params
        )
        if not context.primary:
            context.module(nwbfile, self.module).add(table)
            return
        if nwbfile.units is not None:
            raise _units_exist_error(nwbfile)
        nwbfile.units = table


def decide_motion(
    params: PreprocessingParams, locations: Floats | None, group_of: list[int], where: str
) -> tuple[str, list[int], str]:
    """Decide how motion is corrected, before anything is computed.

    Returns
    -------
    str
        "none", "sorter", or the method.
    list of int
        Groups whose motion is corrected here.
    str
        The reason, in words for the record.

    Raises
    ------
    InputError
        If a method was asked for, and no group of electrodes is dense enough for it.
    """
    dense = [] if locations is None else _electrodes.dense_groups(locations, group_of)
    if params.motion == "none":
        return "none", [], "motion was not corrected, as asked for"
    if isinstance(params, SpikeSortingParams):
        if params.motion_is_the_sorters:
            return "sorter", [], "motion correction was left to the sorter, as asked for"
        if params.motion == "auto" and params.sorter in CORRECT_MOTION and dense:
            return "sorter", [], "motion was corrected by the sorter's own method"
    limits = (
        f"more than {_electrodes.CHANNELS_FOR_MOTION} channels within {_electrodes.WIDTH_FOR_MOTION_UM:g} µm of width"
    )
    if dense:
        return ("decentralized" if params.motion == "auto" else params.motion), dense, ""
    if params.motion == "auto":
        return "none", [], f"motion was not corrected: no electrode group has {limits}"
    msg = "the electrodes are not dense enough for motion to be seen"
    hint = "leave out the parameter `motion`, or set it to none"
    raise InputError(
        msg, where=where, expected=f"a group with {limits}", found=f"{len(group_of)} channels", hint=hint
    )


def _check_band(series: ElectricalSeries, params: PreprocessingParams, where: str) -> None:
    if series.rate is None and series.timestamps is None:
        msg = "the series has neither a rate nor timestamps"
        raise InputError(msg, where=where, hint="convert it again with one of them")
    rate = sampling_rate(series)
    highest = params.freq_max if params.freq_max is not None else params.freq_min
    if highest is not None and highest >= rate / 2:
        msg = "the filter's band does not fit the sampling rate"
        raise InputError(
            msg,
            where=where,
            expected=f"frequencies below half of the sampling rate, {rate / 2:g} Hz",
            found=f"{highest:g} Hz",
            hint="is this the raw recording, not the field potential? lower freq_max otherwise",
        )


def _check_no_other_units(nwbfile: NWBFile, context: Context) -> None:
    """Refuse a primary result where the file has units of another origin; the step's own ones can be replaced."""
    if not context.primary or nwbfile.units is None:
        return
    from nwbpipe.provenance import find_current_record, read_records

    record = find_current_record(read_records(nwbfile.units.id.data.file), context.step)
    if record is None or nwbfile.units.object_id not in {output.object_id for output in record.outputs}:
        raise _units_exist_error(nwbfile)


def _units_exist_error(nwbfile: NWBFile) -> ResultExistsError:
    msg = "the file has units already"
    return ResultExistsError(
        msg,
        where="/units",
        expected="none, as the step is to be the primary one",
        found=f"{len(nwbfile.units)} units",
        hint="leave out `primary`: the units then go to processing/ecephys",
    )
