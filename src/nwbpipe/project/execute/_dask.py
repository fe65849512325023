"""The Dask executor: a running scheduler, workers on this machine, or a cluster's jobs."""

from __future__ import annotations

import queue
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from nwbpipe.errors import FileAccessError
from nwbpipe.processors import Resources
from nwbpipe.project._model import ExecutorSpec
from nwbpipe.project.execute._clusters import declare_resources, list_worker_kinds, require, start_cluster
from nwbpipe.project.execute._executor import Event
from nwbpipe.project.execute._run_job import Job, JobOutcome, execute_job

_CONNECT_S = 30
_AHEAD = 2  # jobs per worker: one that runs, and one that waits


def request_resources(resources: Resources) -> dict[str, float]:
    """Return the abstract resources that a run needs of a Dask worker: a slot, its kind, and GPUs."""
    requested = {"slots": 1.0}
    if resources.kind != "standard":
        requested[f"kind-{resources.kind}"] = 1.0
    if resources.gpu:
        requested["gpu"] = float(resources.gpu)
    return requested


def _execute(values: dict[str, Any]) -> dict[str, Any]:
    """Run a job on a worker; add the worker's address to a failure."""
    from distributed import get_worker

    outcome = execute_job(values)
    if outcome["ending"] == "failed":
        outcome["text"] += f"\n  worker:   {get_worker().address}"
    return outcome


class DaskExecutor:
    """Compute jobs on Dask workers, one at a time each.

    Parameters
    ----------
    spec : ExecutorSpec
        With ``address`` a running scheduler is used; otherwise a cluster of its kind is started.
    """

    def __init__(self, spec: ExecutorSpec) -> None:
        self._distributed = require("distributed")
        self._stack = ExitStack()
        self._happened: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._futures: dict[int, Any] = {}
        self._tokens = 0
        self._feasible: set[str] = set()  # resources that a worker has had
        self._kinds = list_worker_kinds(spec)
        self._fixed = spec.address is None
        try:
            clusters = self._start_clusters(spec)
            self._clients = {
                kind: self._stack.enter_context(self._connect(cluster, spec)) for kind, cluster in clusters.items()
            }
        except BaseException:
            self._stack.close()
            raise

    def _start_clusters(self, spec: ExecutorSpec) -> dict[str, Any]:
        """Start the clusters; return a cluster or an address for each kind of worker."""
        config = require("dask").config
        # The runner counts lost workers; the scheduler must not start a run again by itself.
        self._stack.enter_context(config.set({"distributed.scheduler.allowed-failures": 0}))
        if spec.address is not None:
            return {"": spec.address}
        if spec.kind == "dask":
            return {"": self._stack.enter_context(self._start_local_cluster())}
        clusters = {}
        for kind, worker in self._kinds.items():
            clusters[kind] = self._stack.enter_context(start_cluster(spec, kind, worker))
        return clusters

    def _start_local_cluster(self) -> Any:
        """Start a scheduler, and a process for each worker with the resources of its kind, on this machine."""
        distributed = self._distributed
        nanny = {"cls": distributed.Nanny}
        workers: dict[int, Any] = {}
        for kind, worker in self._kinds.items():
            for _ in range(worker.workers):
                options = {
                    "silence_logs": 40,
                    "nthreads": 1,
                    "resources": declare_resources(kind, worker),
                    "host": "127.0.0.1",
                    "preload": ["nwbpipe.project.execute._dask_worker"],
                }
                workers[len(workers)] = {**nanny, "options": options}
        scheduler = {
            "cls": distributed.Scheduler,
            "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        }
        return distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=40)

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
            lines.append(f"Dask dashboard{name}: {client.dashboard_link}")
        if not self._fixed:
            lines.append(f"{len(self._list_workers())} workers at {self._clients[''].scheduler.address}")
        elif find_spec("bokeh") is None:
            lines.append("it shows graphs once the package bokeh is installed")
        return "; ".join(lines)

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
        if not self._fixed:  # workers come and go at a scheduler that is not ours
            needed = request_resources(resources)
            words = ",".join(f"{name}={value:g}" for name, value in needed.items())
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
        return "" if self._choose_client(resources) is not None else f"no workers of the kind {resources.kind!r}"

    def fits(self, resources: Resources) -> bool:
        """See `Executor.fits`."""
        workers = sum(kind.workers for kind in self._kinds.values()) if self._fixed else len(self._list_workers())
        return len(self._futures) < _AHEAD * max(1, workers)

    def choose_threads(self, resources: Resources) -> int:
        """See `Executor.choose_threads`."""
        kind = self._kinds.get(resources.kind) or self._kinds.get("standard")
        return resources.cpu or (kind.cores if kind else 1)

    def submit(self, job: Job, resources: Resources) -> int:
        """See `Executor.submit`."""
        self._tokens += 1
        token = self._tokens
        future = self._choose_client(resources).submit(
            _execute, asdict(job), key=f"nwbpipe-{job.run}-{job.session}-{token}-{id(self)}", pure=False, retries=0,
            resources=request_resources(resources),
        )  # fmt: skip
        self._futures[token] = future
        future.add_done_callback(lambda done, token=token: self._happened.put(self._make_event(token, done)))
        return token

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
        events = []
        with suppress(queue.Empty):
            events.append(self._happened.get(timeout=timeout) if timeout else self._happened.get_nowait())
            while True:
                events.append(self._happened.get_nowait())
        for event in events:
            self._futures.pop(event.token, None)
        return events

    def close(self) -> None:
        """See `Executor.close`."""
        for future in self._futures.values():
            with suppress(Exception):
                future.cancel()
        self._stack.close()
