"""Read a log of events or a list of trials, in any of its forms, as a table of text or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwbpipe.converters.interfaces._delimited import read_delimited, unreadable_error
from nwbpipe.converters.interfaces._mat_files import load_mat
from nwbpipe.converters.interfaces._patterns import compile_pattern, match_lines
from nwbpipe.converters.interfaces._row_filters import filter_rows
from nwbpipe.converters.interfaces._table_arguments import LineArguments, RowArguments, TableArguments
from nwbpipe.errors import SourceError

_LARGE_BYTES = 2**29  # of a Parquet file's values, below which they are read however small the file is
_UNPACKED = 200  # times the size of the file that larger ones may take


def read_table(args: TableArguments, time_column: str | None = None) -> tuple[Any, list[str]]:
    """Read a table in the form that an interface's arguments say.

    Parameters
    ----------
    args : TableArguments
        ``.parquet``, ``.pqt`` and ``.mat`` files are known by their ending; all else is text.
    time_column : str, optional
        Name of the column that gets the times of `times_file_path`.

    Returns
    -------
    table : pandas.DataFrame
    notes : list of str
        Remarks for the description.
    """
    path = args.file_path
    if path.suffix.lower() in (".p", ".pkl", ".pickle"):
        raise SourceError(
            "a pickle is not read: opening it runs whatever program it holds",
            where=str(path),
            expected="CSV, TSV, Parquet, .mat, or lines of text",
            found=f"{path.suffix}, {path.stat().st_size} bytes",
            hint="save the table as CSV or Parquet in the program that made it, e.g. table.to_parquet(...)",
        )
    notes, lines, total = [], None, None
    if isinstance(args, LineArguments) and args.pattern is not None:
        skip = args.unmatched_lines == "skip"
        table, lines, total = read_pattern(path, args.pattern, skip, args.encoding)
        if skip:
            notes.append(f"{len(lines)} of {total} lines matched the pattern")
    elif path.suffix.lower() in (".parquet", ".pqt"):
        table = read_parquet(path)
    elif path.suffix.lower() == ".mat":
        table = read_mat(path, args.variable)
    else:
        table = read_delimited(args)
    table = _add_times(table, args, time_column, lines, total)
    return filter_rows(table, args, notes), notes


def _add_times(
    table: Any, args: TableArguments, time_column: str | None, lines: list[int] | None, total: int | None
) -> Any:
    """Add the times of `times_file_path`, one for each line of the file."""
    if not isinstance(args, RowArguments) or args.times_file_path is None:
        return table
    stamps = read_lines_of_times(args.times_file_path, args.encoding)
    count = len(table) if total is None else total
    if len(stamps) != count:
        raise SourceError(
            "the file of times doesn't fit the log",
            where=str(args.times_file_path),
            expected=f"{count} lines, one for each line of the log",
            found=f"{len(stamps)}",
        )
    column = time_column or "time"
    if column in table.columns:
        table = table.rename(columns={column: f"{column}_in_log"})
    table[column] = stamps if lines is None else [stamps[i] for i in lines]
    return table


def read_pattern(path: Path, pattern: str, skip_unmatched: bool, encoding: str) -> tuple[Any, list[int], int]:
    """Read lines of text by a regular expression with named groups.

    Returns
    -------
    table : pandas.DataFrame
        A column a group.
    lines : list of int
        Index of the line that each row came from; empty lines count.
    total : int
        Number of lines in the file.
    """
    expression = compile_pattern(pattern)
    try:
        text = path.read_text(encoding=encoding).splitlines()
    except (OSError, UnicodeError) as error:
        raise unreadable_error(path, f"text in {encoding}", error) from error
    matches = match_lines(path, pattern, [line.strip() for line in text])
    unmatched = [
        i for i, (line, match) in enumerate(zip(text, matches, strict=True)) if match is None and line.strip()
    ]
    if unmatched and not skip_unmatched:
        first = unmatched[0]
        raise SourceError(
            f"{len(unmatched)} of {len(text)} lines don't match the pattern",
            where=f"{path}, line {first + 1}",
            expected=pattern,
            found=text[first],
            hint="widen the pattern, or say unmatched_lines: skip",
        )
    lines = [i for i, match in enumerate(matches) if match is not None]
    rows = [match for match in matches if match is not None]
    return pd.DataFrame(rows, columns=list(expression.groupindex)), lines, len(text)


def read_lines_of_times(path: Path, encoding: str) -> list[str]:
    """Read one time a line."""
    try:
        return [line.strip().rstrip(",;") for line in path.read_text(encoding=encoding).splitlines()]
    except (OSError, UnicodeError) as error:
        raise unreadable_error(path, "one time a line", error) from error


def read_parquet(path: Path) -> Any:
    """Read a Parquet file, unless it unpacks to far more than it holds."""
    try:
        _refuse_bomb(path)
        return pd.read_parquet(path).reset_index(drop=True)
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise unreadable_error(path, "a Parquet file", error) from error


def _refuse_bomb(path: Path) -> None:
    """Refuse a file of a few kilobytes whose rows, run-length encoded, would take all memory."""
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=False) as file:
        values = file.metadata.num_rows * max(1, file.metadata.num_columns)
    size = path.stat().st_size
    if values * 8 > _LARGE_BYTES and values * 8 > _UNPACKED * size:
        raise ValueError(f"{size / 1e6:.2g} MB that unpack to {values * 8 / 1e9:.2g} GB")


def read_npy(path: Path, **options: Any) -> npt.NDArray[Any]:
    """Read an array of numbers; `options` are those of `numpy.load`."""
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False, **options)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"an array of {array.dtype}")
    except (ValueError, OSError, EOFError) as error:
        raise SourceError("the array can't be read", where=str(path), expected="numbers", found=str(error)) from error
    return array


def read_mat(path: Path, variable: str | None) -> Any:
    """Read variables of equal length from a MATLAB file, version 5 to 7.3.

    Parameters
    ----------
    path : Path
    variable : str, optional
        Dotted path of a struct whose fields are the columns (or of a struct array, a row an element).
    """
    content: Any = load_mat(path)
    for name in variable.split(".") if variable else ():
        if not isinstance(content, dict) or name not in content:
            raise SourceError(
                f"the MATLAB file lacks the variable {variable}",
                where=str(path),
                expected=variable,
                found=", ".join(content) if isinstance(content, dict) else type(content).__name__,
            )
        content = content[name]
    if isinstance(content, list | np.ndarray) and len(content) and isinstance(content[0], dict):
        return pd.DataFrame.from_records(list(content))
    if not isinstance(content, dict):
        raise SourceError("the variable is not a struct", where=f"{path}: {variable}", found=type(content).__name__)
    columns = {name: np.atleast_1d(value) for name, value in content.items() if not isinstance(value, dict)}
    columns = {name: value for name, value in columns.items() if value.ndim == 1}
    lengths = {len(value) for value in columns.values()}
    if len(lengths) > 1:
        raise SourceError(
            "the variables of the MATLAB file differ in length",
            where=str(path),
            expected="one element an event in each",
            found=", ".join(f"{name}: {len(value)}" for name, value in columns.items()),
            hint="name the struct that holds the events with args: variable",
        )
    return pd.DataFrame(columns)
