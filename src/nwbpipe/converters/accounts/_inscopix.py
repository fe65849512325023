"""Inscopix: .isxd movies, whose last bytes say which frames were dropped, cropped or blanked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._counters import find_gaps
from nwbpipe.converters.accounts._registry import account


@account("InscopixImagingInterface")
def probe_inscopix(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a movie of Inscopix."""
    path = Path(arguments["file_path"])
    metadata = _read_metadata(path)
    timing, pixels = metadata["timingInfo"], metadata["spacingInfo"]["numPixels"]
    period = timing["period"]["num"] / timing["period"]["den"]
    missing = [*timing.get("dropped", ()), *timing.get("blank", ())]
    frames = list_stored(int(timing["numTimes"]), missing, timing.get("cropped", ()))
    rate = 1 / period
    stream = Stream(
        samples=len(frames),
        frame_shape=(int(pixels["y"]), int(pixels["x"])),
        rate=rate,
        first_time=float(frames[0]) * period if len(frames) else None,
        gaps=find_gaps(frames, rate),
        times=lambda: frames * period,
    )
    return Account("Inscopix", (path,), (stream,))


def list_stored(count: int, missing: Any, cropped: Any) -> npt.NDArray[np.int64]:
    """Return the numbers of the frames that were stored.

    Parameters
    ----------
    count : int
        Frames of the recording, those that were not stored included.
    missing : sequence of int
        Frames that were dropped or blanked.
    cropped : sequence of (int, int)
        First and last frames that were cut out.
    """
    is_stored = np.ones(count, bool)
    is_stored[[int(number) for number in missing]] = False
    for first, last in cropped:
        is_stored[int(first) : int(last) + 1] = False
    return np.flatnonzero(is_stored)


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read the JSON text at the end of the file: its length stands in the last 8 bytes, behind a zero."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        length, end = int.from_bytes(file.read(8), "little"), file.tell()
        file.seek(max(0, end - 9 - length))
        metadata: dict[str, Any] = json.loads(file.read(min(length, end)))
    return metadata
