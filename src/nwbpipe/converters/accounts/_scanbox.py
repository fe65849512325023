"""Scanbox: a .sbx file of plain counts, and a .mat file of the same name that says their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._choices import require_choice
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem, SourceError

_CHANNELS = {1: ("green", "red"), 2: ("green",), 3: ("red",)}  # of the field `channels`: PMT 0, PMT 1, or both


@dataclass(frozen=True)
class ScanboxLayout:
    """The order of a recording's samples: channels change fastest, then columns, rows, planes and time.

    Attributes
    ----------
    path : Path
        The .sbx file.
    channels : tuple of str
        Channels that were recorded.
    rows, columns, planes : int
        Size of a picture, and the depths that the lens goes through.
    frame_rate : float, optional
        Pictures in a second.
    pages : int
        Whole pictures in the file.
    remainder : int
        Bytes after the last whole picture.
    """

    path: Path
    channels: tuple[str, ...]
    rows: int
    columns: int
    planes: int
    frame_rate: float | None
    pages: int
    remainder: int

    @property
    def samples(self) -> int:
        """Number of volumes, or of pictures if there is one plane."""
        return self.pages // self.planes


def read_layout(file_path: Path) -> ScanboxLayout:
    """Read the layout of a recording from its .mat file and the size of the .sbx file.

    Raises
    ------
    SourceError
        The .mat file says something else than Scanbox writes.
    """
    from pymatreader import read_mat

    path = Path(file_path).with_suffix(".sbx")
    info = read_mat(path.with_suffix(".mat"))["info"]
    channels = _read_channels(info)
    if channels is None:
        raise SourceError(
            "the file does not say which channels were recorded",
            where=str(path.with_suffix(".mat")),
            expected="info.channels: 1 (both), 2 (green) or 3 (red)",
            found=str(info.get("channels")),
        )
    is_unidirectional = int(info.get("scanmode", 1))
    rows, columns = int(info["recordsPerBuffer"]) * (1 if is_unidirectional else 2), int(np.ravel(info["sz"])[1])
    folds = int(np.max(info["fold_lines"], initial=0)) if "fold_lines" in info else 0
    rate = None
    if info.get("resfreq") and "config" in info:
        lines = int(info["config"]["lines"])
        rate = float(info["resfreq"]) / lines * (2 - is_unidirectional) * (lines // folds if folds else 1)
    depths = np.size(info.get("otwave") if info.get("otwave") is not None else [])
    is_volume = int(info.get("volscan", depths > 0)) > 0 and depths > 1
    pages, remainder = divmod(path.stat().st_size, 2 * len(channels) * rows * columns)
    return ScanboxLayout(path, channels, rows, columns, depths if is_volume else 1, rate, pages, remainder)


def _read_channels(info: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "chan" in info and isinstance(info["chan"], Mapping) and "nchan" in info["chan"]:  # of version 3
        saved = [bool(flag) for flag in np.ravel(info["chan"].get("save", ()))]
        names = [name for name, flag in zip(("green", "red", "third", "fourth"), saved, strict=False) if flag]
        count = int(info["chan"]["nchan"])
        return tuple(names) if len(names) == count else tuple(f"channel {number}" for number in range(count))
    return _CHANNELS.get(int(info.get("channels", -1)))


@account("SbxImagingInterface")
def probe_scanbox(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a recording of Scanbox."""
    layout = read_layout(Path(arguments["file_path"]))
    names = layout.channels
    count = f"the recording holds {len(names)} channels"
    require_choice(arguments.get("channel_name"), names, "channel_name", count, layout.path)
    problems = []
    if layout.remainder:
        size = 2 * len(names) * layout.rows * layout.columns
        expected, text = f"pictures of {size} bytes", f"{layout.pages} of them and {layout.remainder} bytes"
        hint = "copy the recording again, whole"
        problems.append(
            ("samples", Problem("the .sbx file ends within a picture", str(layout.path), expected, text, hint))
        )
    left_out = layout.pages - layout.samples * layout.planes
    notes = (f"the last volume was not finished: its {left_out} pictures are left out",) if left_out else ()
    rate = None if layout.frame_rate is None else layout.frame_rate / layout.planes
    planes = 1 if arguments.get("plane_index") is not None else layout.planes
    stream = Stream(samples=layout.samples, planes=planes, frame_shape=(layout.rows, layout.columns), rate=rate)
    unread = tuple(f"channel {name}" for name in names if len(names) > 1 and name != arguments["channel_name"])
    files = (layout.path, layout.path.with_suffix(".mat"))
    return Account("Scanbox", files, (stream,), others=unread, problems=tuple(problems), notes=notes)
