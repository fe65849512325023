"""The state of a step of project scope: of what its sessions offer, and of the artefacts that are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nwbpipe.processors import ProjectProcessor
from nwbpipe.project._spec import Step
from nwbpipe.project.plan._state import State, StepState
from nwbpipe.project.plan._tools import ToolFacts, explain_staleness
from nwbpipe.run import PROJECT, StoredArtefact, compute_project_key, describe_differences, list_artefacts


def evaluate_artefact(
    step: Step, offers: Sequence[StepState], facts: ToolFacts, failed: Sequence[tuple[str, str, str]], models: Path
) -> tuple[StepState, StoredArtefact | None]:
    """Find the state of a step of project scope.

    Parameters
    ----------
    step : Step
    offers : sequence of StepState
        What each session offers to it.
    facts : Facts
        What would compute it.
    failed : sequence of (str, str, str)
        Its failed runs, oldest first.
    models : Path
        Folder of the store ``models://``.

    Returns
    -------
    StepState
    Made or None
        The artefact, if it is the one that the state tells of.
    """
    made = list_artefacts(models, step.name)
    newest = made[-1] if made else None
    state = StepState(PROJECT, step.name, step.name, "missing", result=newest.record.run_id if newest else "")
    # An ignored session is left out by the user's own word; any other that can't be read is not left out in silence.
    offers = [one for one in offers if one.state != "ignored"]
    if not offers:
        return replace(state, state="blocked", reason="no session offers anything to it"), None
    if stopped := [one for one in offers if one.state in ("blocked", "failed")]:
        first, more = stopped[0], f" (and {len(stopped) - 1} more)" if len(stopped) > 1 else ""
        reason = f"{first.session}: {first.reason}{more}; mend it, or leave it out by [[ignore]]"
        return replace(state, state="blocked", reason=reason), None
    if waiting := [one for one in offers if one.state not in ("done", "unverified")]:
        reason = f"after {len(waiting)} sessions, such as {waiting[0].session}: {waiting[0].reason}"
        return replace(state, state="stale" if newest else "missing", reason=reason), None
    state = replace(state, inputs={f"{one.session} {one.run}": json.dumps(dict(one.inputs)) for one in offers})
    if any(one.state == "unverified" for one in offers):
        why = "session files changed, and their content was not looked at since"
        return replace(state, state="unverified" if newest else "missing", reason=why, ready=newest is None), newest
    return _evaluate_known_inputs(step, offers, facts, failed, made, state)


def _evaluate_known_inputs(
    step: Step,
    offers: Sequence[StepState],
    facts: ToolFacts,
    failed: Sequence[tuple[str, str, str]],
    made: Sequence[StoredArtefact],
    state: StepState,
) -> tuple[StepState, StoredArtefact | None]:
    """Return the state where the content of all inputs is known."""
    assert isinstance(step.method, ProjectProcessor)
    key = compute_project_key(step.method, step.params, step.seed, [json.loads(one.key) for one in offers])
    state = replace(state, key=key)
    current = next((one for one in made[::-1] if one.record.key == key), None)
    if current is not None:
        stale = explain_staleness(current.record, facts, step.policy)
        if not stale:
            return replace(state, state="done", result=current.record.run_id), current
    elif made:
        record = made[-1].record
        told = describe_differences(record, step.method, step.params.model_dump(mode="json"), step.seed, {})
        stale = "; ".join(one for one in told if one != "its place in the file") or "its sessions have other content"
    else:
        stale = ""
    if failed and failed[-1][0] == key:
        return replace(state, state="failed", reason=failed[-1][1], log=failed[-1][2], ready=not facts.missing), None
    if facts.missing:
        return replace(state, state="blocked", reason=facts.missing), None
    found: State = "stale" if stale else "missing"
    return replace(state, state=found, reason=stale, ready=True), None


def parse_session_inputs(inputs: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the sessions that `StepState.inputs` of a step of project scope tells, each with the paths there."""
    return [(name.rpartition(" ")[0], json.loads(paths)) for name, paths in inputs.items()]
