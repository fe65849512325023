"""The state of a step in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from sys import intern
from typing import Any, Literal

CONVERT = "convert"
State = Literal["done", "unverified", "missing", "stale", "running", "failed", "blocked", "ignored"]
STATE_MARKS: Mapping[State, str] = {
    "done": "✓", "unverified": "✓?", "missing": "·", "stale": "~", "running": "▶", "failed": "✗", "blocked": "■",
    "ignored": "–",
}  # fmt: skip
# In these states a step has the result that a run would give.
SOUND: tuple[State, ...] = ("done", "unverified")
_WAITING = "waits for a worker"
_COMMON = ("session", "step", "run", "state", "reason", "log")  # texts that many states have in common


@dataclass(frozen=True, slots=True)
class StepState:
    """The state of a step in a session; of each of its runs if a pattern fans out.

    Attributes
    ----------
    session : str
        Key of the session; ``project/models`` for steps of project scope.
    step : str
        Name in nwbpipe.toml, or "convert".
    run : str
        Name of the results: that of the step, followed by the input's if the step fans out.
    state : str
        "done"; "unverified": done, but another program changed the file, and its content was not read since;
        "missing"; "stale"; "running"; "failed"; "blocked"; "ignored".
    reason : str
        Explanation if it is not done.
    ready : bool
        True if it could run now.
    key : str
        Key of the run; "" while inputs are missing.
    inputs : mapping of str to str
        HDF5 paths of the inputs, or addresses of artefacts.
    result : str
        Id of the run whose result is in the file.
    log : str
        Path of a failed run's log in ``state://``.
    session_inputs : sequence of (str, mapping of str to str)
        For a step of project scope: key of each session, and the HDF5 paths of its inputs.
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
    session_inputs: Sequence[tuple[str, Mapping[str, str]]] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], inputs: dict[Any, Mapping[str, str]] | None = None) -> StepState:
        """Return the state with the values of `as_dict`; what many states have in common is in memory once.

        Parameters
        ----------
        values : mapping
        inputs : dict, optional
            The inputs of the states that were read before; those of this state are added.
        """
        session_inputs = tuple((session, paths) for session, paths in values["session_inputs"])
        texts = {name: intern(values[name]) for name in _COMMON}
        paths = values["inputs"]
        if inputs is not None:
            paths = inputs.setdefault(tuple((intern(name), intern(path)) for name, path in paths.items()), paths)
        return cls(**{**values, **texts, "inputs": paths, "session_inputs": session_inputs})


@dataclass(frozen=True)
class SessionOffer:
    """The inputs that one session has for a step of project scope.

    Attributes
    ----------
    state : StepState
        "done" if the inputs exist and their content is known.
    identities : mapping of str to str
        Identities of the inputs' content, by name; empty while they are not known.
    """

    state: StepState
    identities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """The states of all steps of one session, in order."""

    session: str
    steps: tuple[StepState, ...]

    def select_step(self, step: str) -> list[StepState]:
        """Return the states of a step: several if it fans out."""
        return [state for state in self.steps if state.step == step]

    def mark_running(self, names: Sequence[str], waiting: Sequence[str] = ()) -> SessionPlan:
        """Return the plan with the runs of these names in the state "running"; some wait for a worker."""
        steps = (
            replace(state, state="running", reason=_WAITING if state.run in waiting else "", ready=False)
            if state.run in names and state.state not in SOUND
            else state
            for state in self.steps
        )
        return replace(self, steps=tuple(steps))
