"""Read the limits of the job or container that this process runs in: cores, memory, and the time that is left."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nwbpipe.machine import list_control_groups
from nwbpipe.project.execute._ask_slurm import ask_slurm

_UNLIMITED = 2**60  # cgroups of version 1 write a number near 2**63 for "no limit"
STOP_LEAD_S = 120  # seconds before its end at which a job is asked to stop
EARLY_S = 60  # SLURM may ask up to so many seconds earlier


@dataclass(frozen=True)
class WorkerLimits:
    """The limits of this process.

    Attributes
    ----------
    cores : int or None
        Cores that it may use; None if only the machine limits them.
    memory_gb : float or None
        Memory in GB (10^9 bytes).
    ends : float or None
        `time.monotonic` at which the scheduler ends it.
    """

    cores: int | None = None
    memory_gb: float | None = None
    ends: float | None = None

    def explain_time(self, time_limit_s: float | None) -> str:
        """Return why a run with this time limit can't end in time; "" if it can."""
        if self.ends is None:
            return ""
        seconds = self.ends - time.monotonic()
        if time_limit_s is not None and time_limit_s > seconds:
            return f"needs time_limit_s = {time_limit_s:g}, but this job ends in {max(seconds, 0):.0f} s"
        return "" if seconds > 0 else "this job ends now"

    @property
    def is_near_end(self) -> bool:
        """True if a signal may be the scheduler's, because the job's time is over."""
        return self.ends is not None and time.monotonic() > self.ends - EARLY_S


def identify_job(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the scheduler and the id of the job that this process runs in; nothing outside of one."""
    if job := variables.get("SLURM_JOB_ID"):
        array, index = variables.get("SLURM_ARRAY_JOB_ID"), variables.get("SLURM_ARRAY_TASK_ID")
        return {"scheduler": "slurm", "job": f"{array}_{index}" if array and index else job}
    for scheduler, name in (("lsf", "LSB_JOBID"), ("pbs", "PBS_JOBID")):
        if job := variables.get(name):
            return {"scheduler": scheduler, "job": job}
    return {}


def read_worker_limits(variables: Mapping[str, str] = os.environ, *, root: Path = Path("/")) -> WorkerLimits:
    """Read the limits that the scheduler's variables and the control groups set for this process.

    Parameters
    ----------
    variables : mapping
        The environment.
    root : Path
        Root of the file system with ``/proc`` and ``/sys``.
    """
    cores = [
        value for name in ("SLURM_CPUS_PER_TASK", "NCPUS", "LSB_DJOB_NUMPROC") if (value := _count(variables, name))
    ]
    if not identify_job(variables):
        cores = []  # NCPUS alone says nothing
    memory = []
    if "SLURM_JOB_ID" in variables:
        if per_node := _count(variables, "SLURM_MEM_PER_NODE"):
            memory.append(per_node * 2**20)
        elif per_core := _count(variables, "SLURM_MEM_PER_CPU"):
            memory.append(per_core * 2**20 * (_count(variables, "SLURM_CPUS_ON_NODE") or (cores[0] if cores else 1)))
    for folder in list_control_groups(root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (limit := _read_number(folder / name)) and limit < _UNLIMITED:
                memory.append(int(limit))
        if quota := _read_quota(folder):
            cores.append(quota)
    return WorkerLimits(min(cores, default=None), min(memory) / 1e9 if memory else None, _find_end(variables))


def _count(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _read_number(path: Path) -> int:
    with suppress(OSError, ValueError):
        return max(0, int(path.read_text(encoding="utf-8")))
    return 0


def _read_quota(folder: Path) -> int:
    """Return the number of cores that a control group's share of time amounts to; 0 if it sets none."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return max(1, math.ceil(int(quota) / int(period)))
    quota_us, period_us = _read_number(folder / "cpu.cfs_quota_us"), _read_number(folder / "cpu.cfs_period_us")
    return max(1, math.ceil(quota_us / period_us)) if quota_us and period_us else 0


def _find_end(variables: Mapping[str, str]) -> float | None:
    """Return when the job is asked to stop, on the clock of `time.monotonic`; SLURM alone is asked."""
    asking = identify_job(variables)
    if asking.get("scheduler") != "slurm":
        return None
    job = asking["job"]  # of an array: the last task has the array's own id, for which all tasks are answered
    seconds = parse_duration(ask_slurm("squeue", "--noheader", f"--jobs={job}", "--format=%L").strip())
    return None if seconds is None else time.monotonic() + max(0.0, seconds - min(STOP_LEAD_S + EARLY_S, seconds / 5))


def parse_duration(text: str, *, hours_first: bool = False) -> float | None:
    """Return the seconds of a duration: ``30`` (minutes), ``MM:SS``, ``HH:MM:SS`` or ``D-HH[:MM[:SS]]``.

    Parameters
    ----------
    text : str
        The duration.
    hours_first : bool
        True if two parts are hours and minutes, as LSF has it.

    Returns
    -------
    float or None
        None if the text is not a duration, or "UNLIMITED".
    """
    match = re.fullmatch(r"(?:(\d{1,6})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?", text, flags=re.ASCII)
    if match is None:
        return None
    days = match[1]
    parts = [int(part) for part in match.groups()[1:] if part is not None]
    if days is not None or len(parts) == 3 or (len(parts) == 2 and hours_first):
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    else:
        hours, minutes, seconds = 0, *(*parts, 0)[:2]
    return float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)
