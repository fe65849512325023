"""Cache results of planning in a local index, while the files that they came from are unchanged.

The index can be deleted at any time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nwbpipe.disk import remove_file
from nwbpipe.files import is_time_past, read_stat
from nwbpipe.provenance import default_cache_folder, digest

# The version is part of the file's name, so that no version reads another one's index.
_VERSION = 2
_SETTLED_S = 2.0
_PAGE = 500  # entries that are read at once: SQLite takes at least 999 question marks

# Of a local file: device, inode, size, and times of change; of a remote one: tag and size.
Stat = tuple[Any, ...]
Stats = Mapping[str, Stat | None]
_OF_HERE = 5


def read_local_stat(path: str | Path) -> Stat | None:
    """Return the stat of a local file, which changes with the file; None if it is missing."""
    try:
        stat = read_stat(path)
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def read_local_stats(paths: Iterable[str | Path]) -> dict[str, Stat | None]:
    """Return the stats of several local files."""
    return {str(path): read_local_stat(path) for path in paths}


def are_settled(stats: Stats) -> bool:
    """Return True if files were at rest when their stats were read, so that a later change gives another stat.

    A tag always changes with the file.
    """
    return not _list_recent(stats)


def are_final(stats: Stats) -> bool:
    """Return True if a change from now on will give a file another stat than the one that was read just now.

    Of a file that nwbpipe has just committed to, the disk can tell that its clock has gone on since (`is_time_past`);
    others have to be at rest.
    """
    return all(is_time_past(Path(os.path.realpath(path)), stat[-1]) for path, stat in _list_recent(stats))


def _list_recent(stats: Stats) -> list[tuple[str, Stat]]:
    """Return the local files that changed a moment ago, with their stats."""
    limit = time.time_ns() - int(_SETTLED_S * 1e9)
    return [
        (path, stat)
        for path, stat in stats.items()
        if stat is not None and len(stat) >= _OF_HERE and max(stat[3:]) >= limit
    ]


class Index:
    """A local index of a project.

    Parameters
    ----------
    project : Path
        The project file.
    profile : str
        Profile that gives the stores.
    look : callable, optional
        Returns the stat of a local or remote file.

    Notes
    -----
    An entry holds the stats of the files that it came from. It counts only while they are the same. It is stored only
    if they had been at rest for two seconds, or the file system's clock had gone on since: a change within the
    resolution of that clock would leave the same stat. An index that is damaged, locked or can't be written is not
    used.
    """

    def __init__(self, project: Path, profile: str, look: Callable[[str], Stat | None] = read_local_stat) -> None:
        self._look = look
        name = digest(f"{os.path.realpath(project)}\n{profile}")[:32]
        self.path = default_cache_folder() / "projects" / f"{name}-{_VERSION}.sqlite"

    def load(self, kind: str, names: Sequence[str] | None = None) -> dict[str, tuple[str, Any]]:
        """Return entries of a kind whose files are unchanged: context and value, by name; of some names, or all."""
        return {name: (context, value) for name, context, value, _ in self.iterate(kind, names)}

    def load_with_stats(self, kind: str, names: Sequence[str] | None = None) -> dict[str, tuple[str, Any, Stats]]:
        """Return the same entries with the stats of their files, for callers that check them again later."""
        return {name: (context, value, stats) for name, context, value, stats in self.iterate(kind, names)}

    def iterate(self, kind: str, names: Sequence[str] | None = None) -> Iterator[tuple[str, str, Any, Stats]]:
        """Yield the same entries, a few in memory at a time: name, context, value, and the stats of the files."""
        for name, context, text, value in self._read_rows(kind, names):
            stats = {path: None if stat is None else tuple(stat) for path, stat in json.loads(text)}
            if all(self._look(path) == stat for path, stat in stats.items()):
                yield name, context, json.loads(value), stats

    def _read_rows(self, kind: str, names: Sequence[str] | None) -> Iterator[tuple[str, str, str, str]]:
        query = "SELECT name, context, stats, value FROM kept WHERE kind = ? AND name"
        if names is not None:
            for start in range(0, len(names), _PAGE):
                part = names[start : start + _PAGE]
                yield from self._ask(f"{query} IN ({', '.join('?' * len(part))})", kind, *part)
            return
        last = ""
        while rows := self._ask(f"{query} > ? ORDER BY name LIMIT {_PAGE}", kind, last):
            yield from rows
            last = rows[-1][0]

    def _ask(self, query: str, *values: str) -> list[tuple[str, str, str, str]]:
        with suppress(sqlite3.Error, OSError), self._open() as database:
            return database.execute(query, values).fetchall()
        return []

    def store(self, kind: str, entries: Iterable[tuple[str, str, Stats, Any]], *, are_final: bool = False) -> None:
        """Store entries: name, context, stats of the files, and a JSON value.

        With `are_final` the caller knows that a change since the files were read leaves other stats.
        """
        rows = [
            (kind, name, context, json.dumps(list(stats.items())), json.dumps(value))
            for name, context, stats, value in entries
            if are_final or are_settled(stats)
        ]
        if rows:
            with suppress(sqlite3.Error, OSError), self._open() as database:
                database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=10)
        try:
            with database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS kept (kind TEXT, name TEXT, context TEXT, stats TEXT, value TEXT, "
                    "PRIMARY KEY (kind, name))"
                )
                yield database
        except sqlite3.DatabaseError as error:
            database.close()
            if "not a database" in str(error) or "malformed" in str(error):
                remove_file(self.path)
            raise
        finally:
            database.close()
