"""Raw recordings of Open Ephys in both formats, with random parts, gaps and counters, and their truth."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.converters.accounts.raw_recording import STEP, Recording, sample_numbers, samples


def write_openephys_stream(
    recording: Path, name: str, rate: float, numbers: npt.NDArray[np.int64], data: npt.NDArray[np.int16],
    seconds: npt.NDArray[np.float64] | None,
) -> dict[str, Any]:  # fmt: skip
    """Write one stream as GUI 0.6 does (with seconds), or as GUI 0.5."""
    folder = recording / "continuous" / name
    folder.mkdir(parents=True)
    data.astype("<i2").tofile(folder / "continuous.dat")
    np.save(folder / ("timestamps.npy" if seconds is None else "sample_numbers.npy"), numbers)
    if seconds is not None:
        np.save(folder / "timestamps.npy", seconds)
    channels = [
        {
            "channel_name": f"CH{i + 1}",
            "bit_volts": 0.195,
            "units": "uV",
            "identifier": "",
            "history": "",
            "description": "",
        }
        for i in range(data.shape[1])
    ]
    return {"folder_name": f"{name}/", "sample_rate": rate, "source_processor_name": "Source",
    "source_processor_id": 100,
            "stream_name": name, "recorded_processor": "Record Node", "recorded_processor_id": 101,
            "num_channels": data.shape[1], "channels": channels}  # fmt: skip


def openephys(folder: Path, random: np.random.Generator) -> Recording:
    """One or two recordings of two streams whose counters begin at different numbers."""
    rate, channels = 30_000.0, int(random.integers(1, 5))
    is_new = bool(random.integers(2))
    root = folder / "2024-05-01_10-00-00"
    node = root / "Record Node 101"
    origin = (
        float(random.uniform(0, 5000)) if is_new else 0.0
    )  # seconds of the computer at sample 0 of the shared clock
    begins = int(random.integers(0, 10**8)) if is_new else 0
    streams: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int16]]]] = {"Probe-A": [], "Probe-B": []}
    stop = int(random.integers(0, 2000))
    for number in range(1, int(random.integers(2, 4))):
        recording = node / "experiment1" / f"recording{number}"
        infos, stops = [], []
        for name, parts in streams.items():
            first = stop + int(random.integers(0, 900))
            numbers = first + sample_numbers(random, int(random.integers(2, 500)), int(random.integers(0, 2)))
            data = samples(random, numbers, channels)
            counter = numbers + (begins if name == "Probe-B" else 0)
            seconds = origin + numbers / rate if is_new else None
            infos.append(write_openephys_stream(recording, name, rate, counter, data, seconds))
            parts.append((numbers, data))
            stops.append(int(numbers[-1]))
        (recording / "structure.oebin").write_text(
            json.dumps({"GUI version": "0.6.7", "continuous": infos, "events": [], "spikes": []})
        )
        stop = max(stops) + 1
    (node / "settings.xml").write_text(
        "<SETTINGS><INFO><VERSION>0.6.7</VERSION><DATE>1 May 2024 10:00:00</DATE></INFO></SETTINGS>"
    )
    numbers = np.concatenate([numbers for numbers, _ in streams["Probe-B"]])
    return Recording(
        "OpenEphysBinaryRecordingInterface",
        {"folder_path": str(root), "stream_name": "Record Node 101#Probe-B"},
        origin + numbers / rate, numbers % STEP, channels, 0.195e-6,
    )  # fmt: skip


# Open Ephys, legacy --------------------------------------------------------------------------------------------


def write_continuous(path: Path, rate: float, stamps: npt.NDArray[np.int64], data: npt.NDArray[np.int16]) -> None:
    """Write a channel in records of 1,024 samples."""
    header = (
        "header.format = 'Open Ephys Data Format'; \nheader.version = 0.4; \nheader.header_bytes = 1024;\n"
        "header.description = 'x'; \nheader.date_created = '1-May-2024 100000';\nheader.channel = 'CH1';\n"
        f"header.channelType = 'Continuous';\nheader.sampleRate = {rate:g};\nheader.blockLength = 1024;\n"
        "header.bufferSize = 1024;\nheader.bitVolts = 0.195;\n"
    )
    with path.open("wb") as file:
        file.write(header.encode().ljust(1024))
        for i, stamp in enumerate(stamps):
            file.write(
                struct.pack("<qHH", int(stamp), 1024, 0) + data[1024 * i : 1024 * (i + 1)].astype(">i2").tobytes()
            )
            file.write(bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 255]))


def openephys_legacy(folder: Path, random: np.random.Generator) -> Recording:
    """Channels of records, some of which are missing."""
    rate, channels, first = 30_000.0, int(random.integers(1, 4)), int(random.integers(0, 10**8))
    records = sample_numbers(
        random, int(random.integers(3, 8)), int(random.integers(0, 2)) * int(random.integers(0, 2))
    )
    steps = np.diff(records, prepend=0)
    stamps = np.cumsum(np.where(steps > 1, 1024 + steps, 1024)) - 1024
    numbers = (stamps[:, None] + np.arange(1024)).reshape(-1)
    data = samples(random, numbers, channels)
    for i in range(channels):
        write_continuous(folder / f"100_CH{i + 1}.continuous", rate, stamps + first, data[:, i])
    args = {"folder_path": str(folder)}
    return Recording(
        "OpenEphysLegacyRecordingInterface", args, (numbers + first) / rate, numbers % STEP, channels, 0.195e-6
    )
