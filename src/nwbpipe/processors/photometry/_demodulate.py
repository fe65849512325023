"""The processor ``demodulate``: the envelope of each carrier in a raw photometry recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError, Problem
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.photometry import _traces

if TYPE_CHECKING:
    from pynwb import NWBFile


class Carrier(BaseModel):
    """One trace of a recording that no `FiberPhotometryTable` describes, or whose description is overruled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: int = Field(ge=0, description="Column of the recording: the detector's channel.")
    hz: float | None = Field(None, gt=0, description="Frequency of the carrier in Hz; detected by default.")
    row: int | None = Field(None, ge=0, description="Row of the FiberPhotometryTable that the trace belongs to.")


class DemodulateParams(Params):
    """Parameters of ``demodulate``."""

    method: Literal["lock_in", "spectrogram"] = Field(
        "lock_in", description="Amplitude in quadrature around the carrier, or spectral power at the carrier."
    )
    reference: Literal["auto", "recorded", "fitted"] = Field(
        "auto",
        description="What says the carrier: its recorded drive, a fit to the detector's signal, or the drive where "
        "there is one.",
    )
    component: Literal["magnitude", "in_phase"] = Field(
        "magnitude",
        description="Of a lock-in: sqrt(I² + Q²), which is always positive and biased upwards by noise, or the part "
        "in phase with the recorded drive, which is not biased.",
    )
    bandwidth_hz: float = Field(
        10.0, gt=0, description="Of a lock-in: highest frequency of the envelope that is kept, in Hz."
    )
    segment_s: float = Field(0.1, gt=0, description="Of a spectrogram: length of the Hann window in seconds.")
    rate_hz: float = Field(
        100.0, gt=0, description="Sampling rate of the traces: the lowest whole fraction of the recording's above it."
    )
    carriers: tuple[Carrier, ...] = Field(
        (), description="Traces, where the file's table does not say them: column, carrier in Hz, row of the table."
    )
    carrier_tolerance_hz: float = Field(
        2.0, gt=0, description="How far a stated carrier may be from the one that is found, in Hz."
    )
    flat_s: float = Field(0.02, gt=0, description="Identical samples for this long are a dropout, in seconds.")

    @model_validator(mode="after")
    def _check_consistency(self) -> DemodulateParams:
        if self.method == "lock_in" and self.rate_hz < 4 * self.bandwidth_hz:
            msg = f"rate_hz must be 4 × bandwidth_hz or more, {4 * self.bandwidth_hz:g} Hz: else the trace is aliased"
            raise ValueError(msg)
        if self.component == "in_phase" and (self.method != "lock_in" or self.reference == "fitted"):
            msg = "component in_phase needs method lock_in and a recorded carrier"
            raise ValueError(msg)
        return self

    @property
    def reach_hz(self) -> float:
        """Distance from the carrier, in Hz, beyond which nothing reaches the trace."""
        return 2 * self.bandwidth_hz if self.method == "lock_in" else 2 / self.segment_s

    @property
    def apart_hz(self) -> float:
        """Least distance of two carriers of one detector, in Hz."""
        return 3 * self.bandwidth_hz if self.method == "lock_in" else 4 / self.segment_s


