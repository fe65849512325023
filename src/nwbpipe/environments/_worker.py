"""Runs a compute module in the tool's own Python: ``python _worker.py REQUEST.json``.

``python _worker.py --template MODULE …`` waits for requests, each for a fork of it (`_worker_template`), and
``python _worker.py --check MODULE LIBRARY`` imports a tool instead, and prints as JSON what its library (torch,
tensorflow, or - for none) can compute on.
Standard library and h5py only, Python 3.9. Exit codes: 0 done, 3 the computation raised, 4 out of memory.

A session file that is not on this machine is read through the parent (`_worker_ranges`).
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

FAILED, NO_MEMORY = 3, 4
TEMPLATE = "--template"
PACKAGE = "nwbpipe_compute"  # name here of the folder that the compute module lies in
SERVED = "NWBPIPE_SERVED"  # for processes that the tool spawns: a file that says what the parent serves


def follow_parent() -> int:
    """Return the pid of a fork that ends this process, and all that it starts, once what started it is gone.

    That process holds the other end of our standard input, and never writes to it. A fork of ours waits for the
    end of the input there, and then kills our process group: C code that never comes back can't prevent it.
    """
    watcher = os.fork()
    if watcher == 0:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        while os.read(0, 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    return watcher


def end_watcher(pid: int) -> None:
    """End the fork that follows our parent, and wait for it.

    As an orphan it would stay a zombie, one a run, where process 1 waits for none, as in many containers.
    """
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    except OSError:
        pass  # the tool has waited for it


def measure_usage() -> dict[str, float]:
    """CPU seconds, and peak memory in bytes, of this process and its children."""
    try:
        import resource
    except ImportError:
        return {}
    # On Linux the peak of `getrusage` is also that of the process that we were forked from, which may be a large one.
    peak = 0
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            peak = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        pass
    own_usage, children = (resource.getrusage(scope) for scope in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cpu_seconds": round(own_usage.ru_utime + own_usage.ru_stime + children.ru_utime + children.ru_stime, 3),
        "peak_memory_bytes": max(peak or own_usage.ru_maxrss * unit, children.ru_maxrss * unit),
    }


def progress(fraction: float, text: str = "") -> None:
    """Print a line that the parent shows as progress."""
    print("@progress {:.4f} {}".format(min(max(float(fraction), 0.0), 1.0), text), flush=True)


def load_sibling(name: str) -> Any:
    """Import a module beside this one: nothing else of its folder may be importable in the tool's Python."""
    path = Path(__file__).resolve().with_name(name + ".py")
    spec: Any = importlib.util.spec_from_file_location("nwbpipe" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def open_between_commits() -> None:
    """Let `h5py.File` wait where another process commits to the file at this moment.

    During a commit the file's signature is blank, so that every reader refuses it; the journal beside it says so. It
    lasts milliseconds. One that was interrupted may stay for long: then a file that can be opened is read.
    """
    import h5py

    plain = h5py.File.__init__

    def state(path: Path) -> Any:
        stat = path.stat()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def init(self: Any, name: Any, mode: str = "r", *args: Any, **options: Any) -> None:
        if mode != "r" or not isinstance(name, (str, os.PathLike)) or not Path(name).is_file():
            plain(self, name, mode, *args, **options)
            return
        path = Path(name).resolve()
        journal = path.with_name("." + path.name + ".journal")
        began = time.monotonic()
        while True:
            before = state(path)
            waited = time.monotonic() - began
            try:
                plain(self, name, mode, *args, **options)
            except OSError:
                if waited > 120 or (not os.path.lexists(journal) and state(path) == before):
                    raise
            else:
                if waited > 10 or (not os.path.lexists(journal) and state(path) == before):
                    return
                self.close()
            time.sleep(0.005)

    h5py.File.__init__ = init


def find_programs(tool: dict[str, Any]) -> None:
    """Find the programs that a tool runs in its container: put their paths beside those that are known already."""
    for name, commands in tool.pop("commands", {}).items():
        path = next(filter(None, map(shutil.which, commands)), None)
        if path is None:
            raise RuntimeError("the container lacks {}: none of {} is there".format(name, ", ".join(commands)))
        tool["programs"][name] = path


def add_packages(folder: Path, packages: dict[str, str]) -> None:
    """Make folders importable as packages, here and in the processes that the tool starts.

    The packages that these folders belong to need not be installed here. Each gets a stand-in that points to it, in a
    folder that is put first on the path: another version may be installed here, and must not be taken. The folder
    holds nothing else, so no module of the tool is hidden.
    """
    for name, source in packages.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("__path__ = [%r]\n" % source, encoding="utf-8")
    sys.path.insert(0, str(folder))


def find_full_disk(error: Any) -> Any:
    """Return the errno of an error that means a full disk, which HDF5 tells in its text alone; else None."""
    number = getattr(error, "errno", None)
    if number is None:
        match = re.search(r"errno = (\d+)", str(error))
        number = int(match.group(1)) if match else None
    return number if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS) else None


