"""The Dask executor: a running scheduler, workers on this machine, or a cluster's jobs."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from nwbpipe.errors import FileAccessError
from nwbpipe.processors import Resources
from nwbpipe.project._model import ExecutorSpec, WorkerKind
from nwbpipe.project.execute._clusters import (
    DaskWorkers,
    declare_resources,
    format_resources,
    list_worker_kinds,
    make_cloud_cluster,
)
from nwbpipe.project.execute._dask_security import (
    LOOPBACK_PAGES,
    NO_PAGES,
    PROTOCOL,
    create_certificate,
    keep_certificate,
    require,
)
from nwbpipe.project.execute._executor import Event
from nwbpipe.project.execute._jobqueue import JOBQUEUES, JobWorkers
from nwbpipe.project.execute._limits import identify_job
from nwbpipe.project.execute._run_job import Job, JobOutcome, execute_job
from nwbpipe.project.execute._worker_fit import explain_misfit, read_walltime

_CONNECT_S = 30
_AHEAD = 2  # jobs per worker: one that runs, and one that waits
_RESENDS = 20  # times that a job is sent again because a worker was lost before it began


@dataclass
class _SentJob:
    """A job at Dask; `begun` and `scheduler_job` are set once a worker has begun it."""

    client: Any
    job: Job
    resources: Resources
    future: Any = None
    resends: int = 0
    begun: bool = False
    scheduler_job: dict[str, str] = field(default_factory=dict)


def request_resources(resources: Resources) -> dict[str, float]:
    """Return the abstract resources that a run needs of a Dask worker: a slot, its kind, and GPUs."""
    requested = {"slots": 1.0}
    if resources.kind != "standard":
        requested[f"kind-{resources.kind}"] = 1.0
    if resources.gpu:
        requested["gpu"] = float(resources.gpu)
    return requested


def _execute(values: dict[str, Any], topic: str, token: int) -> dict[str, Any]:
    """Run a job on a worker; tell that it begins, and add the worker's address to a failure."""
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(topic, {"token": token, **identify_job()})
    outcome = execute_job(values)
    if outcome["ending"] == "failed":
        outcome["text"] += f"\n  worker:   {worker.address}"
    return outcome


