"""The project as the pages show it: one snapshot that all of them share, and what runs now."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from nwbpipe.errors import NwbpipeError, Problem, WorkError
from nwbpipe.machine import identify_machine
from nwbpipe.project import Project, Session, find_project, restrict
from nwbpipe.project.plan import SessionPlan
from nwbpipe.project.state import Leases, find_runner
from nwbpipe.run import PROJECT

_LEASES_S = 1.0  # for which the leases are not read again
_FIRST_S = 60.0  # for which the page of a session waits for the first look at a project
_REOPEN_S = 300.0  # after which the project is opened anew: a tool may have been installed meanwhile
_REST = 3.0  # times as long as a look at the project took is waited before the next


@dataclass(frozen=True, slots=True)
class Row:
    """One session, or the steps of project scope, with its states.

    Attributes
    ----------
    plan : SessionPlan
        The states of its steps.
    session : Session or None
        None for the steps of project scope.
    """

    plan: SessionPlan
    session: Session | None

    @property
    def key(self) -> str:
        """``subject/session``."""
        return self.plan.session

    @property
    def text(self) -> str:
        """All that a search looks through, in small letters."""
        fields = self.session.fields.values() if self.session is not None else ()
        return "\n".join([self.key, *fields]).casefold()


@dataclass(frozen=True)
class Snapshot:
    """The state of a project at one moment.

    Attributes
    ----------
    number : int
        Another one for each state.
    rows : list of Row
        By key; steps of project scope first.
    problems : list of Problem
        What can't be read: specs, files, or the project file itself.
    looked_at : datetime or None
        None until the first look has ended.
    """

    number: int = 0
    rows: Sequence[Row] = ()
    problems: Sequence[Problem] = ()
    looked_at: datetime | None = None

    @cached_property
    def steps(self) -> list[str]:
        """Names of the steps, in order."""
        return list(dict.fromkeys(state.step for row in self.rows for state in row.plan.steps))

    @cached_property
    def by_key(self) -> dict[str, Row]:
        """The rows by their keys."""
        return {row.key: row for row in self.rows}

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of runs in each state."""
        return Counter(state.state for row in self.rows for state in row.plan.steps)


@dataclass(frozen=True)
class Selection:
    """A choice of rows, and their order.

    Attributes
    ----------
    condition : str
        A condition in SQL, as of ``nwbpipe status --where``.
    search : str
        Text that the key or a field of the session holds.
    state : str
        Only sessions with a step in this state.
    sort : str
        "session", a field of the session, or a step; with a minus in front the other way round.
    """

    condition: str = ""
    search: str = ""
    state: str = ""
    sort: str = ""

    @property
    def is_whole(self) -> bool:
        """True if no session is left out."""
        return not (self.condition or self.search or self.state)


