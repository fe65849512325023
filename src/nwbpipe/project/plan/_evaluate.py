"""The states of all steps of one session."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py

from nwbpipe import session as session_file
from nwbpipe.errors import InputError, NwbpipeError
from nwbpipe.processors import Artefact, BoundInput
from nwbpipe.project._sessions import Session
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project.plan._conversion import ConversionState, SpecContent, evaluate_conversion
from nwbpipe.project.plan._inputs import StepRun, expand_runs
from nwbpipe.project.plan._state import CONVERT, SOUND, SessionPlan, State, StepState
from nwbpipe.project.plan._tools import ToolFacts, explain_staleness
from nwbpipe.project.state import FileStats
from nwbpipe.provenance import IdentityCache, RunRecord, canonical_json, find_current_record, read_records
from nwbpipe.run import StoredArtefact, compute_key, describe_differences
from nwbpipe.session import NwbObject, list_nwb_objects

# What the newest failed run of a session's step says: its key, the text of its error, and its log.
Failures = Mapping[str, Sequence[tuple[str, str, str]]]
# Of a step of project scope: its state, and the artefact that is there.
Artefacts = Mapping[str, tuple[StepState, StoredArtefact | None]]


@dataclass
class Evaluation:
    """What was found out about a session.

    Attributes
    ----------
    plan : SessionPlan
    conversion : Conversion or None
        None where the project begins with NWB files.
    files : set of str
        All files that it depends on.
    unread : bool
        Whether the session file, or an input in it, could not be read.
    """

    plan: SessionPlan
    conversion: ConversionState | None = None
    files: set[str] = field(default_factory=set)
    unread: bool = False


@dataclass
class _FileContent:
    """What a session's NWB file holds."""

    records: list[RunRecord] = field(default_factory=list)
    candidates: list[NwbObject] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    error: str = ""

    def check_outputs(self, record: RunRecord | None) -> RunRecord | None:
        """Return a record if all its outputs are in the file."""
        if record is None or not all(output.path in self.paths for output in record.outputs):
            return None
        return record


def evaluate(
    project: ProjectSpec,
    session: Session,
    spec: SpecContent | None,
    tools: Mapping[str, ToolFacts],
    failures: Failures,
    looks: FileStats,
    artefacts: Artefacts,
    *,
    limit: int,
) -> Evaluation:
    """Find the states of all steps of a session; of a step of project scope, what the session offers to it.

    Parameters
    ----------
    project : ProjectSpec
    session : Session
    spec : LoadedSpec or None
        None where the project begins with NWB files.
    tools : mapping of str to Facts
        Of each step: its compute source, and the tool that would run it.
    failures : mapping
        Failed runs by step, oldest first.
    looks : Looks
        Looks at files, wherever they are.
    artefacts : mapping of str to (StepState, Made or None)
        Of each step of project scope whose sessions were looked at already.
    limit : int
        Files up to that size, in bytes, may be hashed now; what would need more is "unverified".
    """
    there = looks.stat(session.file) is not None
    content = _read_content(session.file) if there else _FileContent()
    result = Evaluation(SessionPlan(session.key, ()), files={str(session.file)}, unread=bool(content.error))
    states: list[StepState] = []
    if spec is not None:
        conversion = _ignore_conversion(project, session) or evaluate_conversion(
            spec, there, find_current_record(content.records, CONVERT), looks, limit=limit
        )
        conversion = _apply_failure(conversion, failures.get(CONVERT, ()))
        result.conversion = conversion
        result.files |= set(spec.files)
        states.append(_make_conversion_state(session, conversion, content, failures.get(CONVERT, ())))
    may_hash = looks.read_size(session.file) <= limit
    walk = _StepEvaluator(project, session, content, result, tools, failures, artefacts, may_hash, there)
    for step in project.steps.values():
        states += walk.evaluate_step(step, states)
    result.plan = SessionPlan(session.key, tuple(states))
    return result


def _read_content(file: Path | str) -> _FileContent:
    def read(opened: h5py.File) -> _FileContent:
        found = _FileContent(read_records(opened), list_nwb_objects(opened))
        found.paths = {o.path for record in found.records for o in record.outputs if o.path in opened}
        return found

    try:
        return session_file.read_between_commits(file, read)
    except NwbpipeError as error:
        return _FileContent(error=f"{error.problem.what}: {error.problem.found or str(file).rpartition('/')[2]}")
    except OSError as error:
        return _FileContent(error=f"the NWB file can't be opened: {error}")


def _ignore_conversion(project: ProjectSpec, session: Session) -> ConversionState | None:
    reason = find_ignore_reason(project, session, CONVERT)
    return None if reason is None else ConversionState("ignored", reason)


