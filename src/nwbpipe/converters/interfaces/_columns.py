"""Find the columns of a table by their spellings, type them, and check them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwbpipe.converters.interfaces._delimited import find_header
from nwbpipe.errors import SourceError


class TableColumns:
    """The columns of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        As `_event_tables.read_table` gives it.
    where : str
        The file, for messages.
    time_zero : str, optional
        Date and time, with a time zone, that times written as dates count from.
    """

    def __init__(self, table: Any, where: str, time_zero: str | None = None) -> None:
        self.table, self.where, self.time_zero = table, where, time_zero

    def __len__(self) -> int:
        return len(self.table)

    def error(self, what: str, **more: Any) -> SourceError:
        """Make an error that names the file."""
        return SourceError(what, where=self.where, **more)

    def find(self, spellings: str) -> str | None:
        """Return the column that has one of the spellings (``start_time|trial_start|…``), or None.

        Raises
        ------
        SourceError
            Several columns have one of them.
        """
        if spellings in self.table.columns:
            return spellings
        options = [part.strip().lower() for part in spellings.split("|")]
        names = [str(name) for name in self.table.columns if str(name).strip().lower() in options]
        if len(names) > 1:
            raise self.error(
                "several columns could be meant",
                expected=f"one of {', '.join(spellings.split('|'))}",
                found=", ".join(names),
                hint="name the column in args",
            )
        return names[0] if names else None

    def name(self, spellings: str, argument: str) -> str:
        """Return the column that has one of the spellings.

        Raises
        ------
        SourceError
            No column has one of them, or several have.
        """
        name = self.find(spellings)
        if name is None:
            raise self.error(
                f"the table lacks the column {spellings.replace('|', ' or ')!r}",
                expected=spellings.replace("|", ", "),
                found="the columns " + ", ".join(map(str, self.table.columns)),
                hint=self._find_elsewhere(spellings) or f"name the column with `{argument}`",
            )
        return name

    def _find_elsewhere(self, spellings: str) -> str | None:
        """Return a hint where the file's text shows why a column was not found."""
        line = find_header(self.table, [part.strip().lower() for part in spellings.split("|")])
        if line is not None:
            return (
                f"line {line + 1} of the file has it: say skip_rows: {line} (or header_rows, if all name the columns)"
            )
        only = str(self.table.columns[0]) if len(self.table.columns) == 1 else ""
        mark = next((mark for mark in (";", "\t", "|", ",") if mark in only), None)
        return None if mark is None else f"the columns seem to be separated by {mark!r}: say it with `delimiter`"

    def numbers(self, name: str, what: str) -> npt.NDArray[np.float64]:
        """Return a column as numbers; empty cells are NaN.

        Raises
        ------
        SourceError
            A cell holds something else.
        """
        column = self.table[name]
        if any(isinstance(cell, np.ndarray | list) for cell in column):
            column = self._single_cells(name, what)
        if pd.api.types.is_datetime64_any_dtype(column):
            raise self.error(
                f"the {what} column {name} holds dates",
                expected="numbers",
                found=str(column.iloc[0]),
                hint="save it as text with a time zone and say time_unit: iso, or as seconds",
            )
        numbers = pd.to_numeric(column.replace("", np.nan), errors="coerce")
        unread = np.flatnonzero(numbers.isna() & ~column.isna() & (column.astype(str).str.lower() != "nan"))
        wrong = [i for i in unread if str(column.iloc[i]).strip()]
        if wrong:
            raise self.error(
                f"a {what} that is not a number",
                expected=f"a number in column {name}",
                found=f"{column.iloc[wrong[0]]!r} in row {wrong[0] + 1}; {len(wrong)} such rows",
                hint="say decimal: ','" if _has_commas(column.iloc[wrong]) else "check the column",
            )
        return np.asarray(numbers, dtype=np.float64)

    def _single_cells(self, name: str, what: str) -> Any:
        """Return the numbers of a cell array with one number, or none, in each cell."""
        cells = [np.atleast_1d(np.asarray(cell, dtype=object)).ravel() for cell in self.table[name]]
        lengths = [cell.size for cell in cells]
        if max(lengths) > 1:
            raise self.error(
                f"{name} is a cell array of {len(cells)} vectors",
                expected=f"a {what} in each cell",
                found=f"{', '.join(map(str, lengths[:10]))} numbers in the cells",
                hint=f"join them in MATLAB, {name} = vertcat({name}{{:}}), or save each as a variable of its own",
            )
        return pd.Series([cell[0] if cell.size else np.nan for cell in cells])

    def times(self, name: str, unit: str) -> npt.NDArray[np.float64]:
        """Return a column of times, in the file's unit; empty cells are NaN.

        Parameters
        ----------
        name : str
        unit : {"s", "ms", "us", "iso"}
            ``iso``: dates and times with a time zone, which become seconds since `time_zero`.

        Raises
        ------
        SourceError
            A cell holds something else.
        """
        if unit != "iso":
            return self.numbers(name, "time")
        if self.time_zero is None:
            raise self.error(
                "nothing says which moment is 0",
                expected="time_zero, as the times are dates",
                found=f"{self.table[name].iloc[0]!r} in column {name}",
                hint="give time_zero: time 0 of the source's clock, e.g. session_start_time",
            )
        zero = self._parse_instant(self.time_zero, "time_zero")
        cells = enumerate(self.texts(name), 1)
        seconds = [
            (self._parse_instant(cell, f"row {row}") - zero).total_seconds() if cell else np.nan
            for row, cell in cells
        ]
        return np.array(seconds, dtype=np.float64)

    def _parse_instant(self, cell: str, place: str) -> datetime:
        try:
            moment = datetime.fromisoformat(
                cell
            )  # reads the seven digits of a second that .NET writes, and drops one
            if moment.utcoffset() is None:
                raise ValueError("no time zone")
        except ValueError as error:
            raise self.error(
                "a time that is not a date with a time zone",
                expected="e.g. 2020-08-19T12:42:57.790-04:00",
                found=f"{cell!r} in {place} ({error})",
                hint="check the column, or give its unit: s, ms or us",
            ) from error
        return moment

    def texts(self, name: str) -> list[str]:
        """Return a column as texts; missing cells are empty."""
        return [cell_text(cell) for cell in self.table[name]]

    def values(self, name: str) -> Any:
        """Return a column as an array of the type that its cells have; a list of arrays where they are lists.

        Numbers where all cells are numbers or missing, booleans where all are True or False, else text.
        """
        column = self.table[name]
        if any(isinstance(cell, list | tuple | np.ndarray) for cell in column):
            try:
                return [np.atleast_1d(np.asarray(_as_list_cell(cell), dtype=np.float64)).ravel() for cell in column]
            except (ValueError, TypeError) as error:
                raise self.error(
                    f"the lists of the column {name} do not hold numbers only",
                    expected="numbers",
                    found=str(error),
                    hint="leave it out of value_columns",
                ) from error
        return infer_column_type(column)


