"""Keep the reports of a project up to date while it runs: ``report = true`` in nwbpipe.toml."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nwbpipe.errors import NwbpipeError, show_text
from nwbpipe.machine import child_python, close_python_path
from nwbpipe.project import Project, Session
from nwbpipe.report._project import choose_folder, locate_session_page, update_page, write_project_report

if TYPE_CHECKING:
    from nwbpipe.project.execute import Reporter
    from nwbpipe.project.execute._run_job import JobOutcome
    from nwbpipe.project.plan import StepState


class ReportKeeper:
    """Draw the page of each session once its runs have ended, and pass all progress on.

    It is a `nwbpipe.project.execute.Reporter`. Each page is drawn by a process of its own: no run waits for it, and
    the process of the runs, which opens the same file, is not in its way. A page that can't be drawn is told, and
    fails no run.

    Parameters
    ----------
    project : Project
        Its ``[project]`` or some of its steps have ``report = true``.
    reporter : Reporter
        Receives the progress, too.
    say : callable
        Receives what went wrong with a page.

    Examples
    --------
    >>> with ReportKeeper(project, reporter, print) as keeper:  # doctest: +SKIP
    ...     project.run(reporter=keeper)
    """

    def __init__(self, project: Project, reporter: Reporter, say: Callable[[str], None]) -> None:
        self.project, self.reporter, self.say = project, reporter, say
        # The runs plan with the listings of their own project while pages are drawn.
        self._listing = Project(project.spec.path, profile=project.spec.profile)
        self._sessions: dict[str, Session] = {}
        self._left: Counter[str] = Counter()
        self._changed: set[str] = set()
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ReportKeeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Wait for the pages of the sessions that changed, and write that of the project if any did."""
        for session in sorted(self._changed):
            self._put(session)
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
            if self.project.spec.report:
                self._tell(lambda: write_project_report(self.project).problems)
        self._left.clear()
        self._changed.clear()

    def on_plan(self, states: Sequence[StepState], about: str) -> None:
        """Count the runs of each session."""
        self._left = Counter(state.session for state in states)
        self.reporter.on_plan(states, about)

    def on_start(self, state: StepState) -> None:
        """Pass it on."""
        self.reporter.on_start(state)

    def on_progress(self, state: StepState, fraction: float, text: str) -> None:
        """Pass it on."""
        self.reporter.on_progress(state, fraction, text)

    def on_notice(self, text: str) -> None:
        """Pass on what workers wait for."""
        notice = getattr(self.reporter, "on_notice", None)
        if notice is not None:
            notice(text)

    def on_end(self, state: StepState, ended: JobOutcome) -> None:
        """Have the session's page drawn if this was the last of its runs."""
        step = self.project.spec.steps.get(state.step)
        if ended.ending == "done" and (self.project.spec.report or (step is not None and step.report)):
            self._changed.add(state.session)
        self._left[state.session] -= 1
        if self._left[state.session] <= 0 and state.session in self._changed:
            self._changed.discard(state.session)
            self._put(state.session)
        self.reporter.on_end(state, ended)

    def _put(self, session: str) -> None:
        self._queue.put(session)
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw, name="nwbpipe-reports", daemon=True)
            self._thread.start()

    def _draw(self) -> None:
        while (key := self._queue.get()) is not None:
            self._tell(lambda key=key: self._draw_session(key))  # type: ignore[misc]

    def _draw_session(self, key: str) -> list[str]:
        if key not in self._sessions:
            self._sessions = {session.key: session for session in self._listing.sessions()[0]}
        session = self._sessions.get(key)
        if session is None:  # what is of project scope has no file
            return []
        return draw_aside(str(session.file), locate_session_page(session, choose_folder(self.project)))

    def _tell(self, draw: Callable[[], list[str]]) -> None:
        try:
            problems = draw()
        except Exception as error:  # a report is no reason to lose a run
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            self.say(f"note: the report can't be drawn: {problem.partition(chr(10))[0]}")


def draw_aside(location: str, page: Path) -> list[str]:
    """Draw the page of a session file in a process of its own; return what went wrong."""
    command = child_python("-m", "nwbpipe.report._keep", location, str(page))
    variables = close_python_path(os.environ)
    ended = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, env=variables)
    if ended.returncode == 0:
        return []
    lines = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return [show_text(lines[-1] if lines else f"the process that drew it ended with {ended.returncode}")]


def main() -> None:
    """Draw the page that the command line names of the session file that it names."""
    try:
        update_page(sys.argv[1], Path(sys.argv[2]))
    except (NwbpipeError, OSError) as error:
        sys.stderr.write(show_text(str(error).partition("\n")[0]))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
