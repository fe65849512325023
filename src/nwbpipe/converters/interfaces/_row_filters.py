"""Choose the rows of one session out of a table of many."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.interfaces._table_arguments import TableArguments
from nwbpipe.errors import SourceError

_MAX_SESSIONS = 200
_LISTED = 10


def filter_rows(table: Any, args: TableArguments, notes: list[str]) -> Any:
    """Return the rows that `keep_rows` names; a note says how many.

    Raises
    ------
    SourceError
        The table lacks such a column, or no row has the value.
    """
    keep = np.ones(len(table), dtype=bool)
    for name, chosen in (args.keep_rows or {}).items():
        if name not in table.columns:
            raise SourceError(
                f"the table lacks the column {name!r}",
                where=str(args.file_path),
                expected="a column to choose rows by",
                found="the columns " + ", ".join(map(str, table.columns)),
                hint="correct keep_rows",
            )
        values = [chosen] if isinstance(chosen, str) else chosen
        cells = table[name].astype(str).str.strip()
        absent = [value for value in values if value not in set(cells)]
        if absent:
            raise SourceError(
                f"no row has {absent[0]!r} in the column {name}",
                where=str(args.file_path),
                expected=", ".join(map(repr, values)),
                found=", ".join(map(repr, dict.fromkeys(cells[:10_000]))),
                hint="correct keep_rows",
            )
        keep &= np.asarray(cells.isin(values))
    if args.keep_rows is None:
        return table
    if not keep.any():
        raise SourceError("no row matches keep_rows", where=str(args.file_path), found=str(args.keep_rows))
    text = ", ".join(f"{name} {value}" for name, value in args.keep_rows.items())
    notes.append(f"{keep.sum()} of {len(table)} rows were chosen by {text}")
    attributes = table.attrs
    table = table[keep].reset_index(drop=True)
    table.attrs = attributes
    return table


def refuse_sessions(
    table: Any, times: npt.NDArray[np.float64], args: TableArguments, used: Collection[str | None]
) -> None:
    """Refuse a table whose times start again wherever a column of text changes: it is of several sessions.

    Sorting would mix them. Where `keep_rows` names the column's values, they are of one session, as the user says.

    Raises
    ------
    SourceError
    """
    back = np.flatnonzero(np.diff(times) < 0) + 1
    if not back.size:
        return
    for name in table.columns:
        if name in used or name in (args.keep_rows or {}):
            continue
        cells = list(table[name])
        if not all(isinstance(cell, str) and cell for cell in cells) or _is_number(cells[0]):
            continue
        changes = [i for i in range(1, len(cells)) if cells[i] != cells[i - 1]]
        names = list(dict.fromkeys(cells))
        lengths = np.diff([0, *changes, len(cells)])
        # Each value in one stretch of several rows, and time goes back at the changes alone.
        is_grouped = len(names) == len(changes) + 1 <= _MAX_SESSIONS and lengths.min() > 1
        if is_grouped and set(back.tolist()) <= set(changes):
            more = ", …" if len(names) > _LISTED else ""
            raise SourceError(
                f"the rows are of {len(names)} recordings: the times start again where the column {name} changes",
                where=str(args.file_path),
                expected="the rows of one session",
                found=", ".join(names[:_LISTED]) + more,
                hint=f"choose the rows of this session: keep_rows: {{{name}: {names[0]}}}; if all belong together, "
                "list all of them and say unsorted: sort",
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
