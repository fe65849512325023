"""Read delimited text as a table of text."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from nwbpipe.converters.interfaces._table_arguments import TableArguments
from nwbpipe.errors import SourceError

_MAX_REPEATED = 1000
_LOOKED_AT = 60  # lines in which a header is looked for, for messages


def read_delimited(args: TableArguments) -> Any:
    """Read delimited text; every cell stays text, so that an event called NA does not become a missing value.

    Returns
    -------
    pandas.DataFrame
        Its ``attrs["lines"]`` hold the cells of the first lines of the file, for messages.
    """
    path = args.file_path
    separator = choose_separator(args)
    blanks = not separator.strip() and separator != "\t"
    try:
        lines = _first_lines(args, " " if blanks else separator)
        names = Counter(next(iter(lines[args.skip_rows :]), [])) if args.header else Counter()
        if max(names.values(), default=0) > _MAX_REPEATED:  # pandas numbers them, and tries each number
            raise ValueError(f"{max(names.values())} columns of one name, of at most {_MAX_REPEATED}")
        header = _find_header_lines(lines, args) if args.header and args.header_rows > 1 else []
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells without a column would be lost
            table = pd.read_csv(
                path,
                sep=r"\s+" if blanks else separator,
                header=0 if args.header and not header else None,
                skiprows=header[-1] + 1 if header else args.skip_rows,
                dtype=str,
                keep_default_na=False,
                encoding=args.encoding,
                skipinitialspace=True,
                index_col=False,
            )
    except (ValueError, UnicodeError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise unreadable_error(path, f"text with columns separated by {separator!r}", error) from error
    table = table.apply(lambda column: column.str.strip())
    if header:
        table.columns = _join_names([lines[number] for number in header], table.shape[1])
    elif args.header:
        first = next((cells for cells in lines[args.skip_rows :] if any(cells)), [])
        _refuse_values(first, table, path)
    table.columns = [str(name).strip() for name in table.columns]
    if args.column_names is not None:
        if len(args.column_names) != table.shape[1]:
            raise SourceError(
                "column_names don't fit the file's columns",
                where=str(path),
                expected=f"{table.shape[1]} names",
                found=f"{len(args.column_names)}: {', '.join(args.column_names)}",
            )
        table.columns = args.column_names
    if args.decimal == ",":
        table = table.apply(lambda column: column.str.replace(r"^([-+]?\d*),(\d+)$", r"\1.\2", regex=True))
    table.attrs["lines"] = lines
    return table


def choose_separator(args: TableArguments) -> str:
    """Return the text between columns: the argument, or what the file's ending says."""
    return args.delimiter or ("\t" if args.file_path.suffix.lower() in (".tsv", ".tab") else ",")


def _find_header_lines(lines: list[list[str]], args: TableArguments) -> list[int]:
    numbers = [number for number, cells in enumerate(lines) if number >= args.skip_rows and any(cells)]
    if len(numbers) < args.header_rows:
        count = f"{len(numbers)} lines"
        raise SourceError("the file ends within its header", where=str(args.file_path), found=count)
    return numbers[: args.header_rows]


def _join_names(rows: list[list[str]], count: int) -> list[str]:
    """Make names of several rows: the last one where its names are unique, else all of them."""
    padded = [[*row, *[""] * count][:count] for row in rows]
    names = padded[-1]
    if max(Counter(names).values()) > 1:
        names = ["_".join(dict.fromkeys(part for part in parts if part)) for parts in zip(*padded, strict=True)]
    return _number_repeats(names)


def _number_repeats(names: list[str]) -> list[str]:
    """Return unique names: those that repeat are numbered, those that are empty are called by their index."""
    counts: Counter[str] = Counter()
    result = []
    for index, name in enumerate(names):
        name = name or f"Unnamed: {index}"
        result.append(f"{name}.{counts[name]}" if counts[name] else name)
        counts[name] += 1
    return result


def _refuse_values(names: list[str], body: Any, path: Path) -> None:
    """Refuse a first line that is like all others: its row would be lost as a header."""
    kinds = [_kind_of(name) for name in names]
    if "number" not in kinds and "date" not in kinds:
        return
    if all(name.isdigit() for name in names) and _counts(list(map(int, names))):
        return  # columns that a program has numbered
    for kind, (_, column) in zip(kinds, body.items(), strict=False):
        cells = {_kind_of(cell) for cell in column.head(20)} - {"empty"}
        if kind == "empty" or cells != {kind}:
            return
    raise SourceError(
        "the first line holds values, as the others do, and no names of columns",
        where=str(path),
        expected="a header",
        found=", ".join(names[:10]),
        hint="say `header: false`: the columns are then called 0, 1, …, or as `column_names` says",
    )


def _counts(numbers: list[int]) -> bool:
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _kind_of(cell: str) -> str:
    if not cell:
        return "empty"
    try:
        float(cell)
    except ValueError:
        pass
    else:
        return "number"
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return "text"
    return "date"


def _first_lines(args: TableArguments, separator: str) -> list[list[str]]:
    with args.file_path.open(encoding=args.encoding, newline="") as lines:
        return [
            [cell.strip() for cell in row] for row in islice(csv.reader(lines, delimiter=separator[0]), _LOOKED_AT)
        ]


def find_header(table: Any, spellings: list[str]) -> int | None:
    """Return the line (from 0) that holds one of the names, where it is not the header that was read."""
    for number, cells in enumerate(table.attrs.get("lines", ())):
        if {cell.lower() for cell in cells} & set(spellings):
            return number
    return None


def unreadable_error(path: Path, expected: str, error: Exception) -> SourceError:
    """Make the error for a table that can't be read; a well-known cause has its own hint."""
    lines = str(error).splitlines() or [type(error).__name__]
    hint = "check that the file is whole, and its format: `delimiter`, `header` or, for lines of text, `pattern`"
    if path.suffix.lower() in (".pca", ".npy", ".bin", ".dat"):
        hint = "SeriesInterface reads files of plain numbers"
    elif isinstance(error, UnicodeError):
        hint = "say the encoding of the file: `encoding: cp1252` (Windows), `utf-16` (Excel's Unicode text)"
    elif "fields in line" in lines[0] or isinstance(error, pd.errors.ParserWarning):
        hint = "if lines stand above the header, say how many: `skip_rows`; else check `delimiter`"
    return SourceError("the table can't be read", where=str(path), expected=expected, found=lines[0], hint=hint)
