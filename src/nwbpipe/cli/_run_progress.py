"""Live progress of a project's run: bars on a terminal, a line for each run elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from nwbpipe.cli._echo import echo
from nwbpipe.errors import ToolMissingError, show_text

if TYPE_CHECKING:
    from nwbpipe.project import Project
    from nwbpipe.project.execute import Reporter
    from nwbpipe.project.execute._run_job import JobOutcome
    from nwbpipe.project.plan import StepState


class LineReporter:
    """A line for each run that ended."""

    def on_plan(self, states: Sequence[StepState], about: str) -> None:
        """See `Reporter.planned`."""
        echo(f"{len(states)} runs to do; {about}", err=True)

    def on_start(self, state: StepState) -> None:
        """See `Reporter.began`."""

    def on_progress(self, state: StepState, fraction: float, text: str) -> None:
        """See `Reporter.progress`."""

    def on_notice(self, text: str) -> None:
        """Show what workers wait for."""
        echo(text, err=True)

    def on_end(self, state: StepState, ended: JobOutcome) -> None:
        """See `Reporter.ended`."""
        echo(_format_line(state, ended), err=True)


def _format_line(state: StepState, ended: JobOutcome) -> str:
    text = f": {ended.text.partition(chr(10))[0]}" if ended.text else ""
    ending = "done already" if ended.ending == "done" and not ended.computed else ended.ending
    return f"{state.session} {state.run}  {ending} {ended.seconds:.1f} s{text}"


class BarReporter:
    """A bar for each step, and one for each run that is under way."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.steps: dict[str, Any] = {}
        self.runs: dict[tuple[str, str], Any] = {}

    def on_plan(self, states: Sequence[StepState], about: str) -> None:
        """See `Reporter.planned`."""
        self.bar.start()  # now, not before: workers are forks of a process without threads
        self.bar.console.print(show_text(about), markup=False, highlight=False)
        for state in states:
            if state.step not in self.steps:
                total = sum(other_state.step == state.step for other_state in states)
                self.steps[state.step] = self.bar.add_task(state.step, total=total, text="")

    def on_start(self, state: StepState) -> None:
        """See `Reporter.began`."""
        name = show_text(f"  {state.session} {state.run}")
        self.runs[state.session, state.run] = self.bar.add_task(name, total=1.0, text="")

    def on_progress(self, state: StepState, fraction: float, text: str) -> None:
        """See `Reporter.progress`."""
        if (state.session, state.run) in self.runs:
            self.bar.update(self.runs[state.session, state.run], completed=fraction, text=show_text(text))

    def on_notice(self, text: str) -> None:
        """Show what workers wait for."""
        self.bar.console.print(show_text(text), markup=False, highlight=False)

    def on_end(self, state: StepState, ended: JobOutcome) -> None:
        """See `Reporter.ended`."""
        task = self.runs.pop((state.session, state.run), None)
        if task is not None:
            self.bar.remove_task(task)
        if state.step in self.steps:
            self.bar.advance(self.steps[state.step])
        if ended.ending != "done":
            self.bar.console.print(show_text(_format_line(state, ended)), markup=False, highlight=False)


@contextmanager
def keep_reports(project: Project, reporter: Reporter) -> Iterator[Reporter]:
    """Let reports be drawn while the block runs, if nwbpipe.toml asks for it; yields the reporter to use."""
    with ExitStack() as stack:
        if project.spec.report or any(step.report for step in project.spec.steps.values()):
            try:
                from nwbpipe.report import ReportKeeper
            except ToolMissingError as error:  # the runs are worth more than their pages
                echo(f"note: no reports are drawn: {error.problem.what}: {error.problem.hint}", err=True)
            else:
                reporter = stack.enter_context(ReportKeeper(project, reporter, lambda text: echo(text, err=True)))
        yield reporter


@contextmanager
def show_run_progress() -> Iterator[Reporter]:
    """Show what happens while the block runs."""
    if not sys.stderr.isatty():
        yield LineReporter()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    try:
        yield BarReporter(bar)
    finally:
        bar.stop()
