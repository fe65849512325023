"""Intan's .rhd and .rhs: one file with all data, or a header with a file for each signal or each channel."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._counters import join, lazily
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_RHD, _RHS = 0xC6912702, 0xD69127AC
_AMPLIFIER, _AUXILIARY, _SUPPLY, _ADC, _DIGITAL_IN, _DIGITAL_OUT = range(6)
_RHS_ADC, _RHS_DAC, _RHS_DIGITAL = 3, 4, (5, 6)
_STEP_V = 0.195e-6
_NAME_TOLERANCE_S = 2.5  # names give whole seconds
_RHD_STREAMS = {1: "auxiliary inputs", 3: "analog inputs", 4: "digital inputs", 5: "digital outputs"}
_RHS_STREAMS = {3: "analog inputs", 4: "analog outputs", 5: "digital inputs", 6: "digital outputs"}

# `rec_240501_100000.rhd`: a name, then date and time.
_NUMBERED = re.compile(r"(?P<stem>.*_)\d{6}_\d{6}\.rh[ds]", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """What the header of an Intan file says of its layout.

    Attributes
    ----------
    rate : float
        In Hz.
    channels : int
        Amplifier channels.
    size : int
        Bytes of the header.
    block : int
        Samples in a block.
    block_size : int
        Bytes of a block in a file with data.
    streams : tuple of str
        What else is recorded.
    """

    rate: float
    channels: int
    size: int
    block: int
    block_size: int
    streams: tuple[str, ...]


@account("IntanRecordingInterface", "IntanAnalogInterface", "IntanDigitalInterface", "IntanStimInterface")
def probe_intan(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a recording of Intan's programs."""
    path = Path(arguments["file_path"])
    if path.name.lower() in ("info.rhd", "info.rhs"):
        return _probe_folder(path, arguments)
    files = find_parts(path)
    strangers = tuple(file for file in _list_recordings(path) if file not in files)
    problems: list[tuple[str, Problem]] = []
    if arguments.get("saved_files_are_split") is False and len(files) > 1:
        names, hint = ", ".join(file.name for file in files), "leave out saved_files_are_split"
        problem = Problem("more files belong to the recording", str(path), "all its parts", names, hint)
        problems, files = [("parts", problem)], [path]
    headers = [read_header(file) for file in files]
    parts = list(zip(files, headers, strict=True))
    for file, header in parts:
        extra = (file.stat().st_size - header.size) % header.block_size
        if extra:
            expected, remainder = f"whole blocks of {header.block_size} bytes", f"{extra} bytes after the last one"
            problems.append(("samples", Problem("an Intan file ends within a block", str(file), expected, remainder)))
    samples = sum(_count_samples(file, header) for file, header in parts)
    numbers = join([partial(read_counter, file, header) for file, header in parts])
    first = headers[0]
    stream = _describe(first, samples, numbers, arguments, step=4 if path.suffix.lower() == ".rhd" else 1)
    if stream is None and any(_count_missing(*pair) for pair in pairwise(parts)):
        problems.append(
            ("gap", Problem("samples are missing between the files", str(path), "a counter that goes on"))
        )
    return Account(
        "Intan",
        files=tuple(files),
        streams=() if stream is None else (stream,),
        others=first.streams,
        arguments={
            **({"saved_files_are_split": True} if len(files) > 1 else {}),
            **({} if "stream_name" in arguments or stream is None else {"ignore_integrity_checks": True}),
        },
        problems=tuple(problems),
        hidden=strangers,
    )


