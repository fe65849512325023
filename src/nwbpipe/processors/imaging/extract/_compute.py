"""Run EXTRACT 1.3 on a movie of an NWB file, by MATLAB or GNU Octave (compute module: see `nwbpipe.processors`).

EXTRACT is used from the checkout that the user names. Under Octave, functions that it lacks come from the folder
``_octave`` beside this file, and the checkout's sources are copied to the scratch folder, where one call is
written as Octave wants it (see `copy_for_octave`).

Orientation. The movie is (frames, x, y), with y the fastest in memory: read by columns that is EXTRACT's
(y, x, frames). Its results, read by rows, are (cells, x, y).
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

Progress = Callable[[float, str], None]
FUNCTIONS = Path(__file__).resolve().with_name("_octave")
READ_BYTES = 64 * 1024**2
STAGES = {
    "Preprocessing": (0.2, "preprocessing"),
    "Finding cells": (0.3, "finding cells"),
    "refinement": (0.6, "refining cells"),
    "final robust": (0.85, "final regression"),
    "All done": (0.95, "done"),
}
#: How EXTRACT fails without a cell: what it says before, and what the error is about.
EMPTY = (("Zero cells, stopping.", "reshape"), ("0 cells found after", "quantile"))


def shift_frames(frames: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return frames (n, x, y) with their content moved back by `shifts` (n, 2): bilinear, edges repeated."""
    moved = np.empty(frames.shape, dtype=np.float32)
    nx, ny = frames.shape[1:]
    for number, (dx, dy) in enumerate(shifts):
        x, y = np.floor(dx), np.floor(dy)
        fx, fy = np.float32(dx - x), np.float32(dy - y)
        columns = np.clip(np.arange(nx + 1) + int(x), 0, nx - 1)
        rows = np.clip(np.arange(ny + 1) + int(y), 0, ny - 1)
        part = frames[number][np.ix_(columns, rows)].astype(np.float32)
        part = part[:-1] * (1 - fx) + part[1:] * fx
        moved[number] = part[:, :-1] * (1 - fy) + part[:, 1:] * fy
    return moved


