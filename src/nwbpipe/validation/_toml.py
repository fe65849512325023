"""TOML files whose mistakes are named with their lines."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from nwbpipe.disk import read_regular
from nwbpipe.errors import FileAccessError, NwbpipeError, SpecError
from nwbpipe.validation._problems import Key, ProblemCollector

MAX_BYTES = 4_000_000

# What lies between brackets is stripped later: a pattern that looks for spaces, too, takes for ever on many of them.
_HEADER = re.compile(r"\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=(.*)"
)
# A text without an end goes on to the end of the line: or each quote would be tried again.
_TEXT_OR_REMARK = re.compile(r"\"(?:\\.?|[^\"\\])*(?:\"|$)|'[^']*(?:'|$)|#.*")
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")


class TomlDocument(ProblemCollector):
    """The content of a TOML file, and its mistakes.

    Attributes
    ----------
    path : Path
        The file.
    content : dict
        What it holds.
    """

    mapping = "a table"
    example = "{} = …"

    def __init__(self, path: Path, text: str) -> None:
        super().__init__()
        self.path = path
        self.content: dict[str, Any] = tomllib.loads(text)
        self._lines = _find_key_lines(text)

    @classmethod
    def read(
        cls, path: Path, document: str, *, unreadable: type[NwbpipeError] = FileAccessError,
        invalid: type[NwbpipeError] = SpecError,
    ) -> TomlDocument:  # fmt: skip
        """Read a file.

        Parameters
        ----------
        path : Path
            The file.
        document : str
            The file in words: "the project file".
        unreadable, invalid : type
            The errors to raise if it can't be read, or is not TOML.
        """
        try:
            data = read_regular(path, MAX_BYTES)
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(f"{document} can't be read", where=str(path), found=str(error)) from error
        if len(data) > MAX_BYTES:
            raise invalid(f"{document} is too large", where=str(path), expected=f"at most {MAX_BYTES} bytes")
        return cls.parse(path, text, document, invalid=invalid)

    @classmethod
    def parse(cls, path: Path, text: str, document: str, *, invalid: type[NwbpipeError] = SpecError) -> TomlDocument:
        """Take a text that the file has, or may have; the arguments are those of `read`."""
        try:
            return cls(path, text.replace("\r\n", "\n"))
        except (ValueError, RecursionError) as error:  # tomllib's own, and those of numbers and nesting without end
            msg = f"{document} is not TOML"
            raise invalid(msg, where=str(path), found=str(error), hint="correct that line") from error

    def locate(self, key: tuple[Key, ...]) -> tuple[str, str]:
        """Return the file and line of a key, and the key in words.

        The line is that of the table or key which should hold it, where the key is inside a value or missing.
        """
        names = tuple(map(str, key))
        shorter = (names[:length] for length in range(len(names), 0, -1))
        line = next((self._lines[part] for part in shorter if part in self._lines), None)
        return f"{self.path}, line {line}" if line else str(self.path), ".".join(names)


def _find_key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line (1 is the first) of each table and key of a TOML text: tomllib keeps none.

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
        if header := _HEADER.match(line.strip()):
            table = _split_key(header[1])
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
            lines[table] = number
        elif key := _KEY.match(line):
            full_key = (*table, *_split_key(key[1]))
            for length in range(len(table) + 1, len(full_key) + 1):
                lines.setdefault(full_key[:length], number)
            value = key[2].strip()
            quotes = next(
                (mark for mark in ('"""', "'''") if value.startswith(mark) and value.count(mark) == 1), None
            )
            depth = max(0, _count_open_brackets(value))
    return lines


def _split_key(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _count_open_brackets(text: str) -> int:
    plain = _TEXT_OR_REMARK.sub("", text)
    return plain.count("[") - plain.count("]")
