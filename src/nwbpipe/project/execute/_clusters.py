"""Start Dask clusters, one per kind of worker: jobs of a batch system, or machines of a cloud."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from nwbpipe.errors import RequestError, ToolMissingError, UnknownNameError
from nwbpipe.project._model import ExecutorSpec, WorkerKind

_JOBQUEUE = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}


def require(name: str, hint: str = 'python -m pip install "nwbpipe[dask]"') -> Any:
    """Import a module of an extra.

    Raises
    ------
    ToolMissingError
        The module is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"the package {name.partition('.')[0]!r} can't be imported"
        raise ToolMissingError(msg, found=str(error), hint=hint) from error


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


def start_cluster(spec: ExecutorSpec, kind: str, worker: WorkerKind) -> Any:
    """Start the cluster of one kind of worker; with `adaptive` it has as many workers as there are runs."""
    cluster = (_make_cloud_cluster if spec.kind == "cloud" else _make_jobqueue)(spec, kind, worker)
    try:
        if spec.adaptive:
            # One worker per waiting run. Dask assumes that a task of unknown length takes half a second: it would
            # start one worker for ten of our runs, or close busy ones after short runs.
            cluster.adapt(minimum=0, maximum=worker.workers, target_duration="1ms")
        else:
            cluster.scale(worker.workers)
    except BaseException:
        cluster.close()
        raise
    return cluster


def render_job_scripts(spec: ExecutorSpec) -> str:
    """Return the job scripts that would be submitted to a cluster's scheduler, one per kind of worker.

    Raises
    ------
    RequestError
        The executor does not submit jobs to a scheduler.
    """
    if spec.kind not in _JOBQUEUE:
        msg = f"the executor {spec.kind!r} does not submit jobs to a scheduler"
        raise RequestError(msg, expected=", ".join(_JOBQUEUE), hint="--executor slurm --show-job-script")
    scripts = []
    for kind, worker in list_worker_kinds(spec).items():
        with _make_jobqueue(spec, kind, worker) as cluster:
            scripts.append(f"# {worker.workers} workers of the kind {kind}\n{cluster.job_script()}")
    return "\n".join(scripts)


def _format_resources(kind: str, worker: WorkerKind) -> str:
    return ",".join(f"{name}={value:g}" for name, value in declare_resources(kind, worker).items())


def _make_jobqueue(spec: ExecutorSpec, kind: str, worker: WorkerKind) -> Any:
    """Create the cluster of a batch system; its jobs are submitted when it is scaled."""
    jobqueue = require("dask_jobqueue")
    options: dict[str, Any] = {"cores": worker.cores, "processes": 1, "memory": worker.memory, **worker.options}
    extra = ["--nthreads", "1", "--resources", _format_resources(kind, worker)]
    options["worker_extra_args"] = [*options.get("worker_extra_args", []), *extra]
    for name in ("walltime", "queue"):
        if getattr(worker, name) is not None:
            options[name] = getattr(worker, name)
    if worker.gpu and spec.kind == "slurm":
        options["job_extra_directives"] = [*options.get("job_extra_directives", []), f"--gres=gpu:{worker.gpu}"]
    options.setdefault("job_name", f"nwbpipe-{kind}")
    # Jobs start in the folder that they were submitted from: their Python imports nothing from it.
    options["job_script_prologue"] = ["export PYTHONSAFEPATH=1", *options.get("job_script_prologue", [])]
    return getattr(jobqueue, _JOBQUEUE[spec.kind])(**options)


def _make_cloud_cluster(spec: ExecutorSpec, kind: str, worker: WorkerKind) -> Any:
    """Create a cluster on machines of a provider, with the credentials that the provider's own tools find."""
    cloud_class = _find_cloud_class(spec)
    options = dict(worker.options)
    if _accepts_option(cloud_class, "worker_extra_args"):  # containers: workers get command-line arguments
        extra = ["--resources", _format_resources(kind, worker)]
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
