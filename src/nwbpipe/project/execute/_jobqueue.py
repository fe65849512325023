"""Start Dask workers as jobs of a batch system, by dask-jobqueue."""

from __future__ import annotations

import asyncio
import inspect
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nwbpipe.errors import RequestError, ToolMissingError, WorkError
from nwbpipe.project._model import ExecutorSpec, WorkerKind
from nwbpipe.project.execute._clusters import DaskWorkers, declare_resources, format_resources, list_worker_kinds
from nwbpipe.project.execute._dask_security import (
    LOOPBACK_PAGES,
    PROTOCOL,
    find_cluster_address,
    point_to_certificate,
    require,
)

JOB_LOGS = "logs/dask"  # in the folder of the project's state
JOBQUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
_WORKER = "nwbpipe.project.execute._dask_worker"
_FIXED = ("security", "protocol", "shared_temp_directory")
_AWAY = re.compile(
    r"unable to contact|timed out|connection refused|temporarily un|try again|not respond|communication|zero bytes",
    re.IGNORECASE,
)
_AWAY_S = 900.0  # seconds for which a scheduler that does not answer is asked again
_END_S = 2.0  # seconds for a worker to end by itself before its job is cancelled
_ASK_TIMEOUT_S = 20.0
_LOOK_S = 30.0  # seconds between questions for the jobs of workers that don't come
_TELL_S = 60.0
_STARTS = 3  # jobs in a row that end before their worker has come
_SILENT = 50  # a lost worker is our own message, not Dask's


def import_jobqueue() -> Any:
    """Import dask-jobqueue, which takes Ctrl-C for itself when it is imported (its issue 696)."""
    handler = signal.getsignal(signal.SIGINT)
    module = require("dask_jobqueue")
    if handler is not None and signal.getsignal(signal.SIGINT) is not handler:
        signal.signal(signal.SIGINT, handler)
    return module


class _SubmittedJob:
    """A job whose refusal is kept, not raised in a thread of Dask's; mixed into a job class of dask-jobqueue."""

    refusals: queue.SimpleQueue[str]
    status: Any
    job_id: str | None

    async def start(self) -> None:
        from distributed.core import Status

        try:
            await super().start()  # type: ignore[misc]
        except (RuntimeError, ValueError, OSError) as error:
            self.refusals.put(str(error))
            self.status = Status.running  # there is nothing to wait for

    async def close(self) -> None:
        from distributed.core import Status

        if self.job_id:
            await asyncio.sleep(_END_S)  # its worker was asked to end: a job that has ended is not a cancelled one
        await super().close()  # type: ignore[misc]
        self.status = Status.closed


