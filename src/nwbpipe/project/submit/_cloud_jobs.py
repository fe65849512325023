"""Write the files with which AWS Batch and Google Batch run the workers of a project.

The files hold the fields of the services' own interfaces: RegisterJobDefinition and SubmitJob of AWS Batch, and Job
of Google Batch (v1). Nothing is sent: no service was asked.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import OverwriteError, Problem, RequestError
from nwbpipe.project.submit._schedulers import clean_name
from nwbpipe.project.submit._script import list_worker_words
from nwbpipe.project.submit._workers import WorkerArray, plan_workers
from nwbpipe.stores import is_remote

if TYPE_CHECKING:
    from nwbpipe.project._model import WorkerKind
    from nwbpipe.project._project import Project

CLOUDS = ("aws", "google")
#: Path of the project file in the worker's image.
PROJECT_INSIDE = "/project/nwbpipe.toml"
_MOST_TASKS = 10_000  # of one job, in both services
_TRIES = 3  # of a task whose machine was taken away


def write_cloud_jobs(
    project: Project,
    cloud: str,
    image: str,
    folder: Path,
    sessions: Sequence[str] = (),
    where: str | None = None,
    *,
    steps: Sequence[str] = (),
    array: int | None = None,
) -> list[str]:
    """Write the job files of the workers that a project needs; return the commands that take them.

    Parameters
    ----------
    project : Project
    cloud : {"aws", "google"}
    image : str
        The worker's image, which has the project file at `PROJECT_INSIDE`.
    folder : Path
        Folder for the files; it is made.
    sessions, where, steps
        See `Project.run`.
    array : int, optional
        Workers of each kind; by default as in nwbpipe.toml.

    Raises
    ------
    OverwriteError
        The folder has a file of that name with another content.
    RequestError
        A store is a folder of this machine, a step fits no kind of worker, or a kind lacks what the service needs.
    """
    if cloud not in CLOUDS:
        msg = f"there is no cloud {cloud!r}"
        raise RequestError(msg, expected=" or ".join(CLOUDS))
    spec = project.spec
    problems = [
        Problem(f"the store {name!r} is a folder of this machine", found=roots[0], hint="name a bucket, in a profile")
        for name, roots in spec.stores.items()
        if not all(map(is_remote, roots))
    ]
    states = project.pending(sessions, where, steps=steps)
    workers = plan_workers(spec.executor, spec.steps, states, workers=array)
    declared = {str(name): kind for name, kind in spec.executor.kinds.items()}
    for worker in workers:
        problems += _find_problems(worker, declared.get(worker.kind), cloud)
    if problems:
        msg = "the workers can't run in a cloud"
        raise RequestError(msg, where=str(spec.path), problems=problems)
    render = _RENDERERS[cloud]
    commands: list[str] = []
    texts: dict[str, str] = {}
    for worker in workers:
        # A job's name has 63 characters at most, and each kind its own.
        name = re.sub(r"[^a-z0-9-]+", "-", clean_name("nwbpipe", spec.name[:40], worker.kind).lower()).strip("-")
        words = list_worker_words(worker, Path(PROJECT_INSIDE), spec.profile, sessions, where, steps)
        options = declared[worker.kind].options if worker.kind in declared else {}
        documents, taking = render(worker, name, image, ["nwbpipe", *words], options, folder)
        texts |= {file: json.dumps(document, indent=2) + "\n" for file, document in documents.items()}
        commands += [shlex.join(words) for words in taking]
    _write_files(folder, texts)
    return commands


def _write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files, or none of them if one would replace what may be the user's work."""
    for name, text in texts.items():
        path = folder / name
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == text.encode()):
            msg = f"the folder already has a {name} with another content"
            raise OverwriteError(msg, where=str(path), hint="choose another folder, or move the file elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())


def _find_problems(worker: WorkerArray, kind: WorkerKind | None, cloud: str) -> list[Problem]:
    section = f"[executor.kinds.{worker.kind}]"
    problems = []
    if worker.prologue or worker.directives:
        problems.append(Problem("lines of a scheduler's script have no place in a cloud's job", where=section))
    if cloud == "aws" and not worker.queue:
        problems.append(
            Problem("the kind of worker lacks a job queue of AWS Batch", where=section, hint='queue = "…"')
        )
    if cloud == "google" and worker.gpu and not (kind and isinstance(kind.options.get("accelerator"), str)):
        hint = 'options = { accelerator = "nvidia-tesla-t4" }'
        problems.append(Problem("the kind of worker does not name its GPU", where=section, hint=hint))
    return problems


def _render_aws(
    worker: WorkerArray, name: str, image: str, words: list[str], _options: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], list[list[str]]]:
    """Return a job definition and a job of AWS Batch."""
    needs = {"VCPU": worker.cores, "MEMORY": math.ceil(worker.memory_bytes / 2**20), "GPU": worker.gpu}
    definition: dict[str, Any] = {
        "jobDefinitionName": name,
        "type": "container",
        "platformCapabilities": ["EC2"],
        "containerProperties": {
            "image": image,
            "command": words,
            "resourceRequirements": [{"type": kind, "value": str(value)} for kind, value in needs.items() if value],
        },
        "retryStrategy": {
            "attempts": _TRIES,
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},  # a spot machine was taken away
                {"onReason": "*", "action": "EXIT"},
            ],
        },
    }
    if worker.walltime_s is not None:
        definition["timeout"] = {"attemptDurationSeconds": max(60, worker.walltime_s)}
    job: dict[str, Any] = {"jobName": name, "jobQueue": worker.queue, "jobDefinition": name}
    if worker.workers > 1:  # an array has 2 jobs at least
        job["arrayProperties"] = {"size": min(worker.workers, _MOST_TASKS)}
    files = {f"{name}-definition.json": definition, f"{name}-job.json": job}
    commands = ["register-job-definition", "submit-job"]
    return files, [
        ["aws", "batch", verb, "--cli-input-json", f"file://{folder / file}"]
        for verb, file in zip(commands, files, strict=True)
    ]


