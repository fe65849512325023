"""Find a window around each alignment event (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from typing import Any, Callable

import h5py
import numpy as np

from nwbpipe_kit.windows import assign_rows, resolve

Progress = Callable[[float, str], None]

NO_ALIGNMENT = "no alignment event"
NO_START = "no start event at or before the alignment event"
NO_STOP = "no stop event at or after the alignment event"
REVERSED = "the window ends before it starts"


def find_windows(
    times: np.ndarray,
    names: np.ndarray,
    trials: np.ndarray,
    params: dict[str, Any],
    rows: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, str]]]:
    """Find the windows.

    Parameters
    ----------
    times : ndarray of float64, shape (n_events,)
        In seconds, not decreasing.
    names : ndarray of str, shape (n_events,)
    trials : ndarray of float64, shape (n_trials, 2)
        Start and stop of each.
    params : dict
        See `EventWindowsParams`.
    rows : ndarray of int, shape (n_events,), optional
        Row of the trial that each event belongs to, -1 for none; by the times, if it is not known.

    Returns
    -------
    bounds : ndarray of float64, shape (n_windows, 2)
    aligned : ndarray of float64, shape (n_windows,)
        Time of the alignment event, shifted.
    trial : ndarray of int64, shape (n_windows,)
        Row of the trial.
    dropped : list of (int, str)
        Row of a trial, and why a window is missing.
    """
    by_name = {name: times[names == name] for name in set(names.tolist())}
    rows_by_name = {} if rows is None else {name: rows[names == name] for name in by_name}
    empty = np.zeros(0)
    windows: list[tuple[float, float, float, int]] = []
    dropped: list[tuple[int, str]] = []
    for row, (first, last) in enumerate(trials):

        def within(name: str) -> np.ndarray:
            all_of: np.ndarray = by_name.get(name, empty)
            if rows is not None:
                return np.asarray(all_of[rows_by_name[name] == row] if name in by_name else empty)  # noqa: B023
            # An event that ends the trial is at its end, whatever the last bit of a sum makes of it.
            low = np.searchsorted(all_of, first - resolve(first))  # noqa: B023
            high = np.searchsorted(all_of, last + resolve(last), side="right")  # noqa: B023
            return np.asarray(all_of[low:high])

        anchors = within(params["alignment_event"])
        if not anchors.size:
            dropped.append((row, NO_ALIGNMENT))
            continue
        chosen = {"first": anchors[:1], "last": anchors[-1:], "every": anchors}[params["which"]]
        for anchor in chosen:
            start = _event_before(anchor, params["start_event"], first, within)
            stop = _event_after(anchor, params["stop_event"], last, within)
            if start is None or stop is None:
                dropped.append((row, NO_START if start is None else NO_STOP))
                continue
            start, stop = start + params["start_shift_s"], stop + params["stop_shift_s"]
            if stop <= start:
                dropped.append((row, REVERSED))
                continue
            windows.append((start, stop, anchor + params["alignment_shift_s"], row))
    table = np.array(windows, dtype=np.float64).reshape(-1, 4)
    return table[:, :2], table[:, 2], table[:, 3].astype(np.int64), dropped


def _event_before(anchor: float, name: str, first: float, within: Callable[[str], np.ndarray]) -> float | None:
    if name in ("alignment", "trial"):
        return float(anchor if name == "alignment" else first)
    events = within(name)
    index = int(np.searchsorted(events, anchor, side="right"))
    return float(events[index - 1]) if index else None


def _event_after(anchor: float, name: str, last: float, within: Callable[[str], np.ndarray]) -> float | None:
    if name in ("alignment", "trial"):
        return float(anchor if name == "alignment" else last)
    events = within(name)
    index = int(np.searchsorted(events, anchor, side="left"))
    return float(events[index]) if index < events.size else None


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave ``bounds``, ``aligned``, ``trial`` and the dropped trials in `results`."""
    events, trials = request["inputs"]["events"], request["inputs"].get("trials")
    with h5py.File(events["file"], "r", locking=False) as file:
        table = file[events["path"]]
        times = table["timestamp"][()].astype(np.float64)
        if "event_type" in table:
            names = np.asarray(table["event_type"].asstr()[()], dtype=object)
        else:
            names = np.full(times.size, request["facts"]["only_name"], dtype=object)
        rows = None
        if trials is None:
            spans = np.array([[-np.inf, np.inf]])
        else:
            group = file[trials["path"]]
            spans = np.stack([group["start_time"][()], group["stop_time"][()]], axis=1).astype(np.float64)
            # The ids are those of the session's trials, not of windows that were made of them.
            if (
                "trial" in table
                and trials["path"].strip("/") == "intervals/trials"
                and table["trial"].dtype.kind in "iuf"
            ):
                rows = assign_rows(times, spans, group["id"][()], table["trial"][()])
    order = np.argsort(times, kind="stable")
    rows = None if rows is None else rows[order]
    bounds, aligned, trial, dropped = find_windows(times[order], names[order], spans, request["params"], rows)
    results["bounds"], results["aligned"], results["trial"] = bounds, aligned, trial
    progress(1.0, "%d windows" % len(bounds))
    return {"dropped": dropped, "trials": len(spans)}
