"""Many runs in one file: does a later one cost more than the first.

A processor that does nothing adds its results of 3 kB to one file, 300 times; then the same in a file with 5,000
objects, one of which has 3,000 attributes. And what it costs to look at such files.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import h5py

from benchmarks._nwb import write_session
from benchmarks._report import table


def run(folder: Path, *, quick: bool) -> None:
    count, last, added = (3, 1, 4) if quick else (300, 10, 12)
    plain = write_session(folder / "plain.nwb", 10**5)
    session = _page(plain, folder / "session.nwb")
    crowded = _crowd(session, folder / "crowded.nwb", *((50, 30) if quick else (5000, 3000)))
    _process(shutil.copy(session, folder / "warm.nwb"), 0)  # imports
    growth = [_measure_growth(path, folder, added) for path in (session, plain)]
    runs, looks = [], []
    for number in range(count):
        runs.append(_process(session, number)[0])
        if number + 1 in (1, count // 3, count):
            looks.append([f"{number + 1} runs", *_look(session)])
    first = median(runs[1 : 1 + last])  # the very first one also writes the schemas
    crowd = [_process(crowded, number)[0] for number in range(2 if quick else 4)][1:]
    rows = [
        ["the first runs in a file", f"{first:.2f}", ""],
        [f"runs {count - last + 1} to {count}", *_describe(runs[-last:], first)],
        ["runs in a file of 5,000 objects", *_describe(crowd, first)],
    ]
    table(["`process` within a running Python, with the tool's process", "seconds of CPU", "of the first"], rows)
    table(
        ["a file", "kB a run adds", "of them values", "pynwb's objects", "the record and what is left free"],
        [["as `convert` writes it", *growth[0]], ["plain", *growth[1]]],
    )
    looks.append(["5,000 objects, 3,000 attributes, 4 runs", *_look(crowded)])
    table(["seconds of CPU for a file of", "`log`", "`check`", "`nwbpipe.read`"], looks)


def _page(plain: Path, path: Path) -> Path:
    """Copy a file into the layout that `convert` gives it."""
    from nwbpipe.files import Layout

    with h5py.File(plain) as old, h5py.File(path, "w", **Layout.PAGED.options()) as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update({name: value for name, value in old.attrs.items() if name != ".specloc"})
        new.attrs[".specloc"] = new["specifications"].ref
    return path


def _measure_growth(session: Path, folder: Path, count: int) -> list[str]:
    """Return the kilobytes that a run adds, and their parts."""
    path = shutil.copy(session, folder / "growing.nwb")
    sizes = [_process(path, number)[1] for number in range(count)]
    total, values = mean(sizes[2:]), 384 * 8
    alone = _grow(session, _add_result, folder / "alone.nwb", count)
    return [f"{size / 1e3:.1f}" for size in (total, values, alone - values, total - alone)]


def _look(path: Path) -> list[str]:
    """Return the seconds of CPU of looks at a file."""
    import nwbpipe
    from nwbpipe.session import check, read_records

    def read() -> None:
        with nwbpipe.read(path):
            pass

    seconds = []
    for look in (lambda: read_records(path), lambda: check(path), read):
        began = _cpu()
        look()
        seconds.append(f"{_cpu() - began:.2f}")
    return seconds


def _describe(values: list[float], first: float) -> list[str]:
    return [f"{median(values):.2f}", f"{median(values) / first:.2f}"]


def _process(path: Path | str, number: int) -> tuple[float, int]:
    """Return the seconds of CPU of a run, and the bytes that the file grew by."""
    import nwbpipe
    from benchmarks._tiny import Tiny

    size, cpu = Path(path).stat().st_size, _cpu()
    nwbpipe.process(path, Tiny(), step=f"tiny_{number}", inputs={"series": "acquisition/signal"})
    return _cpu() - cpu, Path(path).stat().st_size - size


def _cpu() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _grow(session: Path, add: Callable[[Any, int], None], path: Path, count: int) -> float:
    import nwbpipe

    shutil.copy(session, path)
    sizes = []
    for number in range(count):
        with nwbpipe.transaction(path) as nwbfile:
            add(nwbfile, number)
        sizes.append(path.stat().st_size)
    return (sizes[-1] - sizes[0]) / (len(sizes) - 1)


def _add_result(nwbfile: Any, number: int) -> None:
    import numpy as np
    from pynwb import TimeSeries

    if "behavior" not in nwbfile.processing:
        nwbfile.create_processing_module("behavior", "results")
    nwbfile.processing["behavior"].add(TimeSeries(name=f"Mean_{number}", data=np.zeros(384), unit="V", rate=1.0))


def _crowd(session: Path, path: Path, objects: int, attributes: int) -> Path:
    """Copy a session file, and add objects to it, and attributes to one of them."""
    import uuid

    shutil.copy(session, path)
    with h5py.File(path, "r+", libver=("earliest", "v110")) as file:
        series = file["acquisition/signal"]
        for number in range(objects):
            copy = file["acquisition"].create_group(f"signal_{number}")
            copy.attrs.update({**series.attrs, "object_id": str(uuid.uuid4())})
            file.copy(series["starting_time"], copy)
            data = copy.create_dataset("data", data=[[0]], dtype="int16")
            data.attrs.update(series["data"].attrs)
        scratch = file.require_group("scratch").create_group("notes", track_order=True)
        scratch.attrs.update({"namespace": "core", "neurodata_type": "NWBContainer", "object_id": str(uuid.uuid4())})
        for number in range(attributes):
            scratch.attrs[f"note_{number}"] = number
    return path
