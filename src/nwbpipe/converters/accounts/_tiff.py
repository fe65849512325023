"""TIFF movies: plain, of ImageJ, OME, with frame descriptions of ScanImage; axes, channels, planes and parts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem, SourceError

_DESCRIPTIONS = 256  # frames whose descriptions are read
_NUMBERED = re.compile(r"(?P<stem>.*_)(?P<number>\d{3,})")
_OME_FILE = re.compile(r'FileName="([^"]+)"')
_FRAME_NUMBER = re.compile(r"^frameNumbers = (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class _Layout:
    """What a file says of the order of its pages: the sizes of its axes, the one that changes slowest first."""

    origin: str
    sizes: dict[str, int]
    rate: float | None = None

    def size(self, axis: str) -> int:
        return self.sizes.get(axis, 1)

    @property
    def order(self) -> str:
        """The order of axes as the reader has it: the one that changes fastest first."""
        axes = [axis for axis in reversed(self.sizes) if axis in "ZCT"]
        return "".join([*axes, *(axis for axis in "ZCT" if axis not in axes)])


@account("TiffImagingInterface")
def probe_tiff(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a movie in plain TIFF files."""
    paths = [Path(path) for path in arguments.get("file_paths") or [arguments["file_path"]]]
    layout, pages, shape = _read_layout(paths[0])
    pages += sum(_count_pages(path) for path in paths[1:])
    chosen: dict[str, Any] = {}
    if layout is not None and (layout.size("C") > 1 or layout.size("Z") > 1):
        order = layout.order
        chosen = {"num_channels": layout.size("C"), "num_planes": layout.size("Z"), "dimension_order": order}
    channels = int(arguments.get("num_channels") or chosen.get("num_channels", 1))
    planes = int(arguments.get("num_planes") or chosen.get("num_planes", 1))
    if channels > 1 and arguments.get("channel_name") is None:
        assert layout is not None or "num_channels" in arguments
        raise SourceError(
            f"the file holds {channels} channels, and none is chosen",
            where=str(paths[0]),
            expected="channel_name: " + " or ".join(repr(str(number)) for number in range(channels)),
            found=f"{pages} pages: {_describe(layout) if layout else 'num_channels'}",
            hint="name the channel in args; the others are a source each",
        )
    problems = []
    if layout is not None and (channels, planes) != (layout.size("C"), layout.size("Z")):
        stated = f"num_channels: {channels}, num_planes: {planes}"
        problem = Problem("the arguments deny what the file says", str(paths[0]), _describe(layout), stated)
        problems.append(("channels", problem))
    if len(paths) == 1:
        problems += _find_siblings(paths[0]) or _find_parts_of_ome(paths[0])
    order = str(arguments.get("dimension_order") or chosen.get("dimension_order", "ZCT"))
    slowest = [axis for axis in order if {"Z": planes, "C": channels}.get(axis, 2) > 1][-1:]
    remainder = pages % (channels * planes)
    notes: tuple[str, ...] = ()
    if remainder and slowest == ["T"]:
        notes = (f"the last volume was not finished: its {remainder} pages are left out",)
    elif remainder:
        expected = f"a multiple of {channels} channels x {planes} planes"
        hint, text = "check num_channels, num_planes and dimension_order", f"{pages} pages, in the order {order}"
        problems.append(("samples", Problem("the pages make no whole volumes", str(paths[0]), expected, text, hint)))
    rate = layout.rate if layout is not None else None
    stream = Stream(samples=pages // (channels * planes), planes=planes, frame_shape=shape, rate=rate)
    return Account(
        "TIFF", files=tuple(paths), streams=(stream,), arguments=chosen, problems=tuple(problems), notes=notes
    )


def _describe(layout: _Layout) -> str:
    parts = {"T": "time points", "C": "channels", "Z": "planes"}
    sizes = ", ".join(f"{layout.size(axis)} {name}" for axis, name in parts.items() if axis in layout.sizes)
    return f"{sizes}, by {layout.origin}"


def _read_layout(path: Path) -> tuple[_Layout | None, int, tuple[int, int] | None]:
    """Read the layout of a file, its number of pages, and the shape of a page."""
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        pages, page = len(tiff.pages), tiff.pages[0]
        if page.samplesperpixel > 1 and len(page.shape) == 3:
            raise SourceError(
                "the pages of the TIFF are in color",
                where=str(path),
                expected="one value a pixel",
                found=f"{page.samplesperpixel} values",
                hint="save each channel as a movie of its own",
            )
        shape = (int(page.shape[-2]), int(page.shape[-1])) if len(page.shape) == 2 else None
        return _find_layout(tiff, pages), pages, shape


def _find_layout(tiff: Any, pages: int) -> _Layout | None:
    series = tiff.series[0]
    sizes = dict(zip(series.axes, series.shape, strict=True)) if len(set(series.axes)) == len(series.axes) else {}
    sizes = {axis: int(size) for axis, size in sizes.items() if axis not in "YX"}
    if (pictures := _count_pictures(tiff)) > pages:
        raise SourceError(
            "the file holds pictures that have no page of their own, and the reader reads pages",
            where=str(tiff.filehandle.path),
            expected=f"{pictures} pages, as many as pictures",
            found=f"{pages} pages",
            hint="save it again, a page for each: tifffile.memmap reads it, tifffile.imwrite (bigtiff=True) writes",
        )
    if tiff.is_ome or tiff.is_imagej:
        if not set(sizes) <= set("TCZ"):
            return None
        rate = _imagej_rate(tiff.imagej_metadata) if tiff.is_imagej else None
        sizes = _as_movie(sizes)
        return _Layout("OME" if tiff.is_ome else "ImageJ", sizes, rate) if sizes else None
    repeats = _count_repeats(tiff)
    if repeats > 1:
        return _Layout("the numbers of its frames", {"T": pages // repeats, "C": repeats})
    shape = _shaped(tiff)
    if shape is not None and len(shape) > 3:
        text = " x ".join(map(str, shape))
        sizes_text = "num_channels, num_planes and dimension_order"
        raise SourceError(
            "the TIFF holds an array of more than three dimensions, and does not say what they are",
            where=str(tiff.filehandle.path),
            expected="frames x rows x columns, or axes as ImageJ or OME writes them",
            found=text,
            hint=f"save it with axes (tifffile: imagej=True, metadata={{'axes': 'TCYX'}}); {sizes_text} then follow",
        )
    return None


def _count_pictures(tiff: Any) -> int:
    """Count the pictures that ImageJ or tifffile says are there: of large movies, only the first has a page."""
    if tiff.is_imagej:
        return int((tiff.imagej_metadata or {}).get("images", 1))
    return prod((_shaped(tiff) or ())[:-2])


def _as_movie(sizes: dict[str, int]) -> dict[str, int]:
    """Take the only axis of a stack for time: ImageJ calls the frames of a movie slices, unless it is told."""
    long = {axis: size for axis, size in sizes.items() if size > 1}
    if "T" not in long and len(long) == 1:
        return {"T": next(iter(long.values()))}
    return sizes


def _imagej_rate(metadata: Mapping[str, Any] | None) -> float | None:
    interval = (metadata or {}).get("finterval")
    return 1.0 / float(interval) if interval else None


def _count_repeats(tiff: Any) -> int:
    """Count the pages of each frame number in the frames' descriptions: two for two channels."""
    numbers = []
    for page in islice(tiff.pages, _DESCRIPTIONS):
        match = _FRAME_NUMBER.search(getattr(page, "description", "") or "")
        if match is None:
            return 1
        numbers.append(int(match.group(1)))
    if len(tiff.pages) > _DESCRIPTIONS:
        numbers = [number for number in numbers if number != numbers[-1]]  # the last one may be cut off
    counts = set(Counter(numbers).values())
    return counts.pop() if len(counts) == 1 else 1


def _shaped(tiff: Any) -> tuple[int, ...] | None:
    """Return the shape that tifffile has written into a file of its own."""
    try:
        shape = json.loads(tiff.pages[0].description)["shape"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(int(size) for size in shape if int(size) > 1)


def _count_pages(path: Path) -> int:
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        return len(tiff.pages)


def _find_siblings(path: Path) -> list[tuple[str, Problem]]:
    """Find files of a numbered set of which one was named."""
    match = _NUMBERED.fullmatch(path.stem)
    if match is None:
        return []
    names = sorted(
        file.name
        for file in path.parent.glob(f"*{path.suffix}")
        if (sibling := _NUMBERED.fullmatch(file.stem)) and sibling["stem"] == match["stem"] and file != path
    )
    if not names:
        return []
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    hint = f"name all files of the recording: file_paths: [{path.name}, …]"
    problem = Problem("one file of a numbered set was named", str(path), "all of its recording", listed, hint)
    return [("parts", problem)]


def _find_parts_of_ome(path: Path) -> list[tuple[str, Problem]]:
    """Find other files of the recording, by the OME-XML of one of them."""
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        text = (tiff.ome_metadata or "") if tiff.is_ome else ""
    listed = {Path(name).name for name in _OME_FILE.findall(text)} - {path.name}
    names = sorted(name for name in listed if path.with_name(name).is_file())
    if not names:
        return []
    text = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    hint = f"name all files of the recording: file_paths: [{path.name}, …]"
    problem = Problem("the file belongs to a recording of several files", str(path), "all of them", text, hint)
    return [("parts", problem)]
