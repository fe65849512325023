"""The processor ``unit_psth``: rates of units around events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors._events import read_events
from nwbpipe.processors.ephys._units import require_spike_times

if TYPE_CHECKING:
    from pynwb import NWBFile


class UnitPsthParams(Params):
    """Parameters of ``unit_psth``; windows are in seconds from the event."""

    before_s: float = Field(0.5, ge=0, description="Length of the window before the event")
    after_s: float = Field(1.0, gt=0, description="Length of the window after the event")
    bin_s: float = Field(0.02, gt=0, description="Width of the bins, in seconds.")
    time_column: str | None = Field(None, description="Column of the times; timestamp or start_time by default")
    kind_column: str | None = Field(None, description="Column of the kinds; event_type where there is one")
    kinds: tuple[str, ...] = Field((), description="Kinds of events that are used; all by default")
    baseline_s: tuple[float, float] = Field((-0.5, 0.0), description="Window of the rate before")
    response_s: tuple[float, float] = Field((0.0, 0.5), description="Window of the rate after")

    @model_validator(mode="after")
    def _check_windows(self) -> UnitPsthParams:
        for name, (low, high) in (("baseline_s", self.baseline_s), ("response_s", self.response_s)):
            if not -self.before_s - 1e-9 <= low < high <= self.after_s + 1e-9:
                span = f"{-self.before_s:g} to {self.after_s:g} s"
                msg = f"{name} is {low:g} to {high:g} s; expected a window within {span}"
                raise ValueError(msg)
        return self


class UnitPsth(Processor):
    """Average the firing of units around events (peri-stimulus time histogram), and test for a response.

    The result is ``Psth_<step>`` in ``ecephys``: a row for each kind of event and unit, with rate and standard error
    in bins, the rates before and after, and whether they differ (Wilcoxon's signed-rank test over trials, also
    adjusted after Benjamini and Hochberg). An event whose window a unit was not observed in whole (a gap, an
    artefact, the end of the recording) does not count for this unit.
    """

    name: ClassVar[str] = "unit_psth"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("Psth",)
    inputs: ClassVar[Mapping[str, Input]] = {
        "units": Input("Units", doc="The units"),
        "events": Input("EventsTable", "TimeIntervals", doc="The events, or trials"),
    }
    Params: ClassVar[type[Params]] = UnitPsthParams
    tool: ClassVar[Tool] = Tool("scipy", ("scipy>=1.11", "numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.ephys._unit_psth_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Read times and kinds of the events."""
        require_spike_times(context.input(nwbfile, "units"), context.inputs["units"].path)
        times, kinds, names = read_events(
            context.input(nwbfile, "events"), context.inputs["events"].path, context.params
        )
        return {"times": times, "kinds": [names.index(kind) for kind in kinds], "names": names}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table."""
        from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

        units, events, arrays = context.input(nwbfile, "units"), context.input(nwbfile, "events"), results.arrays
        names, params = context.facts["names"], context.params
        rows = np.tile(np.arange(len(units), dtype="int64"), len(names))
        kinds = np.repeat(np.array(names, dtype=object), len(units)).tolist()
        lags = arrays["lags"][:]

        def flat(name: str) -> Any:
            values = arrays[name][:]
            return values.reshape(-1, *values.shape[2:])

        early, late = (f"{low:g} to {high:g} s" for low, high in (params.baseline_s, params.response_s))
        columns = [
            DynamicTableRegion(name="unit", description="The unit", data=rows, table=units),
            VectorData(name="event_type", description="Kind of event", data=kinds),
            VectorData(name="n_trials", description="Events whose window was observed in whole", data=flat("trials")),
            VectorData(
                name="lag_s",
                description="Middle of each bin, seconds from the event",
                data=np.tile(lags, (len(rows), 1)),
            ),
            VectorData(name="rate", description="Mean rate in each bin, in Hz", data=flat("rate")),
            VectorData(name="sem", description="Standard error of the rate over events, in Hz", data=flat("sem")),
            VectorData(name="baseline_rate", description=f"Mean rate from {early}, in Hz", data=flat("baseline")),
            VectorData(name="response_rate", description=f"Mean rate from {late}, in Hz", data=flat("response")),
            VectorData(
                name="p_value",
                description="Wilcoxon's signed-rank test of response against baseline (NaN under 5 events)",
                data=flat("p_value"),
            ),
            VectorData(
                name="p_adjusted",
                description="The same after Benjamini and Hochberg, over all units and kinds",
                data=flat("p_adjusted"),
            ),
        ]
        context.module(nwbfile, self.module).add(
            DynamicTable(
                name=context.name("Psth"),
                description=f"Rates of units of {units.name!r} around {events.name!r}, bins of {params.bin_s:g} s",
                id=np.arange(len(rows)),
                columns=columns,
                colnames=[column.name for column in columns],
            )
        )
