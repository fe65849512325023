"""Photometry: an hour of four detectors at 20 kHz, demodulated.

A recording of int16 in compressed chunks, each detector with a carrier of its own. The bound, 20 s and 1 GB on two
cores, is on the computation, from the first sample read to the last one written; the whole call also hashes the
input, and validates and commits the result. GuPPy and pMAT have no such step: they begin with demodulated traces.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks._report import note, table
from benchmarks._watch import watch

RATE, DETECTORS = 20_000.0, 4
CARRIERS = (211.0, 331.0, 531.0, 733.0)
BOUND_S, BOUND_BYTES = 20.0, 10**9


def run(folder: Path, *, quick: bool) -> None:
    import nwbpipe

    seconds = 20 if quick else 3600
    path = write(folder / "raw.nwb", seconds)
    size = path.stat().st_size / 1e6
    rows = []
    worst = (0.0, 0)
    for method in ("lock_in", "spectrogram"):
        call = watch([sys.executable, "-m", "benchmarks.photometry", str(path), method])
        record = next(record for record in nwbpipe.read_records(path) if record.step == f"by_{method}")
        took = (record.ended - record.started).total_seconds()
        peak = int(record.resources["peak_memory_bytes"])
        worst = max(worst[0], took), max(worst[1], peak)
        cpu = record.resources["cpu_seconds"]
        figures = [
            f"{took:.1f}",
            f"{cpu:.1f}",
            f"{peak / 1e6:.0f}",
            f"{call.seconds:.1f}",
            f"{call.peak / 1e6:.0f}",
        ]
        rows.append([method, *figures])
    note(f"{seconds} s of {DETECTORS} detectors at {RATE:g} Hz: a file of {size:.0f} MB.\n")
    header = [
        "method",
        "computation (s)",
        "its CPU time (s)",
        "its peak memory (MB)",
        "whole call (s)",
        "peak of the call (MB)",
    ]
    table(header, rows)
    verdict = "below" if worst[0] < BOUND_S and worst[1] < BOUND_BYTES else "ABOVE"
    note(f"\nThe computation is {verdict} {BOUND_S:g} s and 1 GB.")


def write(path: Path, seconds: int) -> Path:
    """Write a session file with a raw recording: ten seconds, again and again."""
    import h5py
    from hdmf.backends.hdf5 import H5DataIO
    from ndx_fiber_photometry import FiberPhotometryResponseSeries
    from pynwb import NWBHDF5IO, NWBFile

    rng = np.random.default_rng(0)
    t = np.arange(int(10 * RATE)) / RATE
    block = np.stack([8000 * (1 + np.sin(2 * np.pi * hz * t)) for hz in CARRIERS], axis=1)
    block = np.rint(block + rng.normal(0, 30, block.shape)).astype(np.int16)
    nwbfile = NWBFile("a benchmark", "bench", datetime(2024, 5, 1, tzinfo=UTC))
    data = H5DataIO(
        data=block, maxshape=(None, DETECTORS), chunks=(65_536, DETECTORS), compression="gzip", compression_opts=1
    )
    series = FiberPhotometryResponseSeries(
        name="raw", description="raw", data=data, unit="volts", rate=RATE, conversion=1e-4
    )
    nwbfile.add_acquisition(series)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    with h5py.File(path, "r+") as file:
        dataset = file["acquisition/raw/data"]
        dataset.resize(len(block) * (seconds // 10), axis=0)
        for start in range(len(block), dataset.shape[0], len(block)):
            dataset[start : start + len(block)] = block
    return path


def process(path: Path, method: str) -> None:
    """Demodulate, in a process of its own."""
    import nwbpipe

    carriers = [{"column": k, "hz": hz} for k, hz in enumerate(CARRIERS)]
    params = {"method": method, "carriers": carriers}
    inputs = {"signal": "acquisition/raw"}
    nwbpipe.process(path, "demodulate", step=f"by_{method}", params=params, inputs=inputs, threads=2)


if __name__ == "__main__":
    process(Path(sys.argv[1]), sys.argv[2])
