"""The processor ``photometry_dff``: dF/F and z-scores of photometry traces."""

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

_METHODS = {
    "isosbestic": ("Isosbestic", "control fitted by robust regression (Tukey's bisquare, constant {tuning:g})"),
    "percentile": ("Percentile", "running percentile {percentile:g} in windows of {window_s:g} s"),
    "exponential": ("Exponential", "robust fit of an exponential and a constant"),
    "double_exponential": ("DoubleExponential", "robust fit of two exponentials and a constant"),
}


class TracePair(BaseModel):
    """A trace and its control, by their columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal: int = Field(ge=0, description="Column of the signal.")
    control: int | None = Field(None, ge=0, description="Column of its control; not for methods that use none.")


class PhotometryDffParams(Params):
    """Parameters of ``photometry_dff``."""

    method: Literal["isosbestic", "percentile", "exponential", "double_exponential"] = Field(
        "isosbestic", description="What F0 is: the fitted control, a running percentile, or the fitted bleaching."
    )
    bleaching: Literal["none", "exponential", "double_exponential"] = Field(
        "exponential",
        description="Of isosbestic: divide signal and control by their bleaching before the regression: they bleach "
        "at different speeds, which a regression takes for motion.",
    )
    tuning: float = Field(
        1.4,
        gt=0,
        description="Tukey's constant of the robust fits, in standard deviations: samples further off don't count.",
    )
    percentile: float = Field(10.0, ge=0, le=100, description="Of percentile: which one.")
    window_s: float = Field(60.0, gt=0, description="Of percentile: length of the window in seconds.")
    lowpass_hz: float | None = Field(
        None, gt=0, description="Low-pass signal and control at this frequency, in Hz, without delay."
    )
    skip_start_s: float = Field(0.0, ge=0, description="Seconds at the start that are left out: NaN in the result.")
    control_nm: tuple[float, float] = Field(
        (390.0, 425.0), description="Excitation wavelengths, in nm, by which the table tells a control from a signal."
    )
    pairs: tuple[TracePair, ...] = Field(
        (), description="Traces and controls by column, where the file's table doesn't say them."
    )
    zscore: Literal["none", "whole", "robust", "baseline", "rolling"] = Field(
        "none",
        description="Also z-scores: by mean and standard deviation of the whole, by median and median absolute "
        "deviation, by those of a baseline period, or of a window around each sample.",
    )
    zscore_baseline_s: tuple[float, float] | None = Field(
        None, description="Of zscore baseline: the period in seconds of the session."
    )
    zscore_window_s: float = Field(60.0, gt=0, description="Of zscore rolling: length of the window in seconds.")

    @model_validator(mode="after")
    def _check_consistency(self) -> PhotometryDffParams:
        baseline = self.zscore_baseline_s
        if (self.zscore == "baseline") != (baseline is not None):
            msg = "zscore baseline and zscore_baseline_s go together"
            raise ValueError(msg)
        for name, span in (("zscore_baseline_s", baseline), ("control_nm", self.control_nm)):
            if span is not None and not span[0] < span[1]:
                msg = f"{name} must be [low, high]"
                raise ValueError(msg)
        columns = [pair.signal for pair in self.pairs]
        if len(set(columns)) != len(columns):
            msg = "pairs name a signal twice"
            raise ValueError(msg)
        for pair in self.pairs:
            if (pair.control is None) == (self.method == "isosbestic"):
                msg = (
                    f"the method {self.method} takes pairs {'with' if pair.control is None else 'without'} a control"
                )
                raise ValueError(msg)
        return self


class PhotometryDff(Processor):
    """dF/F of photometry traces, with an isosbestic control or a baseline.

    ``signal`` is a series of traces, one a column: demodulated ones, or those of a system that records them as such.
    A trace's control is, in this order: what `pairs` says; the column of the series ``control``, if one is bound; the
    column of the same fiber and detector whose excitation lies in `control_nm`. A signal without a control is refused
    where the method needs one. Results go into ``ophys``: dF/F, F0 (the control's fit), the z-score if asked for, and
    a table of quality. What is missing, or lies at the edge of a filter, is NaN.

    References
    ----------
    Lerner et al. (2015), Cell 162 (isosbestic control); Keevers et al. (2023), "Obtaining artifact-corrected signals
    in fiber photometry via isosbestic signals, robust regression and dF/F calculations" (robust regression and its
    constant); Simpson et al. (2024), "Lights, fiber, action! A primer on in vivo fiber photometry", Neuron 112.
    """

    name: ClassVar[str] = "photometry_dff"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = (
        "DfOverFIsosbestic",
        "DfOverFPercentile",
        "DfOverFExponential",
        "DfOverFDoubleExponential",
        "ControlFit",
        "Baseline",
        "ZScoreWhole",
        "ZScoreRobust",
        "ZScoreBaseline",
        "ZScoreRolling",
        "TraceQuality",
    )
    inputs: ClassVar[Mapping[str, Input]] = {
        "signal": Input(_traces.SERIES, doc="the traces, one a column"),
        "control": Input(
            _traces.SERIES, doc="their controls, if they are in another series, column by column", optional=True
        ),
    }
    Params: ClassVar[type[Params]] = PhotometryDffParams
    tool: ClassVar[Tool] = Tool("scipy", ("scipy>=1.11", "numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.photometry._dff_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series; return the pairs of columns."""
        for name, bound in context.inputs.items():
            _traces.check_times(context.input(nwbfile, name), bound.path, least=20)
        return {"pairs": _find_pairs(nwbfile, context)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add dF/F, F0, the z-score and the table of quality."""
        series, params = context.input(nwbfile, "signal"), context.params
        pairs = context.facts["pairs"]
        short, method_text = _METHODS[params.method]
        method_text = method_text.format(**params.model_dump())
        if params.method == "isosbestic" and params.bleaching != "none":
            method_text += f", after division by the bleaching ({params.bleaching.replace('_', ' ')}) of both"
        rate = _traces.rate_text(series)
        series_text = f"{series.name} at {rate}"
        parts = [
            ("dff", f"DfOverF{short}", "n.a.", f"dF/F of {series_text}. F0: {method_text}"),
            (
                "f_zero",
                "ControlFit" if params.method == "isosbestic" else "Baseline",
                series.unit,
                f"F0 of {series_text}: {method_text}",
            ),
            (
                "zscore",
                f"ZScore{params.zscore.title()}",
                "n.a.",
                f"z-score ({_variant(params)}) of dF/F of {series_text}",
            ),
        ]
        for key, name, unit, description in parts:
            if key in results.arrays:
                _traces.add_series(
                    nwbfile,
                    context,
                    name,
                    series,
                    results.arrays[key][()],
                    columns=[pair["signal"] for pair in pairs],
                    unit=unit,
                    description=description,
                )
        context.module(nwbfile, self.module).add(_quality_table(context, results))


def _variant(params: PhotometryDffParams) -> str:
    if params.zscore == "rolling":
        return f"in windows of {params.zscore_window_s:g} s"
    if params.zscore == "baseline" and params.zscore_baseline_s is not None:
        low, high = params.zscore_baseline_s
        return f"by the baseline from {low:g} to {high:g} s"
    return "by median and median absolute deviation" if params.zscore == "robust" else "of the whole"


def _find_pairs(nwbfile: NWBFile, context: Context) -> list[dict[str, Any]]:
    params: PhotometryDffParams = context.params
    series, path = context.input(nwbfile, "signal"), context.inputs["signal"].path
    needs = params.method == "isosbestic"
    apart = context.input(nwbfile, "control") if "control" in context.inputs else None
    if apart is not None and not needs:
        msg = f"the method {params.method} uses no control"
        raise InputError(msg, where=path, found=f"the input control: {context.inputs['control'].path}")
    labels, rows = _traces.labels(series, path), _traces.trace_rows(series, path)
    pairs = [(pair.signal, pair.control) for pair in params.pairs]
    if not pairs and not needs:
        pairs = [(k, None) for k in range(len(labels))]
    elif not pairs and apart is not None:
        _check_same_fibers(series, apart, context)
        pairs = [(k, k) for k in range(len(labels))]
    elif not pairs:
        pairs = _pairs_by_table(rows, params, path)
    counts = {"signal": len(labels), "control": len(labels) if apart is None else _traces.column_count(apart)}
    problems = [
        Problem(
            f"the {name} has no such column", f"pairs: {signal}, {control}", f"0 to {counts[name] - 1}", str(column)
        )
        for signal, control in pairs
        for name, column in (("signal", signal), ("control", control))
        if column is not None and column >= counts[name]
    ]
    if problems:
        raise InputError("the pairs don't fit the series", where=path, problems=problems)
    return [{"signal": signal, "control": control, "label": labels[signal]} for signal, control in pairs]


def _pairs_by_table(
    rows: list[_traces.FiberRow] | None, params: PhotometryDffParams, path: str
) -> list[tuple[int, int | None]]:
    hint = "bind the input control, give pairs: [{signal: …, control: …}], or take a method without a control"
    if rows is None:
        msg = "nothing says which trace is the control"
        raise InputError(msg, where=path, expected="a FiberPhotometryTable, an input control, or pairs", hint=hint)
    low, high = params.control_nm
    controls = {k for k, row in enumerate(rows) if low <= row.excitation_nm <= high}
    pairs: list[tuple[int, int | None]] = []
    problems = []
    for k, row in enumerate(rows):
        if k in controls:
            continue
        candidates = [c for c in sorted(controls) if (rows[c].fiber, rows[c].detector) == (row.fiber, row.detector)]
        if len(candidates) == 1:
            pairs.append((k, candidates[0]))
            continue
        problem = "a colour without a control" if not candidates else "several controls could be meant"
        candidate_labels = (
            "; ".join(rows[c].label for c in candidates) or f"none excited at {low:g} to {high:g} nm on this detector"
        )
        problems.append(Problem(problem, row.label, "one control of the same fiber and detector", candidate_labels))
    if problems:
        raise InputError(
            "the method isosbestic needs a control for each trace", where=path, problems=problems, hint=hint
        )
    if not pairs:
        msg = "all traces of the series are controls"
        raise InputError(msg, where=path, found="; ".join(row.label for row in rows), hint=hint)
    return pairs


def _check_same_fibers(series: Any, apart: Any, context: Context) -> None:
    paths = f"{context.inputs['signal'].path} and {context.inputs['control'].path}"
    counts = _traces.column_count(series), _traces.column_count(apart)
    if counts[0] != counts[1]:
        msg = "signal and control have different numbers of traces"
        raise InputError(
            msg, where=paths, found=f"{counts[0]} and {counts[1]}", hint="give pairs: [{signal: …, control: …}, …]"
        )
    signal_rows = _traces.trace_rows(series, context.inputs["signal"].path)
    control_rows = _traces.trace_rows(apart, context.inputs["control"].path)
    if signal_rows and control_rows and [row.fiber for row in signal_rows] != [row.fiber for row in control_rows]:
        msg = "signal and control are of different fibers"
        raise InputError(
            msg,
            where=paths,
            expected=", ".join(row.fiber for row in signal_rows),
            found=", ".join(row.fiber for row in control_rows),
            hint="give pairs: [{signal: …, control: …}, …]",
        )


def _quality_table(context: Context, results: Results) -> Any:
    from hdmf.common import DynamicTable

    from nwbpipe.quality import photometry as quality

    arrays = results.arrays
    times = np.asarray(arrays["times"][()])
    dff, fits, signals = (np.asarray(arrays[name][()]) for name in ("dff", "f_zero", "signal"))
    controls = np.asarray(arrays["control"][()]) if "control" in arrays else None
    table = DynamicTable(
        name=context.name("TraceQuality"),
        description="Quality of each trace; formulas and limits are those of nwbpipe.quality.photometry",
    )
    texts = {
        "trace": "the trace in words",
        "signal_to_noise": "99th percentile over the median of dF/F, in units of its noise",
        "bleaching_tau_s": "time constant of the signal's bleaching in seconds; NaN where it can't be measured",
        "bleaching_fraction": "fraction of the fluorescence that bleached over the recording",
        "dropouts": "fraction of samples missing by gaps in the timestamps",
        **(
            {
                "control_correlation": "Pearson's r of signal and control without their trends",
                "motion_share": "share of the signal's variance, without trends, that the fitted control explains",
                "control_slope": "slope of the signal on the control (each over its bleaching, if so asked)",
            }
            if controls is not None
            else {}
        ),
        "verdict": "pass, warn or fail: the worst of the measures",
    }
    for name, text in texts.items():
        table.add_column(name=name, description=text)
    for k, pair in enumerate(context.facts["pairs"]):
        tau, fraction = quality.bleaching(signals[:, k], times)
        measures = {
            "signal_to_noise": quality.signal_to_noise(dff[:, k]),
            "bleaching_tau_s": tau,
            "bleaching_fraction": fraction,
            "dropouts": quality.missing_samples(times),
        }
        if controls is not None:
            measures["control_correlation"] = quality.control_correlation(signals[:, k], controls[:, k], times)
            measures["motion_share"] = quality.motion_share(signals[:, k], fits[:, k], times)
            measures["control_slope"] = float(results.summary["fits"][k]["slope"])
        table.add_row(trace=pair["label"], **measures, verdict=quality.judge_measures(measures))
    return table
