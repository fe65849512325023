"""The options, the progress and the summary of a run of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from nwbpipe.project.execute._run_job import JobOutcome
from nwbpipe.project.plan._state import StepState
from nwbpipe.run import MediumRemoval


@dataclass(frozen=True)
class RunOptions:
    """Options of a run of a project.

    Attributes
    ----------
    steps : sequence of str
        Run only these steps, and the steps that they need; all by default.
    retry_failed : bool
        Run also steps that failed before with the same inputs and parameters.
    max_failures : int, optional
        Start no more runs after this number of failures.
    limit : int, optional
        Start at most this number of runs.
    project_scope : bool
        Run also steps of project scope: all sessions are selected.
    kinds : sequence of str
        Run only steps for these kinds of workers; all by default.
    idle_s : float, optional
        End after this number of seconds in which only other runners had runs.
    """

    steps: Sequence[str] = ()
    retry_failed: bool = False
    max_failures: int | None = None
    limit: int | None = None
    project_scope: bool = True
    kinds: Sequence[str] = ()
    idle_s: float | None = None


@dataclass
class RunSummary:
    """Summary of a run of a project.

    Attributes
    ----------
    done : int
        Runs that were computed and committed.
    done_elsewhere : int
        Runs that another runner committed meanwhile.
    failed, uncommitted : list of (str, str, str)
        Session, run and error.
    blocked : list of StepState
        Steps that could not start.
    not_started : int
        Number of runs that are ready, but were not started (limits).
    for_other_workers : int
        Number of runs that are ready, but are for other kinds of workers.
    interrupted : bool
        True if it was stopped.
    media : list of (str, MediumRemoval)
        Session and medium, such as a labelled video, that was removed because its time was over, or should have been.
    """

    done: int = 0
    done_elsewhere: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    uncommitted: list[tuple[str, str, str]] = field(default_factory=list)
    blocked: list[StepState] = field(default_factory=list)
    not_started: int = 0
    for_other_workers: int = 0
    interrupted: bool = False
    media: list[tuple[str, MediumRemoval]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if no run failed, and the run was not stopped."""
        return not (self.failed or self.uncommitted or self.interrupted)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        names = ("session", "step", "error")
        return {
            "done": self.done,
            "found": self.done_elsewhere,
            "failed": [dict(zip(names, entry, strict=True)) for entry in self.failed],
            "held": [dict(zip(names, entry, strict=True)) for entry in self.uncommitted],
            "blocked": [entry.as_dict() for entry in self.blocked],
            "left": self.not_started,
            "for_other_workers": self.for_other_workers,
            "interrupted": self.interrupted,
            "media": [{"session": session, **asdict(removal)} for session, removal in self.media],
        }


class Reporter(Protocol):
    """Receives the progress of a run of a project.

    A method ``on_notice(text)``, if it has one, receives what workers wait for.
    """

    def on_plan(self, states: Sequence[StepState], about: str) -> None:
        """Receive the states that will run, and a text about the executor (such as a dashboard's address)."""

    def on_start(self, state: StepState) -> None:
        """Receive the start of a run."""

    def on_progress(self, state: StepState, fraction: float, text: str) -> None:
        """Receive the progress of a run."""

    def on_end(self, state: StepState, ended: JobOutcome) -> None:
        """Receive the end of a run."""
