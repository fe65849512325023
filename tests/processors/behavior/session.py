"""A small session file with what a test puts in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.nwb_builders import Column, make_events_table, make_intervals_table
from tests.fixtures.kept_files import write_once
from tests.nwb_builders.nwb import empty_nwbfile


@write_once
def write_session(
    path: Path,
    *,
    events: tuple[Any, Any] | None = None,
    trials: tuple[Any, Any] | None = None,
    trial_columns: Iterable[Column] = (),
    ids: Any = None,
    **series: dict[str, Any],
) -> Path:
    from pynwb import NWBHDF5IO, TimeSeries

    nwbfile = empty_nwbfile()
    if events is not None:
        nwbfile.add_events_table(make_events_table("log", "events", events[0], names=events[1]))
    if trials is not None:
        nwbfile.trials = make_intervals_table("trials", "trials", *trials, columns=trial_columns, ids=ids)
    for name, arguments in series.items():
        arguments = {"unit": "radians", "description": "a series", **arguments}
        nwbfile.add_acquisition(TimeSeries(name=name, **{**arguments, "data": np.asarray(arguments["data"])}))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path
