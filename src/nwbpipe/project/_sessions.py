"""The sessions of a project: found by pattern, restricted by key and by conditions on their metadata."""

from __future__ import annotations

import fnmatch
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.errors import FileAccessError, NwbpipeError, Problem, RequestError, SpecError
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.stores import Store, StoreEntry, is_remote

Place = Path | str  # a path on this machine, or a URL
# Returns (subject_id, session_id, fields) of a spec or file.
Describe = Callable[[Place], tuple[str, str, Mapping[str, str]]]
# Returns the files of a store that is not on this machine, below a folder.
Listing = Callable[[Store, str], Iterable[StoreEntry]]


@dataclass(frozen=True)
class Session:
    """One session of a project.

    Attributes
    ----------
    subject_id, session_id : str
        Its key.
    spec : Path, str or None
        Its session.yaml, a path or a URL; None where the project begins with NWB files.
    file : Path or str
        Its NWB file, a path or a URL, whether it is there yet or not.
    fields : mapping of str to str
        What is known of subject and session, for conditions.
    """

    subject_id: str
    session_id: str
    spec: Place | None
    file: Place
    fields: Mapping[str, str]

    @property
    def key(self) -> str:
        """``subject_id/session_id``."""
        return f"{self.subject_id}/{self.session_id}"

    def matches(self, pattern: str) -> bool:
        """Whether a key or pattern of keys means it; ``M042`` is ``M042/*``."""
        return self.key == pattern or any(fnmatch.fnmatchcase(self.key, one) for one in (pattern, f"{pattern}/*"))


def find_sessions(
    project: ProjectSpec, describe: Describe, listing: Listing = Store.list
) -> tuple[list[Session], list[Problem]]:
    """Find the sessions of a project.

    Parameters
    ----------
    project : ProjectSpec
    describe : callable
        Returns subject_id, session_id and fields of a spec or file.
    listing : callable
        Lists a store that is not on this machine.

    Returns
    -------
    list of Session
        By key.
    list of Problem
        Specs and files that can't be read: they hold up no other session.

    Raises
    ------
    FileAccessError
        If the store's root is missing.
    SpecError
        If two specs are of one session, or would write one file.
    """
    found: list[Session] = []
    problems: list[Problem] = []
    for path in _find_matches(project, listing):
        try:
            subject_id, session_id, fields = describe(path)
        except NwbpipeError as error:
            inner = "; ".join(one.what for one in error.problems) or error.problem.found
            problems.append(Problem(error.problem.what, str(path), found=inner, hint=error.problem.hint))
            continue
        if project.output is None:
            found.append(Session(subject_id, session_id, None, path, fields))
        else:
            address = project.output.format(subject_id=subject_id, session_id=session_id)
            found.append(Session(subject_id, session_id, path, project.locate(address), fields))
    _refuse_shared(found)
    return sorted(found, key=lambda one: one.key), problems


def _refuse_shared(sessions: Sequence[Session]) -> None:
    clashes = []
    for attribute, what in (("key", "two specs are of one session"), ("file", "two specs would write one file")):
        first: dict[object, Session] = {}
        for one in sessions:
            other = first.setdefault(getattr(one, attribute), one)
            if other is not one:
                names = f"{other.spec or other.file} and {one.spec or one.file}"
                clashes.append(Problem(what, names, found=str(getattr(one, attribute))))
    if clashes:
        msg = "the sessions of the project can't be told apart"
        raise SpecError(
            msg, problems=clashes, hint="give each a key of its own, or narrow `sessions` in nwbpipe.toml"
        )


def _find_matches(project: ProjectSpec, listing: Listing) -> list[Place]:
    name, _, pattern = project.sessions.partition("://")
    found: dict[str, Place] = {}  # of what several roots have, that in the first one counts
    parts = pattern.split("/")
    for store in project.open_stores.roots(name):
        if is_remote(store.root):
            for entry in listing(store, "/".join(parts[: _count_plain_parts(parts)])):
                names = entry.path.split("/")
                if _matches(names, parts) and not any(one.startswith(".") for one in names):
                    found.setdefault(entry.path, store.location(entry.path))
            continue
        root = Path(store.root)
        if not root.is_dir():
            msg = f"the root of the store {name!r} is missing"
            raise FileAccessError(msg, where=str(root), hint="mount it, or name its place in a profile: --profile")
        for path in _glob(root, parts):
            found.setdefault(path.relative_to(root).as_posix(), path)
    return sorted(found.values(), key=str)