class JobWorkers(DaskWorkers):
    """The workers of one kind, each in a job of a batch system.

    Parameters
    ----------
    spec : ExecutorSpec
    kind : str
    worker : WorkerKind
    security : distributed.Security
        With the paths of key and certificate.
    folder : Path
        Of the project's state: the nodes see it.
    """

    def __init__(self, spec: ExecutorSpec, kind: str, worker: WorkerKind, security: Any, folder: Path) -> None:
        module = import_jobqueue()
        cluster_class = getattr(module, JOBQUEUES[spec.kind])
        command: str = cluster_class.job_cls.submit_command
        if shutil.which(command) is None:
            msg = f"the command {command} is not on PATH"
            raise ToolMissingError(msg, hint=f"run on a machine that can submit jobs of {spec.kind}")
        self._scheduler, self._kind = spec.kind, kind
        self._refusals: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._looked, self._told = time.monotonic(), -_TELL_S
        self._away_since: float | None = None
        self._failed_starts = 0
        logs = folder / JOB_LOGS
        logs.mkdir(parents=True, exist_ok=True)
        attributes = {"refusals": self._refusals, "submit_command": write_command(command, spec, kind, logs)}
        job_class = type("SubmittedJob", (_SubmittedJob, cluster_class.job_cls), attributes)
        options = write_job_options(spec, kind, worker, security)
        scheduler = {"protocol": PROTOCOL, "dashboard": False, "dashboard_address": LOOPBACK_PAGES}
        if spec.kind == "slurm" and not options.get("interface") and (address := find_cluster_address()):
            scheduler["host"] = address
        options["scheduler_options"] = scheduler | options.get("scheduler_options", {})
        cluster = cluster_class(
            job_cls=job_class, security=security, protocol=PROTOCOL, silence_logs=_SILENT, **options
        )
        super().__init__(cluster, worker, adaptive=spec.adaptive)

    def look(self) -> str:
        """See `DaskWorkers.look`."""
        notice = self._handle_refusals()
        if notice or time.monotonic() - self._looked < _LOOK_S:
            return notice
        self._looked = time.monotonic()
        info = self.cluster.scheduler_info["workers"].values()
        if info:
            self._failed_starts = 0
        jobs = self._list_absent({worker["name"] for worker in info})
        return self._examine(jobs, bool(info)) if jobs and self._scheduler == "slurm" else ""

    def _list_absent(self, present: set[str]) -> dict[str, str]:
        """Return name and job of each worker that was submitted, but has not come."""
        workers = dict(self.cluster.workers)
        return {name: job.job_id for name, job in workers.items() if name not in present and job.job_id}

    def _handle_refusals(self) -> str:
        """Raise what the scheduler refused; ask it again if it is only away."""
        if self._refusals.empty():
            return ""
        text = self._refusals.get()
        words = text.partition("stderr:\n")[2].strip() or text
        now = time.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if not _AWAY.search(words) or now - self._away_since > _AWAY_S:
            msg = f"{self._scheduler} refused the jobs of the kind {self._kind!r}"
            raise WorkError(
                msg, where=f"[executor.kinds.{self._kind}]", found=words[:2000],
                hint="`nwbpipe run --show-job-script` shows what is submitted",
            )  # fmt: skip
        while not self._refusals.empty():
            self._refusals.get()
        self._drop([name for name, job in dict(self.cluster.workers).items() if not job.job_id])
        return f"{self._scheduler} does not answer; it is asked again: {words.splitlines()[-1][:200]}"

    def _examine(self, jobs: dict[str, str], any_present: bool) -> str:
        """Replace workers whose jobs ended before they came; tell what the others wait for."""
        self._away_since = None
        states = _ask_queue(list(jobs.values()))
        if states is None:
            return ""
        missing = [name for name, job in jobs.items() if job not in states]
        names = ", ".join(jobs[name] for name in missing)
        if missing:
            self._failed_starts += len(missing)
            self._drop(missing)
        if self._failed_starts >= _STARTS and not any_present:
            msg = f"the jobs of the kind {self._kind!r} end before their workers reach this program"
            raise WorkError(
                msg, where=f"[executor.kinds.{self._kind}]", found=f"jobs {names}",
                expected=f"nodes that reach {self.cluster.scheduler_address}",
                hint=f"see their logs in state://{JOB_LOGS}; options = {{ interface = \"…\" }} names the network",
            )  # fmt: skip
        if any_present or time.monotonic() - self._told < _TELL_S:
            return ""
        self._told = time.monotonic()
        waits = "; ".join(f"job {job}: {state}" for job, state in list(states.items())[:5])
        return (
            f"no worker of the kind {self._kind} runs yet: {waits or 'their jobs have ended; others are submitted'}"
        )

    def _drop(self, names: list[str]) -> None:
        """Forget workers that never came: others are started in their place."""
        from distributed.core import Status

        def drop() -> None:
            for name in names:
                if (job := self.cluster.workers.pop(name, None)) is not None:
                    job.status = Status.closed
                self.cluster.worker_spec.pop(name, None)

        self.cluster.loop.add_callback(drop)


