"""Run a compute module as a subprocess, keep its log, and turn each way it can end into its error."""

from __future__ import annotations

import errno
import importlib.util
import json
import logging
import os
import shutil
import signal
import site
import subprocess
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from nwbpipe.disk import full_disk_error
from nwbpipe.environments import _worker
from nwbpipe.environments._container import REFUSED, Container, sweep_containers
from nwbpipe.environments._end_errors import make_end_error
from nwbpipe.environments._engine import build_engine_variables, last_line
from nwbpipe.environments._find import ToolEnvironment
from nwbpipe.environments._mark import EnvironmentKind
from nwbpipe.environments._meter import Meter
from nwbpipe.environments._settings import read_memory_limit
from nwbpipe.environments._warm import ForkedWorker, fork_worker
from nwbpipe.errors import ToolFailedError, ToolKilledError
from nwbpipe.machine import count_machine_memory_kills, count_memory_kills, select_variables

logger = logging.getLogger("nwbpipe")

Progress = Callable[[float, str], None]

#: Package of what compute modules share; the worker makes it importable in the tool's Python.
KIT = "nwbpipe_kit"

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK
_NO_ROOM = 64 * 1024  # bytes free in scratch: then a tool that left no outcome had no room for it
_ENGINE_HINT = "see its words above, and `nwbpipe tools doctor`; run it again when the engine answers"
_GRACE = 5.0  # seconds between asking a process to end and killing it


@dataclass(frozen=True)
class ComputeResult:
    """The result of a computation.

    Attributes
    ----------
    results : Path
        The HDF5 file with its arrays.
    summary : mapping
        The summary that it returned.
    usage : mapping of str to float
        ``cpu_seconds`` and ``peak_memory_bytes``; with a GPU whose driver answers also ``peak_gpu_memory_bytes`` and
        ``gpu_seconds``.
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
        The environment whose Python runs it.
    compute : str
        Dotted name of the module; this process does not import it.
    request : mapping
        Plain JSON for its ``compute(request, results, progress)``; ``"tool"`` is added: the paths of the tool's
        ``programs``, ``checkout`` and ``weights``.
    scratch : Path
        An existing folder for the request, the results and the tool's own files.
    log : Path
        File for the output, each line with its time.
    timeout : float, optional
        Seconds after which it is stopped.
    progress : callable, optional
        Called with each progress line's fraction (0 to 1) and text.
    served : mapping, optional
        ``port``, ``socket`` and ``token`` of the range server in this process, and ``files``: the server's number of
        a file by the path in the request that stands for it.
    devices : str, optional
        GPUs that it may use, as ``CUDA_VISIBLE_DEVICES``; "" for none. By default those of this process.

    Raises
    ------
    ToolFailedError, ToolCrashedError, ToolMemoryError, ToolTimeoutError, ToolKilledError
        Depends on how it ended; each carries the log's path and last lines.
    """
    paths = {name: str(scratch / file) for name, file in (("results", "results.h5"), ("outcome", "outcome.json"))}
    Path(paths["outcome"]).unlink(missing_ok=True)  # of an earlier try, whose stages are continued
    request_path = scratch / "request.json"
    compute_request = {**request, "tool": _describe_tool(environment)}
    source = find_source(compute)
    packages = {KIT: str(find_source(KIT).parent), _worker.PACKAGE: str(source.parent)}
    if served is not None and environment.container is not None:
        served = _serve_in_container(served, environment.container, scratch)
    content = {"compute": source.stem, "packages": packages, "request": compute_request, "served": served, **paths}
    request_path.unlink(missing_ok=True)
    with os.fdopen(os.open(request_path, _NEW, 0o600), "w") as file:
        json.dump(content, file)
    kills_before = _count_kills()
    variables = build_tool_variables(int(request.get("threads", 1)))
    if environment.kind is EnvironmentKind.CURRENT and site.ENABLE_USER_SITE:
        del variables["PYTHONNOUSERSITE"]  # the packages of this Python are there: `pip install --user`
    if devices is not None:
        variables["CUDA_VISIBLE_DEVICES"] = devices
    name = f"nwbpipe-{environment.tool.name}-{uuid.uuid4().hex[:12]}"
    words = [str(environment.python), "-u", _worker.__file__]
    container = environment.container
    if container is not None:
        words = container.build_command(
            [*words, str(request_path)],
            name=name,
            readable=_list_folders(request, environment, compute),
            writable=[scratch],
            variables=variables,
            folder=scratch,
            threads=int(request.get("threads", 1)),
            gpu=devices != "",
            memory=read_memory_limit(),
            work=scratch,
        )
        _sweep_once(container.engine)
    child_variables = {**_build_variables(environment), **variables}
    child = _start(
        environment, words, request_path, child_variables if container is None else build_engine_variables()
    )
    killed_for_memory = False
    try:
        with Meter(child.pid, gpu=environment.tool.gpu is not None) as meter:
            last_lines, timed_out = _follow(child, log, timeout, progress)
    finally:
        _end_group(child)
        if isinstance(child, ForkedWorker):
            child.release()
        if container is not None:
            killed_for_memory = container.end(name)
    outcome = _read_outcome(Path(paths["outcome"]))
    code = child.wait()
    if container is not None and code == REFUSED and not outcome and not timed_out:
        msg = f"the container engine did not run {environment.tool.name}"
        refusal = ToolKilledError(msg, found=last_line("\n".join(last_lines)) or None, hint=_ENGINE_HINT)
        refusal.log = str(log)
        raise refusal
    if container is not None and code > 128:  # the engines' way to report the signal that ended the worker
        code = 128 - code
    if code == 0 and not timed_out and "summary" in outcome:
        usage = outcome.get("usage", {})
        measured = meter.read_peaks()
        # The worker knows the peak of its largest process, the meter the peak of all of them together.
        peak = {
            key: max(usage.get(key, 0), measured.get(key, 0)) for key in ("peak_memory_bytes",) if usage or measured
        }
        return ComputeResult(Path(paths["results"]), outcome["summary"], {**measured, **usage, **peak})
    full = outcome.get("error", {}).get("errno")
    if full or (code and not outcome and shutil.disk_usage(scratch).free < _NO_ROOM):
        hint = "free space there, or set NWBPIPE_SCRATCH to a folder with more; the session file is as it was"
        raise full_disk_error(scratch.parent, full or errno.ENOSPC, hint=hint)
    limit = container.find_memory_limit(read_memory_limit()) if container is not None else 0
    kills, machine_kills = (now - before for now, before in zip(_count_kills(), kills_before, strict=True))
    # Podman with control groups of version 1 does not tell it of a container: the machine counts all such kills.
    is_killed_for_memory = code == -signal.SIGKILL and (kills > 0 or (limit > 0 and machine_kills > 0))
    error = make_end_error(
        environment.tool.name, code, outcome, timeout if timed_out else None, limit=limit, tail=last_lines,
        memory=code == _worker.NO_MEMORY or killed_for_memory or is_killed_for_memory,
    )  # fmt: skip
    error.log = str(log)
    error.problem = replace(error.problem, where=f"log: {log}")
    raise error


