"""Open Ephys, binary format: a continuous.dat with counters for each stream, recording and record node."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream, Times
from nwbpipe.converters.accounts._counters import counter_times, find_gaps, map_npy
from nwbpipe.converters.accounts._registry import account

_SYNCHRONIZED = ("timestamps.npy", "synchronized_timestamps.npy")  # seconds: GUI 0.6 and later, 0.5
_DRIFT_S = 1e-4  # deviation of the times of a stream from its nominal rate that is written as a rate of its own


@dataclass(frozen=True)
class Part:
    """One stream of one recording.

    Attributes
    ----------
    folder : Path
        The folder with its continuous.dat.
    name : str
        As readers name it: ``Record Node 101#Acquisition_Board-100.Rhythm Data``.
    experiment, recording : int
        The numbers in the names of its folders.
    info : mapping
        Its entry in ``structure.oebin``.
    """

    folder: Path
    name: str
    experiment: int
    recording: int
    info: Mapping[str, Any]

    @property
    def rate(self) -> float:
        """Samples in a second."""
        return float(self.info["sample_rate"])

    @property
    def samples(self) -> int:
        """Number of samples, by the size of the file."""
        return (self.folder / "continuous.dat").stat().st_size // (2 * int(self.info["num_channels"]))

    def numbers(self) -> Any:
        """Return the counter at each sample."""
        path = self.folder / "sample_numbers.npy"
        return map_npy(path if path.is_file() else self.folder / "timestamps.npy")

    def seconds(self) -> Any | None:
        """Return the time of each sample on the clock of all streams (s); None where the files do not hold it."""
        for name in _SYNCHRONIZED:
            path = self.folder / name
            times = map_npy(path) if path.is_file() else np.zeros(0)
            if times.dtype.kind == "f" and len(times) and times[0] >= 0 and times[-1] >= times[0]:
                return times
        return None


@account("OpenEphysBinaryRecordingInterface", "OpenEphysBinaryAnalogInterface")
def probe_openephys_binary(arguments: Mapping[str, Any]) -> Account | None:
    """Account for one stream of an experiment: a series for each of its recordings."""
    folder = Path(arguments["folder_path"])
    parts = [part for part in list_parts(folder) if part.folder.is_relative_to(folder)]
    stream_name = arguments.get("stream_name")
    experiments = sorted({part.experiment for part in parts})
    index = int(arguments.get("block_index") or 0)
    if not parts or index >= len(experiments):
        return None
    names = sorted({part.name for part in parts})
    if stream_name is None and len(names) > 1:
        return None  # the reader asks for one
    chosen = [
        part
        for part in parts
        if part.experiment == experiments[index] and (stream_name is None or str(stream_name).startswith(part.name))
    ]
    clock = SharedClock(folder, experiments[index])
    is_analog = "ADC" in str(stream_name)
    return Account(
        "Open Ephys binary",
        files=tuple(part.folder / "continuous.dat" for part in chosen),
        streams=tuple(_describe(part, clock, is_analog=is_analog) for part in chosen),
        others=tuple(name for name in names if name not in {part.name for part in chosen}),
    )


def _describe(part: Part, clock: SharedClock, *, is_analog: bool) -> Stream:
    channels = [item for item in part.info["channels"] if "ADC" not in str(item.get("channel_name"))]
    steps = {(float(item.get("bit_volts", 0)), str(item.get("units", ""))) for item in channels}
    step, unit = next(iter(steps)) if len(steps) == 1 else (0.0, "")
    is_scaled = not is_analog and step > 0 and unit.lower() == "uv"
    samples = part.samples
    return Stream(
        name=part.name,
        samples=samples,
        channels=None if is_analog or not channels else len(channels),
        rate=part.rate,
        true_rate=clock.true_rate(part),
        first_time=clock.first_time(part) if samples else None,
        find_gaps=lambda: find_gaps(part.numbers()[:samples], part.rate),
        times=partial(clock.times, part),
        gain=step * 1e-6 if is_scaled else None,
        unit="volts" if is_scaled else None,
    )


class SharedClock:
    """The clock of all streams of one experiment, with the time 0 of its counters.

    As neo has it: units and events of other files count from there, too. The seconds beside the samples are used
    where all streams have them; else counters of samples.

    Parameters
    ----------
    folder : Path
        A folder of the recording.
    experiment : int
        Number of the experiment.
    """

    def __init__(self, folder: Path, experiment: int) -> None:
        parts = [part for part in list_parts(folder) if part.experiment == experiment and part.samples]
        self.is_synchronized = bool(parts) and all(part.seconds() is not None for part in parts)

    def first_time(self, part: Part) -> float:
        """Return the time of a stream's first sample."""
        seconds = part.seconds() if self.is_synchronized else None
        return float(part.numbers()[0]) / part.rate if seconds is None else float(seconds[0])

    def true_rate(self, part: Part) -> float | None:
        """Return the rate of a stream on the shared clock, where its own clock runs otherwise."""
        seconds = part.seconds() if self.is_synchronized else None
        if seconds is None or len(seconds) < 2:
            return None
        steps = float(part.numbers()[len(seconds) - 1]) - float(part.numbers()[0])
        span = float(seconds[-1]) - float(seconds[0])
        if steps <= 0 or abs(span - steps / part.rate) <= _DRIFT_S:
            return None
        return steps / span

    def times(self, part: Part) -> Times:
        """Return the time of each sample of a stream."""
        if self.is_synchronized and (seconds := part.seconds()) is not None:
            return np.asarray(seconds[: part.samples], dtype=np.float64)
        numbers = part.numbers()[: part.samples]
        return counter_times(numbers, part.rate, float(numbers[0])) + self.first_time(part)


def list_parts(folder: Path) -> list[Part]:
    """Return all streams of all recordings of all record nodes, in their order."""
    parts = []
    for structure in sorted(find_root(folder).rglob("structure.oebin")):
        recording = structure.parent
        node = recording.parents[1].stem
        prefix = f"{node}#" if node.startswith("Record") else ""
        for info in json.loads(structure.read_text(encoding="utf-8")).get("continuous", []):
            name = str(info["folder_name"]).strip("/")
            stream_folder = recording / "continuous" / name
            if (stream_folder / "continuous.dat").is_file():
                parts.append(Part(stream_folder, prefix + name, _number(recording.parent), _number(recording), info))
    return sorted(parts, key=lambda part: (part.experiment, part.recording, part.name))


def find_root(folder: Path) -> Path:
    """Return the folder of all record nodes that a folder of the recording belongs to."""
    for above in (folder, *folder.parents[:3]):
        if above.name.startswith("Record Node"):
            return above.parent
    for above in (folder, *folder.parents[:1]):
        if above.name.startswith("experiment"):
            return above.parent
    return folder


def _number(folder: Path) -> int:
    digits = "".join(character for character in folder.name if character.isdigit())
    return int(digits or 0)