def _render_google(
    worker: WorkerArray, name: str, image: str, words: list[str], options: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], list[list[str]]]:
    """Return a job of Google Batch."""
    task: dict[str, Any] = {
        "runnables": [{"container": {"imageUri": image, "commands": words}}],
        "computeResource": {
            "cpuMilli": 1000 * worker.cores,
            "memoryMib": math.ceil(worker.memory_bytes / 2**20),
        },
        "maxRetryCount": _TRIES - 1,
        # 50001: a spot machine was taken away
        "lifecyclePolicies": [{"action": "RETRY_TASK", "actionCondition": {"exitCodes": [50001]}}],
    }
    if worker.walltime_s is not None:
        task["maxRunDuration"] = f"{worker.walltime_s}s"
    policy: dict[str, Any] = {}
    if isinstance(machine := options.get("machine_type"), str):
        policy["machineType"] = machine
    instance: dict[str, Any] = {"policy": policy}
    if worker.gpu:
        policy["accelerators"] = [{"type": options["accelerator"], "count": worker.gpu}]
        instance["installGpuDrivers"] = True
    count = min(worker.workers, _MOST_TASKS)
    job = {
        "taskGroups": [{"taskSpec": task, "taskCount": count, "parallelism": count}],
        "allocationPolicy": {"instances": [instance]},
        "logsPolicy": {"destination": "CLOUD_LOGGING"},
        "labels": {"made-by": "nwbpipe"},
    }
    file = f"{name}.json"
    command = ["gcloud", "batch", "jobs", "submit", name, "--location=LOCATION", f"--config={folder / file}"]
    return {file: job}, [command]


_Render = Callable[[WorkerArray, str, str, list[str], dict[str, Any], Path], tuple[dict[str, Any], list[list[str]]]]
_RENDERERS: dict[str, _Render] = {"aws": _render_aws, "google": _render_google}
