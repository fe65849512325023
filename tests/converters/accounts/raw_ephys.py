"""Raw recordings in the formats of acquisition systems, with random parts, gaps and counters, and their truth."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.converters.accounts.raw_openephys import openephys, openephys_legacy
from tests.converters.accounts.raw_recording import STEP, Recording, sample_numbers, samples
from tests.converters.accounts.raw_tdt import make_tdt

# Intan ---------------------------------------------------------------------------------------------------------


def _text(value: str) -> bytes:
    return struct.pack("<I", 2 * len(value)) + value.encode("utf-16-le")


def intan_header(rate: float, channels: int, *, rhs: bool = False, version: tuple[int, int] = (3, 0)) -> bytes:
    parts = [struct.pack("<Ihhf", 0xD69127AC if rhs else 0xC6912702, *version, rate)]
    if rhs:
        parts += [
            struct.pack("<h8f", 1, *[1.0] * 8),
            struct.pack("<hff", 0, 1e3, 1e3),
            struct.pack("<hhfff", 0, 0, 1e-6, 1e-6, 0.0),
        ]
    else:
        parts += [struct.pack("<h6f", 1, *[1.0] * 6), struct.pack("<hff", 0, 1e3, 1e3)]
    parts += [_text("")] * 3
    if rhs:
        parts += [struct.pack("<hh", 0, 0), _text("n/a")]
    else:
        parts.append(struct.pack("<h", 0))
        parts += [struct.pack("<h", 0), _text("n/a")] if version >= (2, 0) else [struct.pack("<h", 0)]
    parts += [struct.pack("<h", 1), _text("Port A"), _text("A"), struct.pack("<hhh", 1, channels, channels)]
    for i in range(channels):
        numbers = (i, i, 0, 1, i, 0, 0, 0, 0, 0, 0) if rhs else (i, i, 0, 1, i, 0, 0, 0, 0, 0)
        parts += [_text(f"A-{i:03d}"), _text(f"A-{i:03d}"), struct.pack(f"<{len(numbers)}h2f", *numbers, 1e5, 0.0)]
    return b"".join(parts)


def write_intan_file(
    path: Path, rate: float, numbers: npt.NDArray[np.int64], data: npt.NDArray[np.int16], **how: Any
) -> None:
    """Write a file with header and data; `numbers` and `data` hold whole blocks of 128 (60 before version 2)."""
    block = 60 if how.get("version", (3, 0)) < (2, 0) else 128
    with path.open("wb") as file:
        file.write(intan_header(rate, data.shape[1], **how))
        for first in range(0, len(numbers), block):
            file.write(numbers[first : first + block].astype("<i4").tobytes())
            file.write((data[first : first + block].T.astype(np.int32) + 32768).astype("<u2").tobytes())
            if how.get("rhs"):
                file.write(np.zeros((data.shape[1], block), "<u2").tobytes())


def intan(folder: Path, random: np.random.Generator) -> Recording:
    """A recording in one to four files, one for each minute or so; sometimes with other files beside it."""
    rhs, channels, rate = bool(random.integers(2)), int(random.integers(1, 5)), 20_000.0
    version = (1, 5) if not rhs and random.integers(3) == 0 else (3, 0)
    block = 60 if version < (2, 0) else 128
    blocks = random.integers(1, 5, int(random.integers(1, 5)))
    numbers = sample_numbers(random, int(blocks.sum()), int(random.integers(0, min(3, blocks.sum()))))
    numbers = (numbers[:, None] * block + np.arange(block)).reshape(-1)  # gaps of whole blocks
    data = samples(random, numbers, channels)
    ending, first, later = "rhs" if rhs else "rhd", 0, 0
    for count in blocks * block:
        part = slice(first, first + count)
        second = int(numbers[first] / rate) + later
        name = f"rec_240501_10{second // 60:02d}{second % 60:02d}.{ending}"
        while (folder / name).exists():  # the names of all files that follow are as much later
            second, later = second + 1, later + 1
            name = f"rec_240501_10{second // 60:02d}{second % 60:02d}.{ending}"
        write_intan_file(folder / name, rate, numbers[part], data[part], rhs=rhs, version=version)
        first += count
    named = sorted(folder.glob(f"*.{ending}"))[int(random.integers(len(blocks)))]
    if random.integers(2):  # another recording of the same name, an hour later, and one of another name
        other = np.arange(block)
        for name in ("rec_240501_110000", "test_240501_090000"):
            write_intan_file(
                folder / f"{name}.{ending}", rate, other, samples(random, other, channels), rhs=rhs, version=version
            )
    return Recording(
        "IntanRecordingInterface", {"file_path": str(named)}, numbers / rate, numbers % STEP, channels, 0.195e-6
    )


def intan_folder(folder: Path, random: np.random.Generator) -> Recording:
    """A header with a file for each signal, or for each channel."""
    channels, rate = int(random.integers(1, 5)), 20_000.0
    numbers = sample_numbers(random, int(random.integers(20, 400)), int(random.integers(0, 3)))
    data = samples(random, numbers, channels)
    (folder / "info.rhd").write_bytes(intan_header(rate, channels))
    first = int(random.choice([0, -100, 5000]))
    (numbers + first).astype("<i4").tofile(folder / "time.dat")
    if random.integers(2):
        data.astype("<i2").tofile(folder / "amplifier.dat")
    else:
        for i in range(channels):
            data[:, i].astype("<i2").tofile(folder / f"amp-A-{i:03d}.dat")
    return Recording(
        "IntanRecordingInterface",
        {"file_path": str(folder / "info.rhd")},
        numbers / rate,
        numbers % STEP,
        channels,
        0.195e-6,
    )


# SpikeGLX ------------------------------------------------------------------------------------------------------


def spikeglx_meta(binary: Path, first: int, channels: int, rate: float) -> str:
    imro = "".join(f"({i} 0 0 500 250 1)" for i in range(384))
    names = "".join(f"(AP{i};{i}:{i})" for i in range(channels))
    x = [(27, 59, 11, 43)[i % 4] for i in range(channels)]
    geometry = "".join(f"(0:{x[i]}:{20 * (i // 2)}:1)" for i in range(channels))
    sites = "".join(f"(0:{i % 2}:{i // 2}:1)" for i in range(channels))
    entries = {
        "acqApLfSy": "384,384,1", "appVersion": "20230905", "fileCreateTime": "2024-05-01T10:00:00",
        "fileName": f"D:/data/{binary.name}", "fileSizeBytes": binary.stat().st_size, "firstSample": first,
        "imAiRangeMax": 0.6, "imAiRangeMin": -0.6, "imDatApi": "3.62.1", "imDatBs_fw": "2.0.169",
        "imDatHs_pn": "NP2_HS_30",
        "imDatPrb_dock": 1, "imDatPrb_pn": "NP1010", "imDatPrb_port": 1, "imDatPrb_slot": 2,
        "imDatPrb_sn": "18005100001",
        "imDatPrb_type": 0, "imMaxInt": 512, "imSampRate": rate, "nSavedChans": channels + 1,
        "snsApLfSy": f"{channels},0,1", "snsSaveChanSubset": f"0:{channels - 1},768", "typeImEnabled": 1,
        "typeThis": "imec",
        "~imroTbl": f"(0,384){imro}", "~snsChanMap": f"(384,384,1){names}(SY0;768:{channels})",
        "~snsGeomMap": f"(NP1010,1,0,70){geometry}", "~snsShankMap": f"(1,2,480){sites}",
    }  # fmt: skip
    return "".join(f"{key}={value}\n" for key, value in entries.items())


def nidq_meta(binary: Path, first: int, analog: int, rate: float) -> str:
    names = "".join(f"(XA{i};{i}:{i})" for i in range(analog))
    entries = {
        "acqMnMaXaDw": f"0,0,{analog},1", "appVersion": "20230905", "fileCreateTime": "2024-05-01T10:00:00",
        "fileName": f"D:/data/{binary.name}", "fileSizeBytes": binary.stat().st_size, "firstSample": first,
        "nSavedChans": analog + 1, "niAiRangeMax": 5, "niAiRangeMin": -5, "niMAGain": 1, "niMNGain": 200,
        "niSampRate": rate,
        "niXDBytes1": 1, "niXDChans1": "0:7", "niMaxInt": 32768,
        "snsMnMaXaDw": f"0,0,{analog},1", "snsSaveChanSubset": "all", "typeThis": "nidq",
        "~snsChanMap": f"(0,0,1,{analog},1){names}(XD0;{analog}:{analog})",
    }  # fmt: skip
    return "".join(f"{key}={value}\n" for key, value in entries.items())


def write_board(binary: Path, first: int, count: int, rate: float = 10_000.0) -> None:
    """Write a NIDQ stream of one analog channel and one digital word, all zero."""
    np.zeros((count, 2), "<i2").tofile(binary)
    binary.with_suffix(".meta").write_text(nidq_meta(binary, first, 1, rate))


def spikeglx(folder: Path, random: np.random.Generator) -> Recording:
    """A probe and a NIDQ board of one run, with one to three triggers, whose counters begin with the run."""
    rate, channels = 30_000.0, int(random.integers(1, 17))
    run = folder / "run1_g0"
    probe = run / "run1_g0_imec0"
    probe.mkdir(parents=True)
    start = int(random.integers(0, 150_000_000))
    numbers, stop, zero = [], start, np.inf
    for trigger in range(int(random.integers(1, 4))):
        first = stop + int(random.integers(0, 5000))
        part = first + np.arange(int(random.integers(2, 500)))
        data = samples(random, part, channels + 1)
        data[:, -1] = 0
        binary = probe / f"run1_g0_t{trigger}.imec0.ap.bin"
        data.astype("<i2").tofile(binary)
        binary.with_suffix(".meta").write_text(spikeglx_meta(binary, first, channels, rate))
        board = run / f"run1_g0_t{trigger}.nidq.bin"
        board_first = int((first + int(random.integers(-2000, 2000))) / rate * 10_000.0)
        write_board(board, max(board_first, 0), 50)
        zero = min(zero, first / rate, max(board_first, 0) / 10_000.0)
        numbers.append(part)
        stop = int(part[-1]) + 1
    if random.integers(2):
        (probe / "._run1_g0_t0.imec0.ap.meta").write_bytes(b"\x00\x05\x16\x07".ljust(400, b"\0"))
    joined = np.concatenate(numbers)
    args = {"folder_path": str(run if random.integers(2) else probe), "stream_id": "imec0.ap"}
    return Recording(
        "SpikeGLXRecordingInterface", args, joined / rate - zero, joined % STEP, channels, 1.2 / 1024 / 500
    )


# Blackrock -----------------------------------------------------------------------------------------------------


def write_nsx(path: Path, blocks: list[tuple[int, npt.NDArray[np.int16]]], *, period: int = 1) -> None:
    """Write a .nsX of version 2.3: blocks of samples, each with the clock (ticks of 1/30,000 s) at its first one."""
    channels = blocks[0][1].shape[1]
    date = (2024, 5, 3, 1, 10, 0, 0, 0)
    with path.open("wb") as file:
        head = struct.pack(
            "<8s2BI16s256sII8HI", b"NEURALCD", 2, 3, 314 + 66 * channels, b"", b"", period, 30_000, *date, channels
        )
        file.write(head)
        for i in range(channels):
            label, limits = f"chan{i + 1}".encode(), (-32764, 32764, -8191, 8191)
            filters = (300, 1, 1, 7500000, 3, 1)
            file.write(struct.pack("<2sH16s2B4h16sIIHIIH", b"CC", i + 1, label, 1, i, *limits, b"uV", *filters))
        for stamp, data in blocks:
            file.write(struct.pack("<BII", 1, stamp, len(data)) + data.astype("<i2").tobytes())


def blackrock(folder: Path, random: np.random.Generator) -> Recording:
    """One to three blocks that pauses separate, beside a second file that began earlier or later."""
    rate, channels = 30_000.0, int(random.integers(1, 5))
    start, numbers, blocks = int(random.integers(0, 10**7)), [], []
    stop = start
    for _ in range(int(random.integers(1, 4))):
        part = stop + int(random.integers(1, 3000)) + np.arange(int(random.integers(2, 400)))
        blocks.append((int(part[0]), samples(random, part, channels)))
        numbers.append(part)
        stop = int(part[-1]) + 1
    write_nsx(folder / "rec.ns6", blocks)
    zero = int(numbers[0][0])
    if random.integers(2):
        other = max(0, zero + int(random.integers(-2000, 2000)))
        write_nsx(
            folder / "rec.ns2",
            [(other, np.zeros((20 + i, 1), np.int16)) for i in range(1)]
            + [(stop + 9000 * i, np.zeros((9, 1), np.int16)) for i in range(len(blocks) - 1)],
            period=30,
        )
        zero = min(zero, other)
    joined = np.concatenate(numbers)
    return Recording(
        "BlackrockRecordingInterface",
        {"file_path": str(folder / "rec.ns6")},
        (joined - zero) / rate,
        joined % STEP,
        channels,
        8191e-6 / 32764,
    )


# EDF -----------------------------------------------------------------------------------------------------------


def edf(folder: Path, random: np.random.Generator) -> Recording:
    """Records of a second; in EDF+D some begin later than the one before ends."""
    channels, length, records = int(random.integers(1, 4)), int(random.integers(50, 300)), int(random.integers(2, 9))
    is_plus = bool(random.integers(2))
    onsets = np.arange(records).astype(float)
    if is_plus and random.integers(2):
        onsets += np.cumsum(random.integers(0, 3, records) * (np.arange(records) > 0))
    numbers = np.arange(records * length)
    data = samples(random, numbers, channels)
    labels, sizes = [f"EEG {i}" for i in range(channels)], [length] * channels
    if is_plus:
        labels, sizes = [*labels, "EDF Annotations"], [*sizes, 30]
    kind = "EDF+D" if is_plus else ""
    count = len(labels)

    def field(values: list[Any], width: int) -> bytes:
        return b"".join(str(value).encode().ljust(width) for value in values)

    subject = "X X X X" if is_plus else "X"
    recording = "Startdate 01-MAY-2024 X X X" if is_plus else "X"
    header = field(["0"], 8) + field([subject, recording], 80) + field(["01.05.24", "10.00.00", 256 * (count + 1)], 8)
    header += field([kind], 44) + field([records, 1], 8) + field([count], 4)
    header += field(labels, 16) + field([""] * count, 80) + field(["uV"] * channels + [""] * (count - channels), 8)
    header += field([-3200] * channels + [-1] * (count - channels), 8) + field(
        [3200] * channels + [1] * (count - channels), 8
    )
    header += field([-32000] * channels + [-32768] * (count - channels), 8) + field(
        [32000] * channels + [32767] * (count - channels), 8
    )
    header += field([""] * count, 80) + field(sizes, 8) + field([""] * count, 32)
    path = folder / "rec.edf"
    with path.open("wb") as file:
        file.write(header)
        for i in range(records):
            file.write(data[i * length : (i + 1) * length].T.astype("<i2").tobytes())
            if is_plus:
                file.write(f"+{onsets[i]:g}\x14\x14\0".encode("latin-1").ljust(60, b"\0"))
    times = (onsets[:, None] + np.arange(length) / length).reshape(-1)
    return Recording("EDFRecordingInterface", {"file_path": str(path)}, times, numbers % STEP, channels, 0.1e-6)


# Neuralynx -----------------------------------------------------------------------------------------------------


def neuralynx(folder: Path, random: np.random.Generator) -> Recording:
    """Channels in records of 512 samples; after a pause the records go on later."""
    rate, channels = 32_000.0, int(random.integers(1, 4))
    count = int(random.integers(3, 9))
    steps = np.full(count, 16_000)  # microseconds of a record
    if random.integers(2):
        steps[int(random.integers(1, count))] += int(random.integers(20, 500)) * 1000
    stamps = int(random.integers(10**6, 10**10)) + np.cumsum(steps) - 16_000
    stamps -= stamps[0] - int(stamps[0])
    times = ((stamps - stamps[0])[:, None] / 1e6 + np.arange(512) / rate).reshape(-1)
    numbers = np.arange(count * 512)
    data = samples(random, numbers, channels)
    for i in range(channels):
        lines = (
            "######## Neuralynx Data File Header", f"-FileUUID x{i}", "-FileType NCS", "-FileVersion 3.4",
            "-RecordSize 1044",
            "-HardwareSubSystemName AcqSystem1",
            "-HardwareSubSystemType DigitalLynxSX", f"-SamplingFrequency {rate:g}",
            "-ADMaxValue 32767", "-ADBitVolts 0.000000030518510385491027", f"-AcqEntName CSC{i + 1}",
            "-NumADChannels 1",
            f"-ADChannel {i}", "-InputRange 1000", "-InputInverted False", "-DSPLowCutFilterEnabled False",
            "-DspHighCutFilterEnabled False", "-DspDelayCompensation Enabled", "-DspFilterDelay_\xb5s 0",
            "-ApplicationName Cheetah \"6.3.2\"", "-TimeCreated 2024/05/01 10:00:00",
            "-TimeClosed 2024/05/01 11:00:00",
        )  # fmt: skip
        with (folder / f"CSC{i + 1}.ncs").open("wb") as file:
            file.write("\r\n".join(lines).encode("latin-1").ljust(16384, b"\0"))
            for record in range(count):
                file.write(struct.pack("<QIII", int(stamps[record]), i, int(rate), 512))
                file.write(data[512 * record : 512 * (record + 1), i].astype("<i2").tobytes())
    return Recording(
        "NeuralynxRecordingInterface",
        {"folder_path": str(folder)},
        times,
        numbers % STEP,
        channels,
        3.0518510385491027e-8,
    )


FORMATS: dict[str, Callable[[Path, np.random.Generator], Recording]] = {
    "intan": intan,
    "intan_folder": intan_folder,
    "openephys": openephys,
    "openephys_legacy": openephys_legacy,
    "spikeglx": spikeglx,
    "blackrock": blackrock,
    "edf": edf,
    "neuralynx": neuralynx,
    "tdt": make_tdt,
}
