"""Make the error of each way in which a computation can end."""

from __future__ import annotations

import signal
from typing import Any

from nwbpipe.errors import (
    ToolCrashedError,
    ToolError,
    ToolFailedError,
    ToolKilledError,
    ToolMemoryError,
    ToolTimeoutError,
)

_CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"}


def make_end_error(
    tool: str,
    code: int,
    outcome: dict[str, Any],
    timeout: float | None,
    *,
    memory: bool,
    limit: int,
    tail: list[str],
) -> ToolError:
    """Return the error of a computation that left no result.

    Parameters
    ----------
    tool : str
        Its name.
    code : int
        Exit code of its process; below 0 the signal that ended it.
    outcome : dict
        What the worker wrote about it; empty if it could not.
    timeout : float or None
        The time limit in seconds, if it was stopped there.
    memory : bool
        True if it is known to have run out of memory.
    limit : int
        Bytes that its container was held to; 0 without such a limit.
    tail : list of str
        Last lines of its output.
    """
    if "error" in outcome:  # the message has the error; the traceback is for readers of the log
        tail = tail[: _find_traceback(tail)]
    output = "\n".join(["its last lines:", *(f"    {line}" for line in tail[-12:])]) if tail else "it printed nothing"
    if timeout is not None:
        msg = f"{tool} was stopped at its time limit of {timeout:g} s"
        return ToolTimeoutError(msg, found=output, hint="give it more time: --timeout SECONDS")
    if memory:
        msg = f"{tool} ran out of memory"
        hint = "give it smaller batches, or a machine with more memory"
        if limit:
            msg += f": its container may use {limit / 1e9:g} GB, the step's resources.memory_gb"
            hint = "raise memory_gb, or give it smaller batches"
        return ToolMemoryError(msg, found=output, hint=hint)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if name in _CRASHES:
            msg = f"{tool} crashed ({name})"
            return ToolCrashedError(msg, found=output, hint="the fault is in the tool: see its log")
        msg = f"{tool} was killed ({name})"
        hint = "a person, a scheduler or the system killed it: run it again"
        if limit and name == "SIGKILL":
            hint += f"; if that repeats, it may need more than the {limit / 1e9:g} GB of its container (memory_gb)"
        return ToolKilledError(msg, found=output, hint=hint)
    if "error" in outcome:
        msg = f"{tool} failed: {outcome['error']['type']}: {outcome['error']['message']}"
        return ToolFailedError(msg, found=output, hint="see its log for the whole traceback")
    msg = f"{tool} ended with exit code {code} and no result"
    return ToolFailedError(msg, found=output, hint="see its log")


def _find_traceback(lines: list[str]) -> int:
    return next((n for n, line in enumerate(lines) if line.startswith("Traceback ")), len(lines))
