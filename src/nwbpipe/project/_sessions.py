"""Find the sessions of a project by pattern, and choose among them by key and by conditions on their metadata."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from nwbpipe.errors import FileAccessError, NwbpipeError, Problem, RequestError
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.stores import Store, StoreEntry, is_remote, literal_folder, match_path

logger = logging.getLogger("nwbpipe")

Place = Path | str  # a path on this machine, or a URL
# Returns (subject_id, session_id, fields) of a spec or file.
Description = tuple[str, str, Mapping[str, str]]
Describe = Callable[[Sequence[Place]], Iterable[Description | NwbpipeError]]
# Returns the files of a store that is not on this machine, below a folder.
Listing = Callable[[Store, str], Iterable[StoreEntry]]


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a project.

    Attributes
    ----------
    subject_id, session_id : str
        Its key.
    spec : Path, str or None
        Its session.yaml, a path or a URL; None where the project begins with NWB files.
    file : Path or str
        Its NWB file, a path or a URL; it need not exist yet.
    fields : mapping of str to str
        Texts that describe subject and session, for conditions.
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
        """Return True if a key or pattern of keys means it; ``M042`` is ``M042/*``."""
        return self.key == pattern or any(map(partial(fnmatchcase, self.key), (pattern, f"{pattern}/*")))


def find_sessions(
    project: ProjectSpec, describe: Describe, listing: Listing = Store.list
) -> tuple[list[Session], list[Problem]]:
    """Find the sessions of a project.

    Parameters
    ----------
    project : ProjectSpec
    describe : callable
        Yields subject_id, session_id and fields of each of some specs or files; or why it can't be read.
    listing : callable
        Lists a store that is not on this machine.

    Returns
    -------
    list of Session
        By key.
    list of Problem
        Specs and files that can't be read, and those of one session or one output: they hold up no other session.

    Raises
    ------
    FileAccessError
        If the store's root is missing.
    """
    sessions: list[Session] = []
    problems: list[Problem] = []
    matches = _find_matches(project, listing)
    for path, description in zip(matches, describe(matches), strict=True):
        if isinstance(description, NwbpipeError):
            details = "; ".join(problem.what for problem in description.problems) or description.problem.found
            first = description.problem
            problems.append(Problem(first.what, str(path), found=details, hint=first.hint))
            continue
        subject_id, session_id, fields = description
        if project.output is None:
            sessions.append(Session(subject_id, session_id, None, path, fields))
        else:
            address = project.output.format(subject_id=subject_id, session_id=session_id)
            sessions.append(Session(subject_id, session_id, path, project.locate(address), fields))
    sessions, clashes = _separate_clashes(sessions)
    return sorted(sessions, key=lambda session: session.key), [*problems, *clashes]


def _separate_clashes(sessions: Sequence[Session]) -> tuple[list[Session], list[Problem]]:
    """Leave out the sessions that share a key or an output file: they hold up no other session."""
    clashing: set[int] = set()
    problems = []
    for attribute, message in (("key", "two specs are of one session"), ("file", "two specs would write one file")):
        first: dict[object, Session] = {}
        for session in sessions:
            first_session = first.setdefault(getattr(session, attribute), session)
            if first_session is not session and not {id(session), id(first_session)} <= clashing:
                names = f"{first_session.spec or first_session.file} and {session.spec or session.file}"
                hint = "give each a key of its own, or narrow `sessions` in nwbpipe.toml; both are left out"
                problems.append(Problem(message, names, found=str(getattr(session, attribute)), hint=hint))
                clashing |= {id(session), id(first_session)}
    return [session for session in sessions if id(session) not in clashing], problems


def _find_matches(project: ProjectSpec, listing: Listing) -> list[Place]:
    name, _, pattern = project.sessions.partition("://")
    matches: dict[str, Place] = {}  # of a path in several roots, the first counts
    for store in project.open_stores.roots(name):
        if is_remote(store.root):
            for entry in listing(store, literal_folder(pattern)):
                if match_path(entry.path, pattern):
                    matches.setdefault(entry.path, store.location(entry.path))
            continue
        root = Path(store.root)
        if not root.is_dir():
            msg = f"the root of the store {name!r} is missing"
            raise FileAccessError(msg, where=str(root), hint="mount it, or name its place in a profile: --profile")
        for path in _walk(root, pattern):
            matches.setdefault(path, root / path)
    return sorted(matches.values(), key=str)


def _walk(root: Path, pattern: str) -> Iterator[str]:
    """Yield the relative paths below a root that match a pattern; hidden folders and circles of links are left out.

    Unlike `Store.glob` it looks no deeper than the pattern does, and asks nothing of the files beside a spec: a
    session may have thousands. A link that leads out of the root is not followed: what lies there is no part of the
    store, which may have further roots.
    """
    limit = root.resolve()
    deepest = None if "**" in pattern.split("/") else pattern.count("/")
    visited: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root / literal_folder(pattern), followlinks=True):
        stat = os.stat(folder)  # noqa: PTH116 - quick
        if (stat.st_dev, stat.st_ino) in visited:
            folders.clear()
            continue
        visited.add((stat.st_dev, stat.st_ino))
        above = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not name.startswith(".") and _is_inside(Path(folder, name), limit)]
        if deepest is not None and len(above.parts) >= deepest:
            folders.clear()
        yield from (path for name in names if match_path(path := (above / name).as_posix(), pattern))


def _is_inside(folder: Path, root: Path) -> bool:
    """Return True unless a folder is a link that leads out of a root; the user is told of one."""
    if not folder.is_symlink() or folder.resolve().is_relative_to(root):
        return True
    logger.warning(
        "%s leads out of the store, and is not followed: add the folder that it leads to as a further root", folder
    )
    return False


def restrict(sessions: Sequence[Session], patterns: Sequence[str] = (), where: str | None = None) -> list[Session]:
    """Choose sessions by key and by a condition.

    Parameters
    ----------
    sessions : sequence of Session
    patterns : sequence of str
        Keys or patterns of keys (``M042/*``), of which a session has to match one. ``M042`` is ``M042/*``.
    where : str, optional
        A condition in SQL on the fields of subject and session: ``sex = 'F' and session_start_time > '2024-05'``.
        A field that a session lacks is NULL.

    Raises
    ------
    RequestError
        If a pattern matches no session, or the condition can't be read.
    """
    chosen = list(sessions)
    if patterns:
        matches = {pattern: [session for session in sessions if session.matches(pattern)] for pattern in patterns}
        if missed := [pattern for pattern in patterns if not matches[pattern]]:
            msg = f"no session is called {', '.join(map(repr, missed))}"
            names = ", ".join(session.key for session in sessions[:10]) or "none was found"
            raise RequestError(msg, expected=names, hint="`nwbpipe status` lists them")
        keys = {session.key for matched in matches.values() for session in matched}
        chosen = [session for session in chosen if session.key in keys]
    return _filter_by_condition(chosen, where) if where else chosen


def _filter_by_condition(sessions: Sequence[Session], condition: str) -> list[Session]:
    fields = {name for session in sessions for name in session.fields if name.isidentifier()}
    names = sorted(fields | {"subject_id", "session_id"})
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * (len(names) + 1))
    database = sqlite3.connect(":memory:")
    try:
        database.execute(f"CREATE TABLE sessions (_row INTEGER, {columns})")
        rows = ((n, *(session.fields.get(name) for name in names)) for n, session in enumerate(sessions))
        database.executemany(f"INSERT INTO sessions VALUES ({marks})", rows)  # noqa: S608 - question marks only
        allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
        database.set_authorizer(
            lambda action, name, *_: (
                sqlite3.SQLITE_OK if action in allowed and name != "load_extension" else sqlite3.SQLITE_DENY
            )
        )
        chosen = database.execute(f"SELECT _row FROM sessions WHERE ({condition})").fetchall()  # noqa: S608 - may only read
    except (sqlite3.Error, sqlite3.Warning) as error:
        msg = "the condition can't be read"
        raise RequestError(msg, where=condition, expected=f"SQL on {', '.join(names)}", found=str(error)) from error
    finally:
        database.close()
    return [sessions[n] for n in sorted(n for (n,) in chosen)]


def find_ignore_reason(project: ProjectSpec, session: Session, step: str) -> str | None:
    """Return the reason why a step of a session is ignored; None if it is not."""
    for rule in project.ignore:
        if session.matches(rule.session) and any(fnmatchcase(step, pattern) for pattern in rule.steps):
            return rule.reason or "ignored by nwbpipe.toml"
    return None
