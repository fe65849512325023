"""The processor ``band_power``: bands of a field potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.ephys._electrodes import gains_and_offsets
from nwbpipe.processors.ephys._recording import check_field_potential

if TYPE_CHECKING:
    from pynwb import NWBFile

_UNITS = {"power": "volts**2", "amplitude": "volts", "phase": "radians"}
_TEXTS = {
    "power": "Mean square (half of the squared amplitude of the analytic signal), mean over each bin",
    "amplitude": "Amplitude of the analytic signal, mean over each bin",
    "phase": "Phase of the analytic signal, 0 at its positive peaks, at one sample of each bin",
}


class BandPowerParams(Params):
    """Parameters of ``band_power``."""

    bands: dict[str, tuple[float, float]] = Field(
        default_factory=lambda: {
            "delta": (1.0, 4.0),
            "theta": (6.0, 10.0),
            "beta": (13.0, 30.0),
            "gamma": (30.0, 80.0),
        },
        description="Lowest and highest frequency of each band, in Hz",
    )
    metric: Literal["power", "amplitude", "phase"] = Field("power", description="Measure of each band in time.")
    rate: float = Field(50.0, gt=0, description="Rate of the result in Hz, about: whole samples are put together")

    @field_validator("bands")
    @classmethod
    def _check_bands(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in value.items():
            if not 0 < low < high:
                msg = f"the band {name!r} is {low:g} to {high:g} Hz; expected the lowest above 0, then the highest"
                raise ValueError(msg)
        if not value:
            msg = "expected a band or more"
            raise ValueError(msg)
        return value


class BandPower(Processor):
    """Measure power, amplitude or phase of a field potential in bands of frequency.

    The result is ``BandPower_<step>`` in ``ecephys``, a `DecompositionSeries` (time, channels, bands). Where a filter
    reaches beyond the recording, or over a gap, values are NaN.

    Notes
    -----
    Linear-phase filters (Kaiser window, 60 dB), shifted to the middle of the band: their output is the analytic
    signal. Bands are flat between their limits, and fall off over a quarter of the lowest frequency or of the width.
    """

    name: ClassVar[str] = "band_power"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("BandPower",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "lfp": Input(
            "ElectricalSeries", but_not=("SpikeEventSeries",), doc="The field potential: of `lfp`, or recorded"
        )
    }
    Params: ClassVar[type[Params]] = BandPowerParams
    tool: ClassVar[Tool] = Tool("scipy", ("scipy>=1.11", "numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.ephys._band_power_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the bands fit the series."""
        series, path = context.input(nwbfile, "lfp"), context.inputs["lfp"].path
        rate = check_field_potential(series, context.params.bands, path)
        gains, _ = gains_and_offsets(series)
        return {"rate": rate, "gains": [gain * 1e-6 for gain in gains]}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the series of the bands."""
        from hdmf.common import DynamicTableRegion
        from pynwb.misc import DecompositionSeries, FrequencyBandsTable

        from nwbpipe.processors._dataset_chunks import DatasetChunks

        series, params, arrays = context.input(nwbfile, "lfp"), context.params, results.arrays
        bands = FrequencyBandsTable()
        for name, (low, high) in params.bands.items():
            bands.add_row(band_name=name, band_limits=(low, high))
        times: dict[str, Any]
        if "times" in arrays:
            times = {"timestamps": arrays["times"][:]}
        else:
            start = float(series.starting_time or 0.0) + float(results.summary["offset_s"])
            times = {"rate": float(results.summary["rate"]), "starting_time": start}
        rows = np.asarray(series.electrodes.data[:], dtype="int64")
        channels = DynamicTableRegion(
            name="source_channels", description="Electrodes of the channels", data=rows, table=nwbfile.electrodes
        )
        context.module(nwbfile, self.module).add(
            DecompositionSeries(
                name=context.name("BandPower"),
                description=f"{_TEXTS[params.metric]}, of {series.name!r}",
                data=DatasetChunks(arrays["values"]),
                metric=params.metric,
                unit=_UNITS[params.metric],
                bands=bands,
                source_timeseries=series,
                source_channels=channels,
                **times,
            )
        )