def _describe(
    header: Header, samples: int, numbers: Callable[[], Any], arguments: Mapping[str, Any], step: int
) -> Stream | None:
    """Return the stream that a source reads: the amplifier's, or an analog one by its name."""
    name = str(arguments.get("stream_name", ""))
    fields = {"first_time": 0.0, **lazily(numbers, header.rate, None)}
    if not name:
        return Stream(
            samples=samples, channels=header.channels, rate=header.rate, gain=_STEP_V, unit="volts", **fields
        )
    if "ADC" in name or "DC Amplifier" in name:
        return Stream(samples=samples, rate=header.rate, **fields)
    if "auxiliary" in name and step > 1:
        fields = {"first_time": 0.0, **lazily(lambda: numbers()[::step] // step, header.rate / step, None)}
        return Stream(samples=samples // step, rate=header.rate / step, **fields)
    return None


def _probe_folder(path: Path, arguments: Mapping[str, Any]) -> Account | None:
    """Account for a header with files beside it: all samples of a signal, or of a channel, in one file."""
    header = read_header(path)
    counter = path.parent / "time.dat"
    files = sorted(file for file in path.parent.rglob("*.dat") if file.is_file())
    samples = counter.stat().st_size // 4
    problems = [
        ("samples", Problem("a file has another length than time.dat", str(file), f"{samples} samples", f"{count:g}"))
        for file, count in _count_in_files(files, header)
        if count != samples
    ]
    numbers = partial(np.memmap, counter, dtype="<i4", mode="r")
    stream = _describe(header, samples, numbers, arguments, step=1)
    return Account(
        "Intan",
        files=(path, *files),
        streams=() if stream is None else (stream,),
        others=header.streams,
        arguments={} if "stream_name" in arguments or stream is None else {"ignore_integrity_checks": True},
        problems=tuple(problems),
    )


def _count_in_files(files: list[Path], header: Header) -> list[tuple[Path, float]]:
    counts = []
    for file in files:
        if file.name == "amplifier.dat":
            counts.append((file, file.stat().st_size / (2 * header.channels or 2)))
        elif re.match(r"amp-[A-Z]-\d+\.dat", file.name):
            counts.append((file, file.stat().st_size / 2))
    return counts


def find_parts(path: Path) -> list[Path]:
    """Return the files of the recording that a file is a part of: RHX begins a new one every few minutes.

    They have one name but for date and time, and the counter of samples goes on from one to the next.
    """
    numbered = _NUMBERED.fullmatch(path.name)
    if numbered is None:
        return [path]
    stem = numbered["stem"]
    candidates = [file for file in _list_recordings(path) if _has_stem(file, stem)]
    parts: list[list[Path]] = []
    for file in candidates:
        if parts and _goes_on(parts[-1][-1], file):
            parts[-1].append(file)
        else:
            parts.append([file])
    return next(part for part in parts if path in part)


def _has_stem(file: Path, stem: str) -> bool:
    match = _NUMBERED.fullmatch(file.name)
    return match is not None and match["stem"] == stem


def _goes_on(before: Path, after: Path) -> bool:
    first, second = read_header(before), read_header(after)
    if (first.rate, first.channels) != (second.rate, second.channels):
        return False
    if not _count_samples(before, first) or not _count_samples(after, second):
        return False
    missing = _count_missing((before, first), (after, second))
    if missing <= 0:
        return missing == 0
    # A counter that jumps on: the same recording only if the names say that as much time has passed.
    passed = int(read_counter(after, second)[0]) - int(read_counter(before, first)[0])
    return abs((_time_of(after) - _time_of(before)).total_seconds() - passed / first.rate) <= _NAME_TOLERANCE_S


def _count_missing(before: tuple[Path, Header], after: tuple[Path, Header]) -> int:
    return int(read_counter(*after)[0]) - int(read_counter(*before)[-1]) - 1


def _time_of(file: Path) -> datetime:
    return datetime.strptime(file.stem[-13:], "%y%m%d_%H%M%S")


def _list_recordings(path: Path) -> list[Path]:
    return sorted(
        file
        for file in path.parent.iterdir()
        if file.suffix.lower() in (".rhd", ".rhs") and not file.name.lower().startswith("info.")
    )


def _count_samples(path: Path, header: Header) -> int:
    return (path.stat().st_size - header.size) // header.block_size * header.block


def read_counter(path: Path, header: Header) -> Any:
    """Return the counter of samples in a file with data."""
    blocks = (path.stat().st_size - header.size) // header.block_size
    if not blocks:
        return np.zeros(0, np.int32)
    layout = np.dtype([("counter", "<i4", header.block), ("rest", "V", header.block_size - 4 * header.block)])
    return np.memmap(path, dtype=layout, mode="r", offset=header.size, shape=(blocks,))["counter"].reshape(-1)


def read_header(path: Path) -> Header:
    """Read the header of an Intan file (https://intantech.com/files/Intan_RHD2000_data_file_formats.pdf)."""
    with path.open("rb") as file:
        magic, major, minor, rate = struct.unpack("<Ihhf", file.read(12))
        if magic not in (_RHD, _RHS):
            raise ValueError("not an Intan file")
        is_rhs, version = magic == _RHS, (major, minor)
        file.read(2 + 4 * 8 + 2 + 8 + 4 + 12 if is_rhs else 2 + 4 * 6 + 2 + 8)
        for _ in range(3):
            _read_text(file)
        sensors = 0
        is_dc_saved = False
        if is_rhs:
            is_dc_saved = struct.unpack("<hh", file.read(4))[0] != 0
            _read_text(file)
        else:
            sensors = struct.unpack("<h", file.read(2))[0] if version >= (1, 1) else 0
            file.read(2 if version >= (1, 3) else 0)
            if version >= (2, 0):
                _read_text(file)
        counts = _count_channels(file, is_rhs)
        size = file.tell()
    block = 128 if is_rhs or version >= (2, 0) else 60
    digital = sum(2 * block for kind in (_RHS_DIGITAL if is_rhs else (_DIGITAL_IN, _DIGITAL_OUT)) if counts[kind])
    amplifiers = counts[_AMPLIFIER]
    if is_rhs:
        analog = amplifiers * (3 if is_dc_saved else 2) + counts[_RHS_ADC] + counts[_RHS_DAC]
        words = analog * block
    else:
        words = (amplifiers + counts[_ADC]) * block + counts[_AUXILIARY] * (block // 4) + counts[_SUPPLY] + sensors
    names = _RHS_STREAMS if is_rhs else _RHD_STREAMS
    names_of_streams = tuple(f"{counts[kind]} {name}" for kind, name in names.items() if counts[kind])
    return Header(float(rate), amplifiers, size, block, 4 * block + 2 * words + digital, names_of_streams)


def _count_channels(file: BinaryIO, is_rhs: bool) -> Counter[int]:
    """Count the enabled channels of each kind."""
    counts: Counter[int] = Counter()
    (groups,) = struct.unpack("<h", file.read(2))
    for _ in range(groups):
        _read_text(file), _read_text(file)
        enabled, channels, _ = struct.unpack("<hhh", file.read(6))
        for _ in range(channels if enabled else 0):
            _read_text(file), _read_text(file)
            fields = struct.unpack("<4h", file.read(8))
            file.read(22 if is_rhs else 20)
            counts[fields[2]] += fields[3] != 0
    return counts


def _read_text(file: BinaryIO) -> str:
    """Read a text as Qt writes it: a length in bytes, then UTF-16."""
    (length,) = struct.unpack("<I", file.read(4))
    return "" if length == 0xFFFFFFFF else file.read(length).decode("utf-16-le")