class Demodulate(Processor):
    """Envelopes of the carriers of a raw photometry recording (frequency multiplexing).

    Each row of the recording's `FiberPhotometryTable` is a trace: its detector's column, and its carrier by the
    `CommandedVoltageSeries` that the row names (the recorded drive, and its frequency). What neither the table nor
    `carriers` says is detected in the spectrum of the whole recording. Results go into the module ``ophys``: one
    series with a column a trace, and a table of carriers and quality. Where the filter's window reaches beyond the
    recording the traces are NaN.

    References
    ----------
    Lerner et al. (2015), "Intact-brain analyses reveal distinct information carried by SNc dopamine subcircuits",
    Cell 162 (lock-in demodulation of photometry); Owen & Kreitzer (2019), "An open-source control system for in vivo
    fluorescence measurements from deep-brain structures", J. Neurosci. Methods 311.
    """

    name: ClassVar[str] = "demodulate"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("DemodulatedLockIn", "DemodulatedSpectrogram", "CarrierQuality")
    inputs: ClassVar[Mapping[str, Input]] = {
        "signal": Input(_traces.SERIES, doc="the raw recording: a column a detector, at a constant rate")
    }
    Params: ClassVar[type[Params]] = DemodulateParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.photometry._demodulate_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the recording and its carriers; return its traces."""
        series, path = context.input(nwbfile, "signal"), context.inputs["signal"].path
        _traces.check_times(series, path)
        if series.rate is None:
            msg = "the recording has timestamps and no rate"
            raise InputError(msg, where=path, expected="a constant sampling rate", found="timestamps")
        traces = _describe_traces(series, path, context.params)
        _check_columns(traces, _traces.column_count(series), path)
        check_carriers(traces, float(series.rate), context.params, path)
        return {"traces": traces}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the traces, and the table of their carriers and quality."""
        series, params, summary = context.input(nwbfile, "signal"), context.params, results.summary
        kind = "LockIn" if params.method == "lock_in" else "Spectrogram"
        quantity = (
            f"amplitude by lock-in ({params.component.replace('_', ' ')}, bandwidth {params.bandwidth_hz:g} Hz)"
            if params.method == "lock_in"
            else f"power by spectrogram (Hann window of {params.segment_s:g} s)"
        )
        carriers = "; ".join(
            f"{entry['label']}: {entry['hz']:.2f} Hz ({entry['source']})" for entry in summary["traces"]
        )
        rows = [trace["row"] for trace in context.facts["traces"]]
        _traces.add_series(
            nwbfile,
            context,
            f"Demodulated{kind}",
            series,
            results.arrays["traces"][()],
            rows=[] if None in rows else rows,
            times={"rate": float(summary["rate"]), "starting_time": float(series.starting_time or 0.0)},
            unit=series.unit if params.method == "lock_in" else f"{series.unit}^2",
            description=f"{series.name}: {quantity} at {summary['rate']:g} Hz; NaN in the first and last "
            f"{summary['edge_s']:.3g} s. Carriers: {carriers}",
        )
        context.module(nwbfile, self.module).add(_carrier_table(context, summary))


def _describe_traces(series: Any, path: str, params: DemodulateParams) -> list[dict[str, Any]]:
    rows = {row.index: row for row in _traces.rows_of(series)}
    if params.carriers:
        return [
            _trace(
                carrier.column,
                carrier.hz,
                rows.get(-1 if carrier.row is None else carrier.row),
                series,
                path,
                params,
                carrier.row,
            )
            for carrier in params.carriers
        ]
    if not rows:
        count = _traces.column_count(series)
        return [_trace(column, None, None, series, path, params) for column in range(count)]
    ordered, count = list(rows.values()), _traces.column_count(series)
    detectors = list(dict.fromkeys(row.detector for row in ordered))
    if len(ordered) == count:
        columns = list(range(count))
    elif len(detectors) == count:
        columns = [detectors.index(row.detector) for row in ordered]
    else:
        msg = "nothing says which column of the recording belongs to which trace"
        raise InputError(
            msg,
            where=path,
            expected=f"a column for each of the {len(ordered)} rows, or for each of their {len(detectors)} detectors",
            found=f"{count} columns",
            hint="give carriers: [{column: …, hz: …, row: …}, …]",
        )
    return [_trace(k, None, row, series, path, params) for k, row in zip(columns, ordered, strict=True)]


def _trace(
    column: int,
    hz: float | None,
    row: Any,
    series: Any,
    path: str,
    params: DemodulateParams,
    index: int | None = None,
) -> dict[str, Any]:
    if index is not None and row is None:
        msg = "the recording does not refer to that row of its table"
        raise InputError(msg, where=path, expected="a row of its region", found=f"carriers: row {index}")
    label = f"column {column}" if row is None else row.label
    drive = None if row is None else row.drive
    if hz is None and drive is not None and drive.frequency is not None:
        hz = float(drive.frequency)
    uses_drive = drive is not None and params.reference != "fitted"
    if drive is None and (params.reference == "recorded" or params.component == "in_phase"):
        msg = "the drive of a carrier was not recorded"
        raise InputError(
            msg,
            where=path,
            expected=f"a CommandedVoltageSeries for {label}",
            hint="take reference: fitted and component: magnitude",
        )
    if uses_drive:
        _check_drive(drive, series, label)
    return {
        "column": column,
        "label": label,
        "hz": hz,
        "row": None if row is None else row.index,
        "reference": f"/acquisition/{drive.name}/data" if drive is not None and uses_drive else None,
    }


