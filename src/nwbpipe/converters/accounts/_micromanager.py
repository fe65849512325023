"""Micro-Manager: OME-TIFF files whose metadata say when each frame was taken."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream, Times
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem, SourceError


@account("MicroManagerTiffImagingInterface")
def probe_micromanager(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a recording of Micro-Manager.

    NeuroConv takes the speed at which the program played the movie (``PlaybackFPS``) for the frame rate. Each page
    says how long after the start it was taken.
    """
    from tifffile import TiffFile

    folder = Path(arguments["folder_path"])
    files = sorted(folder.glob("*.ome.tif"))
    if not files:
        return None
    with TiffFile(files[0], _multifile=False) as tiff:
        summary = (tiff.micromanager_metadata or {}).get("Summary", {})
        text, shape = tiff.ome_metadata or "", tiff.pages[0].shape
    files = _order(files, text)
    pages, ends = _look_at_pages(files)
    sizes = {name: int(summary.get(name) or 1) for name in ("Positions", "Channels", "Slices")}
    several = ", ".join(f"{count} {name.lower()}" for name, count in sizes.items() if count > 1)
    if several:
        raise SourceError(
            "the reader of Micro-Manager's files reads one position, channel and slice",
            where=str(folder),
            expected="a movie of one plane",
            found=several,
            hint="read each position's files with TiffImagingInterface: num_channels, num_planes, dimension_order",
        )
    problems = []
    has_times = pages > 1 and ends[1] > ends[0]  # False for NaN, too
    if not has_times:
        hint = "give the frames' times with a clock (`align: timestamps`); `accept: [rate]` keeps the program's"
        message = "the pages do not say when they were taken; the reader's rate is that of playing the movie"
        problems.append(("rate", Problem(message, str(folder), "ElapsedTime-ms in each page", hint=hint)))
    stream = Stream(
        samples=pages,
        planes=1,
        frame_shape=(int(shape[-2]), int(shape[-1])),
        true_rate=(pages - 1) / (ends[1] - ends[0]) if has_times else None,
        times=partial(read_times, files) if has_times else None,
    )
    return Account("Micro-Manager", tuple(files), (stream,), problems=tuple(problems))


def read_times(files: Sequence[Path]) -> Times:
    """Read the time of each page from its tags, in seconds from the first one."""
    from tifffile import TiffFile

    times = []
    for path in files:
        with TiffFile(path, _multifile=False) as tiff:
            times += [_read_elapsed_s(page) for page in tiff.pages]
    values: Times = np.array(times, dtype=np.float64) - times[0]
    return values


def _look_at_pages(files: Sequence[Path]) -> tuple[int, tuple[float, float]]:
    """Return the number of pages of all files, and the times of the first and the last."""
    from tifffile import TiffFile

    pages, first, last = 0, float("nan"), float("nan")
    for path in files:
        with TiffFile(path, _multifile=False) as tiff:
            pages += len(tiff.pages)
            first = first if path != files[0] else _read_elapsed_s(tiff.pages[0])
            last = _read_elapsed_s(tiff.pages[len(tiff.pages) - 1])
    return pages, (first, last)


def _order(files: list[Path], text: str) -> list[Path]:
    """Put files in the order in which the OME-XML lists them."""
    root = ElementTree.fromstring(text.encode()) if text else None  # noqa: S314
    names = [] if root is None else [uuid.get("FileName", "") for uuid in root.iterfind(".//{*}UUID")]
    order = {name: number for number, name in reversed(list(enumerate(names)))}
    return sorted(files, key=lambda path: (order.get(path.name, len(order)), path.name))


def _read_elapsed_s(page: Any) -> float:
    tag = page.tags.get(51123)  # MicroManagerMetadata
    value = {} if tag is None else tag.value
    if isinstance(value, str | bytes):
        value = json.loads(value)
    elapsed = value.get("ElapsedTime-ms")
    return float("nan") if elapsed is None else float(elapsed) / 1000
