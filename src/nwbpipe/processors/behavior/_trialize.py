"""The processor ``trialize``: any series, cut into trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.behavior._tables import add_dropped, row_ids
from nwbpipe_kit.turns import Turns

if TYPE_CHECKING:
    from pynwb import NWBFile


class TrializeParams(Params):
    """Parameters of ``trialize``."""

    align: str = Field("start_time", description="Column of the trials whose time is 0 of each: `alignment_time`, …")
    before_s: float = Field(1.0, ge=0, allow_inf_nan=False, description="Seconds before that time.")
    after_s: float = Field(2.0, ge=0, allow_inf_nan=False, description="Seconds after that time.")
    rate_hz: float | None = Field(None, gt=0, description="Samples a second; the series' own rate by default.")
    method: Literal["linear", "nearest", "previous"] = Field(
        "linear", description="Which value a time between samples has; `nearest` or `previous` for labels and counts."
    )
    max_gap_s: float | None = Field(
        None, gt=0, description="Samples farther apart have nothing between them; 1.5 sampling intervals by default."
    )
    max_missing: float = Field(
        0.0, ge=0, le=1, description="Fraction of missing samples up to which a trial is kept."
    )

    @model_validator(mode="after")
    def _check_length(self) -> TrializeParams:
        if self.before_s + self.after_s <= 0:
            msg = "a window from 0 to 0 s holds nothing: give before_s or after_s"
            raise ValueError(msg)
        return self


class Trialize(Processor):
    """Per-trial arrays of a series, on one grid of times from the alignment.

    A trial whose window is not within the recording, whose alignment time is missing, or that lacks more samples than
    allowed, is dropped and listed with the reason; nothing is padded with zeros. Directions and phases (radians or
    degrees that stay within a turn and jump at its end) are read, and averaged, over the end of a turn. Results go
    into ``behavior``: ``TrialAligned_<step>`` has a row a trial (its id, the time aligned to, and the data),
    ``TrialAverage_<step>`` a row a sample (time from the alignment, number of trials, mean and standard error), and
    ``DroppedTrials_<step>`` the trials without data.
    """

    name: ClassVar[str] = "trialize"
    revision: ClassVar[int] = 3
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("TrialAligned", "TrialAverage", "DroppedTrials")
    inputs: ClassVar[Mapping[str, Input]] = {
        "series": Input("TimeSeries", but_not=("ImageSeries",), doc="the series, of any number of channels"),
        "trials": Input("TimeIntervals", doc="the trials, or the windows of event_windows"),
    }
    Params: ClassVar[type[Params]] = TrializeParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.behavior._trialize_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series' times and the trials' column; return rates and scales."""
        series, path = context.input(nwbfile, "series"), context.inputs["series"].path
        trials, trials_path = context.input(nwbfile, "trials"), context.inputs["trials"].path
        time_columns = _time_columns(trials)
        if context.params.align not in time_columns:
            raise InputError(
                f"the trials have no column of times {context.params.align!r}",
                where=trials_path,
                expected="one of " + ", ".join(time_columns),
                found=context.params.align,
                hint="correct align",
            )
        if not len(trials):
            raise InputError("there are no trials", where=trials_path)
        if series.data.dtype.kind not in "fiub":
            raise InputError("the series holds no numbers", where=path, found=str(series.data.dtype))
        rate = _rate(series, path)
        scale: Any = float(series.conversion)
        channels = getattr(series, "channel_conversion", None)
        if channels is not None:
            scale = [scale * float(factor) for factor in channels[:]]
        return {
            "source_rate": rate,
            "rate": context.params.rate_hz or rate,
            "conversion": scale,
            "offset": float(series.offset or 0.0),
            "unit": str(series.unit),
        }

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the trials' arrays, their average, and the dropped trials."""
        from hdmf.common import DynamicTable, VectorData
        from pynwb.event import TimestampVectorData

        module, series = context.module(nwbfile, self.module), context.input(nwbfile, "series")
        ids = row_ids(context.input(nwbfile, "trials"))
        data, rows = results.arrays["data"][()], results.arrays["rows"][()]
        dropped = results.summary["dropped"]
        reasons = "; ".join(
            f"{count}: {reason}" for reason, count in Counter(reason for _, reason in dropped).items()
        )
        counted = f"{len(rows)} of {results.summary['trials']} trials"
        counted += f", {len(dropped)} dropped ({reasons})" if dropped else ""
        align = context.params.align
        columns = [
            VectorData(name="trial", description="id of the trial", data=ids[rows]),
            TimestampVectorData(
                name="alignment_time", description=f"time of {align}", data=results.arrays["aligned"][()]
            ),
            VectorData(
                name="data",
                description=f"samples of {series.name} in {series.unit}, at the times of the average's rows",
                data=data,
            ),
            VectorData(
                name="missing", description="fraction of samples that are NaN", data=results.arrays["missing"][()]
            ),
        ]
        text = f"{series.name} by trials, aligned to {align}: {counted}."
        module.add(DynamicTable(name=context.name("TrialAligned"), description=text, columns=columns))
        turns = results.summary["turns"]
        number, mean, error = average(data.astype(np.float64), None if turns is None else Turns(**turns))
        parts = {
            "time_from_alignment": ("time from the alignment, in seconds", results.arrays["lags"][()]),
            "num_trials": ("number of trials with this sample", number),
            "mean": (f"mean over trials, in {series.unit}", mean),
            "standard_error": ("standard error of the mean (NaN: fewer than two trials)", error),
        }
        module.add(
            DynamicTable(
                name=context.name("TrialAverage"),
                description=f"Average of {series.name} over trials, aligned to {align}: {counted}.",
                columns=[
                    VectorData(name=name, description=words, data=part) for name, (words, part) in parts.items()
                ],
            )
        )
        add_dropped(module, context, [(int(ids[row]), reason) for row, reason in dropped])


