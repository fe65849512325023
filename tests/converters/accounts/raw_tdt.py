"""A TDT block as Synapse writes it: .tsq (the records), .tev (their samples), .Tbk (the stores) and .tdx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.converters.accounts.raw_recording import STEP, Recording, samples

RECORD = np.dtype(
    [
        *(("size", "<i4"), ("type", "<i4"), ("store", "S4"), ("channel", "<u2"), ("sort", "<u2")),
        *(("stamp", "<f8"), ("offset", "<i8"), ("format", "<i4"), ("rate", "<f4")),
    ]
)
START = 1_714_572_000.25
POINTS = 64  # samples of a record
MARK, STREAM, EPOCH = 0x8801, 0x8101, 0x101
_FIELDS = {"CircType": 3, "NumChan": 0, "StrobeMode": 1, "TankEvType": STREAM, "NumPoints": POINTS, "DataFormat": 2}


def write_block(
    folder: Path, stores: dict[str, tuple[float, npt.NDArray[np.float64], npt.NDArray[np.int16]]]
) -> None:
    """Write a block: for each store its rate, the times of its records, and its samples (n, channels)."""
    folder.mkdir(exist_ok=True)
    rows, values, offset = [(0, MARK, b"\x01", 0, 0, START, 40, 0, 0.0)], [b"\0" * 40], 40
    table = []
    for name, (rate, times, data) in stores.items():
        fields = {**_FIELDS, "NumChan": data.shape[1], "SampleFreq": rate, "Enabled": 1}
        texts = {"StoreName": name, "HeadName": name, **fields}
        table.append("".join(f"NAME={key};TYPE=L;VALUE={value};\r\n\r\n" for key, value in texts.items()))
        for number, time in enumerate(times):
            for channel in range(data.shape[1]):
                block = data[number * POINTS : (number + 1) * POINTS, channel].astype("<i2").tobytes()
                rows.append(
                    (10 + len(block) // 4, STREAM, name.encode(), channel + 1, 0, START + time, offset, 2, rate)
                )
                values.append(block)
                offset += len(block)
    rows.append((10, EPOCH, b"PAB/", 0, 0, START + 0.5, 0, 4, 0.0))
    last = max(row[5] for row in rows) + 1.0
    records = np.array([(0, 0, b"", 0, 0, 0.0, 0, 0, 0.0), *rows, (0, MARK, b"\x02", 0, 0, last, 0, 0, 0.0)], RECORD)
    stem = folder / f"tank_{folder.name}"
    records.tofile(stem.with_suffix(".tsq"))
    stem.with_suffix(".tev").write_bytes(b"".join(values))
    stem.with_suffix(".Tbk").write_text("[STOREHDRITEM]".join(table) + "[USERNOTEDELIMITER]", encoding="latin-1")
    stem.with_suffix(".tdx").write_bytes(b"")


def make_tdt(folder: Path, random: np.random.Generator) -> Recording:
    """A store among others, its first record some time after the block's start, with records missing."""
    rate = float(np.float32(random.choice([24_414.0625, 1_017.2526, 6_103.5156])))
    channels, count, volts = int(random.integers(1, 5)), int(random.integers(2, 40)), 1e-7
    places = np.arange(count)
    for place in random.choice(np.arange(1, count), min(count - 1, int(random.integers(0, 3))), replace=False):
        places[place:] += int(random.integers(1, 50))
    first = float(random.choice([0.0, 0.125, 3.5]))
    stamps = first + places * POINTS / rate
    numbers = (places[:, None] * POINTS + np.arange(POINTS)).ravel()
    data = samples(random, numbers, channels)
    other = (1000.0, np.arange(3) * POINTS / 1000.0, np.zeros((3 * POINTS, 2), np.int16))
    names = ["LFP1", "Wav1"] if random.random() < 0.5 else ["Wav1", "LFP1"]
    write_block(folder / "block", {name: (rate, stamps, data) if name == "LFP1" else other for name in names})
    chosen = {"stream_name": "LFP1"} if random.random() < 0.5 else {"stream_id": str(names.index("LFP1"))}
    return Recording(
        "TdtRecordingInterface",
        {"folder_path": str(folder / "block"), "gain": volts * 1e6, **chosen},
        first + numbers / rate,
        numbers % STEP,
        channels,
        volts,
    )
