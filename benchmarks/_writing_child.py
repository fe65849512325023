"""One write, timed without its imports: ``python -m benchmarks._writing_child WAY SPEC OUTPUT REPORT``."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import os
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CHANNELS = 385


def _import_readers() -> None:
    """Import what NeuroConv imports only when it opens a file."""
    for name in ("neuroconv.datainterfaces", "neuroconv.tools.nwb_helpers", "pynwb", "neo.io", "probeinterface",
                 "roiextractors", "spikeinterface.extractors", "tifffile"):  # fmt: skip
        importlib.import_module(name)


def nwbpipe(spec: Path, output: Path, compression: str = "gzip") -> dict[str, float]:
    _import_readers()
    import nwbinspector  # noqa: F401

    import nwbpipe.converters._convert as module
    from nwbpipe.converters.interfaces import interface_class

    for name in ("TiffImagingInterface", "SpikeGLXRecordingInterface"):
        interface_class(name).get_source_schema()
    names = {"build_nwbfile": "build", "check_in_memory": "inspect",
             "write_hdf5": "write", "check_written": "validate"}  # fmt: skip
    times: dict[str, float] = {}
    for name, label in names.items():
        setattr(module, name, _time_call(getattr(module, name), label, times))
    waits = module.SourceIdentities
    waits.wait = _time_call(waits.wait, "wait for the raw file's hash", times)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NWBPIPE_CACHE"] = cache
        started = _now()
        module.convert(spec, output, compression=compression, progress=False)
        return {**_since(started), **times}


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(started: tuple[float, float]) -> dict[str, float]:
    wall, cpu = started
    return {"total": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _time_call(function: Callable[..., Any], label: str, times: dict[str, float]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            times[label] = time.perf_counter() - started

    return call


def neuroconv(spec: Path, output: Path, *, zstd: bool = False) -> dict[str, float]:
    _import_readers()
    from benchmarks._convert_child import with_neuroconv

    started = _now()
    with_neuroconv(spec, output, zstd=zstd)
    return _since(started)


def bare(spec: Path, output: Path, *, hashed: bool = False) -> dict[str, float]:
    import h5py
    import numpy as np
    import tifffile
    from isal import isal_zlib

    (source,) = [path for path in spec.parent.rglob("*") if path.suffix in (".tif", ".bin")]
    started = _now()
    if source.suffix == ".tif":
        data = tifffile.memmap(source, mode="r")
        shape, chunks = data.shape, (8, *data.shape[1:])
    else:
        data = np.memmap(source, "<i2", "r").reshape(-1, CHANNELS)
        shape, chunks = (len(data), CHANNELS - 1), (min(32768, len(data)), 64)

    def encode(offset: tuple[int, ...]) -> bytes:
        part = data[tuple(slice(a, min(a + n, size)) for a, n, size in zip(offset, chunks, shape, strict=True))]
        if part.shape != chunks:
            padded = np.zeros(chunks, data.dtype)
            padded[tuple(map(slice, part.shape))] = part
            part = padded
        flat = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        return isal_zlib.compress(np.concatenate((flat[::2], flat[1::2])), 1)

    digest = threading.Thread(target=_sha256, args=(source,))
    if hashed:
        digest.start()
    with h5py.File(output, "w") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        dataset = file.create_dataset("x", shape, data.dtype, chunks=chunks, compression="gzip", shuffle=True)
        waiting: deque[Any] = deque()
        for offset in itertools.product(*(range(0, size, n) for size, n in zip(shape, chunks, strict=True))):
            waiting.append((offset, pool.submit(encode, offset)))
            while len(waiting) > 8:
                position, future = waiting.popleft()
                dataset.id.write_direct_chunk(position, future.result())
        for position, future in waiting:
            dataset.id.write_direct_chunk(position, future.result())
    with output.open("rb+") as written:
        os.fsync(written.fileno())
    if hashed:
        digest.join()
    return _since(started)


def _sha256(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    way, spec, output, report = sys.argv[1:]
    ways = {
        "nwbpipe": nwbpipe,
        "neuroconv": neuroconv,
        "nwbpipe, zstd": lambda spec, output: nwbpipe(spec, output, "zstd"),
        "neuroconv, zstd": lambda spec, output: neuroconv(spec, output, zstd=True),
        "bare loop": bare,
        "bare loop and hash": lambda spec, output: bare(spec, output, hashed=True),
    }
    Path(report).write_text(json.dumps(ways[way](Path(spec), Path(output))))
