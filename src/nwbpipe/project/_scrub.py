"""Read every chunk of a project's session files, to find the datasets that a flipped bit or a bad block has hit.

The look at each file is kept in ``state://scrub/<subject>/<session>.json``, with the identity of each dataset. So the
next look finds a changed bit also in datasets without a checksum, and a stopped scrub goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from nwbpipe.errors import FileAccessError, LockedFileError, NwbpipeError, Problem
from nwbpipe.project._project import Project
from nwbpipe.project._sessions import Session
from nwbpipe.provenance import format_now
from nwbpipe.session import SessionFile, SessionReader, StoredValues, read_through
from nwbpipe.stores import Store

_MAX_BYTES = 2**24
_RAW = ("/acquisition/", "/stimulus/")  # written by the conversion alone
_TRIES = 3


@dataclass(frozen=True)
class ScrubbedFile:
    """The last look at the stored values of one session file.

    Attributes
    ----------
    session : str
        Key of the session.
    time : str
        When it was read, ISO 8601 in UTC.
    version : tuple
        State of the file that was read.
    conversion : str
        Id of the conversion that wrote its raw data.
    datasets : int
        Number of datasets that were read.
    unprotected : int
        Number of those without a checksum in the file (gzip's or Fletcher's): a flipped bit in their values shows
        only by the identities of an earlier look.
    damaged : mapping of str to str
        Path of each damaged dataset, and what is wrong with it.
    changed : tuple of str
        Paths of raw data whose values differ from those of the look before, where somebody wrote to the file since.
    identities : mapping of str to str
        Identity of each dataset; of a damaged one, that of its values before the damage.
    read_now : bool
        False if this is the look of an earlier scrub.
    """

    session: str
    time: str
    version: tuple[int | str, ...]
    conversion: str
    datasets: int
    unprotected: int
    damaged: Mapping[str, str]
    changed: tuple[str, ...]
    identities: Mapping[str, str]
    read_now: bool = False

    @property
    def in_order(self) -> bool:
        """True if nothing is damaged, and no raw data changed since the look before."""
        return not self.damaged and not self.changed

    def as_dict(self) -> dict[str, Any]:
        """Return what a user wants to know as JSON values."""
        return {name: value for name, value in asdict(self).items() if name not in ("identities", "version")}


def scrub(
    project: Project,
    sessions: Sequence[str] = (),
    where: str | None = None,
    *,
    again_after: timedelta = timedelta(days=30),
    hours: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[ScrubbedFile]:
    """Read all stored values of a project's session files, and yield each file's state.

    Files that were read within `again_after` are not read again. The one that was not read for the longest time comes
    first, so that a scrub that is stopped every morning reaches them all.

    Parameters
    ----------
    project : Project
    sessions, where
        See `Project.sessions`.
    again_after : timedelta
        Age from which an earlier look is repeated.
    hours : float, optional
        Time after which no further file is begun.
    stopped : callable
        Asked before each file; true ends the scrub.

    Yields
    ------
    ScrubbedFile
        Files that do not exist yet, or that another program is writing, are left out. Those that can't be read at
        all come first, under their path.
    """
    state = project.planner.state
    selected, problems = project.sessions(sessions, where)
    if not sessions and where is None:
        yield from (_report(problem) for problem in problems)
    looks = [(session, _load(state, session.key)) for session in selected]
    began = time.monotonic()
    oldest = (datetime.now(UTC) - again_after).isoformat()
    for session, look in sorted(looks, key=lambda pair: pair[1].time if pair[1] else ""):
        if look is not None and look.time > oldest:
            yield look
            continue
        if stopped() or (hours is not None and time.monotonic() - began >= hours * 3600):
            return
        new_look = _look(session, look)
        if new_look is not None:
            state.write_bytes(_path(session.key), json.dumps(asdict(replace(new_look, read_now=False))).encode())
            yield new_look


def _report(problem: Problem) -> ScrubbedFile:
    """Return the look at a file whose session can't even be told."""
    damaged = {"/": f"{problem.what}{f': {problem.found}' if problem.found else ''}"}
    return ScrubbedFile(str(problem.where), format_now(), (), "", 0, 0, damaged, (), {}, True)


def _look(session: Session, before: ScrubbedFile | None) -> ScrubbedFile | None:
    """Read one file; None if it is not there, or is being written."""
    file = SessionFile.at(session.file)

    def read(reader: SessionReader) -> tuple[StoredValues, str, Any]:
        current = reader.find_current("convert")
        return read_through(reader.file), current.run_id if current else "", reader.version

    try:
        for _ in range(_TRIES):
            values, conversion, version = file.read(read)
            if not values.damaged or file.version() == version:  # else a commit came between
                break
    except (FileAccessError, LockedFileError):
        return None
    except NwbpipeError as error:
        damaged = {"/": f"{error.problem.what}: {error.problem.found}"}
        return ScrubbedFile(
            session.key, format_now(), (), "", 0, 0, damaged, (), before.identities if before else {}, True
        )
    damaged, changed, identities = dict(values.damaged), [], dict(values.identities)
    old = before.identities if before else {}
    for path in old.keys() & identities.keys():
        if before is None or identities[path] == old[path]:
            continue
        if before.version == tuple(version):
            damaged[path] = f"its values are not those of {before.time[:16]}, and no program wrote to the file since"
        elif before.conversion == conversion and path.startswith(_RAW):
            changed.append(path)
    undamaged = {path: old[path] for path in damaged if path in old}
    return ScrubbedFile(
        session.key,
        format_now(),
        tuple(version),
        conversion,
        values.count,
        len(values.unprotected),
        damaged,
        tuple(sorted(changed)),
        identities | undamaged,
        True,
    )


def _path(key: str) -> str:
    return f"scrub/{key}.json"


def _load(state: Store, key: str) -> ScrubbedFile | None:
    """Return the last look at a file; None if there was none, or what is kept of it is garbage."""
    with suppress(NwbpipeError, ValueError, RecursionError):
        path = _path(key)
        if state.exists(path) and state.stat(path).size <= _MAX_BYTES:
            look = TypeAdapter(ScrubbedFile).validate_json(state.read_bytes(path))
            datetime.fromisoformat(look.time)
            return look if look.session == key else None
    return None
