"""Start the workers of Dask on machines of a cloud, and keep as many of any cluster as there is work for."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.project._model import ExecutorSpec, WorkerKind
from nwbpipe.project.execute._dask_security import require

_TEND_S = 5.0  # seconds between looks at the workers of a cluster


class DaskWorkers:
    """The workers of one kind in a cluster that this process started.

    Parameters
    ----------
    cluster : distributed.deploy.Cluster
    worker : WorkerKind
    adaptive : bool
        True if Dask ends workers without work.
    """

    def __init__(self, cluster: Any, worker: WorkerKind, *, adaptive: bool) -> None:
        self.cluster = cluster
        self._most = worker.workers
        self._count = 0
        self._tended = -_TEND_S
        self._adaptive = adaptive
        if adaptive:
            # One worker per waiting run. Dask assumes that a task of unknown length takes half a second: it would
            # start one worker for ten of our runs, or close busy ones after short runs.
            cluster.adapt(minimum=0, maximum=worker.workers, target_duration="1ms")

    def tend(self, jobs: int) -> str:
        """Start workers for this number of jobs, and in the place of lost ones; return a notice, or ""."""
        count = max(self._count, min(self._most, jobs))
        if count == self._count and time.monotonic() - self._tended < _TEND_S:
            return ""
        self._count, self._tended = count, time.monotonic()
        notice = self.look()
        if count and not self._adaptive:
            self.cluster.scale(count)  # Dask forgets a lost worker after some seconds, and starts none by itself
        return notice

    def look(self) -> str:
        """Look at workers that don't come; return a notice, or ""."""
        return ""

    def close(self) -> None:
        """End the workers and their scheduler."""
        with suppress(AssertionError):  # Dask's, about workers that were never started
            self.cluster.close()


def list_worker_kinds(spec: ExecutorSpec) -> dict[str, WorkerKind]:
    """Return the kinds of workers of an executor."""
    if spec.kinds:
        return {str(name): kind for name, kind in spec.kinds.items()}
    return {"standard": WorkerKind(workers=spec.workers or 2)}


def declare_resources(kind: str, worker: WorkerKind) -> dict[str, float]:
    """Return the abstract resources that a Dask worker of a kind declares.

    Standard runs can use a worker of any kind.
    """
    resources = {"slots": 1.0, f"kind-{kind}": 1.0}
    if worker.gpu:
        resources["gpu"] = float(worker.gpu)
    return resources


def format_resources(resources: Mapping[str, float]) -> str:
    """Return abstract resources as an argument of ``dask worker``."""
    return ",".join(f"{name}={value:g}" for name, value in resources.items())


def make_cloud_cluster(spec: ExecutorSpec, kind: str, worker: WorkerKind) -> Any:
    """Create a cluster on machines of a provider, with the credentials that the provider's own tools find."""
    cloud_class = _find_cloud_class(spec)
    options = dict(worker.options)
    if _accepts_option(cloud_class, "worker_extra_args"):  # containers: workers get command-line arguments
        extra = ["--resources", format_resources(declare_resources(kind, worker))]
        options["worker_extra_args"] = [*options.get("worker_extra_args", []), *extra]
        options["worker_nthreads"] = 1
    elif _accepts_option(cloud_class, "worker_options"):  # machines: workers get a specification
        settings = {"nthreads": 1, "resources": declare_resources(kind, worker)}
        options["worker_options"] = {**options.get("worker_options", {}), **settings}
    else:
        msg = "the resources of that cluster's workers can't be set"
        raise RequestError(
            msg, found=str(spec.cluster), expected="a cluster with worker_options or worker_extra_args",
            hint="start it yourself, and give its scheduler: kind = \"dask\", address = \"…\"",
        )  # fmt: skip
    return cloud_class(**options)


def _find_cloud_class(spec: ExecutorSpec) -> Any:
    """Return the cluster class of dask-cloudprovider; no other class or function can be called by its name."""
    if spec.cluster is None:
        msg = "the executor 'cloud' has no cluster"
        raise RequestError(msg, where="[executor]", hint='add one, such as cluster = "aws.FargateCluster"')
    provider, _, name = spec.cluster.partition(".")
    package = f"dask_cloudprovider.{provider}"
    module = require(package, f'python -m pip install "dask-cloudprovider[{provider}]"')
    cloud_class = getattr(module, name, None)
    base = require("distributed.deploy").Cluster
    if not (
        isinstance(cloud_class, type)
        and issubclass(cloud_class, base)
        and cloud_class.__module__.startswith(f"{package}.")
    ):
        offered = [
            key for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, base) and value.__module__.startswith(f"{package}.")
        ]  # fmt: skip
        msg = f"dask-cloudprovider has no cluster {spec.cluster!r}"
        raise UnknownNameError(msg, expected=", ".join(f"{provider}.{value}" for value in sorted(offered)))
    return cloud_class


def _accepts_option(kind: Any, name: str) -> bool:
    """Return True if a class, or a base class that it passes its options to, takes an option."""
    return any(name in inspect.signature(base.__init__).parameters for base in kind.__mro__[:-1])
