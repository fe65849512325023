"""EDF and BDF: records of a fixed length; those of EDF+D have pauses between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Gap, Stream, Times
from nwbpipe.converters.accounts._compare import describe_gaps
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import AccountError

_SAME_S = 1e-6


@account("EDFRecordingInterface")
def probe_edf(arguments: Mapping[str, Any]) -> Account | None:
    """Account for the signals of one rate in a file."""
    path = Path(arguments["file_path"])
    with path.open("rb") as file:
        head = file.read(256)
        count = int(head[252:256])
        fields = file.read(256 * count)
    labels = [fields[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(count)]
    lengths = [int(fields[216 * count + 8 * i : 216 * count + 8 * i + 8]) for i in range(count)]
    width = 3 if head[:1] == b"\xff" else 2
    size, duration = int(head[184:192]), float(head[244:252])
    records = int(head[236:244])
    if records < 0:  # not closed: the size says it
        records = (path.stat().st_size - size) // (width * sum(lengths))
    signals = [i for i in range(count) if not labels[i].endswith("Annotations")]
    rates = sorted({lengths[i] / duration for i in signals}) if duration else []
    start = datetime.strptime(head[168:184].decode("ascii"), "%d.%m.%y%H.%M.%S")
    skipped = [str(name) for name in arguments.get("channels_to_skip") or ()]
    if len(rates) != 1 or skipped:
        return Account("EDF", files=(path,), start=start)  # the interface asks for a stream, or reads some channels
    length = lengths[signals[0]]
    if head[192:197] in (b"EDF+D", b"BDF+D"):
        offset = sum(lengths[: count - 1]) if labels[-1].endswith("Annotations") else -1
        onsets = _read_onsets(path, size, width, lengths, offset, records)
        gaps = _find_gaps(onsets, duration, length)
        raise AccountError(
            "the reader of EDF does not read recordings with pauses (EDF+D)",
            where=str(path),
            expected="EDF, or EDF+C",
            found=f"EDF+D; {describe_gaps(gaps, rates[0]) if gaps else 'no pause between its records'}",
            hint="write each part as a file of its own with EDFbrowser, and give each a source",
        )
    stream = Stream(
        samples=records * length,
        channels=len(signals),
        rate=rates[0],
        first_time=0.0,
    )
    return Account("EDF", files=(path,), streams=(stream,), start=start)


def _read_onsets(path: Path, size: int, width: int, lengths: list[int], place: int, records: int) -> Times:
    """Read when each record begins (s): the first annotation in it (https://www.edfplus.info/specs/edfplus.html)."""
    record = width * sum(lengths)
    onsets: Times = np.zeros(records)
    with path.open("rb") as file:
        for number in range(records):
            file.seek(size + number * record + width * place)
            onsets[number] = float(file.read(width * lengths[-1]).partition(b"\x14")[0])
    onsets -= onsets[0]
    return onsets


def _find_gaps(onsets: Times, duration: float, length: int) -> tuple[Gap, ...]:
    pauses = np.diff(onsets) - duration
    return tuple(
        Gap((int(i) + 1) * length, float(pauses[i]) * length / duration, float(onsets[i]) + duration)
        for i in np.flatnonzero(np.abs(pauses) > _SAME_S)
    )
