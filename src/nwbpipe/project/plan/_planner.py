"""The plan of a whole project, with the help of its index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from functools import cached_property
from pathlib import Path
from typing import Any

from nwbpipe import __version__
from nwbpipe.errors import NwbpipeError, Problem, RequestError
from nwbpipe.project._sessions import Session, find_sessions
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project.plan._artefact_state import evaluate_artefact
from nwbpipe.project.plan._conversion import SpecContent, list_raw_files, read_spec_content
from nwbpipe.project.plan._evaluate import Artefacts, Evaluation, Failures, evaluate
from nwbpipe.project.plan._state import SessionPlan, StepState
from nwbpipe.project.plan._tools import ToolFacts, collect_facts, format_facts, use_tools
from nwbpipe.project.state import FileStats, Index, Leases, RunStore, Stats
from nwbpipe.project.state._index import are_settled
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.run import MODELS, PROJECT
from nwbpipe.stores import is_remote, open_store

QUICK = 64 * 2**20  # bytes: a status hashes nothing larger
ALL = 2**62


class Planner:
    """Finds out what is done in a project.

    Parameters
    ----------
    project : ProjectSpec
    """

    def __init__(self, project: ProjectSpec) -> None:
        use_tools(project)
        self.project = project
        self.file_stats = FileStats(project.open_stores)
        self.index = Index(project.path, project.profile, self.file_stats.stat)
        self.state = open_store(project.stores["state"][0], base=project.folder)
        self.runs = RunStore(self.state)
        self.artefacts: Artefacts = {}
        self._fresh_specs: list[tuple[str, str, Stats, Any]] = []

    # Sessions -----------------------------------------------------------------------------------------

    def list_sessions(self) -> tuple[list[Session], list[Problem]]:
        """Look anew; find the project's sessions, and the specs that can't be read."""
        self.file_stats.refresh(whole=True)
        kept = {name: value for name, (_, value) in self.index.load("session").items()}
        fresh: list[tuple[str, str, Any, Any]] = []

        def describe(path: Path | str) -> tuple[str, str, Mapping[str, str]]:
            if str(path) in kept:
                subject, session, fields = kept[str(path)]
                return subject, session, fields
            subject, session, fields, files = _describe_session(path, self.project)
            fresh.append((str(path), "", self.file_stats.stats(files), [subject, session, dict(fields)]))
            return subject, session, fields

        found = find_sessions(self.project, describe, self.file_stats.list_entries)
        self.index.store("session", fresh)
        return found

    # States -------------------------------------------------------------------------------------------

    @cached_property
    def tools(self) -> dict[str, ToolFacts]:
        """What would compute each step."""
        return collect_facts(self.project.steps.values(), self.index)

    @cached_property
    def _context(self) -> str:
        """All but files that the states depend on."""
        steps = [
            [
                one.name, one.method.name, one.method.revision, one.params.model_dump(mode="json"), dict(one.inputs),
                one.seed, one.primary, one.policy,
            ]
            for one in self.project.steps.values()
        ]  # fmt: skip
        rules = [one.model_dump() for one in self.project.ignore]
        stores = dict(self.project.stores)
        parts = [__version__, steps, rules, stores, self.project.raw_identity, format_facts(self.tools)]
        return digest(canonical_json(parts))

    def read_failures(self) -> dict[str, Failures]:
        """Failed runs, by session and step; what an immutable object says is kept in the index."""
        paths = self.runs.list_failures()
        if not paths:
            return {}
        kept = {name: value for name, (_, value) in self.index.load("failure").items()}
        fresh: list[tuple[str, str, Any, Any]] = []
        found: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        for (session, step), names in paths.items():
            name = names[-1]  # the newest one tells
            if name not in kept:
                try:
                    run = self.runs.read(name)
                except NwbpipeError:
                    continue
                text = (run.error or {}).get("text", "")
                kept[name] = [run.key, text.partition("\n")[0], run.log]
                fresh.append((name, "", {}, kept[name]))
            key, text, log = kept[name]
            found.setdefault(session, {})[step] = [(key, text, log)]
        self.index.store("failure", fresh)
        return dict(found)

    def make_plans(
        self, sessions: Sequence[Session], *, limit: int = QUICK, running: bool = True
    ) -> dict[str, SessionPlan]:
        """Return the plan of each session, by its key; with what is `running`, here or elsewhere, shown so.

        Where there are steps of project scope, their states come first, as a plan under the key `PROJECT`. Files that
        are not on this machine are as `sessions` found them.
        """
        whole = [step for step in self.project.steps.values() if step.is_project_scope]
        if not sessions and not whole:
            return {}
        failures = self.read_failures()
        plans: dict[str, SessionPlan] = {}
        self.artefacts = {}
        if whole:
            everything, _ = self.list_sessions()
            if any(one.key == PROJECT for one in everything):
                msg = f"a session is called {PROJECT!r}, as steps of project scope are"
                raise RequestError(msg, where=str(self.project.path), hint="give it another session_id")
            for step in whole:  # each may need what was made of the one before
                looked = self._make_plans(everything, failures, limit, f"status before {step.name}")
                offers = [one for plan in looked.values() for one in plan.select_step(step.name)]
                failed = failures.get(PROJECT, {}).get(step.name, ())
                state, made = evaluate_artefact(step, offers, self.tools[step.name], failed, self.models)
                self.artefacts = {**self.artefacts, step.name: (state, made)}
            plans[PROJECT] = SessionPlan(PROJECT, tuple(state for state, _ in self.artefacts.values()))
        for key, plan in self._make_plans(sessions, failures, limit, "status").items():
            plans[key] = plan.drop_steps([step.name for step in whole])
        if running:
            self._show_running(plans)
        return plans

    @property
    def models(self) -> Path:
        """Folder of the store of artefacts."""
        return Path(self.project.locate(f"{MODELS}://"))

    def _make_plans(
        self, sessions: Sequence[Session], failures: Mapping[str, Failures], limit: int, kind: str
    ) -> dict[str, SessionPlan]:
        """Return the plans of sessions, as far as `self.artefacts` are known; `kind` names them in the index."""
        kept = self.index.load(kind)
        known_artefacts = [[name, *astuple(state)] for name, (state, _) in self.artefacts.items()]
        artefacts = digest(canonical_json(known_artefacts)) if known_artefacts else ""
        plans: dict[str, SessionPlan] = {}
        fresh = []
        for session in sessions:
            failed = failures.get(session.key, {})
            context = f"{self._context} {session.file} {sorted(failed.items())} {artefacts}"
            known = kept.get(session.key)
            if known is not None and known[0] == context and known[1]["limit"] >= limit:
                steps = tuple(StepState(**one) for one in known[1]["steps"])
                plans[session.key] = SessionPlan(session.key, steps)
                continue
            before = self.file_stats.stats(self._files(session))
            evaluation = self._evaluate(session, failed, limit)
            plans[session.key] = evaluation.plan
            stats = self.file_stats.stats(evaluation.files)
            # What could not be read from elsewhere may be readable next time, with the same tag.
            passing = evaluation.unread and is_remote(session.file)
            if not passing and all(stats.get(name) == stat for name, stat in before.items()):
                value = {"limit": limit, "steps": [asdict(one) for one in evaluation.plan.steps]}
                fresh.append((session.key, context, stats, value))
        self.index.store(kind, fresh)
        self.index.store("spec", self._fresh_specs)
        self._fresh_specs.clear()
        return plans

    def evaluate(self, session: Session, failed: Failures | None = None, *, limit: int = QUICK) -> Evaluation:
        """Look at one session anew, and find its states; steps of project scope are as `plans` found them."""
        self.file_stats.refresh(whole=False)
        if failed is None:
            failed = self.read_failures().get(session.key, {})
        found = self._evaluate(session, failed, limit)
        found.plan = found.plan.drop_steps(
            [step.name for step in self.project.steps.values() if step.is_project_scope]
        )
        return found

    def _evaluate(self, session: Session, failed: Failures, limit: int) -> Evaluation:
        spec = self.read_spec(session)
        evaluation = evaluate(
            self.project, session, spec, self.tools, failed, self.file_stats, self.artefacts, limit=limit
        )
        if spec is not None:
            evaluation.files |= set(list_raw_files(spec, self.file_stats))
        return evaluation

    def read_spec(self, session: Session) -> SpecContent | None:
        """Return what a session's spec asks for."""
        if session.spec is None:
            return None
        name = str(session.spec)
        context = digest(canonical_json([__version__, dict(self.project.stores)]))
        if name in self._specs:
            kept, value, stats = self._specs[name]
            if kept == context and self.file_stats.stats(stats) == stats:
                sources = tuple((a, b, c) for a, b, c in value["sources"])
                return SpecContent(value["parameters"], sources, tuple(value["files"]), value["error"])
        before = self.file_stats.stat(session.spec)
        spec = read_spec_content(session.spec, self.project)
        stats = self.file_stats.stats(spec.files)
        if not spec.error and stats.get(name) == before and are_settled(stats):
            self._specs[name] = (context, asdict(spec), stats)
            self._fresh_specs.append((name, context, stats, asdict(spec)))
        return spec

    @cached_property
    def _specs(self) -> dict[str, tuple[str, Any, Stats]]:
        return self.index.load_with_stats("spec")

    def _files(self, session: Session) -> list[Path | str]:
        return [session.file, *([session.spec] if session.spec else [])]

    def _show_running(self, plans: dict[str, SessionPlan]) -> None:
        names: dict[str, list[str]] = {}
        for content in Leases(self.state).list_active():
            if "session" in content and "step" in content:
                names.setdefault(str(content["session"]), []).append(str(content["step"]))
        for session, running in names.items():
            if session in plans:
                plans[session] = plans[session].mark_running(running)