class ProjectView:
    """A project that is looked at again and again, in the background, while someone asks for it.

    Parameters
    ----------
    path : path, optional
        Its ``nwbpipe.toml``, or its folder; the nearest one upwards by default.
    profile : str, optional
        The profile that gives the stores.
    """

    def __init__(self, path: Path | str | None = None, *, profile: str | None = None) -> None:
        self.path, self.profile = find_project(path), profile
        self.snapshot = Snapshot()
        self._project: Project | None = None
        self._project_stat: tuple[int, int] | None = None
        self._opened = 0.0
        self._leases: tuple[float, list[dict[str, Any]]] = (0.0, [])
        self._lock = threading.Lock()
        self._seen = threading.Event()
        self._asked = threading.Event()
        self._hurried = threading.Event()
        self._stopped = threading.Event()
        self._looks = threading.Condition()
        self._begun = self._ended = 0
        self._thread: threading.Thread | None = None

    # Looking --------------------------------------------------------------------------------------------------

    def open_project(self) -> Project:
        """Return the project, read again if its file has changed.

        Raises
        ------
        SpecError, RequestError
            If the project file has mistakes, or is gone.
        """
        with self._lock:
            status = find_project(self.path).stat()
            stat = (status.st_ino, status.st_mtime_ns)
            is_old = time.monotonic() - self._opened > _REOPEN_S
            if self._project is None or is_old or stat != self._project_stat:
                self._project = None  # a file with mistakes leaves none
                self._project = Project(self.path, profile=self.profile)
                self._project_stat, self._opened = stat, time.monotonic()
            return self._project

    def refresh(self) -> Snapshot:
        """Look at the project now."""
        try:
            project = self.open_project()
            # What is as it was is in memory once, although the old snapshot is shown until the new one is whole.
            old = self.snapshot.by_key
            known = {key: row.plan for key, row in old.items()}
            old_sessions = [row.session for row in old.values() if row.session is not None]
            sessions, problems = project.planner.list_sessions(old_sessions)
            plans = project.planner.make_plans(sessions, running=False, known=known)
        except Exception as error:  # a later look may be better
            problem = error if isinstance(error, NwbpipeError) else WorkError(f"{type(error).__name__}: {error}")
            return self._keep(Snapshot(problems=[*(problem.problems or [problem.problem])]))
        by_key = {session.key: session for session in sessions}
        keys = [key for key in (PROJECT, *by_key) if key in plans]
        rows = [old[key] if old.get(key) == (row := Row(plans[key], by_key.get(key))) else row for key in keys]
        return self._keep(Snapshot(0, rows, problems))

    def _keep(self, new: Snapshot) -> Snapshot:
        old = self.snapshot
        same = old.looked_at is not None and (
            list(old.rows) == list(new.rows) and list(old.problems) == list(new.problems)
        )
        number = old.number if same else old.number + 1
        source = old if same else new
        self.snapshot = Snapshot(number, source.rows, source.problems, datetime.now(UTC))
        self._seen.set()
        return self.snapshot

    def ask(self, *, wait: bool = False) -> Snapshot:
        """Return the last snapshot, and let a newer one be made; with `wait`, wait for the first."""
        if self._thread is None:
            return self.refresh()
        self._asked.set()
        if wait:
            self._seen.wait(_FIRST_S)
        return self.snapshot

    def start(self) -> None:
        """Look at the project in a thread of its own, whenever someone asks."""
        self._thread = threading.Thread(target=self._look, daemon=True, name="nwbpipe-serve-view")
        self._thread.start()
        self._asked.set()

    def stop(self) -> None:
        """Let the thread end after the look that goes on now."""
        self._stopped.set()
        self._hurried.set()
        self._asked.set()

    def close(self) -> None:
        """End the thread, and wait for it: one in foreign code while the interpreter ends aborts the process."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while True:
            self._asked.wait()
            if self._stopped.is_set():
                return
            self._asked.clear()
            self._hurried.clear()
            began = time.monotonic()
            self._begun += 1
            self.refresh()
            with self._looks:
                self._ended = self._begun
                self._looks.notify_all()
            self._hurried.wait(max(1.0, _REST * (time.monotonic() - began)))

    def look_again(self, seconds: float = 10.0) -> None:
        """Look at the project again without a rest, and wait for that as long as it takes, at most some seconds."""
        if self._thread is None:
            self.refresh()
            return
        target = self._begun + 1  # one that goes on now may have passed what has just changed
        end = time.monotonic() + seconds
        with self._looks:
            while self._ended < target and (seconds_left := end - time.monotonic()) > 0:
                self._asked.set()
                self._hurried.set()
                self._looks.wait(min(seconds_left, 0.5))

    # What runs ------------------------------------------------------------------------------------------------

    def list_running(self) -> list[dict[str, Any]]:
        """Return what is computed now, here or elsewhere: contents of the leases, with ``is_here`` and ``runner``."""
        since, contents = self._leases
        if time.monotonic() - since > _LEASES_S:
            try:
                project = self.open_project()
                contents = [
                    _mark_here(content) | {"runner": _mark_here(find_runner(content))}
                    for content in Leases(project.planner.state).list_active()
                    if "session" in content and "step" in content
                ]
            except (NwbpipeError, OSError):
                contents = []
            contents.sort(key=lambda content: (float(content.get("since", 0)), str(content["session"])))
            self._leases = (time.monotonic(), contents)
        return contents

    def count_states(self, snapshot: Snapshot) -> Counter[str]:
        """Return the number of runs that are in each state, with what is computed now."""
        counts = Counter(snapshot.counts)
        for key in {str(content["session"]) for content in self.list_running()} & snapshot.by_key.keys():
            row = snapshot.by_key[key]
            counts.subtract(state.state for state in row.plan.steps)
            counts.update(state.state for state in self.mark_running(row).steps)
        return +counts

    def mark_running(self, row: Row) -> SessionPlan:
        """Return the plan of a row with what is computed now."""
        names = [str(content["step"]) for content in self.list_running() if content["session"] == row.key]
        return row.plan.mark_running(names) if names else row.plan

    def show_place(self, place: Path | str) -> str:
        """Return a path as it is seen from the project's folder, if it is below that; anything else as it is."""
        folder = str(self.path.parent) + os.sep
        return str(place).removeprefix(folder)

    # Choosing -------------------------------------------------------------------------------------------------

    def select(self, snapshot: Snapshot, selection: Selection) -> list[Row]:
        """Return the rows that are asked for, in order.

        Raises
        ------
        RequestError
            If the condition can't be read.
        """
        rows = list(snapshot.rows)
        if selection.condition:
            chosen = restrict([row.session for row in rows if row.session is not None], (), selection.condition)
            keys = {session.key for session in chosen}
            rows = [row for row in rows if row.key in keys]
        if selection.search:
            words = selection.search.casefold().split()
            rows = [row for row in rows if all(word in row.text for word in words)]
        if selection.state:
            running = {str(content["session"]) for content in self.list_running()}
            rows = [row for row in rows if _has_state(row, selection.state, running)]
        name = selection.sort.removeprefix("-")
        if name and name != "session":
            order = _sort_key(name, snapshot.steps)
            rows.sort(key=order, reverse=selection.sort.startswith("-"))
        elif selection.sort.startswith("-"):
            rows.reverse()
        return rows


