"""The processor ``ripples``: ripples and other bursts of a field potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.nwb_builders import Column, make_intervals_table
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.ephys._clock import times_of
from nwbpipe.processors.ephys._electrodes import gains_and_offsets
from nwbpipe.processors.ephys._quality_inputs import CHANNELS, read_quality
from nwbpipe.processors.ephys._recording import check_field_potential, check_shape

if TYPE_CHECKING:
    from pynwb import NWBFile, TimeSeries
    from pynwb.ecephys import ElectricalSeries

#: Centimeters per second of a unit of speed.
_SPEEDS = {
    **dict.fromkeys(("cm/s", "cm/sec", "centimeters/second", "centimeters per second"), 1.0),
    **dict.fromkeys(("m/s", "m/sec", "meters/second", "meters per second", "meter/second"), 100.0),
    **dict.fromkeys(("mm/s", "mm/sec", "millimeters/second", "millimeters per second"), 0.1),
}
_LABELS_LEFT_OUT = ("dead", "noisy", "noise", "out")


class RipplesParams(Params):
    """Parameters of ``ripples``; frequencies in Hz, times in seconds."""

    detector: Literal["kay", "karlsson", "roumis"] = Field(
        "kay",
        description="kay: the channels' summed power; roumis: their mean amplitude; karlsson: each channel by "
        "itself, what overlaps is one event",
    )
    band: tuple[float, float] = Field((150.0, 250.0), description="Lowest and highest frequency")
    zscore_threshold: float | None = Field(
        None, gt=0, description="Height that an event reaches, in standard deviations; null: 2, with karlsson 3"
    )
    minimum_duration: float = Field(0.015, gt=0, description="Time for which it is that high")
    smoothing: float = Field(0.004, gt=0, description="Standard deviation of the Gaussian that smooths the envelope")
    close_threshold: float = Field(0.0, ge=0, description="An event that follows sooner than this is left out")
    normalization: Literal["zscore", "median_mad"] = Field(
        "zscore", description="Zero and unit of the height: mean and standard deviation, or median and deviation"
    )
    speed_threshold: float = Field(4.0, gt=0, description="Largest speed at an event's start and end, in cm/s")
    electrodes: tuple[int, ...] = Field((), description="Rows of the electrodes table; all of the series by default")
    location: str | None = Field(None, description="Take electrodes of this location only, as CA1")

    @field_validator("band")
    @classmethod
    def _check_band(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < value[1]:
            msg = f"the band is {value[0]:g} to {value[1]:g} Hz; expected the lowest above 0, then the highest"
            raise ValueError(msg)
        return value


class Ripples(Processor):
    """Find sharp-wave ripples in a field potential, or bursts of another band (spindles, gamma).

    The result is ``Ripples_<step>`` in ``ecephys``, `TimeIntervals`: start and end where the envelope crosses its
    mean, the peak's time, duration, mean and largest z-score, power, frequency, the electrode with the largest
    amplitude, and the speed if one is bound. Events over gaps, missing values and bound artefacts are left out.

    Notes
    -----
    The detectors of the package ripple-detection (Denovellis; Kay et al. 2016, Nature 531; Karlsson and Frank 2009,
    Nature Neuroscience 12), on the envelope of the linear-phase filter of `band_power`.
    """

    name: ClassVar[str] = "ripples"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("Ripples",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "lfp": Input(
            "ElectricalSeries", but_not=("SpikeEventSeries",), doc="The field potential: of `lfp`, or recorded"
        ),
        "speed": Input("TimeSeries", optional=True, doc="Speed of the animal: events while it runs are left out"),
        "channels": CHANNELS,
        "artifacts": Input("TimeIntervals", optional=True, doc="Artifacts of `recording_quality`: no event is there"),
    }
    Params: ClassVar[type[Params]] = RipplesParams
    tool: ClassVar[Tool] = Tool(
        "ripple_detection",
        ("ripple-detection>=1.7,<2", "scipy>=1.11", "numpy>=1.24", "h5py>=3.8"),
        python=">=3.10",
        licence="MIT",
    )
    compute: ClassVar[str] = "nwbpipe.processors.ephys._ripples_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the band fits the series, and choose the channels."""
        series, path, params = context.input(nwbfile, "lfp"), context.inputs["lfp"].path, context.params
        check_shape(series, path)
        rate = check_field_potential(series, {"band": params.band}, path)
        facts = read_quality(nwbfile, context, series)
        facts["channels"] = _choose_channels(series, params, facts.pop("channel_labels", None), path)
        gains, _ = gains_and_offsets(series)
        facts |= {"rate": rate, "gains": [gain * 1e-6 for gain in gains]}
        if "speed" in context.inputs:
            facts |= _describe_speed(context.input(nwbfile, "speed"), context.inputs["speed"].path)
        return facts

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of events."""
        series, params, arrays = context.input(nwbfile, "lfp"), context.params, results.arrays
        samples = arrays["samples"][:]
        first, last, peak = (times_of(series, samples[:, k]) for k in range(3))
        columns = [
            Column("peak_time", "Time at which the envelope is largest, in seconds", peak, "time"),
            Column("duration", "Duration in seconds", last - first, "duration"),
            Column(
                "mean_zscore",
                "Mean height of the envelope above its mean, in its deviations",
                arrays["mean_zscore"][:],
            ),
            Column("max_zscore", "Largest height of the envelope, in its deviations", arrays["max_zscore"][:]),
            Column("power", "Mean square in the band, mean over channels, in volts**2", arrays["power"][:]),
            Column("frequency", "Mean frequency on the strongest electrode, in Hz", arrays["frequency"][:]),
        ]
        if "speed" in arrays:
            columns.append(Column("speed", "Speed of the animal at the peak, in cm/s", arrays["speed"][:]))
        low, high = params.band
        table = make_intervals_table(
            context.name("Ripples"),
            f"Events of {low:g} to {high:g} Hz in {series.name!r}: detector {params.detector}, "
            f"{len(context.facts['channels'])} channels",
            first,
            last,
            columns=columns,
        )
        rows = np.asarray(series.electrodes.data[:], dtype="int64")
        table.add_column(
            name="electrode",
            description="Electrode on which the event is largest at its peak",
            data=rows[arrays["strongest"][:]],
            table=nwbfile.electrodes,
        )
        context.module(nwbfile, self.module).add(table)


def _choose_channels(
    series: ElectricalSeries, params: RipplesParams, labels: list[str] | None, where: str
) -> list[int]:
    """Return the columns of the series in which events are looked for."""
    rows = [int(row) for row in series.electrodes.data[:]]
    table = series.electrodes.table
    unknown = sorted(set(params.electrodes) - set(rows))
    if unknown:
        msg = "the series was not recorded with these electrodes"
        raise InputError(msg, where=where, expected=f"rows {min(rows)} to {max(rows)}", found=str(unknown[:10]))
    locations = [str(table["location"][row]) for row in rows] if "location" in table.colnames else [""] * len(rows)
    if params.location is not None and params.location not in locations:
        msg = f"no electrode of the series lies in {params.location!r}"
        raise InputError(msg, where=where, expected=", ".join(sorted(set(locations))), found=params.location)
    chosen = [
        column
        for column, (row, location) in enumerate(zip(rows, locations, strict=True))
        if (not params.electrodes or row in params.electrodes)
        and params.location in (None, location)
        and (labels is None or labels[column] not in _LABELS_LEFT_OUT)
    ]
    if not chosen:
        msg = "no channel is left to look at"
        raise InputError(msg, where=where, hint="name other electrodes, or bind no channels")
    return chosen


def _describe_speed(series: TimeSeries, where: str) -> dict[str, float]:
    shape = tuple(series.data.shape)
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        msg = "the series does not hold a speed"
        raise InputError(msg, where=where, expected="one number a sample", found=f"shape {shape}")
    scale = _SPEEDS.get(str(series.unit).strip().lower())
    if scale is None:
        msg = "the unit of the speed is not known"
        raise InputError(msg, where=where, expected="cm/s, m/s or mm/s", found=str(series.unit))
    return {"speed_scale": scale * float(series.conversion), "speed_offset": scale * float(series.offset or 0.0)}
