"""The processor ``recording_quality``: which channels and stretches of a recording are good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.nwb_builders import Column, make_intervals_table
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.ephys._parameters import SPIKEINTERFACE
from nwbpipe.processors.ephys._recording import check_band, describe_recording

if TYPE_CHECKING:
    from pynwb import NWBFile

_COLUMNS = {
    "rms_uv": "Root mean square above 300 Hz, in microvolts",
    "noise_uv": "Median absolute deviation above 300 Hz over 0.6745, in microvolts",
    "coherence": "Dot product with the median of all channels over its energy, less its running median along the "
    "probe, without unit (IBL 2022)",
    "trend": "The running median of that product along the probe, without unit; low out of the brain",
    "hf_power": "Mean power density above 0.8 of half the sampling rate, in microvolts squared per Hz",
    "offset_uv": "Median, in microvolts",
}


class RecordingQualityParams(Params):
    """Parameters of ``recording_quality``; frequencies in Hz."""

    freq_min: float = Field(300.0, gt=0, description="High-pass cut-off for artefacts")
    freq_max: float | None = Field(6000.0, gt=0, description="Low-pass cut-off for artefacts; null: high-pass only")
    dead: float = Field(-0.5, description="A channel whose coherence is below this is dead")
    noisy: float = Field(1.0, description="A channel whose coherence is above this is noisy")
    outside: float = Field(-0.75, description="Channels at the upper end whose trend is below 1 + this are out")
    artifact_threshold: float = Field(20.0, gt=0, description="Multiple of its noise that a channel exceeds")
    artifact_fraction: float = Field(0.6, gt=0, le=1, description="Share of the channels that do so at once")
    saturation_uv: float | None = Field(
        None, gt=0, description="A value this far from 0 is saturated; null: the ends of the stored integers"
    )


class RecordingQuality(Processor):
    """Measure each channel of a recording, label it, and find artefacts and saturation.

    Results go into ``ecephys``: ``ChannelQuality_<step>`` (a row for each channel: electrode, measures, label good,
    dead, noisy or out), ``ChannelSpectrum_<step>`` (a row for each band of frequencies: the power density of each
    channel) and ``Artifacts_<step>`` (`TimeIntervals` with their kind). `spikesorting` and `motion` take the first
    and the last as inputs `channels` and `artifacts`.

    Notes
    -----
    Dead and noisy channels after the International Brain Laboratory (2022, "Spike sorting pipeline for the
    International Brain Laboratory"); a channel is also dead below 0.3, and noisy above 4 times its group's noise.
    """

    name: ClassVar[str] = "recording_quality"
    revision: ClassVar[int] = 2
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("ChannelQuality", "ChannelSpectrum", "Artifacts")
    inputs: ClassVar[Mapping[str, Input]] = {
        "recording": Input("ElectricalSeries", but_not=("SpikeEventSeries",), doc="Voltages, as recorded")
    }
    Params: ClassVar[type[RecordingQualityParams]] = RecordingQualityParams
    tool: ClassVar[Tool] = SPIKEINTERFACE
    compute: ClassVar[str] = "nwbpipe.processors.ephys._recording_quality_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series and describe it."""
        series, path = context.input(nwbfile, "recording"), context.inputs["recording"].path
        check_band(series, context.params.freq_max or context.params.freq_min, path)
        return describe_recording(series, path)

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of channels and that of artefacts."""
        from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

        series, arrays = context.input(nwbfile, "recording"), results.arrays
        module = context.module(nwbfile, self.module)
        rows = np.asarray(series.electrodes.data[:], dtype="int64")
        electrode = DynamicTableRegion(
            name="electrode", description="Electrode of the channel", data=rows, table=nwbfile.electrodes
        )
        measures = [
            VectorData(name=name, description=text, data=arrays["channels"][name][:])
            for name, text in _COLUMNS.items()
        ]
        text = "good, dead, noisy, or out (of the brain, at the upper end of the probe)"
        labels = [str(label) for label in arrays["labels"].asstr()[:]]
        columns = [electrode, *measures, VectorData(name="label", description=text, data=labels)]
        module.add(
            DynamicTable(
                name=context.name("ChannelQuality"),
                description=f"Quality of each channel of {series.name!r}",
                id=np.arange(len(rows)),
                columns=columns,
                colnames=[column.name for column in columns],
            )
        )
        bands = arrays["bands"][:]
        text = f"Power density of the channels of {context.name('ChannelQuality')}, in microvolts squared per Hz"
        spectrum = [
            VectorData(name="low_hz", description="Lower end of the band, in Hz", data=bands[:, 0]),
            VectorData(name="high_hz", description="Upper end of the band, in Hz", data=bands[:, 1]),
            VectorData(name="power", description=text, data=arrays["spectrum"][:]),
        ]
        module.add(
            DynamicTable(
                name=context.name("ChannelSpectrum"),
                description=f"Spectrum of each channel of {series.name!r}: the median of 40 pieces of 0.3 s",
                id=np.arange(len(bands)),
                columns=spectrum,
                colnames=[column.name for column in spectrum],
            )
        )
        times, kinds = (
            arrays["artifacts"][:],
            np.array([str(kind) for kind in arrays["kinds"].asstr()[:]], dtype=object),
        )
        text = f"Stretches of {series.name!r} that most channels spoil at once"
        module.add(
            make_intervals_table(
                context.name("Artifacts"),
                text,
                times[:, 0],
                times[:, 1],
                columns=[Column("kind", "artefact, or saturation of the amplifier", kinds)],
            )
        )
