"""Open a project: show the states of its steps, and run what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nwbpipe.environments import use_settings
from nwbpipe.errors import Problem, RequestError, UnknownNameError
from nwbpipe.project._load import load_project
from nwbpipe.project._model import ExecutorSpec
from nwbpipe.project._sessions import Session, restrict
from nwbpipe.project._spec import ProjectSpec
from nwbpipe.project._state_folder import find_state_folder, make_state_folder
from nwbpipe.project._trust import require_trust
from nwbpipe.project.execute import Reporter, Runner, RunOptions, RunSummary
from nwbpipe.project.execute._clean_up import clean_up
from nwbpipe.project.execute._executor import Executor
from nwbpipe.project.execute._kinds import make_executor
from nwbpipe.project.execute._runner import check_kinds, is_runnable, select_steps
from nwbpipe.project.plan import Planner, SessionPlan, StepState
from nwbpipe.project.plan._planner import ALL, QUICK
from nwbpipe.project.state import RunObject
from nwbpipe.provenance import build_prov, merge_prov
from nwbpipe.quality import ThresholdSet
from nwbpipe.run import PROJECT, Difference, list_artefacts, verify_run
from nwbpipe.session import read_records

if TYPE_CHECKING:
    import pyarrow as pa

    from nwbpipe.catalog import Catalog
    from nwbpipe.export import Selection
    from nwbpipe.review import SessionQuality


@dataclass(frozen=True)
class ProjectStatus:
    """The states of all steps of a project's sessions.

    Attributes
    ----------
    plans : list of SessionPlan
        One per session, sorted by key.
    problems : list of Problem
        Specs and files that can't be read.
    """

    plans: list[SessionPlan]
    problems: list[Problem] = field(default_factory=list)

    def counts(self) -> Mapping[str, Counter[str]]:
        """Return the number of sessions in each state, by step."""
        counts: dict[str, Counter[str]] = {}
        for plan in self.plans:
            for state in plan.steps:
                counts.setdefault(state.step, Counter())[state.state] += 1
        return counts

    def as_dict(self) -> dict[str, Any]:
        """Return the states as JSON values."""
        return {
            "sessions": {plan.session: [state.as_dict() for state in plan.steps] for plan in self.plans},
            "counts": {step: dict(states) for step, states in self.counts().items()},
            "problems": [str(problem) for problem in self.problems],
        }


class Project:
    """A project of many sessions.

    Parameters
    ----------
    path : path, optional
        Its ``nwbpipe.toml``, or its folder; by default the nearest one upwards from the current folder.
    profile : str, optional
        Profile that gives the stores; ``NWBPIPE_PROFILE`` by default.

    Examples
    --------
    >>> project = Project("nwbpipe.toml")  # doctest: +SKIP
    >>> project.status().counts()["suite2p_fast"]  # doctest: +SKIP
    Counter({'done': 41, 'missing': 3})
    >>> project.run().done  # doctest: +SKIP
    3
    """

    def __init__(self, path: Path | str | None = None, *, profile: str | None = None) -> None:
        self.spec: ProjectSpec = load_project(path, profile=profile)
        self.planner = Planner(self.spec)

    def require_trust(self) -> None:
        """Refuse to go on if nwbpipe.toml names programs, and the user does not trust it.

        Raises
        ------
        UntrustedError
            The message names the programs; ``nwbpipe trust`` keeps the user's decision.
        """
        require_trust(self.spec)

    def sessions(self, patterns: Sequence[str] = (), where: str | None = None) -> tuple[list[Session], list[Problem]]:
        """Find sessions.

        Parameters
        ----------
        patterns : sequence of str
            Keys (``subject/session``) or patterns of keys; all by default.
        where : str, optional
            A condition in SQL on the fields of subject and session.

        Returns
        -------
        list of Session
            Sorted by key.
        list of Problem
            Specs and files that can't be read.
        """
        sessions, problems = self.planner.list_sessions()
        return restrict(sessions, patterns, where), problems

    def status(
        self, sessions: Sequence[str] = (), where: str | None = None, *, verify: bool = False
    ) -> ProjectStatus:
        """Return the states of all steps.

        Parameters
        ----------
        sessions, where
            See `sessions`.
        verify : bool
            Read also large files that may have changed; otherwise their steps are "unverified".
        """
        selected, problems = self.sessions(sessions, where)
        plans = self.planner.make_plans(selected, limit=ALL if verify else QUICK)
        return ProjectStatus(
            [plans[key] for key in (PROJECT, *(session.key for session in selected)) if key in plans], problems
        )

    def state(self, session: str, step: str) -> list[StepState]:
        """Return the states of one step, or of one of its runs, in one session.

        Raises
        ------
        UnknownNameError
            The project has no such step.
        """
        target = None if session == PROJECT else self._find_session(session)
        plan = self.planner.make_plans([target] if target else []).get(
            target.key if target else PROJECT, SessionPlan(session, ())
        )
        states = [state for state in plan.steps if step in (state.step, state.run)]
        if not states:
            msg = f"there is no step {step!r}"
            raise UnknownNameError(msg, expected=", ".join(dict.fromkeys(state.step for state in plan.steps)))
        return states

    def pending(
        self,
        sessions: Sequence[str] = (),
        where: str | None = None,
        *,
        steps: Sequence[str] = (),
        retry_failed: bool = False,
    ) -> list[StepState]:
        """Return the steps that `run` would compute, also those that wait for others; for parameters see `run`."""
        all_sessions, _ = self.planner.list_sessions()
        selected = restrict(all_sessions, sessions, where)
        step_names = select_steps(self.spec.steps, steps)
        plans = self.planner.make_plans(selected, limit=ALL)
        if len(selected) < len(all_sessions):
            plans.pop(PROJECT, None)
        states = [state for plan in plans.values() for state in plan.steps]
        return [
            state for state in states if state.state != "running" and is_runnable(state, step_names, retry_failed)
        ]

    def run(
        self,
        sessions: Sequence[str] = (),
        where: str | None = None,
        *,
        steps: Sequence[str] = (),
        executor: str | Executor | None = None,
        workers: int | None = None,
        retry_failed: bool = False,
        max_failures: int | None = None,
        limit: int | None = None,
        kinds: Sequence[str] = (),
        idle_s: float | None = None,
        reporter: Reporter | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> RunSummary:
        """Compute steps that are missing or stale.

        Parameters
        ----------
        sessions, where
            See `sessions`. Steps of project scope run only if all sessions are selected.
        steps : sequence of str
            Run only these steps, and the steps that they need.
        executor : str or Executor, optional
            "local", "dask", "slurm", "pbs", "sge", "lsf" or "cloud"; by default that of nwbpipe.toml.
        workers : int, optional
            Number of runs at the same time.
        retry_failed : bool
            Run also steps that failed before with the same inputs and parameters.
        max_failures : int, optional
            Start no more runs after this number of failures.
        limit : int, optional
            Start at most this number of runs.
        kinds : sequence of str
            Compute only steps for these kinds of workers ("standard", "imaging", "ephys", "video"); all by default.
        idle_s : float, optional
            End after this number of seconds in which only other runners had runs; by default wait for them.
        reporter : Reporter, optional
            Receives the progress.
        stopped : callable, optional
            Called between events; the run stops once it returns True.

        Returns
        -------
        RunSummary
            The runs that were done, failed or could not start. A failure in one session does not stop the others.

        Raises
        ------
        UntrustedError
            nwbpipe.toml names programs, and the user has not said that it is trusted.
        """
        self.require_trust()
        self.planner.allow_programs()
        make_state_folder(self.spec)
        if executor is None or isinstance(executor, str):
            self.executor_spec(kind=executor, workers=workers)  # refuses bad values even if nothing is to be done
        all_sessions, _ = self.planner.list_sessions()
        selected = restrict(all_sessions, sessions, where)
        has_all = len(selected) == len(all_sessions)
        options = RunOptions(tuple(steps), retry_failed, max_failures, limit, has_all, check_kinds(kinds), idle_s)

        def create_executor() -> Executor:
            return self.executor(executor, workers) if executor is None or isinstance(executor, str) else executor

        runner = Runner(self.planner, selected, create_executor, options, reporter, stopped)  # refuses unknown steps
        media = clean_up(self.planner, selected)
        summary = runner.run()
        summary.media = media
        return summary

    def executor(self, kind: str | None = None, workers: int | None = None) -> Executor:
        """Return the executor of nwbpipe.toml; arguments override its settings."""
        self.require_trust()
        return make_executor(self.executor_spec(kind=kind, workers=workers))

    def quality(
        self,
        sessions: Sequence[str] = (),
        where: str | None = None,
        *,
        step: str | None = None,
        thresholds: ThresholdSet | None = None,
    ) -> tuple[list[SessionQuality], list[Problem]]:
        """Return the quality verdicts in the files of the sessions.

        Parameters
        ----------
        sessions, where
            See `sessions`.
        step, thresholds
            See `nwbpipe.review.verdicts`.

        Returns
        -------
        list of SessionQuality
            One per session, sorted by key.
        list of Problem
            Specs and files that can't be read.
        """
        from nwbpipe.review import read_session_quality

        selected, problems = self.sessions(sessions, where)
        files = {
            session.key: session.file
            for session in selected
            if self.planner.file_stats.stat(session.file) is not None
        }
        qualities = [
            read_session_quality(session.key, files.get(session.key), step=step, thresholds=thresholds)
            for session in selected
        ]
        return qualities, problems

    def catalog(self, *, progress: Callable[[int, int], None] | None = None) -> Catalog:
        """Return SQL tables of all session files of the project, up to date; see `nwbpipe.catalog.Catalog`.

        Parameters
        ----------
        progress : callable, optional
            Called with the number of files that were read, and of those that are to be read.
        """
        from nwbpipe.catalog import Catalog, CatalogFile

        stats = self.planner.file_stats
        sessions, problems = self.sessions()
        files = [
            CatalogFile(str(session.file), repr(stat))
            for session in sessions
            if (stat := stats.stat(session.file)) is not None
        ]
        catalog = Catalog(self.planner.state)
        catalog.refresh(files, progress)
        catalog.problems += problems
        return catalog

    def query(self, sql: str) -> pa.Table:
        """Return the answer to a query in SQL on all session files, as an Arrow table (``.to_pandas()``)."""
        return self.catalog().query(sql)

    def select(self, text: str) -> Selection:
        """Return the data of what a query finds in all session files, read as they are asked for.

        Parameters
        ----------
        text : str
            A table and a condition in SQL: ``"units WHERE firing_rate > 1"``, ``"series WHERE type =
            'TwoPhotonSeries'"``; see `nwbpipe.export.Selection`.

        Examples
        --------
        >>> units = project.select("units JOIN subjects USING (subject_id) WHERE genotype = 'wt'")  # doctest: +SKIP
        >>> tree = units.align(around="trials.go_cue", window=(-1, 2), bin=0.01)  # doctest: +SKIP
        """
        from nwbpipe.export import Selection

        return Selection(self.catalog(), text)

    def runs(self) -> list[RunObject]:
        """Return all runs of the project, also failed ones, oldest first."""
        return list(self.planner.runs.iter_runs())

    def lineage(self) -> dict[str, Any]:
        """Return the lineage of all results of the project, as W3C PROV-JSON."""
        documents = []
        for session in self.sessions()[0]:
            if self.planner.file_stats.stat(session.file) is not None:
                documents.append(build_prov(read_records(session.file), session.key))
        for step in self.spec.steps.values():
            if step.is_project_scope:
                records = [artefact.record for artefact in list_artefacts(self.planner.models, step.name)]
                documents.append(build_prov(records, PROJECT))
        return merge_prov(documents)

    def job_scripts(self, kind: str | None = None) -> str:
        """Return the job scripts that would be submitted to a cluster's scheduler, one per kind of worker."""
        from nwbpipe.project.execute._jobqueue import render_job_scripts

        self.require_trust()
        return render_job_scripts(self.executor_spec(kind=kind))

    def executor_spec(self, **settings: Any) -> ExecutorSpec:
        """Return the executor's settings in nwbpipe.toml; arguments override them."""
        values = self.spec.executor.model_dump() | {name: value for name, value in settings.items() if value}
        try:
            return ExecutorSpec.model_validate(values).in_folder(find_state_folder(self.spec))
        except ValidationError as error:
            fault = error.errors()[0]
            expected = fault["msg"].removeprefix("Input should be ")
            msg = "the settings of the executor are not valid"
            raise RequestError(msg, expected=expected, found=repr(fault["input"])) from error

    def verify(self, session: str, step: str, **options: Any) -> list[Difference]:
        """Compute a run again in scratch, from its record, and compare; see `nwbpipe.run.verify_run`."""
        if session == PROJECT:
            msg = "an artefact can't be verified, only the steps that read it"
            raise RequestError(msg, where=f"{session} {step}", hint="give a session, and a step that reads it")
        self.require_trust()
        with use_settings(self.planner.tool_settings):
            return verify_run(self._find_session(session).file, step, place=self.spec.locate, **options)

    def _find_session(self, session: str) -> Session:
        """Return the session with this key or pattern."""
        sessions, _ = self.sessions([session])
        if len(sessions) > 1:
            msg = f"{session!r} matches several sessions"
            raise RequestError(msg, found=", ".join(match.key for match in sessions[:10]), hint="name one of them")
        return sessions[0]