# Of several runs of a step, the one that needs a person most is what the step is sorted by.
_ORDER = ("failed", "stale", "blocked", "running", "missing", "unverified", "done", "ignored")


def _mark_here(process: Mapping[str, Any]) -> dict[str, Any]:
    """Return what describes a process, with ``is_here``: whether it is one of this machine."""
    return {**process, "is_here": "pid" in process and process.get("machine") == identify_machine()}


def _has_state(row: Row, state: str, running: set[str]) -> bool:
    return (state == "running" and row.key in running) or any(step.state == state for step in row.plan.steps)


def _sort_key(name: str, steps: Sequence[str]) -> Any:
    if name in steps:
        return lambda row: min(
            (_ORDER.index(state.state) for state in row.plan.select_step(name)), default=len(_ORDER)
        )
    return lambda row: row.session.fields.get(name, "") if row.session is not None else ""


_T = TypeVar("_T")


@dataclass(frozen=True)
class Page(Generic[_T]):
    """One page of rows.

    Attributes
    ----------
    rows : list
        The rows of this page.
    number, total : int
        Its number, from 1, and how many pages there are.
    size : int
        Number of rows of all pages.
    """

    rows: list[_T]
    number: int
    total: int
    size: int


def cut_page(rows: Sequence[_T], number: int, length: int) -> Page[_T]:
    """Return a page of rows; a number out of range is that of the nearest page."""
    total = max(1, -(-len(rows) // length))
    number = min(max(1, number), total)
    return Page(list(rows[(number - 1) * length : number * length]), number, total, len(rows))
