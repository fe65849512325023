"""Keep the reports of a project up to date while it runs: ``report = true`` in nwbpipe.toml."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nwbpipe.project import Project
from nwbpipe.report._project import ProjectPages, choose_folder, write_project_report, write_session_page

if TYPE_CHECKING:
    from nwbpipe.project.execute import Reporter
    from nwbpipe.project.execute._run_job import JobOutcome
    from nwbpipe.project.plan import StepState


class ReportKeeper:
    """Draw the page of each session once its runs have ended, and pass all progress on.

    It is a `nwbpipe.project.execute.Reporter`. Pages are drawn in a thread, so that no run waits for them. A page
    that can't be drawn is told, and fails no run.

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
            self._thread = threading.Thread(target=self._draw, name="nwbpipe reports", daemon=True)
            self._thread.start()

    def _draw(self) -> None:
        while (key := self._queue.get()) is not None:
            self._tell(lambda key=key: self._draw_session(key))  # type: ignore[misc]

    def _draw_session(self, key: str) -> list[str]:
        folder = choose_folder(self.project)
        pages = ProjectPages(folder / "index.html")
        for session in self.project.sessions()[0]:
            if session.key == key:  # those of project scope have no file
                write_session_page(session, folder, pages)
        return pages.problems

    def _tell(self, draw: Callable[[], list[str]]) -> None:
        try:
            problems = draw()
        except Exception as error:  # a report is no reason to lose a run
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            self.say(f"note: the report can't be drawn: {problem.partition(chr(10))[0]}")