def compute(request: dict[str, Any]) -> dict[str, Any]:
    """Import the compute module, run it, and return its summary."""
    import h5py

    add_packages(Path(request["results"]).with_name("packages"), request["packages"])
    if request.get("served"):
        media: Any = importlib.import_module("nwbpipe_kit.media")
        media.open_served = partial(load_sibling("_worker_ranges").open_served, request["served"])
    module = importlib.import_module(PACKAGE + "." + request["compute"])
    asked = request["request"]
    find_programs(asked.get("tool", {}))
    if asked.get("stages"):
        asked["stages"] = run_stages(module, asked, Path(asked["scratch"]) / "stages", asked["stages"])
    with h5py.File(request["results"], "w") as results:
        summary: dict[str, Any] = module.compute(request["request"], results, progress)
    return summary


def run_stages(module: Any, asked: dict[str, Any], folder: Path, names: list[str]) -> dict[str, str]:
    """Run the stages that have not ended yet; return the folder of each.

    A stage writes into a folder that gets its name when the stage has ended: what has the name is whole.
    """
    ended: dict[str, str] = {}
    for name in names:
        final, partial = folder / name, folder / (name + ".partial")
        if not final.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            stage = getattr(module, "stage_" + name)
            stage({**asked, "stages": dict(ended)}, str(partial), progress)
            partial.replace(final)
        ended[name] = str(final)
    return ended


def check(module: str, library: str) -> dict[str, Any]:
    """Import a tool; return the seconds that it took, and the device that its library finds."""
    started = time.perf_counter()
    importlib.import_module(module)
    report: dict[str, Any] = {"seconds": round(time.perf_counter() - started, 1)}
    if library == "torch":
        import torch

        if torch.cuda.is_available():
            report["device"] = "cuda: " + torch.cuda.get_device_name(0)
        else:
            metal = getattr(torch.backends, "mps", None)
            report["device"] = "mps" if metal is not None and metal.is_available() else "cpu"
    elif library == "tensorflow":
        import tensorflow

        devices = tensorflow.config.list_physical_devices("GPU")
        report["device"] = devices[0].name if devices else "cpu"
    return report


def main(request_path: str) -> None:
    """Run the request, and leave an outcome beside it."""
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    watcher = follow_parent() if hasattr(os, "fork") else 0
    open_between_commits()
    if request.get("served"):
        os.environ[SERVED] = request_path
        load_sibling("_worker_ranges").read_through_parent(request["served"])
    outcome: dict[str, Any] = {}
    code = 0
    try:
        outcome["summary"] = compute(request)
        json.dumps(outcome["summary"], allow_nan=False)
    except MemoryError as error:
        traceback.print_exc()
        outcome, code = {"error": {"type": "MemoryError", "message": str(error)}}, NO_MEMORY
    except Exception as error:
        traceback.print_exc()
        outcome, code = {"error": {"type": type(error).__name__, "message": str(error)}}, FAILED
        number = find_full_disk(error)
        if number is not None:
            outcome["error"]["errno"] = number
            os.truncate(request["results"], 0)  # room for the outcome
    outcome["usage"] = measure_usage()
    temporary = Path(request["outcome"] + ".partial")
    temporary.write_text(json.dumps(outcome), encoding="utf-8")
    temporary.replace(request["outcome"])
    sys.stdout.flush()
    sys.stderr.flush()
    if watcher:
        end_watcher(watcher)
    os._exit(code)  # a tool's left-over threads and exit hooks must not hold or crash a finished run


if __name__ == "__main__":
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    load_sibling("_worker_imports").install()
    if sys.argv[1] == "--check":
        answer = check(*sys.argv[2:])
        print("\n@check " + json.dumps(answer), flush=True)
        os._exit(0)
    if sys.argv[1] == TEMPLATE:
        load_sibling("_worker_template").serve(main, sys.argv[2:])
    main(sys.argv[1])
elif __name__ == "__mp_main__":  # a process that the tool spawned
    load_sibling("_worker_imports").install()
    open_between_commits()
    if SERVED in os.environ:
        served = json.loads(Path(os.environ[SERVED]).read_text(encoding="utf-8"))["served"]
        load_sibling("_worker_ranges").read_through_parent(served)
