"""Find the states of all steps of one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from nwbpipe.errors import InputError, NwbpipeError
from nwbpipe.processors import Artefact, BoundInput
from nwbpipe.project._sessions import Session, find_ignore_reason
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project.plan._changes import describe_changes, describe_taken_names
from nwbpipe.project.plan._conversion import ConversionState, SpecContent, apply_failure, evaluate_conversion
from nwbpipe.project.plan._inputs import StepRun, complete_params, expand_runs, find_absent_input
from nwbpipe.project.plan._state import CONVERT, SOUND, SessionOffer, SessionPlan, State, StepState
from nwbpipe.project.plan._tools import ToolFacts, explain_staleness
from nwbpipe.project.state import FileStats
from nwbpipe.provenance import Identity, IdentityCache, RunRecord, find_current_record, own_name
from nwbpipe.run import StoredArtefact, compute_key, describe_differences
from nwbpipe.session import CURATION, NwbObject, SessionFile, Snapshot, retry_after_conflicts

# By step: key, error text and log of its failed runs, oldest first.
Failures = Mapping[str, Sequence[tuple[str, str, str]]]
# By step of project scope: its state, and the current artefact.
Artefacts = Mapping[str, tuple[StepState, StoredArtefact | None]]


@dataclass
class Evaluation:
    """The states of a session's steps, and the files that they depend on.

    Attributes
    ----------
    plan : SessionPlan
    offers : list of SessionOffer
        The session's inputs for steps of project scope.
    conversion : ConversionState or None
        None if the project begins with NWB files.
    files : set of str
        All files that the states depend on.
    unread : bool
        True if the session file, or an input in it, could not be read.
    """

    plan: SessionPlan
    offers: list[SessionOffer] = field(default_factory=list)
    conversion: ConversionState | None = None
    files: set[str] = field(default_factory=set)
    unread: bool = False


@dataclass
class _FileContent:
    """The snapshot of a session's NWB file; without one, the file is missing or can't be read."""

    snapshot: Snapshot | None = None
    error: str = ""

    @property
    def records(self) -> Sequence[RunRecord]:
        return self.snapshot.records if self.snapshot else ()

    @property
    def candidates(self) -> Sequence[NwbObject]:
        return self.snapshot.objects if self.snapshot else ()


def evaluate(
    project: ProjectSpec,
    session: Session,
    spec: SpecContent | None,
    tools: Mapping[str, ToolFacts],
    failures: Failures,
    file_stats: FileStats,
    artefacts: Artefacts,
    *,
    limit: int,
) -> Evaluation:
    """Find the states of all steps of a session, and its inputs for steps of project scope.

    Parameters
    ----------
    project : ProjectSpec
    session : Session
    spec : SpecContent or None
        None if the project begins with NWB files.
    tools : mapping of str to ToolFacts
        By step: its compute source, and the tool that would run it.
    failures : mapping
        Failed runs by step, oldest first.
    file_stats : FileStats
        Stats of local and remote files.
    artefacts : mapping of str to (StepState, StoredArtefact or None)
        By step of project scope, as far as its sessions are evaluated already.
    limit : int
        Files up to that size, in bytes, may be hashed now; a step with larger ones is "unverified".
    """
    file_exists = file_stats.stat(session.file) is not None
    content = _read_content(session.file) if file_exists else _FileContent()
    result = Evaluation(SessionPlan(session.key, ()), files={str(session.file)}, unread=bool(content.error))
    states: list[StepState] = []
    if spec is not None:
        conversion = _ignore_conversion(project, session) or evaluate_conversion(
            spec, file_exists, find_current_record(content.records, CONVERT), file_stats, limit=limit
        )
        conversion = apply_failure(conversion, failures.get(CONVERT, ()))
        result.conversion = conversion
        result.files |= set(spec.files)
        states.append(_make_conversion_state(session, conversion, content, failures.get(CONVERT, ())))
    may_hash = file_stats.read_size(session.file) <= limit
    walk = _StepEvaluator(project, session, content, result, tools, failures, artefacts, may_hash, file_exists)
    for step in project.steps.values():
        if step.is_project_scope:
            if step.reads_sessions:
                result.offers += walk.evaluate_offers(step, states)
        else:
            states += walk.evaluate_step(step, states)
    result.plan = SessionPlan(session.key, tuple(states))
    return result


def _read_content(path: Path | str) -> _FileContent:
    try:
        return _FileContent(SessionFile.at(path).snapshot())
    except NwbpipeError as error:
        return _FileContent(error=f"{error.problem.what}: {error.problem.found or str(path).rpartition('/')[2]}")
    except OSError as error:
        return _FileContent(error=f"the NWB file can't be opened: {error}")


def _ignore_conversion(project: ProjectSpec, session: Session) -> ConversionState | None:
    reason = find_ignore_reason(project, session, CONVERT)
    return None if reason is None else ConversionState("ignored", reason)


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
    """Evaluate the steps of a session, in order."""

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
        file_exists: bool,
    ) -> None:
        self.project, self.session, self.content, self.result = project, session, content, result
        self.tools, self.failures, self.artefacts = tools, failures, artefacts
        self.may_hash, self.file_exists = may_hash, file_exists
        current = [record for record in content.records if not record.superseded and record.step != CONVERT]
        self.output_paths = [output.path for record in current for output in record.outputs]
        self.given_paths = [o.path for record in current if record.processor == CURATION for o in record.outputs]
        self.cache = IdentityCache()
        self.identities: dict[str, str | None] = {}
        self.hashed = self._identify_recorded(current) if may_hash else {}

    def _identify_recorded(self, records: Sequence[RunRecord]) -> dict[str, Identity]:
        """Identify in one opening what runs read and wrote; not of ignored steps, whose videos may be long."""
        steps = [name for name in self.project.steps if not find_ignore_reason(self.project, self.session, name)]
        records = [record for record in records if f"{record.step}_".startswith(tuple(f"{name}_" for name in steps))]
        paths = {item.path for record in records for item in record.inputs if item.identity and not item.is_artefact}
        paths |= {own_name(item.path) for record in records for item in record.outputs if item.identity}
        with suppress(NwbpipeError):  # of one of them: each is asked for by itself, and says it
            if ordered := sorted(paths):
                return dict(zip(ordered, self.cache.identify_all(self.session.file, ordered), strict=True))
        return {}

    def evaluate_step(self, step: Step, earlier: Sequence[StepState]) -> list[StepState]:
        """Return the states of a step's runs, given the states of the earlier steps."""
        runs = self._expand_runs(step, earlier)
        return [runs] if isinstance(runs, StepState) else [self._evaluate_run(step, run) for run in runs]

    def evaluate_offers(self, step: Step, earlier: Sequence[StepState]) -> list[SessionOffer]:
        """Return the session's inputs for a step of project scope."""
        runs = self._expand_runs(step, earlier)
        if isinstance(runs, StepState) and runs.state == "blocked" and not self.content.error:
            absent = find_absent_input(step, self.content.candidates, self.output_paths, self.given_paths)
            if absent is not None:
                runs = self._make_state(step, "ignored", f"it has no object for the input {absent!r}")
        return [SessionOffer(runs)] if isinstance(runs, StepState) else [self._make_offer(step, run) for run in runs]

    def _expand_runs(self, step: Step, earlier: Sequence[StepState]) -> list[StepRun] | StepState:
        """Return the runs of a step with their inputs, or its state if it can't have any yet."""
        reason = find_ignore_reason(self.project, self.session, step.name)
        if reason is not None:
            return self._make_state(step, "ignored", reason)
        waiting = self._check_upstream(step, earlier)
        if waiting is not None:
            return waiting
        upstream = {
            name: [
                (state.run.removeprefix(name).removeprefix("_"), record)
                for state in earlier
                if state.step == name and (record := self._find_record(state.run)) is not None
            ]
            for name in step.upstream
            if name not in self.artefacts
        }
        try:
            runs = expand_runs(step, self.content.candidates, upstream, self.output_paths, self.given_paths)
        except InputError as error:
            problem = error.problem
            return self._make_state(step, "blocked", f"{problem.what}{': ' + problem.found if problem.found else ''}")
        clash = next((run.run for run in runs if run.run != step.name and run.run in self.project.steps), None)
        if clash is not None:
            return self._make_state(step, "blocked", f"two steps would write one container: {clash}")
        return [replace(run, inputs={**run.inputs, **self._bind_artefacts(step)}) for run in runs]

    def _bind_artefacts(self, step: Step) -> dict[str, BoundInput]:
        bound = {}
        for name, declared in step.method.inputs.items():
            artefact = self.artefacts[step.inputs[name]][1] if isinstance(declared, Artefact) else None
            if artefact is not None:
                bound[name] = BoundInput(name, artefact.address, "", "", artefact.identity, str(artefact.folder))
        return bound

    def _make_offer(self, step: Step, run: StepRun) -> SessionOffer:
        paths = {name: item.path for name, item in run.inputs.items()}
        try:
            identities = self._identify_inputs(run)
        except NwbpipeError as error:
            reason = f"{error.problem.what}: {error.problem.where}"
            return SessionOffer(self._make_state(step, "blocked", reason, run.run, inputs=paths))
        if len(identities) < len(run.inputs):
            return SessionOffer(self._make_state(step, "unverified", "the file changed", run.run, inputs=paths))
        return SessionOffer(self._make_state(step, "done", "", run.run, inputs=paths), identities)

    def _check_upstream(self, step: Step, earlier: Sequence[StepState]) -> StepState | None:
        """Return the state of a step whose inputs are missing or will change; else None."""
        if self.content.error:
            return self._make_state(step, "blocked", self.content.error)
        for name in step.upstream:  # an artefact whose sessions are not evaluated yet
            if self.project.steps[name].is_project_scope and name not in self.artefacts:
                return self._make_state(step, "missing", f"after {name}")
        conversion = next((state for state in earlier if state.step == CONVERT), None)
        rebuild = self.result.conversion is not None and self.result.conversion.rebuild
        needed = [state for state in earlier if state.step in step.upstream]
        needed += [self.artefacts[name][0] for name in step.upstream if name in self.artefacts]
        if conversion is not None and (not self.file_exists or (rebuild and conversion.state != "ignored")):
            needed.insert(0, conversion)
        elif not self.file_exists:
            return self._make_state(step, "blocked", "there is no NWB file")
        for state in needed:
            if state.state in ("blocked", "failed", "ignored"):
                return self._make_state(step, "blocked", f"{state.run} is {state.state}")
        for state in needed:
            if state.state in ("stale", "missing", "running"):
                if self._find_record(step.name) is not None or self._has_fanned_out(step):
                    return self._make_state(step, "stale", f"{state.run} is {state.state}")
                return self._make_state(step, "missing", f"after {state.run}")
        return None

    def _has_fanned_out(self, step: Step) -> bool:
        steps = self.project.steps
        return any(
            record.step.startswith(f"{step.name}_") and record.step not in steps and not record.superseded
            for record in self.content.records
        )

    def _find_record(self, run: str) -> RunRecord | None:
        return self.content.snapshot.find_result(run) if self.content.snapshot else None

    def _evaluate_run(self, step: Step, run: StepRun) -> StepState:
        paths = {name: item.path for name, item in run.inputs.items()}
        record = self._find_record(run.run)
        try:
            identities = self._identify_inputs(run)
            params = complete_params(step, run, self.session.file)
        except NwbpipeError as error:
            self.result.unread = True
            return self._make_state(
                step, "blocked", f"{error.problem.what}: {error.problem.where}", run.run, inputs=paths
            )
        facts = self.tools[step.name]
        result = record.run_id if record else ""
        if len(identities) < len(run.inputs):
            # The content of the inputs is not known: is everything else as recorded?
            if record is None:
                return self._make_state(step, "missing", "", run.run, facts=facts, inputs=paths)
            identities = {item.name: item.identity for item in record.inputs}
            if compute_key(step.method, params, step.primary, step.seed, identities) == record.key:
                reason = "the file changed, and its content was not read since"
                return self._make_state(
                    step, "unverified", reason, run.run, inputs=paths, key=record.key, result=result
                )
        key = compute_key(step.method, params, step.primary, step.seed, identities)
        changed = self._describe_changes(step, run.run, record)
        if changed:  # not stale: `run` would replace what somebody changed
            return self._make_state(step, "blocked", changed, run.run, inputs=paths, key=key, result=result)
        if record is not None and record.key == key:
            reason = explain_staleness(record, facts, step.policy)
            if not reason:
                return self._make_state(step, "done", "", run.run, inputs=paths, key=key, result=result)
            return self._make_pending_state(step, "stale", reason, run.run, facts, key, paths, result)
        if record is not None:
            reason = "; ".join(
                describe_differences(record, step.method, params.model_dump(mode="json"), step.seed, identities)
            )
            return self._make_pending_state(step, "stale", reason, run.run, facts, key, paths, result)
        return self._make_pending_state(step, "missing", "", run.run, facts, key, paths, result)

    def _describe_changes(self, step: Step, run: str, record: RunRecord | None) -> str:
        snapshot = self.content.snapshot
        if snapshot is None:
            return ""
        if record is not None and (changes := describe_changes(record, snapshot, self._identify_path)):
            return changes
        return describe_taken_names(snapshot, step.method, run)

    def _identify_inputs(self, run: StepRun) -> dict[str, str]:
        """Return the identities of the inputs, without those that are not known."""
        identities = {name: self._identify_input(item) for name, item in run.inputs.items()}
        return {name: identity for name, identity in identities.items() if identity is not None}

    def _identify_input(self, item: BoundInput) -> str | None:
        return item.identity if item.folder else self._identify_path(item.path)

    def _identify_path(self, path: str) -> str | None:
        if path not in self.identities:
            self.identities[path] = retry_after_conflicts(lambda: self._identify_object(path))
        return self.identities[path]

    def _identify_object(self, path: str) -> str | None:
        file = self.session.file
        identity = self.hashed.get(path) or (
            self.cache.identify(file, path) if self.may_hash else self.cache.look_up(file, path)
        )
        if identity is None:
            return None
        self.result.files |= self.cache.list_dependencies(file, path)
        return identity.identity

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
        """Return the state of a run that is missing or stale: it may also have failed, or lack its tool."""
        failed = self.failures.get(run, ())
        if failed and failed[-1][0] == key:
            error, log = failed[-1][1:]
            return self._make_state(
                step, "failed", error, run, facts=facts, inputs=paths, key=key, result=result, log=log
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