def _check_drive(drive: Any, series: Any, label: str) -> None:
    same = drive.rate == series.rate and (drive.starting_time or 0.0) == (series.starting_time or 0.0)
    if not same or drive.data.shape[0] != series.data.shape[0]:
        msg = "the recorded drive does not fit the recording"
        raise InputError(
            msg,
            where=f"/acquisition/{drive.name} ({label})",
            expected=f"{series.data.shape[0]} samples at {series.rate} Hz from {series.starting_time or 0.0} s",
            found=f"{drive.data.shape[0]} samples at {drive.rate} Hz from {drive.starting_time or 0.0} s",
            hint="take reference: fitted",
        )


def _check_columns(traces: list[dict[str, Any]], count: int, path: str) -> None:
    problems = [
        Problem(
            "the recording has no such column",
            f"carriers: {trace['label']}",
            f"0 to {count - 1}",
            str(trace["column"]),
        )
        for trace in traces
        if trace["column"] >= count
    ]
    for column in {trace["column"] for trace in traces}:
        unknown = [
            entry["label"]
            for entry in traces
            if entry["column"] == column and entry["hz"] is None and not entry["reference"]
        ]
        if len(unknown) > 1:
            problems.append(
                Problem(
                    "several carriers of one detector are not stated: which is which can't be detected",
                    f"column {column}",
                    "at most one carrier to be detected",
                    "; ".join(unknown),
                    "give carriers: [{column: …, hz: …}, …]",
                )
            )
    if problems:
        raise InputError("the traces of the recording are not determined", where=path, problems=problems)


def check_carriers(traces: list[dict[str, Any]], rate: float, params: DemodulateParams, path: str) -> None:
    """Refuse stated carriers beyond Nyquist, or two of one detector in one band.

    Raises
    ------
    InputError
        `problems` names every one.
    """
    reach, problems = params.reach_hz, []
    stated = [trace for trace in traces if trace["hz"] is not None]
    for number, trace in enumerate(stated):
        hz = trace["hz"]
        if not reach < hz < rate / 2 - reach:
            beyond = hz >= rate / 2
            problem = (
                "the carrier is beyond the Nyquist frequency" if beyond else "the carrier's band leaves the spectrum"
            )
            problems.append(
                Problem(
                    problem,
                    trace["label"],
                    f"between {reach:g} and {rate / 2 - reach:g} Hz at {rate:g} samples a second",
                    f"{hz:g} Hz",
                    "correct the carrier or the recording's rate" if beyond else "take a narrower band",
                )
            )
        for earlier in stated[:number]:
            apart = abs(hz - earlier["hz"])
            if earlier["column"] == trace["column"] and apart < params.apart_hz:
                problems.append(
                    Problem(
                        "two carriers of one detector share a band",
                        f"{earlier['label']}; {trace['label']}",
                        f"{params.apart_hz:g} Hz apart or more",
                        f"{earlier['hz']:g} and {hz:g} Hz",
                        "take a smaller bandwidth_hz" if params.method == "lock_in" else "take a longer segment_s",
                    )
                )
    if problems:
        raise InputError("the carriers can't be separated", where=path, problems=problems)


def _carrier_table(context: Context, summary: Mapping[str, Any]) -> Any:
    from hdmf.common import DynamicTable

    from nwbpipe.quality import photometry as quality

    table = DynamicTable(
        name=context.name("CarrierQuality"),
        description="Carrier of each trace, and the quality of the raw recording; see nwbpipe.quality.photometry",
    )
    texts = {
        "trace": "the trace in words",
        "carrier_hz": "frequency of the carrier in Hz",
        "carrier_source": "how it is known: recorded (its drive), fitted (to the signal, near the stated one), "
        "stated (not seen in the signal), or detected",
        "carrier_to_noise": "height of the carrier over the spectrum around it, in dB",
        "saturation": "fraction of samples at the detector's rails",
        "dropouts": "fraction of samples that are missing or frozen",
        "verdict": "pass, warn or fail: the worst of the measures",
    }
    for name, text in texts.items():
        table.add_column(name=name, description=text)
    for k, trace in enumerate(summary["traces"]):
        measures = {
            "carrier_to_noise": float(trace["carrier_db"]),
            "saturation": float(summary["saturation"][k]),
            "dropouts": float(summary["dropouts"][k]),
        }
        table.add_row(
            trace=trace["label"],
            carrier_hz=float(np.round(trace["hz"], 4)),
            carrier_source=trace["source"],
            **measures,
            verdict=quality.judge_measures(measures),
        )
    return table
