"""The commands of the schedulers: SLURM (tested), PBS, SGE and LSF (written after their manuals, not tested).

A job's options are arguments of the command, never lines of its script: nothing that a project names becomes shell.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.errors import RequestError
from nwbpipe.project._model import ExecutorSpec
from nwbpipe.project.execute._ask_slurm import ask_slurm
from nwbpipe.project.execute._limits import STOP_LEAD_S
from nwbpipe.project.submit._workers import WorkerArray

_USUAL_LARGEST_ARRAY = 1000  # SLURM's default of MaxArraySize is 1001, and indices are below it
_LONGEST_NAME = 60


@dataclass(frozen=True)
class JobArray:
    """An array of jobs as a scheduler gets it.

    Attributes
    ----------
    worker : WorkerArray
    size : int
        Number of jobs.
    name : str
        Name of the jobs, without special characters.
    logs : Path
        Folder of the logs.
    previous : tuple of str
        Ids of the arrays that must have ended before, however they ended.
    """

    worker: WorkerArray
    size: int
    name: str
    logs: Path
    previous: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scheduler:
    """The commands of one scheduler.

    Attributes
    ----------
    name : str
    command, cancel : str
        Programs that submit and cancel.
    id_pattern : str
        Pattern of the id of an array in what `command` prints.
    write_words : callable
        Returns the arguments of `command` for an array.
    tested : bool
        False if it was never run.
    """

    name: str
    command: str
    cancel: str
    id_pattern: str
    write_words: Callable[[JobArray], list[str]]
    tested: bool = False

    def write_command(self, array: JobArray) -> list[str]:
        """Return the command that submits an array; the script is its standard input."""
        words = [word for word in self.write_words(array) if word]
        return [self.command, *words, *array.worker.directives]

    def find_largest_array(self) -> int:
        """Return how many jobs an array may have at this site."""
        if self.name != "slurm":
            return _USUAL_LARGEST_ARRAY
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask_slurm("scontrol", "show", "config"), re.MULTILINE)
        return max(1, int(match[1]) - 1) if match else _USUAL_LARGEST_ARRAY


def choose_scheduler(spec: ExecutorSpec) -> Scheduler:
    """Return the scheduler that nwbpipe.toml names, or the one whose command this machine has.

    Raises
    ------
    RequestError
        nwbpipe.toml names none, and the machine has no command, or one that two schedulers share.
    """
    if spec.kind in SCHEDULERS:
        return SCHEDULERS[spec.kind]
    present = [scheduler for scheduler in SCHEDULERS.values() if shutil.which(scheduler.command)]
    if len(present) == 1:
        return present[0]
    msg = "the scheduler of the cluster is not known"
    commands = ", ".join(f"{scheduler.command} ({scheduler.name})" for scheduler in SCHEDULERS.values())
    raise RequestError(
        msg, where="[executor] kind", expected=f"one of the commands {commands}",
        found=", ".join(scheduler.name for scheduler in present) or "none on PATH",
        hint='submit on a login node, or name it in nwbpipe.toml: [executor] kind = "slurm"',
    )  # fmt: skip


def clean_name(*parts: str) -> str:
    """Return the name of a job: letters, digits, "-", "_" and "." alone."""
    name = "-".join(part for part in (re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("-_.") for text in parts) if part)
    return name[:_LONGEST_NAME]


def _lead(walltime_s: int | None) -> int:
    return STOP_LEAD_S if walltime_s is None else max(5, min(STOP_LEAD_S, walltime_s // 5))


def _clock(seconds: int, *, with_seconds: bool = True) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02}" + (f":{seconds % 60:02}" if with_seconds else "")


def _megabytes(array: JobArray) -> int:
    return math.ceil(array.worker.memory_bytes / 2**20)


def _write_slurm(array: JobArray) -> list[str]:
    worker = array.worker
    return [
        "--parsable",
        f"--job-name={array.name}",
        f"--array=1-{array.size}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={worker.cores}",
        f"--mem={_megabytes(array)}M",
        f"--gres=gpu:{worker.gpu}" if worker.gpu else "",
        "" if worker.walltime_s is None else f"--time={math.ceil(worker.walltime_s / 60)}",
        f"--signal=B:TERM@{_lead(worker.walltime_s)}",
        f"--partition={worker.queue}" if worker.queue else "",
        f"--account={worker.account}" if worker.account else "",
        f"--dependency=afterany:{':'.join(array.previous)}" if array.previous else "",
        "--open-mode=append",
        f"--chdir={array.logs}",
        f"--output={array.name}-%A_%a.log",
    ]


def _write_pbs(array: JobArray) -> list[str]:
    worker = array.worker
    gpus = f":ngpus={worker.gpu}" if worker.gpu else ""
    return [
        "-N", array.name[:15],
        *(("-J", f"1-{array.size}") if array.size > 1 else ()),  # PBS refuses an array of one
        "-l", f"select=1:ncpus={worker.cores}:mem={_megabytes(array)}mb{gpus}",
        *(() if worker.walltime_s is None else ("-l", f"walltime={_clock(worker.walltime_s)}")),
        *(("-q", worker.queue) if worker.queue else ()),
        *(("-A", worker.account) if worker.account else ()),
        *(("-W", f"depend=afterany:{':'.join(array.previous)}") if array.previous else ()),
        "-V", "-j", "oe", "-o", f"{array.logs}/",
    ]  # fmt: skip


def _write_sge(array: JobArray) -> list[str]:
    worker = array.worker
    return [
        "-terse", "-N", array.name, "-t", f"1-{array.size}", "-V", "-notify", "-S", "/bin/sh",
        *(("-pe", "smp", str(worker.cores)) if worker.cores > 1 else ()),
        "-l", f"h_vmem={math.ceil(_megabytes(array) / worker.cores)}M",  # per core
        *(("-l", f"gpu={worker.gpu}") if worker.gpu else ()),
        *(() if worker.walltime_s is None else ("-l", f"h_rt={worker.walltime_s}")),
        *(("-q", worker.queue) if worker.queue else ()),
        *(("-P", worker.account) if worker.account else ()),
        *(("-hold_jid", ",".join(array.previous)) if array.previous else ()),
        "-j", "y", "-o", str(array.logs),
    ]  # fmt: skip


def _write_lsf(array: JobArray) -> list[str]:
    worker = array.worker
    return [
        "-J", f"{array.name}[1-{array.size}]", "-n", str(worker.cores), "-R", "span[hosts=1]",
        "-R", f"rusage[mem={_megabytes(array)}MB]", "-M", f"{_megabytes(array)}MB",
        *(("-gpu", f"num={worker.gpu}") if worker.gpu else ()),
        *(() if worker.walltime_s is None else ("-W", _clock(worker.walltime_s, with_seconds=False))),
        *(("-q", worker.queue) if worker.queue else ()),
        *(("-P", worker.account) if worker.account else ()),
        *(("-w", " && ".join(f"ended({job})" for job in array.previous)) if array.previous else ()),
        "-wt", "2", "-wa", "TERM", "-o", f"{array.logs}/{array.name}-%J_%I.log",
    ]  # fmt: skip


SCHEDULERS: dict[str, Scheduler] = {
    scheduler.name: scheduler
    for scheduler in (
        Scheduler("slurm", "sbatch", "scancel", r"^(\d+)", _write_slurm, tested=True),
        Scheduler("pbs", "qsub", "qdel", r"^(\d+(?:\[\])?\S*)", _write_pbs),
        Scheduler("sge", "qsub", "qdel", r"^(\d+)", _write_sge),
        Scheduler("lsf", "bsub", "bkill", r"Job <(\d+)>", _write_lsf),
    )
}


def split_array(size: int, largest: int) -> Sequence[int]:
    """Return the sizes of the arrays that together have `size` jobs, none larger than the site allows."""
    count = math.ceil(size / largest)
    return [size // count + (index < size % count) for index in range(count)]
