"""Look at tables: the names of their columns, their rows, and columns of numbers. Nothing is converted."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nwbpipe.proposals._candidate import TimesFile

TEXTS = (".csv", ".tsv", ".txt", ".ssv", ".log")
PARQUETS = (".parquet", ".pqt")
_MAX_BYTES = 256_000_000
_LOOKED_AT = 50
_DAY_S = 86_400.0
_TIME = re.compile(r"time|stamp", re.IGNORECASE)
_UNITS = {
    "ms": re.compile(r"(\b|_)(ms|msec|milliseconds?)(\b|_|$)", re.IGNORECASE),
    "us": re.compile(r"(\b|_)(us|usec|microseconds?)(\b|_|$)", re.IGNORECASE),
    "s": re.compile(r"(\b|_)(s|sec|seconds?)(\b|_|$)", re.IGNORECASE),
}
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True)
class Table:
    """A table of text or Parquet.

    Attributes
    ----------
    path : Path
    names : tuple of str
        Of the columns: the file's, or their numbers where it has none.
    is_headed : bool
        True if the file names its columns.
    separator : str
        Between columns; a blank stands for any white space; "" for Parquet.
    rows : int
    """

    path: Path
    names: tuple[str, ...]
    is_headed: bool
    separator: str
    rows: int

    @cached_property
    def _cells(self) -> list[list[str]]:
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = (line for line in file if line.strip())
            return [_split(line, self.separator) for line in islice(lines, int(self.is_headed), None)]

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column."""
        if not self.separator:
            return [str(value) for value in self._read_parquet(name)]
        index = self.names.index(name)
        return [row[index] if index < len(row) else "" for row in self._cells]

    def numbers(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return a column of numbers; None if it holds anything else. Empty cells are NaN."""
        try:
            if not self.separator:
                return np.asarray(self._read_parquet(name), dtype=np.float64)
            return np.asarray([cell or "nan" for cell in self.texts(name)], dtype=np.float64)
        except (ValueError, TypeError, csv.Error):
            return None

    def _read_parquet(self, name: str) -> npt.NDArray[np.generic]:
        from pyarrow import parquet

        column: npt.NDArray[np.generic] = parquet.read_table(self.path, columns=[name]).column(0).to_numpy()
        return column


def read_table(path: Path) -> Table | None:
    """Look at a table; None if the file is none."""
    if path.suffix.lower() in PARQUETS:
        return _read_parquet_names(path)
    if path.stat().st_size > _MAX_BYTES:
        return None
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            return None
    try:
        with path.open(encoding="utf-8-sig") as text:
            head = [line for line in islice(text, 4 * _LOOKED_AT) if line.strip()]
            if not head:
                return None
            lines = head[:_LOOKED_AT]
            separator = next((mark for mark in "\t,;" if mark in lines[0]), " ")
            counts = {len(_split(line, separator)) for line in lines}
            total = len(head) + sum(1 for line in text if line.strip())
    except (UnicodeDecodeError, csv.Error):  # csv refuses a field of more than 128 KiB
        return None
    if len(counts) != 1:
        return None
    first = _split(lines[0], separator)
    is_headed = len(lines) > 1 and not any(map(_is_number, first)) and any(first)
    is_headed = is_headed and any(_is_number(cell) or cell != name for cell, name in _pairs(lines, separator, first))
    if len(first) == 1 and not is_headed and not _is_number(first[0]):
        return None  # lines of text
    names = _name_columns(first) if is_headed else tuple(map(str, range(len(first))))
    return Table(path, names, is_headed, separator, total - int(is_headed))


def find_times(table: Table) -> TimesFile | None:
    """Return the times that a table holds, one for each row; None if no column can be they."""
    columns = [name for name in table.names if _TIME.search(name)] or (
        list(table.names) if len(table.names) == 1 else []
    )
    for name in columns:
        values = table.numbers(name)
        if values is None or len(values) < 2 or not np.isfinite(values).all():
            continue
        steps = np.diff(values)
        if np.count_nonzero(steps <= 0) > 0.01 * len(steps):
            continue
        unit = find_unit(name, values)
        scale = PER_SECOND.get(unit, 1.0)
        column = (name if table.is_headed else int(name)) if len(table.names) > 1 or table.is_headed else None
        first, last = float(values[0]) / scale, float(values[-1]) / scale
        return TimesFile(table.path, column, unit, first, last, table.texts(name)[0], bool(np.all(steps > 0)))
    return None


def find_unit(name: str, values: npt.NDArray[np.float64]) -> str:
    """Return the unit of a column of times: by its name, or seconds where no other fits; "" if it is not clear.

    Times with decimals within a day, and Unix seconds, are seconds; whole numbers may be anything.
    """
    for unit, pattern in _UNITS.items():
        if pattern.search(name):
            return unit
    finite = values[np.isfinite(values)]
    has_decimals = bool(len(finite)) and bool(np.any(finite != np.round(finite)))
    if has_decimals and (float(finite.max()) < _DAY_S or 1e9 < float(finite.min()) < 4.1e9):
        return "s"
    return ""


def _pairs(lines: list[str], separator: str, first: list[str]) -> list[tuple[str, str]]:
    return list(zip(_split(lines[1], separator), first, strict=False))


def _name_columns(first: list[str]) -> tuple[str, ...]:
    """Return unique names; an empty one is its number."""
    names: list[str] = []
    for index, name in enumerate(first):
        name = name or f"Unnamed: {index}"
        names.append(name if name not in names else f"{name}.{names.count(name)}")
    return tuple(names)


def _split(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_parquet_names(path: Path) -> Table | None:
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(path)
        names, rows = tuple(map(str, file.schema_arrow.names)), int(file.metadata.num_rows)
    except (ArrowException, OSError):
        return None
    return Table(path, names, True, "", rows) if names else None
