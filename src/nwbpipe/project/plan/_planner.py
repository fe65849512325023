"""Plan a whole project: find the states of all its steps, and cache them in its index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any

from nwbpipe import __version__
from nwbpipe.environments import use_settings
from nwbpipe.errors import NwbpipeError, Problem, RequestError
from nwbpipe.project._sessions import Session, find_sessions
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project.plan._artefact_state import evaluate_artefact, offer_folders
from nwbpipe.project.plan._conversion import list_raw_files
from nwbpipe.project.plan._describe import describe_sessions, map_sessions
from nwbpipe.project.plan._evaluate import Artefacts, Evaluation, Failures, evaluate
from nwbpipe.project.plan._spec_index import AT_ONCE, SpecIndex
from nwbpipe.project.plan._state import SessionOffer, SessionPlan, StepState
from nwbpipe.project.plan._tools import ToolFacts, collect_facts, format_facts, read_tool_settings
from nwbpipe.project.state import FileStats, Index, Leases, RunStore, Stats
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.run import MODELS, PROJECT, StoredArtefact
from nwbpipe.session import SessionFile
from nwbpipe.stores import open_store

QUICK = 64 * 2**20  # bytes: a status hashes no larger files
ALL = 2**62
Entry = tuple[str, str, Stats, Any]  # of the index: see `Index.store`


class Planner:
    """Find the states of a project's steps.

    Parameters
    ----------
    project : ProjectSpec
    may_run : bool
        True if the programs that nwbpipe.toml names may be started, to ask them for their versions.
    """

    def __init__(self, project: ProjectSpec, *, may_run: bool = False) -> None:
        self._may_run = may_run
        self.project = project
        self.tool_settings = read_tool_settings(project)
        self.file_stats = FileStats(project.open_stores)
        self.index = Index(project.path, project.profile, self.file_stats.stat)
        self.state = open_store(project.stores["state"][0], base=project.folder)
        self.runs = RunStore(self.state)
        self.artefacts: Artefacts = {}
        self._offers: dict[str, list[SessionOffer]] = {}  # by session
        self.specs = SpecIndex(project, self.index, self.file_stats)
        self._fresh: dict[str, dict[str, Entry]] = {}  # by kind and name, of sessions that were evaluated again

    # Sessions -----------------------------------------------------------------------------------------

    def list_sessions(self, known: Sequence[Session] = ()) -> tuple[list[Session], list[Problem]]:
        """Find the project's sessions, and the specs that can't be read; files are looked at again.

        Fields that are as those of a session in `known` are these, as are plans in `make_plans`.
        """
        self.file_stats.refresh(whole_stores=True)
        fields_by_place = {str(session.spec or session.file): session.fields for session in known}
        indexed: dict[str, tuple[str, str, Mapping[str, str]]] = {}
        for name, _, (subject, session, fields), _ in self.index.iterate("session"):
            if fields != fields_by_place.get(name):
                fields_by_place[name] = {intern(field): intern(value) for field, value in fields.items()}
            indexed[name] = subject, session, fields_by_place[name]
        fresh: list[Entry] = []

        def describe(paths: Sequence[Path | str]) -> Iterator[tuple[str, str, Mapping[str, str]] | NwbpipeError]:
            unknown = [path for path in paths if str(path) not in indexed]
            described = describe_sessions(unknown, self.project, self.file_stats)
            for path in paths:
                if str(path) in indexed:
                    yield indexed[str(path)]
                    continue
                description = next(described)
                if isinstance(description, NwbpipeError):
                    yield description
                    continue
                subject, session, read, stats = description
                fields = {intern(name): intern(value) for name, value in read.items()}
                if stats is not None:
                    fresh.append((str(path), "", stats, [subject, session, fields]))
                yield subject, session, fields

        sessions = find_sessions(self.project, describe, self.file_stats.list_entries)
        self.index.store("session", fresh, are_final=True)
        return sessions

    # States -------------------------------------------------------------------------------------------

    @cached_property
    def tools(self) -> dict[str, ToolFacts]:
        """The compute source and the tool of each step."""
        with use_settings(self.tool_settings):
            return collect_facts(self.project.steps.values(), self.index, may_run=self._may_run)

    def allow_programs(self) -> None:
        """Allow to start the programs that nwbpipe.toml names; what is known of tools is asked again."""
        if not self._may_run:
            self._may_run = True
            for name in ("tools", "_context"):
                self.__dict__.pop(name, None)

    @cached_property
    def _context(self) -> str:
        """Digest of everything that the states depend on, except files."""
        steps = [
            [
                *(step.name, step.method.name, step.method.revision, step.params.model_dump(mode="json")),
                *(dict(step.inputs), step.seed, step.primary, step.policy),
            ]
            for step in self.project.steps.values()
        ]
        rules = [rule.model_dump() for rule in self.project.ignore]
        stores = dict(self.project.stores)
        parts = [__version__, steps, rules, stores, self.project.raw_identity, format_facts(self.tools)]
        return digest(canonical_json(parts))

    def read_failures(self, session: str = "") -> dict[str, Failures]:
        """Return failed runs by session and step; run objects never change, so they are cached in the index."""
        paths = self.runs.list_failures(session)
        if not paths:
            return {}
        newest = [names[-1] for names in paths.values()]
        indexed = {name: value for name, (_, value) in self.index.load("failure", newest).items()}
        fresh: list[Entry] = []
        failures: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        for (session, step), names in paths.items():
            name = names[-1]  # the newest one
            if name not in indexed:
                try:
                    run = self.runs.read(name)
                except NwbpipeError:
                    continue
                text = (run.error or {}).get("text", "")
                indexed[name] = [run.key, text.partition("\n")[0], run.log]
                fresh.append((name, "", {}, indexed[name]))
            key, text, log = indexed[name]
            failures.setdefault(session, {})[step] = [(key, text, log)]
        self.index.store("failure", fresh)
        return dict(failures)

    def make_plans(
        self,
        sessions: Sequence[Session],
        *,
        limit: int = QUICK,
        running: bool = True,
        known: Mapping[str, SessionPlan] | None = None,
    ) -> dict[str, SessionPlan]:
        """Return the plan of each session, by its key.

        The states of steps of project scope are a plan under the key `PROJECT`. With `running`, runs that are
        computed now, here or elsewhere, have the state "running". Remote files are as `list_sessions` found them.
        With `known`, the plans are to be shown again and again: an unchanged one is that of `known`, and the keys
        and results of the runs in sessions are left out, so that ten thousand sessions take little memory.
        """
        if not sessions and not self._project_steps:
            return {}
        failures = self.read_failures()
        plans: dict[str, SessionPlan] = {}
        self.artefacts = {}
        if self._project_steps:
            all_sessions, _ = self.list_sessions()
            if any(session.key == PROJECT for session in all_sessions):
                msg = f"the key {PROJECT!r} of a session is reserved for steps of project scope"
                raise RequestError(msg, where=str(self.project.path), hint="give the session another session_id")
            for step in self._project_steps:  # each may read the artefact of an earlier one
                evaluations = self._evaluate_all(all_sessions, failures, limit, f"status before {step.name}")
                self._offers = {key: offers for key, (_, offers) in evaluations.items()}
                self.artefacts = {**self.artefacts, step.name: self._evaluate_artefact(step, failures)}
            plans[PROJECT] = self._make_project_plan(self.artefacts)
        for key, (plan, _) in self._evaluate_all(sessions, failures, limit, "status", known).items():
            plans[key] = plan
        if running:
            self._show_running(plans)
        return plans

    def refresh_plans(
        self, key: str, sessions: Mapping[str, Session], *, limit: int = QUICK
    ) -> dict[str, SessionPlan]:
        """Evaluate one session, or the artefacts, again; return the plans of `sessions` that may have changed.

        All sessions are evaluated again only if an artefact that they read changed, or can be computed now: the end
        of one run costs the same however many sessions the project has.

        Parameters
        ----------
        key : str
            Key of the session, or `PROJECT`.
        sessions : mapping of str to Session
            The sessions whose plans are wanted, as for the call of `make_plans` before, by their keys.
        limit : int
            See `evaluate`.
        """
        if key == PROJECT:
            return self.make_plans(list(sessions.values()), limit=limit, running=False)
        evaluation = self._evaluate_again(sessions[key], limit)
        if not self._project_steps:
            return {key: evaluation.plan}
        self._offers[key] = evaluation.offers
        failures = self.read_failures(PROJECT)
        artefacts = {step.name: self._evaluate_artefact(step, failures) for step in self._project_steps}
        if any(
            _summarize_artefact(*artefacts[name]) != _summarize_artefact(*self.artefacts[name]) for name in artefacts
        ):
            return self.make_plans(list(sessions.values()), limit=limit, running=False)
        return {key: evaluation.plan, PROJECT: self._make_project_plan(artefacts)}

    @cached_property
    def _project_steps(self) -> list[Step]:
        return [step for step in self.project.steps.values() if step.is_project_scope]

    def _evaluate_artefact(
        self, step: Step, failures: Mapping[str, Failures]
    ) -> tuple[StepState, StoredArtefact | None]:
        offers = [offer for offers in self._offers.values() for offer in offers if offer.state.step == step.name]
        if step.folders:
            offers.append(offer_folders(step, self.project))
        failed = failures.get(PROJECT, {}).get(step.name, ())
        return evaluate_artefact(step, offers, self.tools[step.name], failed, self.models)

    def _make_project_plan(self, artefacts: Artefacts) -> SessionPlan:
        return SessionPlan(PROJECT, tuple(state for state, _ in artefacts.values()))

    @property
    def models(self) -> Path:
        """Folder of the store of artefacts."""
        return Path(self.project.locate(f"{MODELS}://"))

    def _evaluate_all(
        self,
        sessions: Sequence[Session],
        failures: Mapping[str, Failures],
        limit: int,
        kind: str,
        known: Mapping[str, SessionPlan] | None = None,
    ) -> dict[str, tuple[SessionPlan, list[SessionOffer]]]:
        """Return the plans and offers of sessions, given `self.artefacts`; the index caches them under `kind`."""
        results: dict[str, tuple[SessionPlan, list[SessionOffer]]] = {}
        inputs: dict[Any, Mapping[str, str]] = {}
        left_out = {} if known is None else {"key": "", "result": ""}
        for start in range(0, len(sessions), AT_ONCE):
            part = sessions[start : start + AT_ONCE]
            indexed = self.index.load(kind, [session.key for session in part])
            artefacts = self._digest_artefacts()
            contexts = {
                session.key: self._describe_context(session, failures.get(session.key, {}), artefacts)
                for session in part
            }
            evaluated = {
                key: value for key, (context, value) in indexed.items()
                if context == contexts[key] and value["limit"] >= limit
            }  # fmt: skip
            fresh = []
            unknown = [session for session in part if session.key not in evaluated]
            for session, (value, stats) in zip(unknown, self._evaluate_anew(unknown, failures, limit), strict=True):
                evaluated[session.key] = value
                if stats is not None:
                    fresh.append((session.key, contexts[session.key], stats, value))
            for session in part:
                value = evaluated.pop(session.key)
                steps = [StepState.from_dict({**values, **left_out}, inputs) for values in value["steps"]]
                plan = SessionPlan(session.key, tuple(steps))
                if known is not None and plan == known.get(session.key):
                    plan = known[session.key]
                offers = [SessionOffer(StepState.from_dict(state, inputs), names) for state, names in value["offers"]]
                results[session.key] = plan, offers
            self.index.store(kind, fresh, are_final=True)
        return results

    def _digest_artefacts(self) -> str:
        artefacts = {name: _summarize_artefact(*artefact) for name, artefact in self.artefacts.items()}
        return digest(canonical_json(artefacts)) if artefacts else ""

    def _describe_context(self, session: Session, failed: Failures, artefacts: str) -> str:
        """Return what the states of a session depend on, except the content of files."""
        return f"{self._context} {session.file} {sorted(failed.items())} {artefacts}"

    def _evaluate_anew(
        self, sessions: Sequence[Session], failures: Mapping[str, Failures], limit: int
    ) -> Iterator[tuple[dict[str, Any], Stats | None]]:
        """Yield the states and offers of sessions for the index, and the stats of their files if they may be kept."""
        fresh_specs: dict[str, Any] = {}

        def evaluate_one(session: Session) -> tuple[dict[str, Any], Stats | None, dict[str, Any]]:
            self.specs.fresh = {}
            return *self._evaluate_for_index(session, failures.get(session.key, {}), limit), self.specs.fresh

        self.specs.load(sessions)
        for value, stats, specs in map_sessions(evaluate_one, sessions, self.project):
            fresh_specs |= specs
            yield value, stats
        self.specs.fresh = fresh_specs
        self.specs.store()

    def _evaluate_for_index(
        self, session: Session, failed: Failures, limit: int
    ) -> tuple[dict[str, Any], Stats | None]:
        evaluation, stats = self._evaluate_with_stats(session, failed, limit)
        return _list_values(evaluation, limit), stats

    def _evaluate_with_stats(self, session: Session, failed: Failures, limit: int) -> tuple[Evaluation, Stats | None]:
        """Evaluate a session; return with it the stats of its files if the index may keep it."""
        first_look = self.file_stats.look(self._files(session))
        evaluation = self._evaluate(session, failed, limit)
        stats = first_look.finish(evaluation.files)
        # A remote file that could not be read may be readable next time, with the same tag.
        may_recover = evaluation.unread and not SessionFile.at(session.file).is_local
        return evaluation, None if may_recover else stats

    def _evaluate_again(self, session: Session, limit: int) -> Evaluation:
        """Evaluate a session whose run has ended, and describe it again, for the index: see `store_fresh`."""
        self.file_stats.refresh(whole_stores=False)
        failed = self.read_failures(session.key).get(session.key, {})
        try:
            evaluation, stats = self._evaluate_with_stats(session, failed, limit)
        finally:
            self.specs.store()
        if stats is not None:
            context = self._describe_context(session, failed, self._digest_artefacts())
            entry = session.key, context, stats, _list_values(evaluation, limit)
            self._fresh.setdefault("status", {})[session.key] = entry
            if session.spec is None:
                self._describe_again(str(session.file))
        if any(len(entries) >= AT_ONCE for entries in self._fresh.values()):
            self.store_fresh()
        return evaluation

    def _describe_again(self, file: str) -> None:
        """Describe a session by its file, which a run has changed."""
        (description,) = describe_sessions([file], self.project, self.file_stats)
        if not isinstance(description, NwbpipeError) and description[3] is not None:
            self._fresh.setdefault("session", {})[file] = file, "", description[3], list(description[:3])

    def store_fresh(self) -> None:
        """Store in the index what `refresh_plans` has found: the next look at the project need not find it again."""
        fresh, self._fresh = self._fresh, {}
        for kind, entries in fresh.items():
            self.index.store(kind, entries.values(), are_final=True)

    def evaluate(self, session: Session, failed: Failures | None = None, *, limit: int = QUICK) -> Evaluation:
        """Evaluate one session, whose files are looked at again; artefacts are as `make_plans` found them."""
        self.file_stats.refresh(whole_stores=False)
        if failed is None:
            failed = self.read_failures(session.key).get(session.key, {})
        try:
            return self._evaluate(session, failed, limit)
        finally:
            self.specs.store()

    def _evaluate(self, session: Session, failed: Failures, limit: int) -> Evaluation:
        spec = self.specs.read(session)
        evaluation = evaluate(
            self.project, session, spec, self.tools, failed, self.file_stats, self.artefacts, limit=limit
        )
        if spec is not None:
            evaluation.files |= set(list_raw_files(spec, self.file_stats))
        return evaluation

    def _files(self, session: Session) -> list[Path | str]:
        return [session.file, *([session.spec] if session.spec else [])]

    def _show_running(self, plans: dict[str, SessionPlan]) -> None:
        names: dict[str, list[str]] = {}
        waiting: dict[str, list[str]] = {}
        for content in Leases(self.state).list_active():
            if "session" in content and "step" in content:
                for lists in (names, waiting) if content.get("waits") else (names,):
                    lists.setdefault(str(content["session"]), []).append(str(content["step"]))
        for session, running in names.items():
            if session in plans:
                plans[session] = plans[session].mark_running(running, waiting.get(session, ()))


def _summarize_artefact(state: StepState, artefact: StoredArtefact | None) -> tuple[str, bool, str, str]:
    """Return the part of an artefact's state that sessions, or a runner, depend on."""
    return state.state, state.ready, artefact.address if artefact else "", artefact.identity if artefact else ""


def _list_values(evaluation: Evaluation, limit: int) -> dict[str, Any]:
    """Return an evaluation as JSON values for the index."""
    return {
        "limit": limit,
        "steps": [state.as_dict() for state in evaluation.plan.steps],
        "offers": [[offer.state.as_dict(), dict(offer.identities)] for offer in evaluation.offers],
    }