class DaskExecutor:
    """Compute jobs on Dask workers, one at a time each.

    Parameters
    ----------
    spec : ExecutorSpec
        With ``address`` a running scheduler is used; otherwise a cluster of its kind is started.
    """

    tells_begin = True

    def __init__(self, spec: ExecutorSpec) -> None:
        self._distributed = require("distributed")
        self._spec = spec
        self.workers_outlive = spec.address is not None
        self._stack = ExitStack()
        self._happened: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._sent: dict[int, _SentJob] = {}
        self._tokens = 0
        self._topic = f"nwbpipe-{uuid.uuid4().hex}"
        self._closed = False
        self._feasible: set[str] = set()  # resources that a worker has had
        self._kinds = list_worker_kinds(spec)
        self._walltimes = self._read_walltimes()
        self._workers: dict[str, DaskWorkers] = {}
        try:
            clusters = self._start_clusters(spec)
            self._clients = {
                kind: self._stack.enter_context(self._connect(cluster, spec)) for kind, cluster in clusters.items()
            }
            for client in self._clients.values():
                client.subscribe_topic(self._topic, self._note_begin)
        except BaseException:
            self._stack.close()
            raise

    def _read_walltimes(self) -> dict[str, int | None]:
        if self._spec.kind not in JOBQUEUES:
            return {}
        hours_first = self._spec.kind == "lsf"
        return {name: read_walltime(name, kind, hours_first=hours_first) for name, kind in self._kinds.items()}

    def _start_clusters(self, spec: ExecutorSpec) -> dict[str, Any]:
        """Start the clusters; return a cluster or an address for each kind of worker."""
        config = require("dask").config
        # The runner counts lost workers; the scheduler must not start a run again by itself.
        self._stack.enter_context(config.set({"distributed.scheduler.allowed-failures": 0}))
        if spec.address is not None:
            return {"": spec.address}
        if spec.kind == "cloud":
            for kind, worker in self._kinds.items():
                self._keep(kind, DaskWorkers(make_cloud_cluster(spec, kind, worker), worker, adaptive=spec.adaptive))
            return {kind: workers.cluster for kind, workers in self._workers.items()}
        if not any(worker.options.get("scheduler_options") for worker in self._kinds.values()):
            self._stack.enter_context(config.set(NO_PAGES))
        security = create_certificate()
        if spec.kind not in JOBQUEUES:
            return {"": self._stack.enter_context(self._start_local_cluster(security))}
        files = self._stack.enter_context(keep_certificate(security, spec.state_folder / "dask"))
        for kind, worker in self._kinds.items():
            self._keep(kind, JobWorkers(spec, kind, worker, files, spec.state_folder))
        return {kind: workers.cluster for kind, workers in self._workers.items()}

    def _keep(self, kind: str, workers: DaskWorkers) -> None:
        self._workers[kind] = workers
        self._stack.callback(workers.close)

    def _start_local_cluster(self, security: Any) -> Any:
        """Start a scheduler, and a process for each worker with the resources of its kind, on this machine.

        Other users of this machine reach its ports, too: they are closed to all without the certificate.
        """
        distributed = self._distributed
        closed = {"host": "127.0.0.1", "protocol": PROTOCOL, "security": security}
        pages = {"dashboard": False, "dashboard_address": LOOPBACK_PAGES}
        workers: dict[int, Any] = {}
        for kind, worker in self._kinds.items():
            for _ in range(worker.workers):
                options = {
                    "silence_logs": 50,
                    "nthreads": 1,
                    "resources": declare_resources(kind, worker),
                    "preload": ["nwbpipe.project.execute._dask_worker"],
                }
                workers[len(workers)] = {"cls": distributed.Nanny, "options": options | closed | pages}
        scheduler = {"cls": distributed.Scheduler, "options": closed | pages}
        return distributed.SpecCluster(workers=workers, scheduler=scheduler, security=security, silence_logs=50)

    def _connect(self, cluster: Any, spec: ExecutorSpec) -> Any:
        try:
            return self._distributed.Client(cluster, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:  # ValueError: not an address
            if spec.address is None:
                raise
            msg = "there is no Dask scheduler at that address"
            raise FileAccessError(
                msg, where=spec.address, found=str(error), hint="start one, or leave `address` out"
            ) from error

    @property
    def about(self) -> str:
        """See `Executor.about`."""
        lines = []
        for kind, client in self._clients.items():
            name = f" of the {kind} workers" if len(self._clients) > 1 else ""
            if self._spec.address is not None or self._shows_pages(kind):
                lines.append(f"Dask dashboard{name}: {client.dashboard_link}")
        if self._spec.address is not None:
            lines.append(f"{len(self._list_workers())} workers at {self._clients[''].scheduler.address}")
        elif lines and find_spec("bokeh") is None:
            lines.append("it shows graphs once the package bokeh is installed")
        elif not lines:
            location = "on this machine" if self._spec.kind not in JOBQUEUES else f"in jobs of {self._spec.kind}"
            lines.append(f"{sum(kind.workers for kind in self._kinds.values())} Dask workers {location}")
        return "; ".join(lines)

    def _shows_pages(self, kind: str) -> bool:
        return self._spec.kind == "cloud" or "scheduler_options" in self._kinds.get(kind, WorkerKind()).options

    def _list_workers(self) -> list[dict[str, float]]:
        """Return the resources of each connected worker."""
        infos = [client.scheduler_info(n_workers=-1)["workers"] for client in self._clients.values()]
        return [worker.get("resources", {}) for info in infos for worker in info.values()]

    def _choose_client(self, resources: Resources) -> Any:
        if "" in self._clients:
            return self._clients[""]
        if resources.kind == "standard" and "standard" not in self._clients:
            return next(iter(self._clients.values()))
        return self._clients.get(resources.kind)

    def explain_refusal(self, resources: Resources) -> str:
        """See `Executor.explain_refusal`."""
        if self._spec.address is not None:  # workers come and go at a scheduler that is not ours
            needed = request_resources(resources)
            words = format_resources(needed)
            if words not in self._feasible:
                workers = self._list_workers()
                if not workers or any(all(worker.get(n, 0) >= v for n, v in needed.items()) for worker in workers):
                    self._feasible.add(words)
            if words in self._feasible:
                return ""
            return f"no worker of that scheduler can take it: start one with --nthreads 1 --resources {words}"
        fitting = [
            worker
            for name, worker in self._kinds.items()
            if resources.kind in ("standard", name) and worker.gpu >= resources.gpu
        ]
        if not fitting:
            gpus = f"{resources.gpu} GPUs"
            return f"no worker of the kind {resources.kind!r} with {gpus}: see [executor.kinds] in nwbpipe.toml"
        if self._choose_client(resources) is None:
            return f"no workers of the kind {resources.kind!r}"
        return self._explain_misfit(resources)

    def _explain_misfit(self, resources: Resources) -> str:
        """Return why a run does not fit the jobs of its kind; "" if it does."""
        if self._spec.kind not in JOBQUEUES:
            return ""
        client = self._choose_client(resources)
        kind = next(name for name, candidate in self._clients.items() if candidate is client)
        misfit = explain_misfit(resources, self._kinds[kind], self._walltimes[kind])
        return f"[executor.kinds.{kind}] {misfit}" if misfit else ""

    def fits(self, resources: Resources) -> bool:
        """See `Executor.fits`."""
        fixed = self._spec.address is None
        workers = sum(kind.workers for kind in self._kinds.values()) if fixed else len(self._list_workers())
        return len(self._sent) < _AHEAD * max(1, workers)

    def choose_threads(self, resources: Resources) -> int:
        """See `Executor.choose_threads`."""
        kind = self._kinds.get(resources.kind) or self._kinds.get("standard")
        return resources.cpu or (kind.cores if kind else 1)

    def submit(self, job: Job, resources: Resources) -> int:
        """See `Executor.submit`."""
        self._tokens += 1
        self._sent[self._tokens] = _SentJob(self._choose_client(resources), job, resources)
        self._send(self._tokens)
        return self._tokens

    def _send(self, token: int) -> None:
        sent = self._sent[token]
        name = f"{sent.job.run}-{sent.job.session}-{token}-{sent.resends}"
        sent.future = future = sent.client.submit(
            _execute, asdict(sent.job), self._topic, token, key=f"nwbpipe-{name}-{id(self)}", pure=False, retries=0,
            resources=request_resources(sent.resources),
        )  # fmt: skip
        future.add_done_callback(lambda done: self._happened.put(self._make_event(token, done)))

    def _note_begin(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Keep that a worker has begun a job, and the job of a scheduler that it runs in; called by Dask's thread."""
        _, values = event
        if (sent := self._sent.get(values.get("token", 0))) is not None:
            sent.scheduler_job = {name: str(value) for name, value in values.items() if name != "token"}
            sent.begun = True
            self._happened.put(Event(values["token"], begun=True))

    def _make_event(self, token: int, future: Any) -> Event:
        if future.status == "finished":
            return Event(token, JobOutcome(**future.result()))
        if future.status == "error":
            error = future.exception()
            if isinstance(error, self._distributed.scheduler.KilledWorker):
                return Event(token, lost=True)
            hint = "install the same version of nwbpipe on the worker"
            return Event(
                token, JobOutcome("failed", text=f"the worker could not run it: {error!r}\n  next:     {hint}")
            )
        return Event(token, lost=True)

    def wait(self, timeout: float) -> list[Event]:
        """See `Executor.wait`."""
        events = self._tend()
        with suppress(queue.Empty):
            events.append(self._happened.get(timeout=timeout) if timeout else self._happened.get_nowait())
            while True:
                events.append(self._happened.get_nowait())
        return [self._settle(event) for event in events if not self._resend(event)]

    def _tend(self) -> list[Event]:
        """Start the workers that are needed; return notices."""
        notices = []
        for kind, workers in () if self._closed else self._workers.items():
            jobs = sum(sent.client is self._clients[kind] for sent in self._sent.values())
            if notice := workers.tend(jobs):
                notices.append(Event(0, notice=notice))
        return notices

    def _resend(self, event: Event) -> bool:
        """Send a job again that waited at a worker when that was lost: it was not tried."""
        sent = self._sent.get(event.token)
        if not event.lost or sent is None or sent.begun or self._closed or sent.resends >= _RESENDS:
            return False
        sent.resends += 1
        self._send(event.token)
        return True

    def _settle(self, event: Event) -> Event:
        sent = None if event.begun else self._sent.pop(event.token, None)
        return replace(event, job=sent.scheduler_job) if sent is not None and event.lost else event

    def close(self) -> None:
        """See `Executor.close`."""
        self._closed = True
        for sent in self._sent.values():
            with suppress(Exception):
                sent.future.cancel()
        self._stack.close()
