"""Times and kinds of the events that data are aligned to."""

from __future__ import annotations

from typing import Any

import numpy as np

from nwbpipe.errors import InputError


def read_events(table: Any, where: str, params: Any) -> tuple[list[float | None], list[str], list[str]]:
    """Read the events of a table that a processor's parameters ask for.

    Parameters
    ----------
    table : pynwb.event.EventsTable or pynwb.epoch.TimeIntervals
    where : str
        Its path, to be named in an error.
    params : Params
        With ``time_column``, ``kind_column`` and ``kinds``.

    Returns
    -------
    times : list of float or None
        Time of each event, in seconds; None where it has none, as JSON knows no NaN.
    kinds : list of str
        Kind of each event.
    names : list of str
        The kinds, in the order that was asked for.

    Raises
    ------
    InputError
    """
    columns = list(table.colnames)
    column = params.time_column or ("timestamp" if "timestamp" in columns else "start_time")
    kind = params.kind_column or ("event_type" if "event_type" in columns else None)
    for name in (column, kind):
        if name is not None and name not in columns:
            msg = f"the table of events has no column {name!r}"
            raise InputError(msg, where=where, expected="one of " + ", ".join(columns), found=name)
    times = np.asarray(table[column][:])
    if times.ndim != 1 or times.dtype.kind not in "fiu":
        msg = f"the column {column!r} holds no times"
        raise InputError(msg, where=where, expected="one number a row", found=f"{times.dtype}, shape {times.shape}")
    kinds = [str(table.name)] * len(times) if kind is None else [str(value) for value in table[kind][:]]
    names = list(dict.fromkeys(params.kinds)) or sorted(set(kinds))
    unknown = [name for name in names if name not in kinds]
    if unknown or not names:
        msg = f"no event is called {', '.join(map(repr, unknown))}" if unknown else "the table holds no events"
        raise InputError(msg, where=where, expected=", ".join(sorted(set(kinds)))[:500] or "a row or more")
    chosen = [(float(time), kind) for time, kind in zip(times, kinds, strict=True) if kind in names]
    return [time if np.isfinite(time) else None for time, _ in chosen], [kind for _, kind in chosen], names
