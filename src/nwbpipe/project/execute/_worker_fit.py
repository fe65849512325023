"""Tell whether a run fits into the jobs of a kind of worker."""

from __future__ import annotations

import math
import re

from nwbpipe.errors import RequestError
from nwbpipe.processors import Resources
from nwbpipe.project._model import WorkerKind
from nwbpipe.project.execute._limits import parse_duration

_SPARE_S = 300  # the least of the seconds for a worker to begin and end: its job is asked to stop before its end
_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def read_walltime(name: str, kind: WorkerKind, *, hours_first: bool = False) -> int | None:
    """Return the time limit of a kind's jobs in seconds; None if it sets none.

    Raises
    ------
    RequestError
        It is not a duration.
    """
    if kind.walltime is None:
        return None
    seconds = parse_duration(kind.walltime, hours_first=hours_first)
    if not seconds:
        msg = "the walltime is not a duration"
        raise RequestError(
            msg, where=f"[executor.kinds.{name}] walltime", expected="HH:MM:SS or D-HH:MM:SS", found=kind.walltime
        )
    return int(seconds)


def explain_misfit(needed: Resources, kind: WorkerKind, walltime_s: int | None) -> str:
    """Return why a run does not fit a kind of worker; "" if it does."""
    if kind.workers == 0:
        return "has workers = 0"
    memory_gb = parse_memory(kind.memory) / 1e9
    for name, amount, limit in (
        ("cpu", needed.cpu, kind.cores), ("memory_gb", needed.memory_gb, memory_gb), ("gpu", needed.gpu, kind.gpu),
    ):  # fmt: skip
        if amount > limit:
            return f"has {name} = {limit:g}, the step needs {amount:g}"
    if needed.time_limit_s and walltime_s and needed.time_limit_s + min(_SPARE_S, walltime_s / 4) > walltime_s:
        return f"has walltime = {walltime_s} s, the step needs {needed.time_limit_s:g} s, and some to begin and end"
    return ""


def parse_memory(text: str) -> int:
    """Return the bytes of an amount of memory, such as ``8GB`` or ``7.5 GiB``.

    Raises
    ------
    RequestError
        If the text is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(i?)B?", text, flags=re.ASCII | re.IGNORECASE)
    if match is None:
        msg = "the memory of a kind of worker can't be read"
        raise RequestError(msg, where="[executor.kinds]", expected="a number with a unit, such as 8GB", found=text)
    unit = match[2].upper()
    factor = 1024 ** " KMGT".index(unit) if match[3] and unit else _UNITS[unit]
    return math.ceil(float(match[1]) * factor)