def find_ignore_reason(project: ProjectSpec, session: Session, step: str) -> str | None:
    """Return why a step of a session is left alone; None if it is not."""
    for rule in project.ignore:
        if session.matches(rule.session) and any(fnmatch.fnmatchcase(step, pattern) for pattern in rule.steps):
            return rule.reason or "nwbpipe.toml says so"
    return None


def _apply_failure(conversion: ConversionState, failed: Sequence[tuple[str, str, str]]) -> ConversionState:
    if conversion.ready and failed and failed[-1][0] == conversion.key:
        return ConversionState("failed", failed[-1][1], True, conversion.key, conversion.changes, conversion.rebuild)
    return conversion


def _make_conversion_state(
    session: Session, conversion: ConversionState, content: _FileContent, failed: Sequence[tuple[str, str, str]]
) -> StepState:
    record = find_current_record(content.records, CONVERT)
    log = failed[-1][2] if conversion.state == "failed" else ""
    state, reason, ready = conversion.state, conversion.reason, conversion.ready
    if content.error and state not in ("ignored", "failed"):
        state, reason, ready = "blocked", content.error, False
    return StepState(
        session.key, CONVERT, CONVERT, state, reason, ready, conversion.key,
        result=record.run_id if record else "", log=log,
    )  # fmt: skip


