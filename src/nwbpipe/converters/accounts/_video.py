"""Videos: the time stamps of the frames in the container, where no single rate fits them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream, Times
from nwbpipe.converters.accounts._counters import is_regular
from nwbpipe.converters.accounts._registry import account


@account("ExternalVideoInterface", "InternalVideoInterface")
def probe_video(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a video; of several files, the times between them are not known."""
    paths = [Path(path) for path in arguments.get("file_paths") or [arguments["file_path"]]]
    if len(paths) > 1:
        return Account("video", files=tuple(paths))
    stamps = _read_index(paths[0])
    stream = Stream()
    if stamps is not None and not is_regular(stamps):
        stream = Stream(samples=len(stamps), times=partial(read_stamps, paths[0]))
    notes = ("the frames are not evenly spaced: each has its own time, by the container",) if stream.times else ()
    return Account("video", files=tuple(paths), streams=(stream,), notes=notes)


def count_packets(path: Path) -> int:
    """Return the number of frames in the container of a video."""
    stamps = _read_index(path)
    return 0 if stamps is None else len(stamps)


def _read_index(path: Path) -> Times | None:
    """Read the frames' times from the container's index where it has all frames, else from its packets."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        entries, base = getattr(stream, "index_entries", None) or (), stream.time_base
        if base is not None and stream.frames and len(entries) == stream.frames:
            return np.sort([entry.timestamp for entry in entries]) * float(base)
    return read_stamps(path)


def read_stamps(path: Path) -> Times:
    """Read the time of each frame from the packets of a video, without decoding; the first one is at 0."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size)
        times = np.asarray(stamps, dtype=np.float64) * float(stream.time_base or 1)
    return times - times[0] if len(times) else times