def movie_blocks(data: h5py.Dataset, shifts: Any, progress: Progress) -> Any:
    """Yield blocks of frames as float32, corrected by the shifts if there are such."""
    frames = data.shape[0]
    step = max(1, READ_BYTES // max(1, 4 * int(np.prod(data.shape[1:]))))
    if data.chunks:
        step = max(step // data.chunks[0], 1) * data.chunks[0]
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        block = data[start:stop].astype(np.float32)
        if not np.isfinite(block).all():
            raise ValueError(
                "the movie holds NaN or infinite values (frames %d to %d); EXTRACT can't use it" % (start, stop - 1)
            )
        if shifts is not None:
            block = shift_frames(block, shifts[start:stop])
        progress(0.1 * stop / frames, "reading the movie")
        yield start, block


def extract_config(own: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return EXTRACT's configuration: what is a parameter (`own`), what we decide, what is given by name."""
    config: dict[str, Any] = {**own, "thresholds": dict(own["thresholds"])}
    config.update(use_gpu=0, parallel_cpu=0, multi_gpu=0, visualize_cellfinding=0, plot_loss=0, show_progress=0)
    config.update(verbose=2, num_partitions_x=params["partitions"][0], num_partitions_y=params["partitions"][1])
    for name, value in params["settings"].items():
        if name == "thresholds":
            config["thresholds"].update(value)
        else:
            config[name] = value
    return config


def check_names(config: dict[str, Any], checkout: Path) -> None:
    """Refuse a name that this EXTRACT does not have: it would be ignored."""
    text = (checkout / "EXTRACT" / "get_defaults.m").read_text(encoding="utf-8", errors="replace")
    for group, values in (("config", config), ("thresholds", config["thresholds"])):
        parameters = set(re.findall(r"isfield\(%s, *'(\w+)'\)" % group, text))
        parameters |= {"thresholds", "num_partitions_x", "num_partitions_y"} if group == "config" else set()
        for name in values:
            if name not in parameters:
                near = difflib.get_close_matches(name, sorted(parameters), n=1)
                hint = "did you mean %r?" % near[0] if near else "it has " + ", ".join(sorted(parameters))
                raise ValueError("this EXTRACT has no parameter %s.%s: %s" % (group, name, hint))


def copy_for_octave(checkout: Path, target: Path) -> Path:
    """Copy EXTRACT's sources, and write ``strel('disk', r)`` as Octave wants it: it knows no approximated disks."""
    shutil.copytree(checkout / "EXTRACT", target, ignore=shutil.ignore_patterns("debug_utils"))
    for file in target.rglob("*.m"):
        text = file.read_text(encoding="latin-1")
        changed = re.sub(r"strel\('disk', *([\w.]+)\)", r"strel('disk', \1, 0)", text)
        if changed != text:
            file.write_text(changed, encoding="latin-1")
    return target


def quote_matlab(path: Path) -> str:
    """Return a path as a text of MATLAB's."""
    return "'" + str(path).replace("'", "''") + "'"


def make_command(program: Path, source: Path, scratch: Path) -> list[str]:
    """Return the command that runs EXTRACT on what lies in `scratch`."""
    run = "nwbpipe_run_extract(%s)" % quote_matlab(scratch)
    if program.stem.startswith("octave"):
        # Ours come last, so they are looked up first.
        start = "pkg load image statistics signal; warning('off', 'all'); addpath(genpath(%s)); addpath(%s); "
        return [
            str(program),
            "--no-gui",
            "--no-init-file",
            "--quiet",
            "--eval",
            start % (quote_matlab(source), quote_matlab(FUNCTIONS)) + run,
        ]
    # MATLAB needs our runner alone: it is copied, so that nothing else of the folder shadows MATLAB's own.
    runner_folder = scratch / "runner"
    runner_folder.mkdir(exist_ok=True)
    shutil.copy(FUNCTIONS / "nwbpipe_run_extract.m", runner_folder)
    return [
        str(program),
        "-batch",
        "addpath(genpath(%s)); addpath(%s); %s" % (quote_matlab(source), quote_matlab(runner_folder), run),
    ]


def run_tool(words: list[str], progress: Progress, whole: bool) -> bool:
    """Run the program, show what it prints, and turn its stages into progress; False if no cell was left.

    EXTRACT 1.3 itself fails where it finds no cell, or where its checks remove every one. Only where the frame is
    worked on as a `whole` does that say that there is none.
    """
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdout is not None
        lines = []
        for raw in child.stdout:
            line = raw.decode("utf-8", "replace").strip()
            if line:
                print(line, flush=True)
                lines.append(line)
            for text, (fraction, label) in STAGES.items():
                if text in line:
                    progress(fraction, label)
    if not child.returncode:
        return True
    errors = [line for line in lines if line.lower().startswith("error")]
    for message, failed in EMPTY if whole else ():
        if any(line.startswith(message) for line in lines) and any(failed in line.lower() for line in errors):
            print("EXTRACT was left without a cell: the result is empty", flush=True)
            return False
    last = next(iter(errors), lines[-1] if lines else "it printed nothing")
    raise RuntimeError("%s ended with exit code %d: %s" % (Path(words[0]).name, child.returncode, last))


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Correct the motion that was found before, if it is given, and run EXTRACT."""
    params, scratch = request["params"], Path(request["scratch"])
    checkout = Path(request["tool"]["checkout"])
    program = Path(next(iter(request["tool"]["programs"].values())))
    config = extract_config(request["facts"]["settings"], params)
    check_names(config, checkout)
    source = request["inputs"]["movie"]
    with h5py.File(source["file"], "r", locking=False, rdcc_nbytes=READ_BYTES) as file:
        data = file[source["data"]]
        if data.ndim != 3 or data.dtype.kind not in "iuf":
            raise ValueError("expected a movie (frames, x, y) of numbers, found %s %s" % (data.dtype, data.shape))
        frames, nx, ny = data.shape
        motion = request["inputs"].get("shifts")
        shifts = None if motion is None else file[motion["data"]][:]
        total = np.zeros((nx, ny))
        with (scratch / "movie.raw").open("wb") as raw:
            for _, block in movie_blocks(data, shifts, progress):
                block.tofile(raw)
                total += block.sum(axis=0, dtype=np.float64)
        results["images/mean"] = (total / frames).astype(np.float32)
        (scratch / "request.json").write_text(json.dumps({"size": [ny, nx, frames], "config": config}))
        octave = program.stem.startswith("octave")
        code_folder = copy_for_octave(checkout, scratch / "EXTRACT") if octave else checkout / "EXTRACT"
        outcome: dict[str, Any] = {"cells": 0, "version": "1.3", "seconds": 0.0}
        ended = run_tool(
            make_command(program, code_folder, scratch), progress, whole=list(params["partitions"]) == [1, 1]
        )
        (scratch / "movie.raw").unlink()
        if ended:
            outcome = json.loads((scratch / "result.json").read_text())
        count = int(outcome["cells"])
        weights = read_raw_array(scratch / "spatial.raw", (count, nx, ny))
        traces = (
            read_raw_array(scratch / "temporal.raw", (count, frames)) if count else np.zeros((0, frames), np.float32)
        )
        for name in ("summary", "max", "baseline") if ended else ():
            results["images/" + name] = read_raw_array(scratch / (name + ".raw"), (nx, ny))
        store_cells(results, weights, traces)
        if count:
            results["traces/fluorescence"] = mean_traces(data, weights, shifts, progress)
    progress(1.0, "%d cells" % count)
    return {
        "frames": frames,
        "rois": count,
        "corrected": shifts is not None,
        "dff": bool(params["preprocess"] and not params["skip_dff"]),
        "tool_version": outcome["version"],
        "seconds": float(outcome["seconds"]),
        "program": program.name,
        "config": config,
    }


def read_raw_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read what the runner wrote, and hold it to the size that it should have."""
    if 0 in shape:
        return np.zeros(shape, np.float32)
    values = np.fromfile(path, dtype=np.float32)
    if values.size != np.prod(shape):
        raise ValueError("EXTRACT left %d values in %s, expected %s" % (values.size, path.name, shape))
    return values.reshape(shape)


def store_cells(results: Any, weights: np.ndarray, traces: np.ndarray) -> None:
    """Put the cells into `results`: weights (cells, x, y), traces (cells, frames)."""
    rois = results.create_group("rois")
    owner, x, y = np.nonzero(weights > 0)
    count = len(weights)
    rois["index"] = np.cumsum(np.bincount(owner, minlength=count)).astype(np.int64)
    rois["x"], rois["y"] = x.astype(np.uint32), y.astype(np.uint32)
    values = weights[owner, x, y].astype(np.float32)
    rois["weight"] = values
    total = np.maximum(np.bincount(owner, values, minlength=count), 1e-30)
    rois["center"] = np.stack(
        [np.bincount(owner, values * coordinate, minlength=count) / total for coordinate in (x, y)], axis=1
    ).astype(np.float32)
    rois["npix"] = np.bincount(owner, minlength=count).astype(np.int32)
    results["traces/temporal"] = np.asarray(traces, np.float32).T


def mean_traces(data: h5py.Dataset, weights: np.ndarray, shifts: Any, progress: Progress) -> np.ndarray:
    """Return the mean over each footprint, weighted by it, of every frame: (frames, cells)."""
    flat = np.maximum(weights, 0).reshape(len(weights), -1)
    flat /= np.maximum(flat.sum(axis=1, keepdims=True), 1e-30)
    traces = np.empty((data.shape[0], len(weights)), np.float32)
    for start, block in movie_blocks(data, shifts, lambda fraction, _: progress(0.95 + 0.04 * fraction, "traces")):
        traces[start : start + len(block)] = block.reshape(len(block), -1) @ flat.T
    return traces
