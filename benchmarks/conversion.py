"""Conversion: does memory stay bounded, and what does it cost beside NeuroConv alone.

Each conversion runs in a process of its own. `nwbpipe` does more than NeuroConv: it hashes the raw files, inspects
and validates, and puts the file into place; the ratio is what all that costs.

A raw file that is larger than the memory is read from the disk once: the bytes that it delivered are counted.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks._reads import measure_reads
from benchmarks._report import note, spread, table
from benchmarks._sources import write_movie, write_probe
from benchmarks._watch import Measurement, watch

GB = 10**9
LIMIT = 2 * GB


def run(folder: Path, *, quick: bool) -> None:
    sizes = [GB // 100] if quick else [GB, 2 * GB, 4 * GB]
    repeats = 1 if quick else 3
    _measure(folder, "SpikeGLX, 384 channels", write_probe, sizes, repeats)
    _measure(folder, "ScanImage TIFF, 512 × 512", write_movie, sorted({sizes[0], sizes[-1]}), repeats=1)
    measure_reads(folder, None if quick else 1_200_000_000)


def _measure(folder: Path, label: str, write: Callable[[Path, int], Path], sizes: list[int], repeats: int) -> None:
    rows, peaks = [], []
    for number, size in enumerate(sizes):
        source_folder = folder / f"{write.__name__}-{number}"
        source_folder.mkdir()
        spec = write(source_folder, size)
        runs: dict[str, list[Measurement]] = {"nwbpipe": [], "neuroconv": []}
        for _ in range(repeats if number == 0 else 1):  # alternating, so that both meet the same machine
            runs["nwbpipe"].append(_convert("nwbpipe", spec))
            if number == 0:
                runs["neuroconv"].append(_convert("neuroconv", spec))
        rows += [_row(label, way, size, measured) for way, measured in runs.items() if measured]
        peaks.append(max(run.peak for run in runs["nwbpipe"]))
        if runs["neuroconv"]:
            times = {way: median(run.seconds for run in measured) for way, measured in runs.items()}
            ratio = times["nwbpipe"] / times["neuroconv"]
            note(f"{label}: nwbpipe takes {ratio:.2f} times as long as NeuroConv alone.\n")
        shutil.rmtree(source_folder)
    table(["source", "by", "size", "wall time (s)", "MB/s", "peak resident (MB)", "of it anonymous (MB)"], rows)
    verdict = "below" if max(peaks) < LIMIT else "ABOVE"
    note(f"\nPeak memory of nwbpipe is {verdict} 2 GB.")
    if len(sizes) == 1:
        return
    growth = (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0]) * 1000
    note(f"From {sizes[0] / GB:g} to {sizes[-1] / GB:g} GB it grows by {max(growth, 0):.0f} MB for each GB.\n")


def _convert(way: str, spec: Path) -> Measurement:
    output = spec.parent / f"{way}.nwb"
    measured = watch([sys.executable, "-m", "benchmarks._convert_child", way, str(spec), str(output)])
    output.unlink()
    return measured


def _row(label: str, way: str, size: int, runs: list[Measurement]) -> list[str]:
    return [
        label,
        way,
        f"{size / GB:g} GB",
        spread([run.seconds for run in runs], 1),
        f"{size / 1e6 / median(run.seconds for run in runs):.0f}",
        spread([run.peak / 1e6 for run in runs], 0),
        spread([run.anonymous / 1e6 for run in runs], 0),
    ]