def _describe_session(
    path: Path | str, project: ProjectSpec
) -> tuple[str, str, Mapping[str, str], Iterable[Path | str]]:
    if not str(path).endswith(".nwb"):
        from nwbpipe.converters import summarize_spec

        found = summarize_spec(path, stores=project.open_stores)
        return found.subject_id, found.session_id, found.fields, found.files
    fields = _read_fields(path)
    subject = fields.get("subject_id") or "unknown"
    name = str(path).replace("\\", "/").rpartition("/")[2].removesuffix(".nwb")
    return _clean_name(subject), _clean_name(fields.get("session_id") or name), fields, [path]


def _clean_name(text: str) -> str:
    return "".join("_" if letter in '/\\:*?"<>|\0' else letter for letter in text).strip(". ") or "unknown"


def _read_fields(path: Path | str) -> dict[str, str]:
    import h5py

    from nwbpipe import session as session_file

    fields: dict[str, str] = {}
    with session_file.open_hdf5(session_file.check_readable(path)) as file:
        for group in ("general/subject", "general"):
            for name, item in file.get(group, {}).items():
                if isinstance(item, h5py.Dataset) and item.shape == () and h5py.check_string_dtype(item.dtype):
                    fields[name] = item.asstr()[()]
        for name in ("session_description", "session_start_time", "identifier"):
            if name in file:
                fields[name] = file[name].asstr()[()]
    return fields
