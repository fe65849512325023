"""Identity: what it costs to hash an input, and to know that it did not change."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks._report import note, spread, table
from nwbpipe.provenance import IdentityCache, identify_object

GB = 10**9
SHAPE = (384,)


def run(folder: Path, *, quick: bool) -> None:
    size, repeats = (GB // 50, 1) if quick else (GB, 3)
    rows = []
    identities = set()
    for label, options in {
        "contiguous": {},
        "chunks, gzip 4": {"chunks": (13107, 64), "compression": "gzip"},
    }.items():
        path = folder / f"{len(rows)}.h5"
        _write(path, size, options)
        hashing, bytes_only = [], []
        for _ in range(repeats):
            hashing.append(_seconds(lambda path=path: identities.add(_identity(path, folder))))
            bytes_only.append(_seconds(lambda path=path: _sha256(path)))
        rows += [
            [f"object_identity, {label}", spread(hashing), f"{size / 1e6 / np.median(hashing):.0f}"],
            [f"SHA-256 of that file's bytes, {label}", spread(bytes_only), "–"],
        ]
    assert len(identities) == 1, "an identity depended on the storage"
    table([f"{size / GB:g} GB of int16", "seconds", "MB/s of decoded values"], rows)
    cache = IdentityCache(folder / "cache")
    time.sleep(cache.settle_s + 0.1)  # a file that has only just changed is not trusted to be at rest
    first = _seconds(lambda: cache.identify(path, "/series"))
    cached = [_seconds(lambda: cache.identify(path, "/series")) * 1000 for _ in range(50)]
    assert cache.identify(path, "/series").cached, "the cache did not keep it"
    note(f"\n`IdentityCache.identify`: {first:.2f} s at first, then {spread(cached, 3)} ms while nothing changes.")


def _identity(path: Path, folder: Path) -> str:
    with h5py.File(path) as file:
        return identify_object(file, "/series", folder=folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, size: int, options: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    block = np.rint(rng.normal(0, 10, (26214, *SHAPE))).astype(np.int16)
    rows = size // block[0].nbytes
    with h5py.File(path, "w") as file:
        group = file.create_group("series")
        group.attrs["neurodata_type"] = "ElectricalSeries"
        data = group.create_dataset("data", (rows, *SHAPE), "i2", **options)
        for start in range(0, rows, len(block)):
            data[start : start + len(block)] = np.roll(block, start, axis=1)[: rows - start]


def _seconds(call: object) -> float:
    started = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - started
