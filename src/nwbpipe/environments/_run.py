"""Run a compute module as a subprocess, keep its log, and tell the ways it can end apart."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nwbpipe.environments import _worker
from nwbpipe.environments._find import ToolEnvironment
from nwbpipe.environments._mark import EnvironmentKind
from nwbpipe.environments._meter import Meter
from nwbpipe.errors import (
    ToolCrashedError,
    ToolError,
    ToolFailedError,
    ToolKilledError,
    ToolMemoryError,
    ToolTimeoutError,
)

Progress = Callable[[float, str], None]

_CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"}
_SECRET = re.compile(r"^(AWS|AZURE|GOOGLE|GCS)_|TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_NOT_PASSED_ON = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV"}
_GRACE = 5.0  # seconds between asking a process to end and killing it


@dataclass(frozen=True)
class ComputeResult:
    """What a computation left.

    Attributes
    ----------
    results : Path
        The HDF5 file with its arrays.
    summary : mapping
        What it returned.
    usage : mapping of str to float
        ``cpu_seconds`` and ``peak_memory_bytes``; where a GPU was used and can be asked, ``peak_gpu_memory_bytes``
        and ``gpu_seconds``.
    """

    results: Path
    summary: Mapping[str, Any]
    usage: Mapping[str, float]


def run(
    environment: ToolEnvironment,
    compute: str,
    request: Mapping[str, Any],
    *,
    scratch: Path,
    log: Path,
    timeout: float | None = None,
    progress: Progress | None = None,
    served: Mapping[str, Any] | None = None,
    devices: str | None = None,
) -> ComputeResult:
    """Run the compute module `compute` in a tool's environment.

    Parameters
    ----------
    environment : ToolEnvironment
        Whose Python runs it.
    compute : str
        Dotted name of the module; it is found, not imported, here.
    request : mapping
        Plain JSON for its ``compute(request, results, progress)``; ``"tool"`` is added: the paths of the tool's
        ``programs``, ``checkout`` and ``weights``.
    scratch : Path
        An existing folder for the request, the results and the tool's own files.
    log : Path
        Where everything that is printed is kept, each line with its time.
    timeout : float, optional
        Seconds after which it is stopped.
    progress : callable, optional
        Called with each progress line's fraction (0 to 1) and text.
    served : mapping, optional
        ``port`` and ``token`` of a server of ranges in this process, and ``files``: the numbers there, by the paths
        in the request that stand for them.
    devices : str, optional
        GPUs that it may use, as ``CUDA_VISIBLE_DEVICES``; "" is none. By default as they are here.

    Raises
    ------
    ToolFailedError, ToolCrashedError, ToolMemoryError, ToolTimeoutError, ToolKilledError
        By the way it ended; each carries the log's path and last lines.
    """
    paths = {name: str(scratch / file) for name, file in (("results", "results.h5"), ("outcome", "outcome.json"))}
    Path(paths["outcome"]).unlink(missing_ok=True)  # of an earlier try, whose stages are gone on from
    request_path = scratch / "request.json"
    told = {**request, "tool": _describe_tool(environment)}
    content = {"compute": str(find_source(compute)), "request": told, "served": served, **paths}
    with os.fdopen(os.open(request_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    out_of_memory_before = _count_kernel_kills()
    variables = build_tool_variables(int(request.get("threads", 1)))
    if devices is not None:
        variables["CUDA_VISIBLE_DEVICES"] = devices
    name = f"nwbpipe-{environment.tool.name}-{uuid.uuid4().hex[:12]}"
    words = [str(environment.python), "-u", _worker.__file__, str(request_path)]
    container = environment.container
    if container is not None:
        words = container.build_command(
            words,
            name=name,
            readable=_list_folders(request, environment, compute),
            writable=[scratch],
            variables=variables,
            folder=scratch,
            threads=int(request.get("threads", 1)),
        )
    child = subprocess.Popen(  # our own worker, in the tool's Python; there is no shell
        words,
        stdin=subprocess.PIPE,  # never written to: its end tells the worker that we are gone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=scratch,
        env={**_build_variables(environment), **variables},
        start_new_session=True,
    )
    killed_for_memory = False
    try:
        with Meter(child.pid, gpu=environment.tool.gpu is not None) as meter:
            last_lines, timed_out = _follow(child, log, timeout, progress)
    finally:
        _end_group(child)
        if container is not None:
            killed_for_memory = container.end(name)
    outcome = _read_outcome(Path(paths["outcome"]))
    code = child.returncode
    if container is not None and code > 128:  # as the engines pass on the signal that ended the worker
        code = 128 - code
    if code == 0 and not timed_out and "summary" in outcome:
        usage = outcome.get("usage", {})
        seen = meter.read_peaks()
        # The worker knows the peak of its largest process, we have seen all of them together.
        peak = {key: max(usage.get(key, 0), seen.get(key, 0)) for key in ("peak_memory_bytes",) if usage or seen}
        return ComputeResult(Path(paths["results"]), outcome["summary"], {**seen, **usage, **peak})
    memory = (
        code == _worker.NO_MEMORY
        or killed_for_memory
        or (code == -signal.SIGKILL and _count_kernel_kills() > out_of_memory_before)
    )
    error = _make_error(
        environment.tool.name, code, outcome, timeout if timed_out else None, memory=memory, tail=last_lines
    )
    error.log = str(log)
    error.problem = replace(error.problem, where=f"log: {log}")
    raise error


def find_source(compute: str) -> Path:
    """File of a compute module, found without importing it."""
    spec = importlib.util.find_spec(compute)
    if spec is None or spec.origin is None:
        msg = f"the compute module {compute!r} is not there"
        raise ToolFailedError(msg, hint="the processor's package is incomplete: install it again")
    return Path(spec.origin)


def build_tool_variables(threads: int) -> dict[str, str]:
    """Variables that every tool gets: as many threads as it was given, no display, no downloads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "VECLIB_MAXIMUM")
    variables = {f"{name}_NUM_THREADS": str(threads) for name in names}
    # Waiting threads that spin take the cores from those that work: 4 times slower on two busy cores.
    variables |= {"OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "Agg", "QT_QPA_PLATFORM": "offscreen"}
    return variables | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _build_variables(environment: ToolEnvironment) -> dict[str, str]:
    """The user's variables without secrets and without what is of our own Python; those of a conda environment."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_PASSED_ON and not name.startswith("NWBPIPE_") and not _SECRET.search(name)
    }
    if environment.kind is EnvironmentKind.CONDA:  # what activating it would do for most packages
        prefix = environment.python.parent.parent if os.name != "nt" else environment.python.parent
        variables["CONDA_PREFIX"] = str(prefix)
        variables["PATH"] = os.pathsep.join([str(environment.python.parent), variables.get("PATH", "")])
    return variables


def _describe_tool(environment: ToolEnvironment) -> dict[str, Any]:
    """What the compute module is told of its tool: paths that only the machine knows, so no parameters."""
    inside = environment.tool.programs if environment.container is not None else ()
    return {
        "programs": dict(environment.programs),
        "commands": {program.name: program.commands for program in inside},  # the worker finds them in the container
        "checkout": str(environment.checkout) if environment.checkout else None,
        "weights": str(environment.weights),
    }


def _list_folders(request: Mapping[str, Any], environment: ToolEnvironment, compute: str) -> set[Path]:
    """Folders that a run reads: what a container must be shown."""
    files = [find_source(compute), Path(_worker.__file__)]
    for one in request.get("inputs", {}).values():
        files += [Path(file) for file in (one.get("file"), *one.get("external_files", ())) if file]
    own = [folder for folder in (environment.checkout, environment.weights) if folder is not None and folder.is_dir()]
    return {*(file.parent for file in files), *own}


def _follow(
    child: subprocess.Popen[bytes], log: Path, timeout: float | None, progress: Progress | None
) -> tuple[list[str], bool]:
    """Write the child's output to the log until it ends or its time is up; return the last lines."""
    last_lines: deque[str] = deque(maxlen=200)

    def read() -> None:
        assert child.stdout is not None
        with child.stdout as output, log.open("a", encoding="utf-8") as file:
            for raw in output:
                line = raw.decode("utf-8", "replace").rstrip()
                file.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")
                file.flush()
                if line.startswith("@progress "):
                    if progress is not None:
                        _, fraction, text = (line + " ").split(" ", 2)
                        progress(float(fraction), text.strip())
                elif line:
                    last_lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    timed_out = False
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
    _end_group(child)
    reader.join(_GRACE)
    return list(last_lines), timed_out


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and everything that it started, whatever it left running."""
    if not hasattr(os, "killpg"):
        child.kill()
        child.wait()
        return
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def _read_outcome(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return read if isinstance(read, dict) else {}


def _count_kernel_kills() -> int:
    """How many processes of our control group the kernel has killed for want of memory (Linux)."""
    with suppress(OSError, ValueError):
        for line in Path("/sys/fs/cgroup/memory.events").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _make_error(
    tool: str, code: int, outcome: dict[str, Any], timeout: float | None, *, memory: bool, tail: list[str]
) -> ToolError:
    if "error" in outcome:  # the message says it; the traceback is for those who read the log
        tail = tail[: _find_traceback(tail)]
    found = "\n".join(["its last lines:", *(f"    {line}" for line in tail[-12:])]) if tail else "it printed nothing"
    if timeout is not None:
        msg = f"{tool} was stopped at its time limit of {timeout:g} s"
        return ToolTimeoutError(msg, found=found, hint="give it more time: --timeout SECONDS")
    if memory:
        msg = f"{tool} ran out of memory"
        return ToolMemoryError(msg, found=found, hint="give it smaller batches, or a machine with more memory")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if name in _CRASHES:
            msg = f"{tool} crashed ({name})"
            return ToolCrashedError(msg, found=found, hint="a fault in the tool: see its log")
        msg = f"{tool} was killed ({name})"
        return ToolKilledError(msg, found=found, hint="by a person, a scheduler or the system: run it again")
    if "error" in outcome:
        msg = f"{tool} failed: {outcome['error']['type']}: {outcome['error']['message']}"
        return ToolFailedError(msg, found=found, hint="see its log for the whole traceback")
    msg = f"{tool} ended with exit code {code} and no result"
    return ToolFailedError(msg, found=found, hint="see its log")


def _find_traceback(lines: list[str]) -> int:
    return next((n for n, line in enumerate(lines) if line.startswith("Traceback ")), len(lines))
