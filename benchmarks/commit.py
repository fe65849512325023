"""Commit: what it costs to add a result to a file, small or large.

A result of 50 MB is appended to files of growing size, in turns: by nwbpipe's transaction (view and journal), by the
transaction's other mechanism (copy or clone, sync, rename), and by h5py in place with an fsync, which a full disk or
a power failure turns into the loss of the file.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from benchmarks._report import note, spread, table

GB = 10**9
RESULT = 50_000_000


def run(folder: Path, *, quick: bool) -> None:
    import nwbpipe.files

    sizes, repeats = ([GB // 100, GB // 20], 1) if quick else ([GB // 10, GB, 10 * GB], 9)
    data = np.random.default_rng(0).normal(size=RESULT // 8)

    def transaction(path: Path, name: str) -> None:
        with nwbpipe.files.transaction(path) as file:
            file[name] = data

    def copying(path: Path, name: str) -> None:
        os.environ["NWBPIPE_TRANSACTION"] = "copy"
        try:
            transaction(path, name)
        finally:
            del os.environ["NWBPIPE_TRANSACTION"]

    def in_place(path: Path, name: str) -> None:
        with h5py.File(path, "r+") as file:
            file[name] = data
        with path.open("rb+") as raw:
            os.fsync(raw.fileno())

    ways: dict[str, Callable[[Path, str], None]] = {
        "h5py in place and fsync (unsafe)": in_place,
        "nwbpipe, view and journal": transaction,
        "nwbpipe, copy and rename": copying,
    }
    rows, flat = [], {}
    for size in sizes:
        free = shutil.disk_usage(folder).free
        if free < 3 * size:
            note(f"left out {size / GB:g} GB: only {free / GB:.0f} GB free")
            continue
        path = write(folder / f"{size}.h5", size)
        transaction(path, "warm")
        times: dict[str, list[float]] = {way: [] for way in ways}
        # In turns; the copies by themselves, because the disk is busy with them long after.
        turns = [way for _ in range(repeats) for way in list(ways)[:2]] + list(ways)[2:] * min(repeats, 2)
        for number, way in enumerate(turns):
            started = time.perf_counter()
            ways[way](path, f"result_{number}")
            times[way].append(time.perf_counter() - started)
        plain = median(times["h5py in place and fsync (unsafe)"])
        flat[size] = median(times["nwbpipe, view and journal"])
        for way, seconds in times.items():
            rows.append([f"{size / GB:g} GB", way, spread(seconds), f"{median(seconds) / plain:.2f}"])
        path.unlink()
    table(["file", f"appending {RESULT // 10**6} MB", "seconds", "of h5py"], rows)
    first, last = min(flat), max(flat)
    note(f"\n{last / GB:g} GB takes {flat[last] / flat[first]:.2f} times as long as {first / GB:g} GB.")


def write(path: Path, size: int) -> Path:
    """Write a file of about `size` bytes, and let it come to rest on the disk."""
    block = np.random.default_rng(0).integers(-100, 100, 25_000_000, dtype=np.int16)
    with h5py.File(path, "w") as file:
        raw = file.create_dataset("raw", (size // 2,), np.int16)
        for start in range(0, size // 2, len(block)):
            raw[start : start + len(block)] = block[: size // 2 - start]
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return path
