"""Neuralynx: a .ncs for each channel, in records of up to 512 samples with a time stamp in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_HEADER = 16 * 1024
_RECORD = np.dtype([("stamp", "<u8"), ("channel", "<u4"), ("rate", "<u4"), ("count", "<u4"), ("samples", "<i2", 512)])


@account("NeuralynxRecordingInterface")
def probe_neuralynx(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the channels of a folder. The reader makes a series of each part without gaps."""
    folder = Path(arguments["folder_path"])
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() == ".ncs"]
    files = [file for file in files if file.stat().st_size >= _HEADER + _RECORD.itemsize]
    if not files:
        return None
    problems = []
    for file in files:
        extra = (file.stat().st_size - _HEADER) % _RECORD.itemsize
        if extra:
            size = f"{extra} bytes after the last whole record of {_RECORD.itemsize}"
            problems.append(("samples", Problem("a .ncs ends within a record", str(file), found=size)))
    streams: tuple[Stream, ...] = ()
    counts = {_count(file) for file in files}
    rates = {int(_map(file)["rate"][0]) for file in files}
    if len(counts) == len(rates) == 1:
        streams = (Stream(samples=counts.pop(), channels=len(files), rate=float(rates.pop()), is_split=True),)
    unread = [
        file.name for file in sorted(folder.iterdir()) if file.suffix.lower() in (".nev", ".nse", ".ntt", ".nvt")
    ]
    return Account("Neuralynx", files=tuple(files), streams=streams, others=tuple(unread), problems=tuple(problems))


def _map(file: Path) -> Any:
    count = (file.stat().st_size - _HEADER) // _RECORD.itemsize
    return np.memmap(file, _RECORD, "r", offset=_HEADER, shape=(count,))


def _count(file: Path) -> int:
    return int(_map(file)["count"].astype(np.int64).sum())