def _count_plain_parts(parts: Sequence[str]) -> int:
    """Return how many folders at the beginning of a pattern have no wildcard."""
    return next((n for n, part in enumerate(parts[:-1]) if set(part) & set("*?[")), len(parts) - 1)


def _glob(root: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Files below a root by a pattern; hidden folders and circles of links are left out.

    Unlike `Store.glob` it looks no deeper than the pattern does, follows links out of the root (raw data lie where
    there is room), and asks nothing of the files beside a spec: a session may have thousands.
    """
    plain = _count_plain_parts(parts)
    start = root.joinpath(*parts[:plain])
    rest = parts[plain:]
    deepest = None if "**" in rest else len(rest)
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(start, followlinks=True):
        stat = os.stat(folder)  # noqa: PTH116 - quick
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        above = Path(folder).relative_to(start).parts
        folders[:] = [one for one in folders if not one.startswith(".")]
        if deepest is not None and len(above) + 1 >= deepest:
            folders.clear()
        yield from (
            Path(folder, name) for name in names if not name.startswith(".") and _matches([*above, name], rest)
        )


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the names of a path fit the parts of a pattern; ``**`` is any number of folders."""
    if not parts:
        return not names
    if parts[0] == "**" and len(parts) > 1:
        return any(_matches(names[skipped:], parts[1:]) for skipped in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def restrict(sessions: Sequence[Session], patterns: Sequence[str] = (), where: str | None = None) -> list[Session]:
    """Choose sessions by key and by a condition.

    Parameters
    ----------
    sessions : sequence of Session
    patterns : sequence of str
        Keys or patterns of keys (``M042/*``); a session serves if one of them fits. ``M042`` is ``M042/*``.
    where : str, optional
        A condition in SQL on the fields of subject and session: ``sex = 'F' and session_start_time > '2024-05'``.
        A field that a session lacks is NULL.

    Raises
    ------
    RequestError
        If a pattern fits none, or the condition can't be read.
    """
    chosen = list(sessions)
    if patterns:
        fits = {one: [s for s in sessions if s.matches(one)] for one in patterns}
        if missed := [one for one, found in fits.items() if not found]:
            msg = f"no session is called {', '.join(map(repr, missed))}"
            some = ", ".join(one.key for one in sessions[:10]) or "none was found"
            raise RequestError(msg, expected=some, hint="`nwbpipe status` lists them")
        keys = {s.key for found in fits.values() for s in found}
        chosen = [one for one in chosen if one.key in keys]
    return _filter_by_condition(chosen, where) if where else chosen


def _filter_by_condition(sessions: Sequence[Session], condition: str) -> list[Session]:
    names = sorted(
        {name for one in sessions for name in one.fields if name.isidentifier()} | {"subject_id", "session_id"}
    )
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * (len(names) + 1))
    database = sqlite3.connect(":memory:")
    try:
        database.execute(f"CREATE TABLE sessions (_row INTEGER, {columns})")
        rows = ((n, *(one.fields.get(name) for name in names)) for n, one in enumerate(sessions))
        database.executemany(f"INSERT INTO sessions VALUES ({marks})", rows)  # noqa: S608 - question marks only
        allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
        database.set_authorizer(
            lambda action, name, *_: (
                sqlite3.SQLITE_OK if action in allowed and name != "load_extension" else sqlite3.SQLITE_DENY
            )
        )
        found = database.execute(f"SELECT _row FROM sessions WHERE ({condition})").fetchall()  # noqa: S608 - may only read
    except (sqlite3.Error, sqlite3.Warning) as error:
        msg = "the condition can't be read"
        raise RequestError(msg, where=condition, expected=f"SQL on {', '.join(names)}", found=str(error)) from error
    finally:
        database.close()
    rows_found = {row for (row,) in found}
    return [one for n, one in enumerate(sessions) if n in rows_found]
