"""The processor ``event_aligned``: averages of photometry traces around events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._events import read_events
from nwbpipe.processors.photometry import _traces

if TYPE_CHECKING:
    from pynwb import NWBFile


class EventAlignedParams(Params):
    """Parameters of ``event_aligned``."""

    before_s: float = Field(1.0, ge=0, description="Seconds before the event.")
    after_s: float = Field(3.0, gt=0, description="Seconds after the event.")
    rate_hz: float | None = Field(None, gt=0, description="Lags a second; the trace's own rate by default.")
    time_column: str | None = Field(
        None, description="Column of the events' times; timestamp of events, start_time of intervals by default."
    )
    kind_column: str | None = Field(
        None, description="Column that tells kinds of events apart; event_type, if there is one, by default."
    )
    kinds: tuple[str, ...] = Field((), description="Kinds of events to average, each by itself; all by default.")
    baseline: Literal["none", "subtract", "zscore"] = Field(
        "none", description="Subtract each trial's mean in the baseline, or make z-scores by it."
    )
    baseline_s: tuple[float, float] = Field((-1.0, 0.0), description="The baseline, in seconds from the event.")
    overlapping: Literal["keep", "drop"] = Field(
        "keep", description="What to do with events in whose window another of their kind lies."
    )
    max_missing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of missing samples up to which a trial is used."
    )

    @model_validator(mode="after")
    def _check_baseline(self) -> EventAlignedParams:
        low, high = self.baseline_s
        if self.baseline != "none" and not -self.before_s - 1e-9 <= low < high <= self.after_s + 1e-9:
            msg = f"the baseline {list(self.baseline_s)} is not within the window {[-self.before_s, self.after_s]}"
            raise ValueError(msg)
        return self


class EventAligned(Processor):
    """Averages of photometry traces around events: mean, standard error, trials used and dropped, and why.

    Trials are cut at their events' own times, by interpolation. One that is not whole (it begins before the
    recording or ends after it, or samples are missing) is left out, and the table of trials says why. Results go into
    ``ophys``: a table of averages, a row a kind of event and trace, and one of trials, a row an event and trace.
    """

    name: ClassVar[str] = "event_aligned"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("PeriEventAverage", "PeriEventTrials")
    inputs: ClassVar[Mapping[str, Input]] = {
        "trace": Input(_traces.SERIES, doc="dF/F or z-score, a trace a column"),
        "events": Input("EventsTable", "TimeIntervals", doc="the events, or trials"),
    }
    Params: ClassVar[type[Params]] = EventAlignedParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.photometry._event_aligned_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series and the events; return times and kinds."""
        series, path = context.input(nwbfile, "trace"), context.inputs["trace"].path
        _traces.check_times(series, path)
        times, kinds, names = read_events(
            context.input(nwbfile, "events"), context.inputs["events"].path, context.params
        )
        return {"labels": _traces.labels(series, path), "times": times, "kinds": kinds, "names": names}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the tables of averages and trials."""
        module = context.module(nwbfile, self.module)
        for table in _build_tables(nwbfile, results, context):
            module.add(table)


def _build_tables(nwbfile: NWBFile, results: Results, context: Context) -> list[Any]:
    from hdmf.common import DynamicTable, VectorData

    series, events, facts = context.input(nwbfile, "trace"), context.input(nwbfile, "events"), context.facts
    labels, names, kinds = facts["labels"], facts["names"], facts["kinds"]
    arrays, reasons_by_trace = results.arrays, results.summary["reasons"]
    lags, responses = arrays["lags"][()], arrays["responses"][()]
    if not any(reason == "" for column in reasons_by_trace for reason in column):
        reason_counts = "; ".join(
            f"{count} × {reason}" for reason, count in Counter(reasons_by_trace[0]).most_common(4)
        )
        msg = "no trial is whole: there is nothing to average"
        raise InputError(
            msg, where=context.inputs["events"].path, found=reason_counts, hint="look at the clocks of both"
        )
    pairs = [(kind, k) for kind in range(len(names)) for k in range(len(labels))]
    trials = [(event, k) for event in range(len(kinds)) for k in range(len(labels))]
    used = {
        (kind, k): sum(kinds[e] == names[kind] and reasons_by_trace[k][e] == "" for e in range(len(kinds)))
        for kind, k in pairs
    }
    mean, sem, count = (arrays[name][()] for name in ("mean", "sem", "count"))
    unit = series.unit
    series_text = (
        f"{series.name} at {_traces.rate_text(series)} around {events.name}, from {lags[0]:g} to {lags[-1]:g} s"
    )
    base = context.params.baseline
    if base != "none":
        series_text += (
            f"; {base} by the baseline from {context.params.baseline_s[0]:g} to {context.params.baseline_s[1]:g} s"
        )
        unit = "standard deviations of the baseline" if base == "zscore" else unit
    averages = [
        VectorData(name="event_type", description="kind of event", data=[names[kind] for kind, _ in pairs]),
        VectorData(name="trace", description="the trace in words", data=[labels[k] for _, k in pairs]),
        VectorData(name="n_events", description="events", data=[kinds.count(names[kind]) for kind, _ in pairs]),
        VectorData(name="n_trials", description="events whose trial was used", data=[used[index] for index in pairs]),
        VectorData(name="lag_s", description="lags, seconds from the event", data=np.tile(lags, (len(pairs), 1))),
        VectorData(
            name="mean", description=f"mean over trials ({unit})", data=np.stack([mean[index] for index in pairs])
        ),
        VectorData(
            name="sem",
            description=f"standard error of the mean ({unit})",
            data=np.stack([sem[index] for index in pairs]),
        ),
        VectorData(
            name="count",
            description="trials at each lag",
            data=np.stack([count[index] for index in pairs]).astype(int),
        ),
    ]
    reasons = [reasons_by_trace[k][event] for event, k in trials]
    times = [float("nan") if facts["times"][event] is None else facts["times"][event] for event, _ in trials]
    rows = [
        VectorData(name="event_time", description="time of the event in seconds", data=np.array(times)),
        VectorData(name="event_type", description="kind of event", data=[kinds[event] for event, _ in trials]),
        VectorData(name="trace", description="the trace in words", data=[labels[k] for _, k in trials]),
        VectorData(name="used", description="whether the trial is in the average", data=[not r for r in reasons]),
        VectorData(name="reason", description="why it is not", data=[r or "used" for r in reasons]),
        VectorData(
            name="response",
            description=f"the trace at the lags ({unit}); NaN where it was not used",
            data=np.stack([responses[index] for index in trials]),
        ),
    ]
    return [
        DynamicTable(
            name=context.name("PeriEventAverage"), description=f"Averages of {series_text}", columns=averages
        ),
        DynamicTable(name=context.name("PeriEventTrials"), description=f"Trials of {series_text}", columns=rows),
    ]
