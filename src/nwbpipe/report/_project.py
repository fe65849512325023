"""Write the reports of a project: a page of all its sessions, and a page for each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nwbpipe.errors import NwbpipeError
from nwbpipe.project import Project, Session
from nwbpipe.project.plan import STATE_MARKS, SessionPlan, StepState
from nwbpipe.report._page import read_state, render_page, write_page
from nwbpipe.report._session import compute_state, draw_page
from nwbpipe.review import SessionQuality
from nwbpipe.session import SessionFile

_LOG_LINES = 12  # of a failed run
_OUTLIER = 3.5  # robust standard deviations
_LEAST_SESSIONS = 6  # of which outliers are told


@dataclass(frozen=True)
class ProjectPages:
    """The pages of a project.

    Attributes
    ----------
    page : Path
        The page of the project.
    sessions : dict of str to Path
        The page of each session that has an NWB file, by its key.
    problems : list of str
        Sessions, specs and files that can't be read.
    """

    page: Path
    sessions: dict[str, Path] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def write_project_report(
    project: Project,
    out: Path | None = None,
    *,
    sessions: Sequence[str] = (),
    where: str | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> ProjectPages:
    """Write the page of a project, and a page for each session whose file has changed since its page was written.

    Parameters
    ----------
    project : Project
    out : Path, optional
        The folder for the pages; by default ``report`` beside nwbpipe.toml.
    sessions, where
        Which sessions; see `Project.sessions`.
    progress : callable, optional
        Called with a fraction (0 to 1) and the key of a session.

    Returns
    -------
    ProjectPages
        A session that can't be read is one of its problems; all others have their pages.
    """
    folder = out or choose_folder(project)
    status = project.status(sessions, where)
    chosen, _ = project.sessions(sessions, where)
    qualities = {item.session: item for item in project.quality(sessions, where)[0]}
    pages = ProjectPages(folder / "index.html", problems=[str(problem) for problem in status.problems])
    for index, session in enumerate(chosen):
        if progress is not None:
            progress(index / len(chosen), session.key)
        if not qualities[session.key].missing:
            _write_session_page(session, folder, pages)
    write_page(pages.page, _draw_project(project, status.plans, qualities, pages))
    return pages


def choose_folder(project: Project) -> Path:
    """Return the folder of a project's pages."""
    return project.spec.folder / "report"


def locate_session_page(session: Session, folder: Path) -> Path:
    """Return the path of the page of a session."""
    return folder / "sessions" / f"{_clean_name(session.key)}.html"


def update_page(location: Path | str, path: Path) -> None:
    """Write the page of a session file unless the page shows the file's state already."""
    file = SessionFile.at(location)
    state = compute_state(file)
    if read_state(path) != state:
        write_page(path, file.read(lambda reader: draw_page(reader, file.name, state=state), locked=True))


def _write_session_page(session: Session, folder: Path, pages: ProjectPages) -> None:
    path = locate_session_page(session, folder)
    try:
        update_page(session.file, path)
        pages.sessions[session.key] = path
    except (NwbpipeError, OSError) as error:
        pages.problems.append(f"{session.key}: {error}")


def _clean_name(key: str) -> str:
    """Return a key as a file's name; keys of which the signs differ keep different names."""
    return "__".join(re.sub(r"[^A-Za-z0-9.-]", lambda match: f"_{ord(match[0]):x}-", part) for part in key.split("/"))


def _draw_project(
    project: Project, plans: Sequence[SessionPlan], qualities: Mapping[str, SessionQuality], pages: ProjectPages
) -> str:
    steps = list(dict.fromkeys(state.step for plan in plans for state in plan.steps))
    rows = []
    for plan in plans:
        page = pages.sessions.get(plan.session)
        cells = [_join_states(plan.select_step(step)) for step in steps]
        quality = qualities.get(plan.session)
        rows.append(
            {
                "session": plan.session,
                "link": f"sessions/{page.name}" if page is not None else "",
                "cells": cells,
                "failing": sum(item.verdict == "fail" for item in quality.judged) if quality is not None else 0,
                "judged": bool(quality is not None and quality.judged),
            }
        )
    failures = [
        {"state": state, "log": _read_log(project, state)}
        for plan in plans
        for state in plan.steps
        if state.state == "failed"
    ]
    return render_page(
        "project.html",
        title=project.spec.name,
        steps=steps,
        rows=rows,
        marks=STATE_MARKS,
        failures=failures,
        outliers=list(find_outliers(qualities)),
        problems=pages.problems,
    )


def _join_states(states: Sequence[StepState]) -> list[dict[str, str]]:
    return [{"mark": STATE_MARKS[state.state], "state": state.state, "reason": state.reason} for state in states]


def _read_log(project: Project, state: StepState) -> str:
    """Return the last lines of a failed run's log; "" where there is none."""
    if not state.log:
        return ""
    try:
        text = project.planner.state.read_bytes(state.log).decode("utf-8", "replace")
    except (NwbpipeError, OSError):
        return ""
    return "\n".join(text.splitlines()[-_LOG_LINES:])


def find_outliers(qualities: Mapping[str, SessionQuality]) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield metrics of scans that are far from those of the other sessions.

    Yields
    ------
    (session, step, metric, value, median)
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    for session, quality in qualities.items():
        for item in quality.judged:
            for name, value in item.metrics.items() if item.of == "scan" else ():
                if value is not None:
                    values.setdefault((item.about or item.step, name), {})[session] = float(value)
    for (step, name), by_session in sorted(values.items()):
        numbers = np.asarray(list(by_session.values()))
        if len(numbers) < _LEAST_SESSIONS:
            continue
        median = float(np.median(numbers))
        spread = 1.4826 * float(np.median(np.abs(numbers - median)))
        for session, value in by_session.items():
            if spread > 0 and abs(value - median) > _OUTLIER * spread:
                yield session, step, name, value, median
