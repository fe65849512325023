"""Compare tables of units: by their spikes, with each other and with a truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.provenance import RunRecord, find_current_record
from nwbpipe.review._bindings import SESSION_UNITS, find_units_path, list_current
from nwbpipe.review._compare import match_one_to_one
from nwbpipe.review._quality import read_passed
from nwbpipe.session import SessionFile, SessionReader

Floats = NDArray[np.float64]
#: Agreements from which units count as the same, as well detected, and as parts of one (SpikeInterface's values).
MIN_AGREEMENT, WELL_DETECTED, PART = 0.5, 0.8, 0.2
_SLACK_S = 1e-9


@dataclass(frozen=True)
class UnitTable:
    """The units of a step.

    Attributes
    ----------
    step : str
        The step, or ``units`` for the table ``/units``.
    tool, tool_version : str
        Of its run; empty where there is none.
    units, spikes : int
    seconds, cpu_seconds, memory_mb : float or None
        Wall time, CPU time, peak memory of the run; None where the record lacks them.
    names : list of str
        Name of each unit.
    """

    step: str
    tool: str
    tool_version: str
    units: int
    spikes: int
    seconds: float | None
    cpu_seconds: float | None
    memory_mb: float | None
    names: list[str]


@dataclass(frozen=True)
class UnitMatch:
    """Two units that are taken for one.

    Attributes
    ----------
    first, second : int
        Their rows.
    agreement : float
        Common spikes over all spikes of both, each counted once: the accuracy, where the first is true.
    recall, precision : float
        Common spikes over those of the first, and of the second.
    """

    first: int
    second: int
    agreement: float
    recall: float
    precision: float


@dataclass(frozen=True)
class UnitPair:
    """Two tables beside each other.

    Attributes
    ----------
    first, second : str
        The steps. Where there is a truth, `first` is the truth.
    matched, only_first, only_second : int
        Units of both, and of one alone.
    well_detected : int
        Matched with an agreement of 0.8 or more.
    mean_agreement : float or None
        Mean over the units of the first of the agreement with their match, 0 without one: the mean accuracy, where
        the first is true.
    redundant, merged : list of int
        Rows of the second: unmatched units that share 0.2 or more with a unit of the first (fragments, copies), and
        units that share as much with two or more of the first.
    strangers : list of int
        Rows of the second that share less than 0.2 with every unit of the first: false, where the first is true.
    matches : list of UnitMatch
        One to one, so that the sum of agreements is largest; none below 0.5.
    agreement : list of list of float
        Of each two units, shape (first, second).
    """

    first: str
    second: str
    matched: int
    only_first: int
    only_second: int
    well_detected: int
    mean_agreement: float | None
    redundant: list[int]
    merged: list[int]
    strangers: list[int]
    matches: list[UnitMatch]
    agreement: list[list[float]]


@dataclass(frozen=True)
class UnitComparison:
    """The tables, and each pair of them; pairs with the truth come first."""

    tables: tuple[UnitTable, ...]
    pairs: tuple[UnitPair, ...]
    truth: str | None
    tolerance_ms: float
    passed_only: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Units:
    record: RunRecord | None
    table: UnitTable
    trains: list[Floats]


def has_units(path: Path | str, steps: Sequence[str]) -> bool:
    """Return True if any of these steps (or ``units``) has a table of units in the file."""
    return SessionFile.at(path).read(lambda reader: any(_find_table(reader, step) for step in steps))


def compare_units(
    path: Path | str,
    *steps: str,
    truth: str | None = None,
    tolerance_ms: float = 0.4,
    passed_only: bool = False,
) -> UnitComparison:
    """Compare the units of steps of a file by their spikes, with each other and with a truth.

    Parameters
    ----------
    path : path
        The session file.
    *steps : str
        Steps with units: of `spikesorting`, loaded or curated; ``units`` is the table ``/units``.
    truth : str, optional
        The one of them (or a further one) whose units are true.
    tolerance_ms : float
        Spikes this close are one spike. Each spike has one partner at most.
    passed_only : bool
        Leave out units that fail by the verdicts in the file. A truth is not judged.

    Returns
    -------
    UnitComparison

    Raises
    ------
    UnknownNameError
        If a step has no units.
    RequestError
        If there is nothing to compare with, steps are of different recordings, or the file lacks verdicts.

    Notes
    -----
    Agreement, accuracy and the limits 0.5, 0.8 and 0.2 are those of SpikeInterface (Buccino et al. 2020, eLife 9).
    """
    return SessionFile.at(path).read(
        lambda reader: _compare_tables(reader, steps, truth, tolerance_ms, passed_only=passed_only)
    )


def _compare_tables(
    reader: SessionReader, steps: Sequence[str], truth: str | None, tolerance_ms: float, *, passed_only: bool
) -> UnitComparison:
    filename = reader.file.filename
    names = list(dict.fromkeys([*([] if truth is None else [truth]), *steps]))
    if len(names) < 2:
        msg = "there is nothing to compare with"
        hint = "`nwbpipe log FILE.nwb` shows the steps"
        raise RequestError(
            msg, where=filename, expected="two steps or more", found=", ".join(names) or "none", hint=hint
        )
    tables = {name: _read_units(reader, name, judged=passed_only and name != truth) for name in names}
    recordings = {
        name: item.path
        for name, table in tables.items()
        for item in (table.record.inputs if table.record else ())
        if item.name == "recording"
    }
    if len(set(recordings.values())) > 1:
        msg = "the steps are of different recordings"
        listed = "; ".join(f"{name}: {path}" for name, path in recordings.items())
        raise RequestError(msg, where=filename, found=listed, hint="compare steps of one recording")
    order = sorted(itertools.combinations(names, 2), key=lambda pair: truth not in pair)
    pairs = tuple(
        compare_trains(tables[a].trains, tables[b].trains, tolerance_ms * 1e-3, names=(a, b)) for a, b in order
    )
    return UnitComparison(
        tuple(table.table for table in tables.values()), pairs, truth, tolerance_ms, passed_only=passed_only
    )


def compare_trains(
    first: Sequence[Floats],
    second: Sequence[Floats],
    tolerance_s: float,
    names: tuple[str, str] = ("first", "second"),
) -> UnitPair:
    """Compare two lists of spike trains (sorted times in seconds)."""
    hits = count_coincidences(first, second, tolerance_s)
    sizes_a, sizes_b = (np.array([len(train) for train in trains], dtype=float) for trains in (first, second))
    union = sizes_a[:, None] + sizes_b[None, :] - hits
    agreement = np.divide(hits, union, out=np.zeros_like(union), where=union > 0)
    rows, columns = match_one_to_one(agreement, MIN_AGREEMENT)
    matches = [
        UnitMatch(
            int(a), int(b), float(agreement[a, b]), float(hits[a, b] / sizes_a[a]), float(hits[a, b] / sizes_b[b])
        )
        for a, b in zip(rows, columns, strict=True)
    ]
    parts = (agreement >= PART).sum(axis=0)
    unmatched = np.setdiff1d(np.arange(len(second)), columns)
    return UnitPair(
        first=names[0],
        second=names[1],
        matched=len(matches),
        only_first=len(first) - len(matches),
        only_second=len(second) - len(matches),
        well_detected=sum(match.agreement >= WELL_DETECTED for match in matches),
        mean_agreement=sum(match.agreement for match in matches) / len(first) if len(first) else None,
        redundant=[int(unit) for unit in unmatched if parts[unit]],
        merged=[int(unit) for unit in np.flatnonzero(parts > 1)],
        strangers=[int(unit) for unit in np.flatnonzero(parts == 0)],
        matches=matches,
        agreement=agreement.tolist(),
    )


def count_coincidences(first: Sequence[Floats], second: Sequence[Floats], tolerance_s: float) -> Floats:
    """Return the number of spikes that each two units share, shape (first, second).

    Each spike of a unit has one partner at most in another.
    """
    hits = np.zeros((len(first), len(second)))
    if not len(second):
        return hits
    owners = np.repeat(np.arange(len(second)), [len(train) for train in second])
    times = np.concatenate([np.asarray(train, float) for train in second])
    order = np.argsort(times, kind="stable")
    times, owners = times[order], owners[order]
    for row, train in enumerate(first):
        low = np.searchsorted(times, train - tolerance_s - _SLACK_S, "left")
        counts = np.searchsorted(times, train + tolerance_s + _SLACK_S, "right") - low
        rows_first = np.repeat(np.arange(len(train)), counts)
        rows_second = (
            np.arange(len(rows_first)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
        )
        owner = owners[rows_second]
        pairs = np.bincount(owner, minlength=len(second))
        unique_first = np.bincount(
            np.unique(owner * len(train) + rows_first) // max(1, len(train)), minlength=len(second)
        )
        unique_second = np.bincount(owners[np.unique(rows_second)], minlength=len(second))
        hits[row] = pairs
        # Where a spike has several partners, pair the earliest: in intervals of one length that leaves most pairs.
        for unit in np.flatnonzero((unique_first < pairs) | (unique_second < pairs)):
            inside = owner == unit
            hits[row, unit] = _pair_greedily(rows_first[inside], rows_second[inside])
    return hits


def _pair_greedily(rows_first: NDArray[np.int64], rows_second: NDArray[np.int64]) -> int:
    last_mine = last_theirs = -1
    count = 0
    for a, b in zip(rows_first.tolist(), rows_second.tolist(), strict=True):
        if a > last_mine and b > last_theirs:
            last_mine, last_theirs = a, b
            count += 1
    return count


def _find_table(reader: SessionReader, step: str) -> tuple[RunRecord | None, str] | None:
    record = find_current_record(reader.records, step)
    path = find_units_path(reader, record) if record else None
    if path is not None:
        return record, path
    return (None, "/units") if step == SESSION_UNITS and "units" in reader.file else None


def _read_units(reader: SessionReader, step: str, *, judged: bool) -> _Units:
    located = _find_table(reader, step)
    if located is None:
        steps = [record.step for record in list_current(reader) if find_units_path(reader, record)]
        names = ", ".join([*steps, *([SESSION_UNITS] if "units" in reader.file else [])])
        msg = f"the file has no units of a step {step!r}"
        hint = "`nwbpipe log FILE.nwb` shows the steps"
        raise UnknownNameError(
            msg, where=reader.file.filename, expected=names or "a step with units", found=step, hint=hint
        )
    record, path = located
    group = reader.file[path]
    trains = _read_trains(group)
    titles = [
        str(name) for name in (group["unit_name"].asstr()[()] if "unit_name" in group else np.arange(len(trains)))
    ]
    if judged and trains:
        good = read_passed(reader, step)
        if good is None or len(good) != len(trains):
            msg = f"the file does not hold one verdict on each unit of {step!r}"
            hint = f"nwbpipe qc FILE.nwb --measure --step {step}"
            raise RequestError(msg, where=reader.file.filename, hint=hint)
        titles = list(itertools.compress(titles, good))
        trains = list(itertools.compress(trains, good))
    resources = record.resources if record else {}
    memory = resources.get("peak_memory_bytes")
    table = UnitTable(
        step=step,
        tool=record.tool if record else "",
        tool_version=record.tool_version if record else "",
        units=len(trains),
        spikes=sum(map(len, trains)),
        seconds=(record.ended - record.started).total_seconds() if record and resources else None,
        cpu_seconds=resources.get("cpu_seconds"),
        memory_mb=None if memory is None else memory / 1e6,
        names=titles,
    )
    return _Units(record, table, trains)


def _read_trains(group: h5py.Group) -> list[Floats]:
    if "spike_times" not in group:
        return []
    times, ends = group["spike_times"][()], group["spike_times_index"][()].astype(np.int64)
    return [np.sort(train) for train in np.split(times, ends[:-1])] if len(ends) else []
