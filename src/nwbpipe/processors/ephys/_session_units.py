"""The processor ``session_units``: the units of all probes of a session in one table, ``/units``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.ephys._source_units import SourceUnit, list_units
from nwbpipe.processors.ephys._unit_metrics import ALLEN_NAMES, DESCRIPTIONS
from nwbpipe.processors.ephys._units import check_units_are_free, require_spike_times, set_units

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Columns that are built by themselves; all others of numbers and texts are taken over.
_BUILT = frozenset(
    {"spike_times", "obs_intervals", "electrodes", "electrode_group", "peak_electrode", "waveform_mean",
     "waveform_sd", "waveforms", "waveform_spikes", "spike_amplitudes", "spike_depths", "source_units", "unit",
     "group", "device_name", "source_table", "source_row"}
)  # fmt: skip
_HINT = "remove or rename the step that wrote them; its units can be an input where they lie in processing"
_PER_SPIKE = ("spike_amplitudes", "spike_depths")


class SessionUnitsParams(Params):
    """Parameters of ``session_units``."""

    labels: tuple[str, ...] | None = Field(
        None,
        description="Take units whose quality_label is one of these; null: all units but those labelled noise",
    )
    verdicts: tuple[str, ...] = Field(
        (), description="Take units whose verdict in the bound quality is one of these; empty: all"
    )
    names: Literal["spikeinterface", "allen"] = Field(
        "spikeinterface", description="Names and units of metrics; allen: those of the Allen Institute's files"
    )


class SessionUnits(Processor):
    """Put the units of several steps (probes, tetrodes, sorters) into one table, as readers of NWB expect it.

    The result is ``/units``: spike times, observation intervals, electrodes, waveforms, positions and metrics, with
    the probe (``device_name``), and where each unit comes from (``source_table``, ``source_row``). Curated units take
    electrodes and positions from the largest unit that they were made from, and waveforms and metrics only if they
    have the same spikes. Metrics of `unit_quality` are added where they are bound.
    """

    name: ClassVar[str] = "session_units"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ()  # /units alone, of which `prepare` looks whether it is free
    inputs: ClassVar[Mapping[str, Input]] = {
        "units": Input("Units", many=True, doc="Tables of units, by a pattern or names with commas between"),
        "quality": Input("DynamicTable", many=True, optional=True, doc="UnitQuality of `unit_quality`"),
    }
    Params: ClassVar[type[Params]] = SessionUnitsParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.ephys._session_units_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the file has no units of another origin, and that no unit would be there twice."""
        check_units_are_free(nwbfile, context.step, _HINT)
        tables = [context.input(nwbfile, name) for name in context.input_names("units")]
        chosen = {table.object_id: table.name for table in tables}
        for name, table in zip(context.input_names("units"), tables, strict=True):
            require_spike_times(table, context.inputs[name].path)
            source = table["source_units"].target.table if "source_units" in table.colnames else None
            if source is not None and source.object_id in chosen:
                msg = "the units would be in the table twice: as the sorter found them, and as a person curated them"
                paths = ", ".join(context.inputs[key].path for key in context.input_names("units"))
                raise InputError(msg, where=context.inputs[name].path, found=paths, hint=f"leave {source.name} out")
        for name in context.input_names("quality"):
            table = context.input(nwbfile, name)
            if "unit" not in table.colnames:
                msg = "the table does not say which units it judges"
                raise InputError(msg, where=context.inputs[name].path, expected="UnitQuality of `unit_quality`")
        return {}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Build the table of all units."""
        tables = [context.input(nwbfile, name) for name in context.input_names("units")]
        quality = [context.input(nwbfile, name) for name in context.input_names("quality")]
        units = [unit for table in tables for unit in list_units(table, quality)]
        chosen = [unit for unit in units if _is_chosen(unit, context.params)]
        units_table = build_table(nwbfile, chosen, [table.name for table in tables], context.params)
        set_units(nwbfile, units_table, context.step, _HINT)


def _is_chosen(unit: SourceUnit, params: SessionUnitsParams) -> bool:
    label = str(unit.value("quality_label") or "")
    if (label == "noise") if params.labels is None else (label not in params.labels):
        return False
    return not params.verdicts or str(unit.value("verdict") or "") in params.verdicts


def build_table(nwbfile: NWBFile, units: list[SourceUnit], tables: list[str], params: SessionUnitsParams) -> Any:
    """Return the table of units.

    Parameters
    ----------
    nwbfile : NWBFile
    units : list of SourceUnit
    tables : list of str
        Names of the tables that they come from.
    params : SessionUnitsParams
    """
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
    from pynwb.misc import Units

    columns: list[Any] = []

    def add_ragged(data: Any, lengths: list[int]) -> None:
        index = np.cumsum(lengths, dtype="int64")
        columns.extend([VectorIndex(name=f"{data.name}_index", data=index, target=data), data])

    def join(parts: list[Any], shape: tuple[int, ...], dtype: str) -> Any:
        return np.concatenate(parts) if parts else np.zeros(shape, dtype)

    trains = [unit.spike_times for unit in units]
    text = "Times of the spikes, in seconds in the session's clock"
    flat = join(trains, (0,), "float64")
    add_ragged(VectorData(name="spike_times", description=text, data=flat), [len(train) for train in trains])
    intervals = [unit.value("obs_intervals") for unit in units]
    if units and all(value is not None for value in intervals):
        parts = [np.asarray(value, dtype=np.float64).reshape(-1, 2) for value in intervals]
        text = "Stretches that were observed, start and end in seconds"
        add_ragged(
            VectorData(name="obs_intervals", description=text, data=np.concatenate(parts)), list(map(len, parts))
        )
    if units:
        regions = [unit.electrodes for unit in units]
        electrodes = nwbfile.electrodes
        if all(region is not None for region in regions):
            text = "Electrodes of the waveforms, or of the unit's group"
            data = join(regions, (0,), "int64").astype("int64")
            region = DynamicTableRegion(name="electrodes", description=text, data=data, table=electrodes)
            add_ragged(region, [len(part) for part in regions if part is not None])
        peaks = [unit.peak_electrode for unit in units]
        if all(peak is not None for peak in peaks):
            text = "Electrode on which the mean waveform is largest, peak to peak"
            data = np.array(peaks, dtype="int64")
            columns.append(DynamicTableRegion(name="peak_electrode", description=text, data=data, table=electrodes))
        groups = [unit.electrode_group for unit in units]
        if all(group is not None for group in groups):
            columns.append(VectorData(name="electrode_group", description="Electrode group of the unit", data=groups))
        devices = [unit.device_name for unit in units]
        if any(devices):
            columns.append(VectorData(name="device_name", description="Probe of the unit", data=devices))
        columns += [
            VectorData(name=name, description=text, data=data)
            for name, text, data in (*_waveforms(units), *_plain_columns(units, params))
        ]
        for name in _PER_SPIKE:
            per_spike = [unit.per_spike(name) for unit in units]
            if any(values is not None for values in per_spike):
                filled = [
                    np.full(len(train), np.nan, "float32") if values is None else values
                    for values, train in zip(per_spike, trains, strict=True)
                ]
                text = f"{_describe(units, name)} (NaN where it is not known)"
                add_ragged(
                    VectorData(name=name, description=text, data=np.concatenate(filled)), list(map(len, trains))
                )
        text = "Table of processing/ecephys that the unit comes from"
        columns.append(VectorData(name="source_table", description=text, data=[unit.table.name for unit in units]))
        rows = np.array([unit.row for unit in units], dtype="int64")
        columns.append(VectorData(name="source_row", description="Row of the unit in that table", data=rows))
    rates = {float(unit.table.waveform_rate) for unit in units if unit.table.waveform_rate}
    resolutions = [unit.table.resolution for unit in units if unit.table.resolution]
    return Units(
        name="units",
        description=f"Units of {', '.join(tables)}",
        id=np.arange(len(units), dtype="int64"),
        columns=columns,
        colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
        electrode_table=nwbfile.electrodes,
        waveform_unit="volts",
        **({"waveform_rate": rates.pop()} if len(rates) == 1 else {}),
        **({"resolution": max(resolutions)} if resolutions else {}),
    )


def _waveforms(units: list[SourceUnit]) -> list[tuple[str, str, Any]]:
    """Return mean waveforms and standard deviations, if all tables have the same number of samples and channels."""
    columns = []
    for name, text in (
        ("waveform_mean", "Mean waveform on each of `electrodes`, in volts (NaN: not known)"),
        ("waveform_sd", "Standard deviation of the waveforms, in volts (NaN: not known)"),
    ):
        values = [unit.value(name) for unit in units]
        shapes = {np.shape(value) for value in values if value is not None}
        sizes = {len(region) for unit in units if (region := unit.electrodes) is not None}
        if len(shapes) == 1 and len(sizes) == 1:
            (shape,) = shapes
            missing = np.full(shape, np.nan, "float32")
            data = np.stack([missing if value is None else np.asarray(value, "float32") for value in values])
            columns.append((name, text, data))
    return columns


def _plain_columns(units: list[SourceUnit], params: SessionUnitsParams) -> list[tuple[str, str, Any]]:
    """Return the columns of numbers and texts of any of the tables: NaN and "" where a table lacks them."""
    names = dict.fromkeys(name for unit in units for name in unit.columns() if name not in _BUILT)
    columns: list[tuple[str, str, Any]] = []
    for name in names:
        values = [unit.value(name) for unit in units]
        present = [value for value in values if value is not None]
        if not present or any(np.ndim(value) for value in present):
            continue
        text = _describe(units, name)
        if all(isinstance(value, (str, bytes)) for value in present):
            columns.append((name, text, ["" if value is None else str(value) for value in values]))
        elif all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in present):
            counts = len(present) == len(values) and all(isinstance(value, (int, np.integer)) for value in present)
            data = np.array(
                [np.nan if value is None else value for value in values], dtype="int64" if counts else float
            )
            if params.names == "allen" and ALLEN_NAMES.get(name, (name,))[0] not in names:
                name, factor = ALLEN_NAMES[name]
                data, text = data * factor, text.replace("in seconds", "in milliseconds") if factor == 1e3 else text
            columns.append((name, text, data))
    return columns


def _describe(units: list[SourceUnit], name: str) -> str:
    return DESCRIPTIONS.get(name) or next((text for unit in units if (text := unit.description(name))), name)
