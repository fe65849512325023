"""Runs a compute module in the tool's own Python: ``python _worker.py REQUEST.json``.

Standard library and h5py only, Python 3.9. Exit codes: 0 done, 3 the computation raised, 4 out of memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

FAILED, NO_MEMORY = 3, 4


def follow_parent() -> None:
    """End this process, and all that it starts, once the process that started it is gone.

    That process holds the other end of our standard input, and never writes to it. A fork of ours waits for the
    end of the input there, and then kills our process group: C code that never comes back can't prevent it.
    """
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        while os.read(0, 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)


def usage() -> dict[str, float]:
    """CPU seconds, and peak memory in bytes, of this process and its children."""
    try:
        import resource
    except ImportError:
        return {}
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cpu_seconds": round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
        "peak_memory_bytes": max(own.ru_maxrss, children.ru_maxrss) * unit,
    }


def progress(fraction: float, text: str = "") -> None:
    """Print a line that the parent shows as progress."""
    print("@progress {:.4f} {}".format(min(max(float(fraction), 0.0), 1.0), text), flush=True)


def compute(request: dict[str, Any]) -> dict[str, Any]:
    """Load the compute module by its path, run it, and return its summary."""
    import h5py

    spec = importlib.util.spec_from_file_location("nwbpipe_compute", request["compute"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nwbpipe_compute"] = module  # so that its classes can be pickled for worker processes
    spec.loader.exec_module(module)
    asked = request["request"]
    if asked.get("stages_folder"):
        asked["stages"] = run_stages(module, asked, Path(asked.pop("stages_folder")), asked["stages"])
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


def main(request_path: str) -> None:
    """Run the request, and leave an outcome beside it."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    if hasattr(os, "fork"):
        follow_parent()
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
    outcome["usage"] = usage()
    temporary = Path(request["outcome"] + ".partial")
    temporary.write_text(json.dumps(outcome), encoding="utf-8")
    temporary.replace(request["outcome"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a tool's left-over threads and exit hooks must not hold or crash a finished run


if __name__ == "__main__":
    main(sys.argv[1])