def end_earlier_container(environment: ToolEnvironment, scratch: Path) -> None:
    """End a container of an earlier attempt that still computes in `scratch`, before that is emptied.

    Raises
    ------
    ToolKilledError
        The engine did not end it.
    """
    if environment.container is not None:
        environment.container.end_earlier(scratch)


def _serve_in_container(served: Mapping[str, Any], container: Container, scratch: Path) -> dict[str, Any]:
    """Return how a container without a network reaches the server of ranges: by its socket."""
    if container.is_apptainer:  # it has the machine's network
        return dict(served)
    if "socket" not in served:
        msg = "a session file that is not on this machine can't be read in a container from here"
        raise ToolFailedError(
            msg, where=str(scratch), expected="a folder in which a Unix socket can be made",
            hint="set NWBPIPE_SCRATCH to a folder of a local disk",
        )  # fmt: skip
    return {name: value for name, value in served.items() if name != "port"}


def _count_kills() -> tuple[int, int]:
    """Return how many processes were killed for memory: of this one's control group, and of the machine."""
    return count_memory_kills(), count_machine_memory_kills()


@lru_cache(maxsize=8)
def _sweep_once(engine: Path) -> None:
    sweep_containers(engine)


def _start(
    environment: ToolEnvironment, words: list[str], request: Path, variables: Mapping[str, str]
) -> subprocess.Popen[bytes] | ForkedWorker:
    """Start our own worker in the tool's Python, as a fork of a warm one or by itself; there is no shell."""
    worker = fork_worker(environment, words, request, variables)
    if worker is not None:
        return worker
    return subprocess.Popen(
        words if environment.container is not None else [*words, str(request)],
        stdin=subprocess.PIPE,  # never written to: the worker sees its end when this process is gone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=request.parent,
        env=dict(variables),
        start_new_session=True,
    )


