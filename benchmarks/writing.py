"""Writing: a movie and a probe recording, imports excluded, beside NeuroConv and a bare loop; and reading the movie.

All but two write gzip, from the same raw file, in a process of their own, one after the other in turn. Nothing is
cached of the raw files' hashes. The bare loop is the least that must be done: a memory-mapped raw file, cut into the
same chunks, shuffled, compressed (ISA-L, a thread for each core), stored with `write_direct_chunk`, synced.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py

from benchmarks._report import note, spread, table
from benchmarks._sources import write_plain_movie, write_probe
from benchmarks._watch import Measurement, watch
from benchmarks._windows import read_windows
from nwbpipe.files import read_chunked

GB = 10**9
WAYS = ("nwbpipe", "neuroconv", "bare loop", "bare loop and hash", "nwbpipe, zstd", "neuroconv, zstd")


def run(folder: Path, *, quick: bool) -> None:
    size, repeats = (GB // 50, 1) if quick else (2 * GB, 3)
    _write(folder / "movie", "TIFF movie, 512 × 512 int16", write_plain_movie, size, repeats)
    _read(folder / "movie", repeats)
    read_windows(folder / "movie/nwbpipe.nwb", "the movie (frames)", 30, 100, repeats)
    _write(folder / "probe", "SpikeGLX, 384 channels int16", write_probe, size, repeats)
    read_windows(folder / "probe/nwbpipe.nwb", "the recording (samples of all channels)", 30_000, 30_000, repeats)


def _write(folder: Path, label: str, make: Callable[[Path, int], Path], size: int, repeats: int) -> None:
    folder.mkdir()
    spec = make(folder, size)
    if repeats > 1:
        time.sleep(2.5)  # a file that has only just changed is watched for a while before its hash is trusted
    runs: dict[str, list[tuple[dict[str, float], Measurement]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            runs[way].append(_once(way, spec))
    seconds = {way: median(times["total"] for times, _ in of_way) for way, of_way in runs.items()}
    rows = [
        [
            label,
            way,
            spread([times["total"] for times, _ in of_way]),
            f"{size / 1e6 / seconds[way]:.0f}",
            spread([times["cpu"] for times, _ in of_way]),
            f"{_output(spec, way).stat().st_size / 1e6:.0f}",
            f"{max(measured.anonymous for _, measured in of_way) / 1e6:.0f}",
        ]
        for way, of_way in runs.items()
    ]
    table(
        [
            "source",
            "by",
            f"seconds for {size / GB:g} GB",
            "MB/s",
            "CPU seconds",
            "file (MB)",
            "peak anonymous memory (MB)",
        ],
        rows,
    )
    stages = {name: median(times[name] for times, _ in runs["nwbpipe"]) for name in runs["nwbpipe"][0][0]}
    del stages["cpu"]
    note("\nOf nwbpipe's time: " + ", ".join(f"{name} {value:.2f} s" for name, value in stages.items()) + ".")
    note(
        f"NeuroConv takes {seconds['neuroconv'] / seconds['nwbpipe']:.1f} times as long as nwbpipe, and "
        f"{seconds['neuroconv'] / stages['write']:.1f} times as long as its write alone; the bare loop reaches "
        f"{seconds['nwbpipe'] / seconds['bare loop']:.1f} times nwbpipe's speed, "
        f"{stages['write'] / seconds['bare loop']:.1f} times that of its write alone. "
        f"With Blosc's zstd NeuroConv takes {seconds['neuroconv, zstd'] / seconds['nwbpipe, zstd']:.1f} times as "
        "long as nwbpipe.\n"
    )


def _output(spec: Path, way: str) -> Path:
    return spec.parent / f"{way.replace(',', '').replace(' ', '-')}.nwb"


def _once(way: str, spec: Path) -> tuple[dict[str, float], Measurement]:
    output, report = _output(spec, way), spec.parent / "seconds.json"
    output.unlink(missing_ok=True)
    measured = watch([sys.executable, "-m", "benchmarks._writing_child", way, str(spec), str(output), str(report)])
    return json.loads(report.read_text()), measured


def _read(folder: Path, repeats: int) -> None:
    rows = []
    for writer in ("nwbpipe", "neuroconv"):
        times: dict[str, list[float]] = {"h5py": [], "threads": []}
        with h5py.File(folder / f"{writer}.nwb") as file:
            movie = next(iter(file["acquisition"].values()))["data"]
            for _ in range(repeats):
                for way, read in {"h5py": lambda data, part: data[part], "threads": read_chunked}.items():
                    started = time.perf_counter()
                    for start in range(0, len(movie), 128):
                        read(movie, slice(start, start + 128))
                    times[way].append(time.perf_counter() - started)
            size = movie.size * movie.dtype.itemsize
        ratio = median(times["h5py"]) / median(times["threads"])
        rows += [
            [f"written by {writer}", way, spread(seconds), f"{size / 1e6 / median(seconds):.0f}", f"{ratio:.1f}"]
            for way, seconds in times.items()
        ]
    table(["whole movie, 128 frames at a time", "read by", "seconds", "MB/s", "h5py / threads"], rows)
    note()
