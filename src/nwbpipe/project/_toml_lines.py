"""Where each key of a TOML file stands: tomllib keeps no lines."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=(.*)"
)
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")


def find_key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line (1 is the first) of each table and key of a TOML text.

    Of a table that occurs several times (``[[ignore]]``) the line of the last one is kept. Keys of inline tables
    are on the line of the key that holds them.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    quotes: str | None = None  # of a text over several lines
    depth = 0  # of an array over several lines
    for number, line in enumerate(text.splitlines(), 1):
        if quotes is not None:
            if quotes in line:
                quotes = None
            continue
        if depth > 0:
            depth += _count_open_brackets(line)
            continue
        if header := _HEADER.match(line):
            table = _split_key(header[1])
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
            lines[table] = number
        elif key := _KEY.match(line):
            whole = (*table, *_split_key(key[1]))
            for length in range(len(table) + 1, len(whole) + 1):
                lines.setdefault(whole[:length], number)
            value = key[2].strip()
            quotes = next(
                (mark for mark in ('"""', "'''") if value.startswith(mark) and value.count(mark) == 1), None
            )
            depth = max(0, _count_open_brackets(value))
    return lines


def _split_key(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _count_open_brackets(text: str) -> int:
    plain = re.sub(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*", "", text)
    return plain.count("[") - plain.count("]")


def find_line(lines: dict[tuple[str, ...], int], key: tuple[str, ...]) -> int | None:
    """Return the line of a key or, where it is inside a value or missing, of what should hold it."""
    return next((lines[key[:length]] for length in range(len(key), 0, -1) if key[:length] in lines), None)
