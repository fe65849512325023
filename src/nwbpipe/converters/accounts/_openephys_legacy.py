"""Open Ephys, legacy format: a .continuous for each channel, in records of 1,024 samples with their counter."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Gap, Stream, Times
from nwbpipe.converters.accounts._openephys import probe_openephys_binary
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_HEADER, _SAMPLES = 1024, 1024
_RECORD = np.dtype(
    [("stamp", "<i8"), ("count", "<u2"), ("recording", "<u2"), ("samples", ">i2", _SAMPLES), ("mark", "V10")]
)


@account("OpenEphysLegacyRecordingInterface")
def probe_openephys_legacy(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the channels of a folder: a series for each recording in it."""
    folder = Path(arguments["folder_path"])
    name = str(arguments.get("stream_name") or "CH").rpartition(" ")[2]
    recordings = group_files(folder)
    if not recordings:
        return None
    streams, problems, ends = [], [], -1
    for number, files in sorted(recordings.items()):
        chosen = [file for file in files if _channel_kind(file) == name] or files
        stamps, rate = _stamps(chosen[0]), read_rate(chosen[0])
        if int(stamps[0]) <= ends:
            counters = f"{ends} at the end of the one before, {int(stamps[0])} at its start"
            hint = "convert the recordings from folders of their own: what lies between them is not known"
            message = f"the counter begins anew in recording {number + 1}"
            problems.append(("gap", Problem(message, str(folder), "a counter that goes on", counters, hint)))
        ends = int(stamps[-1]) + _SAMPLES - 1
        streams.append(
            Stream(
                samples=len(stamps) * _SAMPLES,
                channels=len(chosen),
                rate=rate,
                first_time=int(stamps[0]) / rate,  # time 0 is the counter's, as neo has it
                gaps=_find_gaps(stamps, rate),
                times=partial(_times, chosen[0], rate),
            )
        )
    kinds = sorted({_channel_kind(file) for files in recordings.values() for file in files} - {name})
    return Account(
        "Open Ephys legacy",
        files=tuple(file for files in recordings.values() for file in files),
        streams=tuple(streams),
        others=(*kinds, *(file.name for file in sorted(folder.glob("*.spikes")))),
        problems=tuple(problems),
    )


@account("OpenEphysRecordingInterface")
def probe_openephys(arguments: Mapping[str, Any]) -> Account | None:
    """Account for either format: the interface finds out which it is."""
    if any(Path(arguments["folder_path"]).rglob("structure.oebin")):
        return probe_openephys_binary(arguments)
    return probe_openephys_legacy(arguments)


def group_files(folder: Path) -> dict[int, list[Path]]:
    """Return the files of each recording: ``100_CH1.continuous`` is of the first, ``…_2`` of the second."""
    recordings: dict[int, list[Path]] = {}
    for file in sorted(folder.rglob("*.continuous")):
        if file.stat().st_size >= _HEADER + _RECORD.itemsize:
            end = file.stem.rpartition("_")[2]
            recordings.setdefault(int(end) - 1 if end.isdigit() else 0, []).append(file)
    return recordings


def read_rate(file: Path) -> float:
    """Read the samples in a second from a header."""
    with file.open("rb") as stream:
        text = stream.read(_HEADER).decode("ascii", "replace")
    return float(text.partition("header.sampleRate = ")[2].partition(";")[0])


def _channel_kind(file: Path) -> str:
    parts = [part for part in file.stem.split("_") if not part.isdigit()]
    return "CH" if parts[-1].upper().startswith("CH") else parts[-1][:3]


def _stamps(file: Path) -> Any:
    count = (file.stat().st_size - _HEADER) // _RECORD.itemsize
    return np.memmap(file, _RECORD, "r", offset=_HEADER, shape=(count,))["stamp"]


def _times(file: Path, rate: float) -> Times:
    stamps = np.asarray(_stamps(file), dtype=np.int64)
    times: Times = (stamps[:, None] + np.arange(_SAMPLES)).reshape(-1) / rate
    return times


def _find_gaps(stamps: Any, rate: float) -> tuple[Gap, ...]:
    steps = np.diff(np.asarray(stamps, dtype=np.int64)) - _SAMPLES
    return tuple(
        Gap((int(i) + 1) * _SAMPLES, float(steps[i]), (int(stamps[i] - stamps[0]) + _SAMPLES) / rate)
        for i in np.flatnonzero(steps)
    )
