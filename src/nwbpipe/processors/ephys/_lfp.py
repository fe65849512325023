"""The processor ``lfp``: the field potential, resampled without aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.ephys._clock import sampling_rate
from nwbpipe.processors.ephys._parameters import SPIKEINTERFACE
from nwbpipe.processors.ephys._quality_inputs import CHANNELS, read_quality
from nwbpipe.processors.ephys._recording import check_band, describe_recording

if TYPE_CHECKING:
    from pynwb import NWBFile


class LfpParams(Params):
    """Parameters of ``lfp``."""

    rate: float = Field(1000.0, gt=0, description="Sampling rate of the result in Hz, at most that of the recording")
    every: int = Field(1, ge=1, description="Take every n-th channel of each electrode group")
    reference: Literal["none", "median", "average"] = Field(
        "none", description="Reference subtracted from each electrode group, after resampling"
    )


class Lfp(Processor):
    """Resample a recording to the rate of a field potential; what lies above its band does not alias into it.

    The result is ``LFP_<step>`` in ``ecephys``, with an `ElectricalSeries` in volts (float32). A recording with gaps
    is resampled stretch by stretch, and keeps its timestamps. Bad channels are left out where `channels` is bound.

    Notes
    -----
    A linear-phase filter (Kaiser window): aliases are 80 dB down, the band is flat up to 0.84 of half the new rate.
    """

    name: ClassVar[str] = "lfp"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("LFP",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "recording": Input("ElectricalSeries", but_not=("SpikeEventSeries",), doc="Voltages, as recorded"),
        "channels": CHANNELS,
    }
    Params: ClassVar[type[LfpParams]] = LfpParams
    tool: ClassVar[Tool] = SPIKEINTERFACE
    compute: ClassVar[str] = "nwbpipe.processors.ephys._lfp_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series, and choose the channels."""
        series, path = context.input(nwbfile, "recording"), context.inputs["recording"].path
        check_band(series, None, path)
        facts = describe_recording(series, path, needs_gain=False)
        if context.params.rate > sampling_rate(series):
            msg = "the rate of the field potential is above that of the recording"
            expected = f"at most {sampling_rate(series):g} Hz"
            raise InputError(msg, where=path, expected=expected, found=f"{context.params.rate:g} Hz")
        facts |= read_quality(nwbfile, context, series)
        labels = facts.pop("channel_labels", ["good"] * len(facts["groups"]))
        groups = np.asarray(facts["groups"])
        good = np.array([label not in ("dead", "noisy", "noise") for label in labels])
        members = [np.flatnonzero(good & (groups == group))[:: context.params.every] for group in np.unique(groups)]
        facts["channels"] = [int(channel) for channel in np.sort(np.concatenate(members))]
        if not facts["channels"]:
            msg = "every channel is labelled dead or noisy"
            raise InputError(msg, where=context.inputs["channels"].path, hint="bind no channels, or other ones")
        return facts

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the resampled series."""
        from hdmf.common import DynamicTableRegion
        from pynwb.ecephys import LFP, ElectricalSeries

        from nwbpipe.processors._dataset_chunks import DatasetChunks

        series, arrays = context.input(nwbfile, "recording"), results.arrays
        rows = np.asarray(series.electrodes.data[:], dtype="int64")[context.facts["channels"]]
        region = DynamicTableRegion(
            name="electrodes", description="Electrodes of the channels", data=rows, table=nwbfile.electrodes
        )
        times: dict[str, Any]
        if "timestamps" in arrays:
            times = {"timestamps": arrays["timestamps"][:]}
        else:
            times = {
                "rate": float(results.summary["rate"]),
                "starting_time": float(results.summary["starting_time"]),
            }
        reference = context.params.reference
        container = LFP(name=context.name("LFP"))
        container.add_electrical_series(
            ElectricalSeries(
                name=context.name("ElectricalSeries"),
                description=f"Field potential: {series.name!r} resampled to {results.summary['rate']:g} Hz"
                + ("" if reference == "none" else f", less the {reference} of each electrode group"),
                data=DatasetChunks(arrays["lfp"]),
                electrodes=region,
                conversion=1e-6,
                filtering=str(results.summary["filtering"]),
                **times,
            )
        )
        context.module(nwbfile, self.module).add(container)
