"""Read the files of a Bpod: ``SessionData`` (.mat) and IBL's JSON lines."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.interfaces._mat_files import load_mat
from nwbpipe.errors import SourceError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BpodTrial:
    """One trial.

    Parameters
    ----------
    start, stop : float
        In seconds, in the Bpod's clock.
    states : dict of str to (ndarray, ndarray)
        When each state was entered and left, in seconds from the trial's start; NaN if it was not.
    events : dict of str to ndarray
        When each event happened, in seconds from the trial's start.
    values : dict
        Whatever else the file says of it.
    """

    start: float
    stop: float
    states: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    events: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


def _states(raw: Any) -> dict[str, tuple[Array, Array]]:
    states = {}
    for name, visits in dict(raw or {}).items():
        pairs = np.asarray(visits, dtype=np.float64)
        if pairs.size % 2:
            raise ValueError(f"the state {name} has {pairs.size} times; expected pairs")
        pairs = pairs.reshape(-1, 2)
        states[str(name)] = (pairs[:, 0], pairs[:, 1])
    return states


def _events(raw: Any) -> dict[str, Array]:
    return {str(name): np.asarray(times, dtype=np.float64).ravel() for name, times in dict(raw or {}).items()}


def _stop(start: float, end: Any, states: dict[str, tuple[Array, Array]]) -> float:
    """End of a trial: as the file says, or when its last state ended (files of old Bpods say no more)."""
    if end is not None:
        return float(end)
    last = [float(off[np.isfinite(off)].max()) for _, off in states.values() if np.isfinite(off).any()]
    return start + max(last, default=0.0)


def read_task_data(path: Path) -> tuple[list[BpodTrial], list[str], datetime | None]:
    """Read IBL's ``_iblrig_taskData.raw.jsonable``: one JSON object a line, a line a trial.

    Returns
    -------
    trials : list of BpodTrial
    unfit : list of str
        What does not have one value a trial, and is left out: nothing.

    Raises
    ------
    SourceError
        A line is not JSON, or not a trial of a Bpod.
    """
    trials = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise SourceError("the task data can't be read", where=str(path), found=str(error)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            data = content.pop("behavior_data")
            start, states = float(data["Trial start timestamp"]), _states(data["States timestamps"])
            stop = _stop(start, data.get("Trial end timestamp"), states)
            trials.append(BpodTrial(start, stop, states, _events(data["Events timestamps"]), content))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceError(
                "a line is not a trial of a Bpod",
                where=f"{path}, line {number}",
                expected="JSON with behavior_data: Trial start timestamp, States timestamps, Events timestamps",
                found=f"{type(error).__name__}: {error}; the line starts with {line[:60]!r}",
                hint="check that the file is whole: the last line of an aborted session may be cut off",
            ) from error
    return trials, [], None


def read_session_data(path: Path) -> tuple[list[BpodTrial], list[str], datetime | None]:
    """Read Bpod's ``SessionData`` from a MATLAB file.

    Returns
    -------
    trials : list of BpodTrial
    unfit : list of str
        Vectors that do not have one value a trial, and are left out, each with its length.
    start : datetime or None
        Of the session, without a zone: what Bpod calls UTC is the computer's time in some of its versions.

    Raises
    ------
    SourceError
        The file holds none, or its parts differ in length.
    """
    content = load_mat(path)
    data = content.get("SessionData")
    if not isinstance(data, dict) or "RawEvents" not in data or "TrialStartTimestamp" not in data:
        raise SourceError(
            "the MATLAB file holds no session of a Bpod",
            where=str(path),
            expected="SessionData with RawEvents and TrialStartTimestamp",
            found=", ".join(data if isinstance(data, dict) else content) or "nothing",
            hint="check that this is the file that Bpod saved; other tables are read by TrialsInterface",
        )
    raw = data["RawEvents"]
    items = raw.get("Trial", []) if isinstance(raw, dict) else []
    items = [items] if isinstance(items, dict) else list(items)
    starts = np.atleast_1d(np.asarray(data["TrialStartTimestamp"], dtype=np.float64)).ravel()
    ends = data.get("TrialEndTimestamp")
    ends = None if ends is None else np.atleast_1d(np.asarray(ends, dtype=np.float64)).ravel()
    count = int(np.asarray(data.get("nTrials", len(items))).ravel()[0])
    lengths = {"nTrials": count, "RawEvents.Trial": len(items), "TrialStartTimestamp": starts.size}
    lengths |= {} if ends is None else {"TrialEndTimestamp": ends.size}
    if len(set(lengths.values())) > 1:
        raise SourceError(
            "the parts of SessionData differ in length",
            where=str(path),
            expected="one element a trial in each",
            found=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            hint="the file may be of a session that was aborted: save it again from Bpod without the last trial",
        )
    values, unfit = _collect_per_trial(data, count)
    trials = []
    for i, item in enumerate(items):
        try:
            states = _states(item["States"])
            stop = _stop(float(starts[i]), None if ends is None else ends[i], states)
            trials.append(BpodTrial(float(starts[i]), stop, states, _events(item.get("Events")), values[i]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceError(
                "a trial of SessionData is not as Bpod writes it",
                where=f"{path}: RawEvents.Trial, element {i + 1}",
                expected="States and Events, with their times",
                found=f"{type(error).__name__}: {error}",
            ) from error
    return trials, unfit, _read_start(data.get("Info"))


def _read_start(info: Any) -> datetime | None:
    """Return the start of a session: ``15-Oct-2018`` and ``13:10:27`` in MATLAB's texts."""
    if not isinstance(info, dict):
        return None
    text = f"{info.get('SessionDate')} {info.get('SessionStartTime_UTC')}"
    try:
        return datetime.strptime(text, "%d-%b-%Y %H:%M:%S")
    except ValueError:
        return None


_NOT_VALUES = {"RawEvents", "RawData", "TrialStartTimestamp", "TrialEndTimestamp", "nTrials", "Info"}


def _collect_per_trial(data: dict[str, Any], count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Collect what `SessionData` holds once a trial: its own vectors, and scalars of TrialSettings and its GUI.

    Vectors of another length are named, each with its length.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    unfit: list[str] = []

    def put(name: str, cells: Any) -> None:
        if isinstance(cells, dict):  # a struct of arrays, such as `Custom`
            for key, inner in cells.items():
                put(key if name in ("TrialSettings", "GUI") else f"{name}_{key}", inner)
            return
        if isinstance(cells, str) or (np.ndim(cells) == 0 and count != 1):
            return
        cells = [cells] if np.ndim(cells) == 0 and not isinstance(cells, list) else list(cells)
        if len(cells) != count:
            unfit.append(f"{name} ({len(cells)} values)")
            return
        for row, cell in zip(rows, cells, strict=True):
            if isinstance(cell, dict):
                flat = {**cell, **cell["GUI"]} if isinstance(cell.get("GUI"), dict) else cell
                row.update({key: _to_plain(value) for key, value in flat.items() if key != "GUI"})
            else:
                row[name] = _to_plain(cell)

    for name, cells in data.items():
        if name not in _NOT_VALUES:
            put(name, cells)
    return rows, unfit


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.ravel()[0].item()
    return value
