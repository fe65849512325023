"""Plan a whole project: find the states of all its steps, and cache them in its index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
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
from nwbpipe.project.plan._conversion import SpecContent, list_raw_files, read_spec_content
from nwbpipe.project.plan._describe import describe_sessions, map_sessions
from nwbpipe.project.plan._evaluate import Artefacts, Evaluation, Failures, evaluate
from nwbpipe.project.plan._state import SessionOffer, SessionPlan, StepState
from nwbpipe.project.plan._tools import ToolFacts, collect_facts, format_facts, read_tool_settings
from nwbpipe.project.state import FileStats, Index, Leases, RunStore, Stats, are_settled
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.run import MODELS, PROJECT, StoredArtefact
from nwbpipe.session import SessionFile
from nwbpipe.stores import open_store

QUICK = 64 * 2**20  # bytes: a status hashes no larger files
ALL = 2**62
_AT_ONCE = 500  # sessions whose entries of the index are in memory
_IndexedSpec = tuple[str, Any, Stats]  # context, `SpecContent` as plain values, and the stats of its files


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
        self._specs: dict[str, _IndexedSpec | None] = {}  # of the sessions of `load_specs`; None: not in the index
        self._fresh_specs: dict[str, _IndexedSpec] = {}

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
        fresh: list[tuple[str, str, Any, Any]] = []

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
        self.index.store("session", fresh)
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
        fresh: list[tuple[str, str, Any, Any]] = []
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
        evaluation = self.evaluate(sessions[key], limit=limit)
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
        artefacts = {name: _summarize_artefact(*artefact) for name, artefact in self.artefacts.items()}
        artefacts_digest = digest(canonical_json(artefacts)) if artefacts else ""
        results: dict[str, tuple[SessionPlan, list[SessionOffer]]] = {}
        inputs: dict[Any, Mapping[str, str]] = {}
        left_out = {} if known is None else {"key": "", "result": ""}
        for start in range(0, len(sessions), _AT_ONCE):
            part = sessions[start : start + _AT_ONCE]
            indexed = self.index.load(kind, [session.key for session in part])
            contexts = {}
            for session in part:
                failed = sorted(failures.get(session.key, {}).items())
                contexts[session.key] = f"{self._context} {session.file} {failed} {artefacts_digest}"
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
            self.index.store(kind, fresh)
        return results

    def _evaluate_anew(
        self, sessions: Sequence[Session], failures: Mapping[str, Failures], limit: int
    ) -> Iterator[tuple[dict[str, Any], Stats | None]]:
        """Yield the states and offers of sessions for the index, and the stats of their files if they may be kept."""
        fresh_specs: dict[str, Any] = {}

        def evaluate_one(session: Session) -> tuple[dict[str, Any], Stats | None, dict[str, Any]]:
            self._fresh_specs = {}
            return *self._evaluate_for_index(session, failures.get(session.key, {}), limit), self._fresh_specs

        self._load_specs(sessions)
        for value, stats, specs in map_sessions(evaluate_one, sessions, self.project):
            fresh_specs |= specs
            yield value, stats
        self._fresh_specs = fresh_specs
        self._store_specs()

    def _evaluate_for_index(
        self, session: Session, failed: Failures, limit: int
    ) -> tuple[dict[str, Any], Stats | None]:
        old_stats = self.file_stats.stats(self._files(session))
        evaluation = self._evaluate(session, failed, limit)
        stats = self.file_stats.stats(evaluation.files)
        value = {
            "limit": limit,
            "steps": [state.as_dict() for state in evaluation.plan.steps],
            "offers": [[offer.state.as_dict(), dict(offer.identities)] for offer in evaluation.offers],
        }
        # A remote file that could not be read may be readable next time, with the same tag.
        may_recover = evaluation.unread and not SessionFile.at(session.file).is_local
        is_same = all(stats.get(name) == stat for name, stat in old_stats.items())
        # At rest now, not when it is stored: a change in this moment may leave the same stat.
        return value, stats if is_same and not may_recover and are_settled(stats) else None

    def evaluate(self, session: Session, failed: Failures | None = None, *, limit: int = QUICK) -> Evaluation:
        """Evaluate one session, whose files are looked at again; artefacts are as `make_plans` found them."""
        self.file_stats.refresh(whole_stores=False)
        if failed is None:
            failed = self.read_failures(session.key).get(session.key, {})
        try:
            return self._evaluate(session, failed, limit)
        finally:
            self._store_specs()

    def _evaluate(self, session: Session, failed: Failures, limit: int) -> Evaluation:
        spec = self.read_spec(session)
        evaluation = evaluate(
            self.project, session, spec, self.tools, failed, self.file_stats, self.artefacts, limit=limit
        )
        if spec is not None:
            evaluation.files |= set(list_raw_files(spec, self.file_stats))
        return evaluation

    def load_specs(self, sessions: Sequence[Session]) -> Iterator[Session]:
        """Yield sessions whose specs are wanted: what the index has of them is loaded together, some at a time.

        The specs of all sessions would take a gigabyte of memory where there are a hundred thousand.
        """
        for start in range(0, len(sessions), _AT_ONCE):
            part = sessions[start : start + _AT_ONCE]
            self._load_specs(part)
            yield from part
            self._store_specs()

    def _load_specs(self, sessions: Sequence[Session]) -> None:
        names = [str(session.spec) for session in sessions if session.spec is not None]
        self._specs = {**dict.fromkeys(names), **self.index.load_with_stats("spec", names)}

    def _store_specs(self) -> None:
        fresh, self._fresh_specs = self._fresh_specs, {}
        self.index.store("spec", [(name, context, stats, value) for name, (context, value, stats) in fresh.items()])
        self._specs = {}

    def read_spec(self, session: Session) -> SpecContent | None:
        """Return the content of a session's spec; None if the session has none."""
        if session.spec is None:
            return None
        name = str(session.spec)
        context = digest(canonical_json([__version__, dict(self.project.stores)]))
        entry = self._fresh_specs.get(name) or self._specs.get(name)
        if entry is None and name not in self._specs:
            entry = self.index.load_with_stats("spec", [name]).get(name)
        if entry is not None:
            indexed_context, value, stats = entry
            if indexed_context == context and self.file_stats.stats(stats) == stats:
                sources = tuple((a, b, c) for a, b, c in value["sources"])
                return SpecContent(value["parameters"], sources, tuple(value["files"]), value["error"])
        stat = self.file_stats.stat(session.spec)
        spec = read_spec_content(session.spec, self.project)
        stats = self.file_stats.stats(spec.files)
        if not spec.error and stats.get(name) == stat and are_settled(stats):
            self._fresh_specs[name] = context, asdict(spec), stats
        return spec

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
