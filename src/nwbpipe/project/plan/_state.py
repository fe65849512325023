"""The state of a step in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

CONVERT = "convert"
State = Literal["done", "unverified", "missing", "stale", "running", "failed", "blocked", "ignored"]
# A step in one of these has a result that is what a run would give.
SOUND: tuple[State, ...] = ("done", "unverified")


@dataclass(frozen=True)
class StepState:
    """A step in a session, or one of its runs where a pattern fans out.

    Attributes
    ----------
    session : str
        Key of the session; ``project/models`` for steps of project scope.
    step : str
        Name in nwbpipe.toml, or "convert".
    run : str
        Name that the results carry: that of the step, with the input's where it fans out.
    state : str
        "done"; "unverified": done, but the file was changed by another program, and its content not looked at since;
        "missing"; "stale"; "running"; "failed"; "blocked"; "ignored".
    reason : str
        Why it is not done.
    ready : bool
        Whether it could run now.
    key : str
        Key of the run; "" while inputs are not there.
    inputs : mapping of str to str
        HDF5 paths of the inputs, or addresses of artefacts. Of a step of project scope: those of each session, as
        JSON.
    result : str
        Id of the run whose result is in the file.
    log : str
        Place of a failed run's log in ``state://``.
    """

    session: str
    step: str
    run: str
    state: State
    reason: str = ""
    ready: bool = False
    key: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    result: str = ""
    log: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class SessionPlan:
    """All steps of one session, in order."""

    session: str
    steps: tuple[StepState, ...]

    def select_step(self, step: str) -> list[StepState]:
        """Return the states of a step: several where it fans out."""
        return [one for one in self.steps if one.step == step]

    def drop_steps(self, steps: Sequence[str]) -> SessionPlan:
        """Return the plan without some steps."""
        return replace(self, steps=tuple(one for one in self.steps if one.step not in steps))

    def mark_running(self, names: Sequence[str]) -> SessionPlan:
        """Return the plan with the runs of these names shown as running."""
        steps = (
            replace(one, state="running", reason="", ready=False)
            if one.run in names and one.state not in SOUND
            else one
            for one in self.steps
        )
        return replace(self, steps=tuple(steps))