class _StepEvaluator:
    """Goes through the steps of a session in order."""

    def __init__(
        self,
        project: ProjectSpec,
        session: Session,
        content: _FileContent,
        result: Evaluation,
        tools: Mapping[str, ToolFacts],
        failures: Failures,
        artefacts: Artefacts,
        may_hash: bool,
        there: bool,
    ) -> None:
        self.project, self.session, self.content, self.result = project, session, content, result
        self.tools, self.failures, self.artefacts = tools, failures, artefacts
        self.may_hash, self.file_exists = may_hash, there
        self.output_paths = [
            output.path for record in content.records if not record.superseded and record.step != CONVERT
            for output in record.outputs
        ]  # fmt: skip
        self.cache = IdentityCache()
        self.identities: dict[str, str | None] = {}

    def evaluate_step(self, step: Step, before: Sequence[StepState]) -> list[StepState]:
        """Return the states of a step, those of the steps that it needs being known."""
        reason = find_ignore_reason(self.project, self.session, step.name)
        if reason is not None:
            return [self._make_state(step, "ignored", reason)]
        held = self._check_upstream(step, before)
        if held is not None:
            return [held]
        upstream = {
            name: [
                (one.run.removeprefix(name).removeprefix("_"), record)
                for one in before
                if one.step == name and (record := self._find_record(one.run)) is not None
            ]
            for name in step.upstream
            if name not in self.artefacts
        }
        try:
            runs = expand_runs(step, self.content.candidates, upstream, self.output_paths)
        except InputError as error:
            told = f"{error.problem.what}{': ' + error.problem.found if error.problem.found else ''}"
            return [self._make_state(step, "blocked", told)]
        clash = next((run.run for run in runs if run.run != step.name and run.run in self.project.steps), None)
        if clash is not None:
            return [self._make_state(step, "blocked", f"two steps would write one container: {clash}")]
        runs = [replace(run, inputs={**run.inputs, **self._bind_artefacts(step)}) for run in runs]
        return [
            self._evaluate_offer(step, run) if step.is_project_scope else self._evaluate_run(step, run)
            for run in runs
        ]

    def _bind_artefacts(self, step: Step) -> dict[str, BoundInput]:
        found = {}
        for name, wanted in step.method.inputs.items():
            made = self.artefacts[step.inputs[name]][1] if isinstance(wanted, Artefact) else None
            if made is not None:
                found[name] = BoundInput(name, made.address, "", "", made.identity, str(made.folder))
        return found

    def _evaluate_offer(self, step: Step, run: StepRun) -> StepState:
        """Return what the session offers to a step of project scope: paths, and as key the identities there."""
        paths = {name: one.path for name, one in run.inputs.items()}
        try:
            identities = {name: self._identify_input(one) for name, one in run.inputs.items()}
        except NwbpipeError as error:
            return self._make_state(
                step, "blocked", f"{error.problem.what}: {error.problem.where}", run.run, inputs=paths
            )
        if None in identities.values():
            return self._make_state(step, "unverified", "the file changed", run.run, inputs=paths)
        return self._make_state(step, "done", "", run.run, inputs=paths, key=canonical_json(identities))

    def _check_upstream(self, step: Step, before: Sequence[StepState]) -> StepState | None:
        """Return the state of a step whose inputs are not there, or not as they will be."""
        if self.content.error:
            return self._make_state(step, "blocked", self.content.error)
        for name in step.upstream:  # its sessions were not looked at yet
            if self.project.steps[name].is_project_scope and name not in self.artefacts:
                return self._make_state(step, "missing", f"after {name}")
        conversion = next((one for one in before if one.step == CONVERT), None)
        rebuild = self.result.conversion is not None and self.result.conversion.rebuild
        needed = [one for one in before if one.step in step.upstream and one.step not in self.artefacts]
        needed += [self.artefacts[name][0] for name in step.upstream if name in self.artefacts]
        if conversion is not None and (not self.file_exists or (rebuild and conversion.state != "ignored")):
            needed.insert(0, conversion)
        elif not self.file_exists:
            return self._make_state(step, "blocked", "there is no NWB file")
        for one in needed:
            if one.state in ("blocked", "failed", "ignored"):
                return self._make_state(step, "blocked", f"{one.run} is {one.state}")
        for one in needed:
            if one.state in ("stale", "missing", "running"):
                has = self._find_record(step.name) is not None or self._has_fanned_out(step)
                why = f"{one.run} is {one.state}" if has else f"after {one.run}"
                return self._make_state(step, "stale" if has else "missing", why)
        return None

    def _has_fanned_out(self, step: Step) -> bool:
        steps = self.project.steps
        return any(
            record.step.startswith(f"{step.name}_") and record.step not in steps and not record.superseded
            for record in self.content.records
        )

    def _find_record(self, run: str) -> RunRecord | None:
        return self.content.check_outputs(find_current_record(self.content.records, run))

    def _evaluate_run(self, step: Step, run: StepRun) -> StepState:
        paths = {name: one.path for name, one in run.inputs.items()}
        record = self._find_record(run.run)
        try:
            identities = {name: self._identify_input(one) for name, one in run.inputs.items()}
        except NwbpipeError as error:
            self.result.unread = True
            return self._make_state(
                step, "blocked", f"{error.problem.what}: {error.problem.where}", run.run, inputs=paths
            )
        known = {name: identity for name, identity in identities.items() if identity is not None}
        facts = self.tools[step.name]
        result = record.run_id if record else ""
        if len(known) < len(identities):
            # Without the content of the inputs: is all the rest as it was?
            if record is None:
                return self._make_state(step, "missing", "", run.run, facts=facts, inputs=paths)
            known = {one.name: one.identity for one in record.inputs}
            if compute_key(step.method, step.params, step.primary, step.seed, known) == record.key:
                why = "the file changed, and its content was not looked at since"
                return self._make_state(step, "unverified", why, run.run, inputs=paths, key=record.key, result=result)
        key = compute_key(step.method, step.params, step.primary, step.seed, known)
        if record is not None and record.key == key:
            stale = explain_staleness(record, facts, step.policy)
            if not stale:
                return self._make_state(step, "done", "", run.run, inputs=paths, key=key, result=result)
            return self._make_pending_state(step, "stale", stale, run.run, facts, key, paths, result)
        if record is not None:
            told = "; ".join(
                describe_differences(record, step.method, step.params.model_dump(mode="json"), step.seed, known)
            )
            return self._make_pending_state(step, "stale", told, run.run, facts, key, paths, result)
        return self._make_pending_state(step, "missing", "", run.run, facts, key, paths, result)

    def _identify_input(self, one: BoundInput) -> str | None:
        if one.folder:
            return one.identity
        path = one.path
        if path not in self.identities:
            self.identities[path] = session_file.retry_after_conflicts(lambda: self._identify_object(path))
        return self.identities[path]

    def _identify_object(self, path: str) -> str | None:
        file = self.session.file
        known = self.cache.identify(file, path) if self.may_hash else self.cache.look_up(file, path)
        if known is None:
            return None
        self.result.files |= self.cache.list_dependencies(file, path)
        return known.identity

    def _make_pending_state(
        self,
        step: Step,
        state: State,
        reason: str,
        run: str,
        facts: ToolFacts,
        key: str,
        paths: Mapping[str, str],
        result: str,
    ) -> StepState:
        """Return the state of a run that is to be made: it may have failed already, or lack its tool."""
        failed = self.failures.get(run, ())
        if failed and failed[-1][0] == key:
            return self._make_state(
                step,
                "failed",
                failed[-1][1],
                run,
                facts=facts,
                inputs=paths,
                key=key,
                result=result,
                log=failed[-1][2],
            )
        return self._make_state(step, state, reason, run, facts=facts, inputs=paths, key=key, result=result)

    def _make_state(
        self,
        step: Step,
        state: State,
        reason: str,
        run: str = "",
        *,
        facts: ToolFacts | None = None,
        inputs: Mapping[str, str] | None = None,
        key: str = "",
        result: str = "",
        log: str = "",
    ) -> StepState:
        ready = facts is not None and state not in SOUND
        if facts is not None and facts.missing:
            state, reason, ready = "blocked", facts.missing, False
        return StepState(
            self.session.key,
            step.name,
            run or step.name,
            state,
            reason,
            ready,
            key,
            dict(inputs or {}),
            result,
            log,
        )