def find_source(compute: str) -> Path:
    """Return the file of a compute module without importing it."""
    spec = importlib.util.find_spec(compute)
    if spec is None or spec.origin is None:
        msg = f"the compute module {compute!r} does not exist"
        raise ToolFailedError(msg, hint="the processor's package is incomplete: install it again")
    return Path(spec.origin)


def build_tool_variables(threads: int) -> dict[str, str]:
    """Return the variables that every tool gets: its number of threads, no display, no downloads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "VECLIB_MAXIMUM")
    variables = {f"{name}_NUM_THREADS": str(threads) for name in names}
    # Threads that spin while waiting take the cores from working ones: 4 times slower on two busy cores.
    variables |= {"OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "Agg", "QT_QPA_PLATFORM": "offscreen"}
    return variables | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _build_variables(environment: ToolEnvironment) -> dict[str, str]:
    """Return those of the user's variables that tools need, plus conda's activation."""
    variables = select_variables()
    if environment.kind is EnvironmentKind.CONDA:  # what activating it would do for most packages
        prefix = environment.python.parent.parent if os.name != "nt" else environment.python.parent
        variables["CONDA_PREFIX"] = str(prefix)
        variables["PATH"] = os.pathsep.join([str(environment.python.parent), variables.get("PATH", "")])
    return variables


def _describe_tool(environment: ToolEnvironment) -> dict[str, Any]:
    """Return the paths of the tool for the compute module: they depend on the machine, so they aren't parameters."""
    inside = environment.tool.programs if environment.container is not None else ()
    return {
        "programs": dict(environment.programs),
        "commands": {program.name: program.commands for program in inside},  # the worker finds them in the container
        "checkout": str(environment.checkout) if environment.checkout else None,
        "weights": str(environment.weights),
    }


def _list_folders(request: Mapping[str, Any], environment: ToolEnvironment, compute: str) -> set[Path]:
    """Return the folders that a run reads, which a container must mount."""
    files = [find_source(compute), find_source(KIT), Path(_worker.__file__)]
    for input_ in request.get("inputs", {}).values():
        files += [Path(file) for file in (input_.get("file"), *input_.get("external_files", ())) if file]
    tool_folders = [
        folder for folder in (environment.checkout, environment.weights) if folder is not None and folder.is_dir()
    ]
    artefacts = [Path(input_["folder"]) for input_ in request.get("inputs", {}).values() if "folder" in input_]
    return {*(file.parent for file in files), *artefacts, *tool_folders}


def _follow(
    child: subprocess.Popen[bytes] | ForkedWorker, log: Path, timeout: float | None, progress: Progress | None
) -> tuple[list[str], bool]:
    """Write the child's output to the log until it ends or times out; return the last lines, and if it timed out."""
    last_lines: deque[str] = deque(maxlen=200)

    descriptor: int | None = os.open(log, _APPEND, 0o600)

    def read() -> None:
        nonlocal descriptor
        assert child.stdout is not None
        with child.stdout as output:
            for raw in output:
                line = raw.decode("utf-8", "replace").rstrip()
                descriptor = _write_log(descriptor, log, line)
                if line.startswith("@progress "):
                    if progress is not None:
                        _, fraction, text = (line + " ").split(" ", 2)
                        progress(float(fraction), text.strip())
                elif line:
                    last_lines.append(line.rpartition("\r")[2])  # of a progress bar the last frame
        if descriptor is not None:
            os.close(descriptor)

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


def _write_log(descriptor: int | None, log: Path, line: str) -> int | None:
    """Write a line to the log; if its disk is full, give the log up, and not the tool that fills a pipe meanwhile."""
    if descriptor is None:
        return None
    try:
        os.write(descriptor, f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n".encode())
    except OSError as error:
        logger.warning("the log ends here: %s: %s", log, error.strerror)
        os.close(descriptor)
        return None
    return descriptor


def _end_group(child: subprocess.Popen[bytes] | ForkedWorker) -> None:
    """End the child and every process that it started."""
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
        outcome = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return outcome if isinstance(outcome, dict) else {}
