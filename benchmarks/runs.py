"""Many runs in one file: does a later one cost more than the first.

A processor that does nothing adds its results of 3 kB to one file, 300 times; then the same in a file with 5,000
objects, one of which has 3,000 attributes.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import h5py

from benchmarks._nwb import write_session
from benchmarks._report import note, table


def run(folder: Path, *, quick: bool) -> None:
    from nwbpipe.session import check, read_records

    count, last = (6, 2) if quick else (300, 10)
    session = write_session(folder / "session.nwb", 10**5)
    crowded = _crowd(session, folder / "crowded.nwb", *((50, 30) if quick else (5000, 3000)))
    alone = _grow(session, _add_result, folder / "alone.nwb")
    _process(shutil.copy(session, folder / "warm.nwb"), 0)  # imports
    runs = [_process(session, number) for number in range(count)]
    first = median(cpu for cpu, _ in runs[1 : 1 + last])  # the very first one also writes the schemas
    rows = [
        ["the first runs in a file", f"{first:.2f}", ""],
        [f"runs {count - last + 1} to {count}", *_describe([cpu for cpu, _ in runs[-last:]], first)],
        [
            "runs in a file of 5,000 objects",
            *_describe([_process(crowded, number)[0] for number in range(4)][1:], first),
        ],
    ]
    table(["`process` within a running Python, with the tool's process", "seconds of CPU", "of the first"], rows)
    growth = mean(size for _, size in runs[1:])
    note(f"\nA run adds {growth / 1e3:.1f} kB to a plain file; its result alone, by pynwb, {alone / 1e3:.1f} kB.\n")
    looks: dict[str, Callable[[], Any]] = {
        "`log`": lambda: read_records(session),
        "`check`": lambda: check(session),
    }
    table(
        ["a look at the file with all of them", "seconds"],
        [[name, f"{_time(look):.2f}"] for name, look in looks.items()],
    )


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


def _time(look: Callable[[], Any]) -> float:
    began = time.perf_counter()
    look()
    return time.perf_counter() - began


def _grow(session: Path, add: Callable[[Any, int], None], path: Path) -> float:
    import nwbpipe

    shutil.copy(session, path)
    sizes = []
    for number in range(4):
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
