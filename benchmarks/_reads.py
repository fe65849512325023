"""Bytes that the disk delivers for a raw file which is much larger than the memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from benchmarks._memory_limit import make_memory_group
from benchmarks._report import note, table
from benchmarks._sources import write_plain_movie, write_probe
from benchmarks._watch import watch

_TIMES = 3


def measure_reads(folder: Path, limit: int | None) -> None:
    """Convert raw files of which nothing is in the cache, `_TIMES` as large as the memory (None: small ones)."""
    rows = []
    for label, write in {"TIFF movie": write_plain_movie, "SpikeGLX, 384 channels": write_probe}.items():
        source = folder / write.__name__
        source.mkdir()
        spec = write(source, 10**7 if limit is None else _TIMES * limit)
        rows.append([label, *_convert(spec, limit)])
        shutil.rmtree(source)
    table(["a raw file", "MB", "memory, MB", "MB that the disk delivered", "times", "seconds"], rows)
    note()


def _convert(spec: Path, limit: int | None) -> list[str]:
    (raw,) = [path for path in spec.parent.rglob("*") if path.suffix in (".tif", ".bin")]
    _drop_pages(raw)
    if limit is not None:
        time.sleep(2.5)  # a large file that has only just changed is hashed once it is at rest
    report = spec.with_name("reads.json")
    words = [sys.executable, "-m", "benchmarks._reads_child", str(spec), str(spec.with_name("out.nwb")), str(report)]
    if limit is None:
        memory, seconds = "no limit in the small sizes", watch(words).seconds
    else:
        with make_memory_group(limit) as group:
            memory = f"{limit / 1e6:.0f}" if group else "no limit: no control group can be made here"
            seconds = watch([*words, *([str(group)] if group else [])]).seconds
    delivered, size = json.loads(report.read_text())["bytes"], raw.stat().st_size
    return [f"{size / 1e6:.0f}", memory, f"{delivered / 1e6:.0f}", f"{delivered / size:.2f}", f"{seconds:.1f}"]


def _drop_pages(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
