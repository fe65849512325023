"""Windows of a movie and of a probe's recording, read by h5py and by what nwbpipe offers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np

from benchmarks._report import note, spread, table
from nwbpipe.files import read_chunked

_RANDOM = 100


def read_windows(path: Path, label: str, random: int, sequential: int, repeats: int) -> None:
    """Read windows of `random` samples at random places, and all in order in windows of `sequential` samples."""
    ways = {"h5py": _open_h5py, "read_chunked": _open_chunked, "nwbpipe.read": _open_session}
    rows = []
    with h5py.File(path) as file:
        count = len(next(iter(file["acquisition"].values()))["data"])
    random, sequential = min(random, count // 2), min(sequential, count // 2)
    places = np.random.default_rng(0).integers(0, count - random, _RANDOM if repeats > 1 else 5)
    passes = {
        f"{len(places)} random windows of {random}": [slice(start, start + random) for start in places],
        f"in order, windows of {sequential}": [
            slice(start, start + sequential) for start in range(0, count, sequential)
        ],
    }
    for name, windows in passes.items():
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):  # by turns, so that all meet the same machine
            for way, open_data in ways.items():
                with open_data(path) as read:
                    started = time.perf_counter()
                    size = sum(read(window).nbytes for window in windows)
                    times[way].append(time.perf_counter() - started)
        plain = median(times["h5py"])
        rows += [
            [name, way, spread(taken), f"{size / 1e6 / median(taken):.0f}", f"{plain / median(taken):.1f}"]
            for way, taken in times.items()
        ]
    table([f"windows of {label}", "read by", "seconds", "MB/s", "times as fast as h5py"], rows)
    note()


@contextmanager
def _open_h5py(path: Path) -> Iterator[Callable[[slice], Any]]:
    with h5py.File(path) as file:
        data = next(iter(file["acquisition"].values()))["data"]
        yield lambda window: data[window]


@contextmanager
def _open_chunked(path: Path) -> Iterator[Callable[[slice], Any]]:
    with h5py.File(path) as file:
        data = next(iter(file["acquisition"].values()))["data"]
        yield lambda window: read_chunked(data, window)


@contextmanager
def _open_session(path: Path) -> Iterator[Callable[[slice], Any]]:
    import nwbpipe

    with nwbpipe.read(path) as nwbfile:
        data = next(iter(nwbfile.acquisition.values())).data
        yield lambda window: np.asarray(data[window])
