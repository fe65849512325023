"""Guards for tables that NeuroConv's interfaces read: a column of another name, an event without a name."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwbpipe.errors import Problem

_NPM_TIMES = ("Timestamp", "SystemTimestamp", "ComputerTimestamp")


def guard_neurophotometrics(args: Mapping[str, Any]) -> list[Problem]:
    """Check that the table has the column of times and the regions that are named."""
    path = Path(str(args.get("file_path", "")))
    header = _read_header(path, args)
    column = str(args.get("timestamps_column", "Timestamp"))
    if header is None or column in header:
        return []
    names = [name for name in _NPM_TIMES if name in header]
    hint = f"say timestamps_column: {names[0]}" if names else "CSVFiberPhotometryInterface reads columns of any name"
    if "ComputerTimestamp" in names:
        hint += " (seconds), or ComputerTimestamp with time_unit: milliseconds"
    return [Problem(f"the table lacks the column {column!r}", str(path), column, ", ".join(header), hint)]


def guard_csv_events(args: Mapping[str, Any]) -> list[Problem]:
    """Check that the columns are there, and each event has a name."""
    path = Path(str(args.get("file_path", "")))
    header = _read_header(path, args)
    if header is None:
        return []
    columns = {key: str(args[key]) for key in ("timestamps_column", "event_type_column") if args.get(key)}
    problems = [
        Problem(f"the table lacks the column {name!r}", str(path), name, ", ".join(header), f"correct {key}")
        for key, name in columns.items()
        if name not in header
    ]
    name = columns.get("event_type_column")
    if problems or name is None:
        return problems
    index = header.index(name)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.reader(lines) if row][1:]
    missing = [number for number, row in enumerate(rows, 1) if len(row) <= index or not row[index].strip()]
    if not missing:
        return []
    count = f"{len(missing)} of {len(rows)} without one, the first in row {missing[0]}"
    hint = "correct the file, or take BehaviorEventsInterface, which can read whole lines only (`pattern`)"
    return [Problem("an event without a name", str(path), f"a name in column {name} of each row", count, hint)]


def _read_header(path: Path, args: Mapping[str, Any]) -> list[str] | None:
    """Return the names of a plain table's columns; None where the arguments change how it is read."""
    if not path.is_file() or args.get("read_kwargs"):
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return [name.strip() for name in next(csv.reader(lines), [])]
    except (OSError, UnicodeError, csv.Error):
        return None  # the reader says what is wrong