def _ask_queue(jobs: list[str]) -> dict[str, str] | None:
    """Return state and reason of those jobs that SLURM still has; None if it does not answer."""
    try:
        answer = subprocess.run(  # without a shell
            ["squeue", "--noheader", f"--jobs={','.join(jobs)}", "--format=%i %T (%r)"],  # noqa: S607
            capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    if answer.returncode != 0:
        return {} if "Invalid job id" in answer.stderr else None
    return dict(line.strip().split(" ", 1) for line in answer.stdout.splitlines() if " " in line.strip())


def write_command(command: str, spec: ExecutorSpec, kind: str, logs: Path) -> str:
    """Return the command that submits a script, quoted for the shell: logs go into the folder of the state."""
    if "log_directory" in (spec.kinds.get(kind) or WorkerKind()).options:  # type: ignore[call-overload]
        return command
    words = {
        "slurm": [f"--chdir={logs}", f"--output=nwbpipe-{kind}-%j.log", "--open-mode=append"],
        "pbs": ["-j", "oe", "-o", f"{logs}/"],
        "sge": ["-j", "y", "-o", str(logs)],
        "lsf": ["-o", f"{logs}/nwbpipe-{kind}-%J.log"],
    }[spec.kind]
    return shlex.join([command, *words])


def write_job_options(spec: ExecutorSpec, kind: str, worker: WorkerKind, security: Any) -> dict[str, Any]:
    """Return the options of a cluster of dask-jobqueue; the script that it writes is shell, so paths are quoted.

    Raises
    ------
    RequestError
        nwbpipe.toml would open the cluster's ports to others.
    """
    options: dict[str, Any] = {"cores": worker.cores, "processes": 1, "memory": worker.memory, **worker.options}
    if fixed := [name for name in _FIXED if name in options]:
        msg = "the connections of Dask are always encrypted, and open to this program's workers alone"
        raise RequestError(
            msg, where=f"[executor.kinds.{kind}] options", found=", ".join(fixed), hint="leave that out"
        )
    extra = ["--nthreads", "1", "--resources", format_resources(declare_resources(kind, worker))]
    extra += ["--nanny"] if options.setdefault("worker_command", _WORKER) == _WORKER else []
    extra += ["--protocol", PROTOCOL]
    for flag, path in (
        ("ca-file", security.tls_ca_file), ("cert", security.tls_worker_cert), ("key", security.tls_worker_key),
    ):  # fmt: skip
        extra += [f"--tls-{flag}", shlex.quote(path)]
    options["worker_extra_args"] = [*options.get("worker_extra_args", []), *extra]
    for name in ("walltime", "queue"):
        if getattr(worker, name) is not None:
            options[name] = getattr(worker, name)
    if worker.gpu and spec.kind == "slurm":
        options["job_extra_directives"] = [*options.get("job_extra_directives", []), f"--gres=gpu:{worker.gpu}"]
    options.setdefault("job_name", f"nwbpipe-{kind}")
    options.setdefault("python", shlex.quote(sys.executable))
    # Jobs start in the folder that they were submitted from: their Python imports nothing from it.
    options["job_script_prologue"] = ["export PYTHONSAFEPATH=1", *options.get("job_script_prologue", [])]
    return options


def render_job_scripts(spec: ExecutorSpec) -> str:
    """Return the job scripts that would be submitted to a cluster's scheduler, one per kind of worker.

    Nothing is started, and no port opened.

    Raises
    ------
    RequestError
        The executor does not submit jobs to a scheduler.
    """
    if spec.kind not in JOBQUEUES:
        msg = f"the executor {spec.kind!r} does not submit jobs to a scheduler"
        raise RequestError(msg, expected=", ".join(JOBQUEUES), hint="--executor slurm --show-job-script")
    cluster_class = getattr(import_jobqueue(), JOBQUEUES[spec.kind])
    job_class = cluster_class.job_cls
    cluster_only = set(inspect.signature(cluster_class.__mro__[1].__init__).parameters) - {"interface", "config_name"}
    security = point_to_certificate(spec.state_folder / "dask" / "KEYS")
    scripts = []
    for kind, worker in list_worker_kinds(spec).items():
        command = write_command(job_class.submit_command, spec, kind, spec.state_folder / JOB_LOGS)
        options = write_job_options(spec, kind, worker, security)
        job_options = {name: value for name, value in options.items() if name not in cluster_only}
        job = job_class(f"{PROTOCOL}SCHEDULER:PORT", name=f"nwbpipe-{kind}", **job_options)
        scripts.append(f"# {worker.workers} workers of the kind {kind}: {command}\n{job.job_script()}")
    return "\n".join(scripts)
