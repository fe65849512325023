"""The runner: start the runs that are ready in a plan, and update the plan when they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nwbpipe.errors import UnknownNameError
from nwbpipe.processors import Resources
from nwbpipe.processors._resources import KINDS
from nwbpipe.project._sessions import Session
from nwbpipe.project._spec import Step
from nwbpipe.project.execute._executor import Event, Executor
from nwbpipe.project.execute._job_ends import (
    JobEnd,
    count_memory_ends,
    explain_job_end,
    explain_own_end,
    record_job_end,
)
from nwbpipe.project.execute._limits import identify_job
from nwbpipe.project.execute._run_job import Job, JobOutcome
from nwbpipe.project.execute._run_options import Reporter, RunOptions, RunSummary
from nwbpipe.project.plan._planner import ALL, Planner
from nwbpipe.project.plan._state import CONVERT, SessionPlan, StepState
from nwbpipe.project.state import Lease, Leases, RunObject
from nwbpipe.provenance import digest, format_now, read_host_label
from nwbpipe.run import PROJECT

_PATIENCE_S = 5.0  # seconds for a scheduler to see that a job has ended
_POLL = 1.0  # seconds between looks at the runs of other runners


@dataclass
class _ActiveRun:
    state: StepState
    job: Job
    lease: Lease
    tries: int


class Runner:
    """Run the steps that are missing or stale in a project's sessions.

    Parameters
    ----------
    planner : Planner
    sessions : sequence of Session
    create_executor : callable
        Creates the executor; called if there is something to do.
    options : RunOptions
    reporter : Reporter, optional
    stopped : callable, optional
        Called between events; the run stops once it returns True.
    """

    def __init__(
        self,
        planner: Planner,
        sessions: Sequence[Session],
        create_executor: Callable[[], Executor],
        options: RunOptions,
        reporter: Reporter | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.planner, self.options, self.reporter = planner, options, reporter
        self._create_executor = create_executor
        self.sessions = {session.key: session for session in sessions}
        self.stopped = stopped
        self.leases = Leases(planner.state)
        self.summary = RunSummary()
        self._plans: dict[str, SessionPlan] = {}
        self._running: dict[int, _ActiveRun] = {}
        self._tried: set[tuple[str, str, str]] = set()
        self._elsewhere: dict[tuple[str, str], float] = {}
        self._begun = 0
        self._over = False
        self._last_active = time.monotonic()
        self._wanted = select_steps(planner.project.steps, options.steps)

    def run(self) -> RunSummary:
        """Run until there is nothing more to do."""
        try:
            self._refresh_plans()
            states = [state for plan in self._plans.values() for state in plan.steps if self._is_wanted(state)]
            if states:
                self._execute(states)
            elif self.reporter is not None:
                self.reporter.on_plan([], "all steps are done, or blocked")
            self.summary.interrupted = self.stopped()
        except KeyboardInterrupt:
            self.summary.interrupted = True
        finally:
            self.planner.store_fresh()
            self.leases.close()
        self._summarize()
        return self.summary

    def _execute(self, states: Sequence[StepState]) -> None:
        """Run states, and those that become ready through them."""
        self.executor = self._create_executor()
        try:
            if self.reporter is not None:
                self.reporter.on_plan(states, self.executor.about)
            while not self.stopped():
                self._start_ready()
                if not self._running and (not self._elsewhere or self._is_idle()):
                    break
                for event in self.executor.wait(_POLL):
                    self._handle_event(event)
                self._refresh_elsewhere()
        finally:
            self._over = True
            self.executor.close()
            for event in self.executor.wait(0):
                self._handle_event(event)

    def _is_idle(self) -> bool:
        """Return True if only other runners have had runs for so long that this one shall end."""
        return self.options.idle_s is not None and time.monotonic() - self._last_active > self.options.idle_s

    # Starting runs ------------------------------------------------------------------------------------

    def _is_wanted(self, state: StepState) -> bool:
        return is_runnable(state, self._wanted, self.options.retry_failed)

    def _has_open_steps(self, plan: SessionPlan) -> bool:
        return any(self._is_wanted(state) for state in plan.steps) or any(
            state.state == "blocked" for state in plan.steps
        )

    def _start_ready(self) -> None:
        """Start the runs that are ready, as far as the executor has room."""
        limit, max_failures = self.options.limit, self.options.max_failures
        for key in list(self._plans):
            for state in self._plans[key].steps:
                if (limit is not None and self._begun >= limit) or (
                    max_failures is not None and len(self.summary.failed) >= max_failures
                ):
                    return
                if self._is_ready(state):
                    resources = self._choose_resources(state)
                    if self.options.kinds and resources.kind not in self.options.kinds:
                        self._leave_to_others(state)
                    elif reason := self.executor.explain_refusal(resources):
                        if self._is_memory_grown(state, resources):
                            self._leave_to_others(state)
                            continue
                        self._tried.add((key, state.run, state.key))
                        self.summary.blocked.append(replace(state, state="blocked", reason=reason))
                    elif self.executor.fits(resources):
                        self._start(state, resources)
                    elif not self.executor.fits(Resources()):
                        return

    def _is_ready(self, state: StepState) -> bool:
        return (
            state.ready
            and self._is_wanted(state)
            and (state.session, state.run, state.key) not in self._tried
            and (state.session, state.run) not in self._elsewhere
            and not any(
                (active.state.session, active.state.run) == (state.session, state.run)
                for active in self._running.values()
            )
            and not self._waits_for_conversion(state)
        )

    def _waits_for_conversion(self, state: StepState) -> bool:
        """Return True if a step waits for a conversion, or a conversion for steps: it replaces their file."""
        running = [active.state for active in self._running.values() if active.state.session == state.session]
        return bool(running) if state.step == CONVERT else any(active.step == CONVERT for active in running)

    def _choose_resources(self, state: StepState) -> Resources:
        if state.step == CONVERT:
            return Resources()
        resources = self.planner.project.steps[state.step].resources
        if resources.memory_growth == 1.0:
            return resources
        factor = resources.memory_growth ** count_memory_ends(state, self.planner.runs)
        return replace(resources, memory_gb=resources.memory_gb * factor)

    def _is_memory_grown(self, state: StepState, resources: Resources) -> bool:
        return state.step != CONVERT and resources != self.planner.project.steps[state.step].resources

    def _start(self, state: StepState, resources: Resources, tries: int = 0) -> None:
        about = {"session": state.session, "step": state.run, **identify_job()}
        if getattr(self.executor, "tells_begin", False):
            about["waits"] = "a worker"
        lease = self.leases.take(lease_name(state), **about)
        if lease is None:
            self._elsewhere[state.session, state.run] = time.monotonic()
            return
        if self._is_job_killed_again(state, lease):
            return
        if lease.previous is not None:  # its job may have been killed for its memory: it needs more now
            resources = self._choose_resources(state)
            if self.executor.explain_refusal(resources):
                self.leases.release(lease)
                self._leave_to_others(state)
                return
        self._last_active = time.monotonic()
        session, project = self.sessions.get(state.session), self.planner.project  # project scope: no session
        job = Job(
            str(project.path), project.profile, state.session, session.subject_id if session else "",
            session.session_id if session else "", str((session and session.spec) or ""),
            str(session.file) if session else "", state.step, state.run, state.key, dict(state.inputs),
            state.session_inputs, self.executor.choose_threads(resources), resources.gpu, resources.disk_gb,
            resources.time_limit_s, resources.gpu_memory_gb, lease.path, self.leases.owner,
            resources.memory_gb,
        )  # fmt: skip
        token = self.executor.submit(job, resources)
        self._running[token] = _ActiveRun(state, job, lease, tries)
        self._begun += tries == 0
        if self.reporter is not None:
            self.reporter.on_start(state)

    # Events -------------------------------------------------------------------------------------------

    def _handle_event(self, event: Event) -> None:
        if event.notice:
            tell = getattr(self.reporter, "on_notice", None)
            if tell is not None:
                tell(event.notice)
            return
        running = self._running.get(event.token)
        if running is None:
            return
        state = running.state
        if event.begun:
            self.leases.change(running.lease, waits="")
            return
        if event.ended is None and not event.lost:
            if self.reporter is not None:
                self.reporter.on_progress(state, event.fraction, event.text)
            return
        del self._running[event.token]
        # A worker of somebody's own scheduler computes on when we have ended, and keeps the lease.
        outlives = self._over and getattr(self.executor, "workers_outlive", False)
        self.leases.release(running.lease, adopted=not outlives)
        self._last_active = time.monotonic()
        if event.ended is None or event.ended.ending == "interrupted":
            if getattr(self.executor, "is_out_of_time", False) and (end := explain_own_end()):
                self._record_job_end(state, end, running.lease.content)
            if self._over or self.stopped():  # don't start it again
                return
            if event.lost and (end := explain_job_end(event.job, self.planner.state, patience_s=_PATIENCE_S)):
                if not self._record_job_end(state, end, running.lease.content):
                    self._start(state, self._choose_resources(state), running.tries)
                    return
                self._end(running, JobOutcome("failed", text=end.text), is_told=True)
                return
            resources = self._choose_resources(state)
            if self._is_memory_grown(state, resources) and self.executor.explain_refusal(resources):
                self._leave_to_others(state)
                if self.reporter is not None:
                    self.reporter.on_end(state, event.ended or JobOutcome("interrupted"))
                return
            if running.tries < self.planner.project.executor.retries:
                self._start(state, resources, running.tries + 1)
                return
        self._end(running, event.ended or self._record_lost_worker(running))

    def _end(self, running: _ActiveRun, ended: JobOutcome, *, is_told: bool = False) -> None:
        """Count the outcome of a run, unless it `is_told` in the summary already."""
        state = running.state
        self._tried.add((state.session, state.run, state.key))
        if ended.ending == "done":
            self.summary.done += ended.computed
            self.summary.done_elsewhere += not ended.computed
        elif not is_told:
            into = self.summary.uncommitted if ended.ending == "held" else self.summary.failed
            into.append((state.session, state.run, ended.text))
        if self.reporter is not None:
            self.reporter.on_end(state, ended)
        self._refresh_session(state.session)

    def _leave_to_others(self, state: StepState) -> None:
        """Leave a run to workers of its kind, or with the memory that it has grown to."""
        self._tried.add((state.session, state.run, state.key))
        self.summary.for_other_workers += 1

    def _is_job_killed_again(self, state: StepState, lease: Lease) -> bool:
        """Record how the job ended that had the run before; return True if too many jobs ended so."""
        end = explain_job_end(lease.previous, self.planner.state) if lease.previous is not None else None
        if end is None or not self._record_job_end(state, end, lease.previous):
            return False
        self.leases.release(lease)
        self._tried.add((state.session, state.run, state.key))
        self._elsewhere[state.session, state.run] = time.monotonic()  # its plan is made again
        return True

    def _record_job_end(self, state: StepState, end: JobEnd, lease: Mapping[str, Any] | None) -> bool:
        """Record the end of a job that had a run; return True if the run failed, after its retries."""
        retries = self.planner.project.executor.retries
        failed = record_job_end(end, lease or {}, state, self.planner.runs, retries) == "failed"
        if failed:
            self.summary.failed.append((state.session, state.run, end.text))
        return failed

    def _record_lost_worker(self, running: _ActiveRun) -> JobOutcome:
        """Record a run whose workers died again and again, perhaps for lack of memory."""
        state, now = running.state, format_now()
        text = f"its worker died {running.tries + 1} times"
        error = {"code": "NP216", "text": f"{text}\n  next:     give it more memory, or see the system's messages"}
        run_id = digest(f"{running.lease.path}{now}")[:32]
        run = RunObject(run_id, state.key, state.session, state.run, "failed", now, now, read_host_label(), error)
        self.planner.runs.add(run)
        return JobOutcome("failed", text=error["text"])

    def _refresh_plans(self) -> None:
        """Find the states of all sessions."""
        self._keep_plans(self.planner.make_plans(list(self.sessions.values()), limit=ALL, running=False))

    def _refresh_session(self, key: str) -> None:
        """Find the states of a session again, and those that depend on them."""
        self._keep_plans(self.planner.refresh_plans(key, self.sessions, limit=ALL))

    def _keep_plans(self, plans: Mapping[str, SessionPlan]) -> None:
        """Keep the plans in which something is left to do."""
        for key, plan in plans.items():
            if self._has_open_steps(plan) and (key != PROJECT or self.options.project_scope):
                self._plans[key] = plan
            else:
                self._plans.pop(key, None)

    def _refresh_elsewhere(self) -> None:
        """Look again at the runs that another runner computes."""
        for (session, run), since in list(self._elsewhere.items()):
            if time.monotonic() - since >= _POLL:
                del self._elsewhere[session, run]
                if session in self._plans:
                    self._refresh_session(session)

    def _summarize(self) -> None:
        for plan in self._plans.values():
            for state in plan.steps:
                if self._wanted is not None and state.step not in self._wanted:
                    continue
                if state.state == "blocked":
                    self.summary.blocked.append(state)
                elif (
                    state.ready
                    and self._is_wanted(state)
                    and (state.session, state.run, state.key) not in self._tried
                ):
                    self.summary.not_started += 1


def select_steps(steps: Mapping[str, Step], names: Sequence[str]) -> set[str] | None:
    """Return the given steps, and those that they need; None means all."""
    if not names:
        return None
    if unknown := [name for name in names if name not in steps and name != CONVERT]:
        msg = f"there is no step {', '.join(map(repr, unknown))}"
        raise UnknownNameError(msg, expected=", ".join(steps), hint="see [steps] in nwbpipe.toml")
    selected, pending = {CONVERT}, list(names)
    while pending:
        name = pending.pop()
        if name not in selected:
            selected.add(name)
            pending += steps[name].upstream
    return selected


def is_runnable(state: StepState, selected: set[str] | None, retry_failed: bool) -> bool:
    """Return True if a run of the selected steps computes a step in this state, now or later."""
    if selected is not None and state.step not in selected:
        return False
    return state.state in ("missing", "stale", "running") or (state.state == "failed" and retry_failed)


def lease_name(state: StepState) -> str:
    """Return the name of a run's lease: two steps with the same key write two results, so each has a lease."""
    if state.step == CONVERT:
        return f"convert-{digest(state.session)[:40]}"
    return f"run-{digest(f'{state.session} {state.run} {state.key}')[:40]}"


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return kinds of workers; refuse a name that is none."""
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        msg = f"there is no kind of worker {', '.join(map(repr, unknown))}"
        raise UnknownNameError(msg, expected=", ".join(KINDS))
    return tuple(kinds)
