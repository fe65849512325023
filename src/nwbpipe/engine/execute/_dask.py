"""Executors over `distributed`: a scheduler that runs, workers on this machine, or a cluster's jobs."""

from __future__ import annotations

import queue
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from nwbpipe.engine.execute._call import Ended, Job, execute
from nwbpipe.engine.execute._executor import Event
from nwbpipe.errors import FileAccessError, RequestError, ToolMissingError
from nwbpipe.processors import Resources
from nwbpipe.project import ExecutorSpec, WorkerKind

_CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
_CONNECT_S = 30
_AHEAD = 2  # jobs for each worker: one that runs, and one that waits


def _import(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        msg = f"the package {name!r} is not installed"
        raise ToolMissingError(msg, hint='python -m pip install "nwbpipe[dask]"') from error


def worker_resources(kind: str, worker: WorkerKind) -> dict[str, float]:
    """Return the abstract resources that a Dask worker of a kind declares.

    A worker of the kind "standard" takes what asks for nothing special; any other kind takes that, too.
    """
    found = {"slots": 1.0, f"kind-{kind}": 1.0}
    if worker.gpu:
        found["gpu"] = float(worker.gpu)
    return found


def wanted_resources(wanted: Resources) -> dict[str, float]:
    """Return the abstract resources that a run takes of a Dask worker: one run at a time, of the right kind."""
    found = {"slots": 1.0}
    if wanted.kind != "standard":
        found[f"kind-{wanted.kind}"] = 1.0
    if wanted.gpu:
        found["gpu"] = float(wanted.gpu)
    return found


def _kinds(spec: ExecutorSpec) -> dict[str, WorkerKind]:
    if spec.kinds:
        return {str(name): kind for name, kind in spec.kinds.items()}
    return {"standard": WorkerKind(workers=spec.workers or 2)}


def _cluster(spec: ExecutorSpec, kind: str, worker: WorkerKind) -> Any:
    """Make the cluster of one worker kind: its jobs are submitted when it is scaled."""
    jobqueue = _import("dask_jobqueue")
    pairs = ",".join(f"{name}={value:g}" for name, value in worker_resources(kind, worker).items())
    options: dict[str, Any] = {"cores": worker.cores, "processes": 1, "memory": worker.memory, **worker.options}
    options["worker_extra_args"] = [*options.get("worker_extra_args", []), "--nthreads", "1", "--resources", pairs]
    for name in ("walltime", "queue"):
        if getattr(worker, name) is not None:
            options[name] = getattr(worker, name)
    if worker.gpu and spec.kind == "slurm":
        options["job_extra_directives"] = [*options.get("job_extra_directives", []), f"--gres=gpu:{worker.gpu}"]
    options.setdefault("job_name", f"nwbpipe-{kind}")
    return getattr(jobqueue, _CLUSTERS[spec.kind])(**options)


def job_scripts(spec: ExecutorSpec) -> str:
    """Return the job scripts that a cluster's scheduler would be given, one for each kind of worker.

    Raises
    ------
    RequestError
        If the executor is none of a cluster.
    """
    if spec.kind not in _CLUSTERS:
        msg = f"the executor {spec.kind!r} submits no jobs"
        raise RequestError(msg, expected=", ".join(_CLUSTERS), hint="--executor slurm --show-job-script")
    scripts = []
    for kind, worker in _kinds(spec).items():
        with _cluster(spec, kind, worker) as cluster:
            scripts.append(f"# {worker.workers} workers of the kind {kind}\n{cluster.job_script()}")
    return "\n".join(scripts)


class DaskExecutor:
    """Computes jobs on Dask workers, one at a time each.

    Parameters
    ----------
    spec : ExecutorSpec
        ``address`` of a scheduler that runs; else its kind says what is started.
    """

    def __init__(self, spec: ExecutorSpec) -> None:
        self._distributed = _import("distributed")
        self._stack = ExitStack()
        self._happened: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._futures: dict[int, Any] = {}
        self._tokens = 0
        self._kinds = _kinds(spec)
        self._fixed = spec.address is None
        try:
            clusters = self._begin(spec)
            self._clients = {
                kind: self._stack.enter_context(self._client(where, spec)) for kind, where in clusters.items()
            }
        except BaseException:
            self._stack.close()
            raise

    def _begin(self, spec: ExecutorSpec) -> dict[str, Any]:
        """Start what is to be started; return a cluster or an address for each kind of worker."""
        config = _import("dask").config
        # A lost worker is for the runner to count; the scheduler must not begin a run again by itself.
        self._stack.enter_context(config.set({"distributed.scheduler.allowed-failures": 0}))
        if spec.address is not None:
            return {"": spec.address}
        if spec.kind == "dask":
            return {"": self._stack.enter_context(self._local())}
        clusters = {}
        for kind, worker in self._kinds.items():
            cluster = self._stack.enter_context(_cluster(spec, kind, worker))
            if spec.adaptive:
                cluster.adapt(minimum=0, maximum=worker.workers)
            else:
                cluster.scale(jobs=worker.workers)
            clusters[kind] = cluster
        return clusters

    def _local(self) -> Any:
        """A scheduler here, and a process for each worker, with the resources of its kind."""
        distributed = self._distributed
        nanny = {"cls": distributed.Nanny}
        workers: dict[int, Any] = {}
        for kind, worker in self._kinds.items():
            for _ in range(worker.workers):
                options = {
                    "silence_logs": 40,
                    "nthreads": 1,
                    "resources": worker_resources(kind, worker),
                    "host": "127.0.0.1",
                }
                workers[len(workers)] = {**nanny, "options": options}
        scheduler = {
            "cls": distributed.Scheduler,
            "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        }
        return distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=40)

    def _client(self, where: Any, spec: ExecutorSpec) -> Any:
        try:
            return self._distributed.Client(where, timeout=_CONNECT_S)
        except OSError as error:
            msg = "there is no Dask scheduler at that address"
            raise FileAccessError(
                msg, where=str(spec.address), found=str(error), hint="start one, or leave `address` out"
            ) from error

    @property
    def about(self) -> str:
        """See `Executor.about`."""
        return "; ".join(f"Dask dashboard: {client.dashboard_link}" for client in self._clients.values())

    def _client_for(self, wanted: Resources) -> Any:
        if "" in self._clients:
            return self._clients[""]
        if wanted.kind == "standard" and "standard" not in self._clients:
            return next(iter(self._clients.values()))
        return self._clients.get(wanted.kind)

    def refuses(self, wanted: Resources) -> str:
        """See `Executor.refuses`."""
        if not self._fixed:  # workers come and go at a scheduler that is not ours
            return ""
        fitting = [
            one for name, one in self._kinds.items() if wanted.kind in ("standard", name) and one.gpu >= wanted.gpu
        ]
        if not fitting:
            return (
                f"no worker of the kind {wanted.kind!r} with {wanted.gpu} GPUs: see [executor.kinds] in nwbpipe.toml"
            )
        return "" if self._client_for(wanted) is not None else f"no workers of the kind {wanted.kind!r}"

    def fits(self, wanted: Resources) -> bool:
        """See `Executor.fits`."""
        if self._fixed:
            workers = sum(one.workers for one in self._kinds.values())
        else:
            workers = sum(len(client.scheduler_info(n_workers=-1)["workers"]) for client in self._clients.values())
        return len(self._futures) < _AHEAD * max(1, workers)

    def threads(self, wanted: Resources) -> int:
        """See `Executor.threads`."""
        kind = self._kinds.get(wanted.kind) or self._kinds.get("standard")
        return wanted.cpu or (kind.cores if kind else 1)

    def submit(self, job: Job, wanted: Resources) -> int:
        """See `Executor.submit`."""
        self._tokens += 1
        token = self._tokens
        future = self._client_for(wanted).submit(
            execute, asdict(job), key=f"nwbpipe-{job.run}-{job.session}-{token}-{id(self)}", pure=False, retries=0,
            resources=wanted_resources(wanted),
        )  # fmt: skip
        self._futures[token] = future
        future.add_done_callback(lambda done, token=token: self._happened.put(self._event(token, done)))
        return token

    def _event(self, token: int, future: Any) -> Event:
        if future.status == "finished":
            return Event(token, Ended(**future.result()))
        if future.status == "error":
            error = future.exception()
            if isinstance(error, self._distributed.scheduler.KilledWorker):
                return Event(token, lost=True)
            hint = "is nwbpipe installed there, in the same version?"
            return Event(token, Ended("failed", text=f"the worker could not run it: {error!r}\n  next:     {hint}"))
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
