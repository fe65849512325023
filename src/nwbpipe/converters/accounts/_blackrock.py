"""Blackrock: .ns1 to .ns6 of one recording, each in blocks that pauses separate, on one clock."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._counters import find_gaps
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_BASIC = struct.Struct("<8s2BI16s256sII8HI")
_CHANNEL_SIZE = 66
_VOLTS = {b"uV": 1e-6, b"mV": 1e-3, b"V": 1.0}


@dataclass(frozen=True)
class Block:
    """Samples without a pause: the clock at the first one (s), their number, and their place in the file."""

    start_s: float
    samples: int
    offset: int


@dataclass(frozen=True)
class Recording:
    """A .nsX file.

    Attributes
    ----------
    version : (int, int)
        Of the format; (2, 1) has no clock.
    rate : float
        In Hz.
    resolution : float
        Ticks of the clock in a second.
    channels : int
        Number of channels.
    gain : float, optional
        Volts for one step, where all channels have one gain.
    start : datetime, optional
        Date and time of the recording.
    blocks : tuple of Block
        Blocks of two or more samples; readers leave out single ones.
    is_stamped : bool
        True if each sample has its own time stamp.
    """

    version: tuple[int, int]
    rate: float
    resolution: float
    channels: int
    gain: float | None
    start: datetime | None
    blocks: tuple[Block, ...]
    is_stamped: bool = False


@account("BlackrockRecordingInterface")
def probe_blackrock(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a .nsX: a series for each block."""
    path = Path(arguments["nsx_override"] if arguments.get("nsx_override") else arguments["file_path"])
    recording = read_recording(path)
    neighbours = sorted(file for file in path.parent.glob(f"{path.stem}.n*") if file.suffix[1:].lower() in _ENDINGS)
    zero = find_zero(path)
    problems = []
    for block, following in pairwise(recording.blocks):
        if following.start_s < block.start_s + block.samples / recording.rate - 1 / recording.rate:
            stamps = f"{block.start_s:.6f} s, then {following.start_s:.6f} s"
            hint = "the clock was set back while recording (two processors were synchronized): keep the longer block"
            message = "a block begins before the end of the one before"
            problems.append(("gap", Problem(message, str(path), "a clock that goes on", stamps, hint)))
    notes: tuple[str, ...] = ()
    if recording.version == (2, 1) and not any(file.suffix.lower() == ".nev" for file in neighbours):
        problems.append(("unit", _make_scale_problem(path)))
    if recording.version == (2, 1):
        notes = ("the last sample is left out: neo's reader of this version of the format does so",)
    streams = tuple(
        Stream(
            samples=block.samples - (recording.version == (2, 1)),
            channels=recording.channels,
            rate=recording.rate,
            first_time=block.start_s - zero,
            gain=recording.gain,
            unit=None if recording.gain is None else "volts",
            **(_stamps(path, recording, block, zero) if recording.is_stamped else {}),
        )
        for block in recording.blocks
    )
    return Account(
        "Blackrock",
        files=tuple(neighbours),
        streams=streams,
        others=tuple(file.name for file in neighbours if file != path),
        problems=tuple(problems),
        start=recording.start,
        zero_s=zero,
        notes=notes,
    )


def _make_scale_problem(path: Path) -> Problem:
    """Say that a file of version 2.1 alone gives no scale; neo would return counts, and call them microvolts."""
    hint = (
        f"copy {path.stem}.nev of the recording beside it; without it the samples stay whole numbers, which "
        "are not microvolts"
    )
    message = "a .nsX of version 2.1 does not hold the scale of its samples: its .nev does"
    return Problem(message, str(path), f"{path.stem}.nev beside it", "no .nev", hint)


_ENDINGS = ("nev", *(f"ns{number}" for number in range(1, 7)))


def find_zero(path: Path) -> float:
    """Return the clock (s) at the first sample of the earliest .nsX of a recording; 0 where none has samples."""
    starts = []
    for number in range(1, 7):
        file = path.with_suffix(f".ns{number}")
        if file.is_file() and (blocks := read_recording(file).blocks):
            starts.append(blocks[0].start_s)
    return min(starts, default=0.0)


def _stamps(path: Path, recording: Recording, block: Block, zero: float) -> dict[str, Any]:
    """Return the fields of a stream whose samples have time stamps of their own."""

    def read() -> Any:
        layout = np.dtype([("head", "V1"), ("stamp", "<u8"), ("further", "V", 4 + 2 * recording.channels)])
        return np.memmap(path, layout, "r", offset=block.offset, shape=(block.samples,))["stamp"]

    def read_gaps() -> Any:
        return find_gaps(read().astype(np.int64), recording.rate, unit=1 / recording.resolution, tolerance=0.5)

    return {"find_gaps": read_gaps, "times": lambda: read().astype(np.int64) / recording.resolution - zero}


def read_recording(path: Path) -> Recording:
    """Read the headers of a .nsX (https://blackrockneurotech.com, file specification 3.0)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = file.read(8)
        if kind == b"NEURALSG":
            period, channels = struct.unpack("<16xII", file.read(24))
            offset = 32 + 4 * channels
            samples = (size - offset) // (2 * channels)
            return Recording((2, 1), 30_000 / period, 30_000.0, channels, None, None, (Block(0.0, samples, offset),))
        file.seek(0)
        values = _BASIC.unpack(file.read(_BASIC.size))
        kind, major, minor, offset, period, resolution = *values[:4], *values[6:8]
        channels = values[-1]
        if kind not in (b"NEURALCD", b"BRSMPGRP"):
            raise ValueError("not a .nsX file")
        gains = {_read_gain(file.read(_CHANNEL_SIZE)) for _ in range(channels)}
        is_wide = major >= 3
        head = struct.Struct("<BQI" if is_wide else "<BII")
        packet = head.size + 2 * channels
        file.seek(offset)
        first = file.read(head.size)
        if is_wide and len(first) == head.size and head.unpack(first)[2] == 1:
            stamp, samples = head.unpack(first)[1], (size - offset) // packet
            blocks, is_stamped = [Block(stamp / resolution, samples, offset)], True
        else:
            blocks, is_stamped = [], False
            while offset + head.size <= size:
                file.seek(offset)
                _, stamp, samples = head.unpack(file.read(head.size))
                if samples > 1:
                    blocks.append(Block(stamp / resolution, samples, offset + head.size))
                offset += head.size + 2 * channels * samples
    year, month, _, day, hour, minute, second, millisecond = values[8:16]
    start = datetime(year, month, day, hour, minute, second, millisecond * 1000) if year else None
    gain = gains.pop() if len(gains) == 1 else None
    return Recording(
        (major, minor), 30_000 / period, float(resolution), channels, gain, start, tuple(blocks), is_stamped
    )


def _read_gain(header: bytes) -> float | None:
    """Return volts for one step of a channel."""
    low, high, least, greatest = struct.unpack_from("<4h", header, 22)
    volts = _VOLTS.get(header[30:46].rstrip(b"\0"))
    return None if volts is None or high == low else (greatest - least) / (high - low) * volts