def _has_commas(cells: Any) -> bool:
    return bool(cells.astype(str).str.fullmatch(r"[-+]?\d*,\d+").all())


def _as_list_cell(cell: Any) -> Any:
    return [] if cell is None or (isinstance(cell, float) and np.isnan(cell)) else cell


def cell_text(cell: Any) -> str:
    """Return a cell as text; a missing one is empty."""
    missing = cell is None or (isinstance(cell, float) and np.isnan(cell)) or cell is pd.NaT or cell is pd.NA
    return "" if missing else str(cell).strip()


def infer_column_type(column: Any) -> npt.NDArray[Any]:
    """Make numbers of a column whose cells are all numbers or missing, booleans of True and False, else text."""
    column = pd.Series(column)
    if pd.api.types.is_bool_dtype(column) or (pd.api.types.is_numeric_dtype(column) and not column.isna().any()):
        return np.asarray(column)
    cells = [cell_text(cell) for cell in column]
    if all(cell in ("True", "False") for cell in cells):
        return np.array([cell == "True" for cell in cells])
    plain = pd.Series(cells).replace("", np.nan)
    numbers = pd.to_numeric(plain, errors="coerce")
    if plain.notna().any() and not (numbers.isna() & plain.notna() & (plain.str.lower() != "nan")).any():
        return np.asarray(numbers)
    return np.array(cells, dtype=object)


def check_increasing(
    times: npt.NDArray[np.float64], where: str, what: str, *, hint: str, strictly: bool = False
) -> None:
    """Refuse times that go backwards, with figures.

    Raises
    ------
    SourceError
    """
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0 if strictly else steps < 0)
    if back.size:
        row = int(back[0])
        raise SourceError(
            f"the times of the {what} go backwards" + (" or repeat" if strictly else ""),
            where=where,
            expected="each time later than the one before" if strictly else "no time before the one above it",
            found=f"{back.size} of {steps.size} steps; the first from {times[row]:.6f} s to {times[row + 1]:.6f} s "
            f"(rows {row + 1} and {row + 2})",
            hint=hint,
        )
