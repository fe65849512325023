"""The processor ``event_windows``: a window around each event of a kind, bounded by other events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.behavior._tables import add_dropped, row_ids

if TYPE_CHECKING:
    from pynwb import NWBFile

_BOUND = "a name in the table, `alignment` (the alignment event itself) or `trial` (the trial's own bound)"


class EventWindowsParams(Params):
    """Parameters of ``event_windows``; shifts are in seconds, positive is later."""

    alignment_event: str = Field(min_length=1, description="Name of the event that windows are made around.")
    alignment_shift_s: float = Field(0.0, allow_inf_nan=False, description="Shift of the time that is aligned to.")
    start_event: str = Field("alignment", description=f"The last one at or before it starts the window: {_BOUND}.")
    start_shift_s: float = Field(0.0, allow_inf_nan=False, description="Shift of the start, in seconds.")
    stop_event: str = Field("alignment", description=f"The first one at or after it ends the window: {_BOUND}.")
    stop_shift_s: float = Field(0.0, allow_inf_nan=False, description="Shift of the end, in seconds.")
    which: Literal["first", "last", "every"] = Field("every", description="Which alignment events of a trial.")

    @model_validator(mode="after")
    def _check_length(self) -> EventWindowsParams:
        if self.start_event == self.stop_event == "alignment" and self.stop_shift_s <= self.start_shift_s:
            msg = (
                "a window from the alignment event to itself has no length: give start_event or stop_event, or "
                f"start_shift_s < stop_shift_s; found {self.start_shift_s:g} and {self.stop_shift_s:g}"
            )
            raise ValueError(msg)
        return self


class EventWindows(Processor):
    """Windows around events: from a start event to a stop event, each with its shift.

    This is the `AlignmentEvent` of DataJoint's element-event: an alignment event, the event that starts the window
    and the one that ends it, each with a shift. With `trials` bound, all three lie within one trial (its bounds
    included), and the trials without a window are listed with the reason. An event belongs to the trial that the
    events' column ``trial`` says, where there is one. Without `trials`, the session is one trial.

    Results go into ``behavior``: ``AlignmentWindows_<step>`` (`TimeIntervals` with the times aligned to and the
    trials' ids), and ``DroppedTrials_<step>`` where there are some.
    """

    name: ClassVar[str] = "event_windows"
    revision: ClassVar[int] = 2
    module: ClassVar[str] = "behavior"
    containers: ClassVar[tuple[str, ...]] = ("AlignmentWindows", "DroppedTrials")
    inputs: ClassVar[Mapping[str, Input]] = {
        "events": Input("EventsTable", doc="the events"),
        "trials": Input("TimeIntervals", doc="the trials that events belong together in", optional=True),
    }
    Params: ClassVar[type[Params]] = EventWindowsParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.behavior._event_windows_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check that the events are in the table, and the trials sound."""
        table, params = context.input(nwbfile, "events"), context.params
        path = context.inputs["events"].path
        event_names = sorted(set(table["event_type"].data[:])) if "event_type" in table.colnames else [table.name]
        required_names = {params.alignment_event, params.start_event, params.stop_event} - {"alignment", "trial"}
        unknown = sorted(required_names - set(event_names))
        if unknown:
            raise InputError(
                "no event is called " + ", ".join(map(repr, unknown)),
                where=path,
                expected="one of " + ", ".join(map(str, event_names[:50])),
                found=", ".join(unknown),
                hint="correct alignment_event, start_event or stop_event",
            )
        if "trials" not in context.inputs:
            if "trial" in (params.start_event, params.stop_event):
                raise InputError(
                    "the window is bounded by the trial, and no trials are bound",
                    where=path,
                    expected="trials",
                    hint="name them: --input trials=intervals/trials",
                )
            return {"only_name": table.name}
        trials = context.input(nwbfile, "trials")
        start, stop = (np.asarray(trials[name].data[:], dtype=np.float64) for name in ("start_time", "stop_time"))
        bad = np.flatnonzero(~(stop >= start))
        if bad.size:
            raise InputError(
                f"{bad.size} of {start.size} trials have no start or end, or end before they start",
                where=context.inputs["trials"].path,
                found=f"the first in row {bad[0]}: {start[bad[0]]} s to {stop[bad[0]]} s",
                hint="convert the trials again",
            )
        return {"only_name": table.name}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Write the windows, and the trials without one."""
        from nwbpipe.nwb_builders import Column, make_intervals_table

        module, params = context.module(nwbfile, self.module), context.params
        ids = row_ids(context.input(nwbfile, "trials")) if "trials" in context.inputs else None
        rows = results.arrays["trial"][()]
        columns = [
            Column("alignment_time", "time that the window is aligned to", results.arrays["aligned"][()], "time")
        ]
        if ids is not None:
            columns.append(Column("trial", "id of the trial", ids[rows]))
        bounds = results.arrays["bounds"][()]
        dropped = results.summary["dropped"]
        text = (
            f"Windows around {params.which} {params.alignment_event} "
            f"({params.alignment_shift_s:+g} s), from {params.start_event} ({params.start_shift_s:+g} s) "
            f"to {params.stop_event} ({params.stop_shift_s:+g} s); {len(bounds)} windows, {len(dropped)} dropped."
        )
        module.add(
            make_intervals_table(context.name("AlignmentWindows"), text, bounds[:, 0], bounds[:, 1], columns=columns)
        )
        if ids is not None:
            add_dropped(module, context, [(int(ids[row]), reason) for row, reason in dropped])