def average(data: Any, turns: Turns | None = None) -> tuple[Any, Any, Any]:
    """Count, mean and standard error over trials, NaNs left out.

    Parameters
    ----------
    data : ndarray of float64, shape (n_trials, n_samples, …)
    turns : Turns, optional
        Which columns are directions: they are averaged over the end of a turn.

    Returns
    -------
    number, mean, error : ndarray, shape (n_samples, …)
    """
    if turns is not None:
        data = turns.gather(data.reshape(*data.shape[:2], -1)).reshape(data.shape)
    number = np.isfinite(data).sum(axis=0)
    safe = np.maximum(number, 1)
    mean = np.where(number > 0, np.nansum(data, axis=0) / safe, np.nan)
    squares = np.nansum((data - mean) ** 2, axis=0)
    error = np.where(number > 1, np.sqrt(squares / np.maximum(number - 1, 1) / safe), np.nan)
    if turns is not None:
        mean = turns.wrap(mean.reshape(len(mean), -1)).reshape(mean.shape)
    return number, mean, error


def _time_columns(trials: Any) -> list[str]:
    """Columns with one time a trial: durations and whatever else holds numbers are none."""
    time_columns = ["start_time", "stop_time"]
    for column in trials.columns:
        kind, name = type(column).__name__, str(column.name)
        ragged = f"{name}_index" in [entry.name for entry in trials.columns]
        named = kind == "VectorData" and name.endswith("_time") and column.data.dtype.kind == "f"
        if name not in time_columns and not ragged and (kind == "TimestampVectorData" or named):
            time_columns.append(name)
    return time_columns


def _rate(series: Any, path: str) -> float:
    """Return the sampling rate in Hz: the series' own, or that of its median interval."""
    if series.rate is not None:
        return float(series.rate)
    times = np.asarray(series.timestamps[:], dtype=np.float64)
    steps = np.diff(times)
    back = np.flatnonzero(~(steps > 0))
    if times.size < 2 or back.size:
        raise InputError(
            "the times of the series don't increase, or are too few",
            where=path,
            expected="two or more times, each later than the one before",
            found=f"{times.size} times, {back.size} steps of zero or less",
            hint="convert the series again, with a clock whose times are sound",
        )
    return float(1 / np.median(steps))
