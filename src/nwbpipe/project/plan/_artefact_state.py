"""Find the state of a step of project scope, from the offers of its sessions and the artefacts that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nwbpipe.errors import NwbpipeError
from nwbpipe.processors import ProjectProcessor
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project.plan._state import SessionOffer, State, StepState
from nwbpipe.project.plan._tools import ToolFacts, explain_staleness
from nwbpipe.run import PROJECT, StoredArtefact, compute_project_key, describe_differences, list_artefacts


def evaluate_artefact(
    step: Step,
    offers: Sequence[SessionOffer],
    facts: ToolFacts,
    failed: Sequence[tuple[str, str, str]],
    models: Path,
) -> tuple[StepState, StoredArtefact | None]:
    """Find the state of a step of project scope.

    Parameters
    ----------
    step : Step
    offers : sequence of SessionOffer
        The inputs that each session has for the step.
    facts : ToolFacts
        The tool that would compute it.
    failed : sequence of (str, str, str)
        Its failed runs, oldest first.
    models : Path
        Folder of the store ``models://``.

    Returns
    -------
    StepState
    StoredArtefact or None
        The current artefact.
    """
    artefacts = list_artefacts(models, step.name)
    newest = artefacts[-1] if artefacts else None
    state = StepState(PROJECT, step.name, step.name, "missing", result=newest.record.run_id if newest else "")
    # The user left out ignored sessions. No other session that can't be read is left out silently.
    offers = [offer for offer in offers if offer.state.state != "ignored"]
    states = [offer.state for offer in offers]
    if not offers:
        return replace(state, state="blocked", reason="no session has inputs for it"), None
    if stopped := [offer for offer in states if offer.state in ("blocked", "failed")]:
        first, more = stopped[0], f" (and {len(stopped) - 1} more)" if len(stopped) > 1 else ""
        reason = f"{first.session}: {first.reason}{more}; repair it, or leave it out by [[ignore]]"
        return replace(state, state="blocked", reason=reason), None
    if waiting := [offer for offer in states if offer.state not in ("done", "unverified")]:
        reason = f"after {len(waiting)} sessions, such as {waiting[0].session}: {waiting[0].reason}"
        return replace(state, state="stale" if newest else "missing", reason=reason), None
    state = replace(state, session_inputs=tuple((offer.session, dict(offer.inputs)) for offer in states))
    if any(offer.state == "unverified" for offer in states):
        reason = "session files changed, and their content was not read since"
        return (
            replace(state, state="unverified" if newest else "missing", reason=reason, ready=newest is None),
            newest,
        )
    return _evaluate_known_inputs(step, offers, facts, failed, artefacts, state)


def offer_folders(step: Step, project: ProjectSpec) -> SessionOffer:
    """Return the folders that a step of project scope reads, as an offer of the project itself."""
    assert isinstance(step.method, ProjectProcessor)
    state = StepState(PROJECT, step.name, step.name, "done", inputs=step.folders)
    try:
        identities = {
            name: step.method.identify_folder(name, project.locate_folder(binding))
            for name, binding in step.folders.items()
        }
    except (NwbpipeError, OSError) as error:
        problem = error.problem.what if isinstance(error, NwbpipeError) else "the folder can't be read"
        location = error.problem.where if isinstance(error, NwbpipeError) else str(error)
        return SessionOffer(replace(state, state="blocked", reason=f"{problem}: {location}"))
    return SessionOffer(state, identities)


def _evaluate_known_inputs(
    step: Step,
    offers: Sequence[SessionOffer],
    facts: ToolFacts,
    failed: Sequence[tuple[str, str, str]],
    artefacts: Sequence[StoredArtefact],
    state: StepState,
) -> tuple[StepState, StoredArtefact | None]:
    """Return the state if the content of all inputs is known."""
    assert isinstance(step.method, ProjectProcessor)
    key = compute_project_key(step.method, step.params, step.seed, [offer.identities for offer in offers])
    state = replace(state, key=key)
    current = next((artefact for artefact in artefacts[::-1] if artefact.record.key == key), None)
    if current is not None:
        reason = explain_staleness(current.record, facts, step.policy)
        if not reason:
            return replace(state, state="done", result=current.record.run_id), current
    elif artefacts:
        record = artefacts[-1].record
        differences = describe_differences(record, step.method, step.params.model_dump(mode="json"), step.seed, {})
        reason = "; ".join(text for text in differences if text != "its place in the file")
        reason = reason or f"its {'sessions' if step.reads_sessions else 'folders'} have other content"
    else:
        reason = ""
    if failed and failed[-1][0] == key:
        return replace(state, state="failed", reason=failed[-1][1], log=failed[-1][2], ready=not facts.missing), None
    if facts.missing:
        return replace(state, state="blocked", reason=facts.missing), None
    pending: State = "stale" if reason else "missing"
    return replace(state, state=pending, reason=reason, ready=True), None
