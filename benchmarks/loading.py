"""Windows of a data set for machine learning, beside torch_brain's own loader on the same files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks._report import note, table
from benchmarks._watch import REPOSITORY


def run(folder: Path, *, quick: bool) -> None:
    from nwbpipe.export import ml

    sys.path.insert(0, str(REPOSITORY / "examples"))
    from decode_speed import DECLARATION, simulate_session

    files = [
        simulate_session(folder / f"M{number}.nwb", f"M{number}", number, 60.0 if quick else 600.0, units=100)
        for number in range(1 if quick else 4)
    ]
    declaration = {**DECLARATION, "split": {**DECLARATION["split"], "train": 0.8, "valid": 0.0}}
    tokens = {"spikes": {"units": "units", "form": "events"}}
    ml.export_dataset(files, {**declaration, "inputs": tokens}, folder / "dataset")
    part = ml.load_dataset(folder / "dataset").part("train")
    count = 50 if quick else 2000
    rows = [["nwbpipe, an exported data set", f"{_count(lambda: iter(_repeat(part)), count):,.0f}"]]
    opened = ml.open_dataset(files, {**declaration, "inputs": tokens}).part("train")
    rows.append(["nwbpipe, the session files", f"{_count(lambda: iter(_repeat(opened)), count):,.0f}"])
    try:
        rows.append(["torch_brain 0.2, the exported data set", f"{_count(_load(folder / 'dataset'), count):,.0f}"])
    except ImportError as error:
        note(f"torch_brain can't be imported: not compared ({error})")
    table(["1 s of 80 units as tokens, and the speed, one process", "windows per second of CPU"], rows)


def _repeat(part: Any) -> Iterator[Any]:
    from nwbpipe.export import ml

    for seed in range(1000):
        yield from (part[number] for number in ml.WindowSampler(part, seed=seed))


def _load(folder: Path) -> Callable[[], Iterator[Any]]:
    from torch_brain.datasets import Dataset
    from torch_brain.datasets.mixins import SpikingDatasetMixin
    from torch_brain.samplers import RandomFixedWindowSampler

    class Sessions(SpikingDatasetMixin, Dataset):  # type: ignore[misc]
        def get_sampling_intervals(self, part: str) -> dict[str, Any]:
            return {name: getattr(self.get_recording(name), part) for name in self.recording_ids}

    sessions = Sessions(folder / "sessions")
    sampler = RandomFixedWindowSampler(sampling_intervals=sessions.get_sampling_intervals("train"), window_length=1.0)

    def iterate() -> Iterator[Any]:
        while True:
            for index in sampler:
                item = sessions[index]
                yield item.spikes.timestamps, item.spikes.unit_index, item.speed.values

    return iterate


def _count(iterate: Callable[[], Iterator[Any]], count: int) -> float:
    """Return windows per second of CPU, the best of three; what is read once is read before."""
    speeds = []
    for _ in range(3):
        windows = iterate()
        next(windows)
        started = time.process_time()
        seen = sum(1 for _ in islice(windows, count))
        speeds.append(seen / (time.process_time() - started))
    return max(speeds)
