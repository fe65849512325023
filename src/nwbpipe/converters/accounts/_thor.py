"""ThorImage: OME-TIFF files, one a frame or many, and Experiment.xml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream, Times
from nwbpipe.converters.accounts._choices import require_choice
from nwbpipe.converters.accounts._counters import is_regular, mean_rate
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem, SourceError

_SECONDS = {"s": 1.0, "ms": 1e-3, "min": 60.0}
_MANY = 100  # files; more of them are hashed as their folder
_FRAME_FILE = re.compile(r"(?P<channel>.+)_\d+_\d+_\d+_\d+\.tiff?", re.IGNORECASE)


@account("ThorImagingInterface")
def probe_thor(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a recording of ThorImage."""
    from tifffile import TiffFile

    path = Path(arguments["file_path"])
    settings = path.with_name("Experiment.xml")
    if not settings.is_file():
        return None
    experiment = ElementTree.parse(settings).getroot()  # noqa: S314  # expat limits what entities expand to
    with TiffFile(path, _multifile=False) as tiff:
        text, shape = tiff.ome_metadata or tiff.pages[0].description, tiff.pages[0].shape
        page_count = len(tiff.pages)
    pixels = ElementTree.fromstring(text.encode()).find(".//{*}Pixels")  # noqa: S314
    if pixels is None:
        return None
    frames, channels, planes = (int(pixels.get(f"Size{axis}", 1)) for axis in "TCZ")
    names = [item.get("name", "") for item in experiment.findall("Wavelengths/Wavelength")]
    problems = []
    if channels > 1:
        _check_channel(names, channels, arguments, path)
    listed = (Path(uuid.get("FileName", path.name)).name for uuid in pixels.iterfind(".//{*}UUID"))
    files = set(listed) or {path.name}  # in this folder, whatever path a stranger wrote
    missing = sorted(name for name in files if not path.with_name(name).is_file())
    if missing:
        stated, text = f"{len(files)} files, by {path.name}", f"{len(missing)} are missing, the first {missing[0]}"
        hint = "copy the recording again, whole"
        problems.append(("samples", Problem("files of the recording are missing", str(path), stated, text, hint)))
    elif (count := page_count * len(files)) < frames * planes * channels and (page_count == 1 or len(files) == 1):
        stated = f"{frames} frames x {channels} channels x {planes} planes, by {path.name}"
        problems.append(("samples", Problem("frames are missing", str(path), stated, f"{count} pages")))
    problems += _find_unlisted(path, files)
    times = _read_times(pixels, frames, names.index(arguments["channel_name"]) if channels > 1 else 0)
    stream = Stream(
        samples=frames,
        planes=planes,
        frame_shape=(int(shape[-2]), int(shape[-1])),
        true_rate=_frame_rate(experiment, planes) if times is None else mean_rate(times),
        times=None if times is None or is_regular(times) else (lambda: times),
    )
    unread = tuple(f"channel {name}" for name in names if channels > 1 and name != arguments["channel_name"])
    unread += tuple(entry.name for entry in path.parent.glob("Image_*.raw"))
    present = (path.with_name(name) for name in sorted(files) if path.with_name(name).is_file())
    paths = (path, settings, *present) if len(files) <= _MANY else (path.parent,)
    match = _FRAME_FILE.fullmatch(path.name)
    name = match["channel"] if match is not None and match["channel"] in names else next(iter(names), None)
    chosen = {"channel_name": name} if channels == 1 and name else {}  # NeuroConv fails without it
    return Account("ThorImage", paths, (stream,), others=unread, arguments=chosen, problems=tuple(problems))


def _check_channel(names: list[str], channels: int, arguments: Mapping[str, Any], path: Path) -> None:
    if len(names) != channels:
        raise SourceError(
            "Experiment.xml and the TIFF file differ in the channels",
            where=str(path),
            expected=f"{channels} channels, by the TIFF file",
            found=f"{', '.join(names)}, by Experiment.xml",
            hint="read each channel's files with TiffImagingInterface, and its rate as sampling_frequency",
        )
    count = f"the recording holds {channels} channels"
    require_choice(arguments.get("channel_name"), names, "channel_name", count, path)


def _find_unlisted(path: Path, files: set[str]) -> list[tuple[str, Problem]]:
    """Find frames' files of the same channels that the OME-XML does not list."""
    stems = {match["channel"] for name in files if (match := _FRAME_FILE.fullmatch(name))}
    more = sorted(
        entry.name
        for entry in path.parent.iterdir()
        if (match := _FRAME_FILE.fullmatch(entry.name)) and match["channel"] in stems and entry.name not in files
    )
    if not more:
        return []
    text = f"{len(more)} more, the first {more[0]}"
    hint = "they belong to another recording: move them away; or read all files with TiffImagingInterface"
    problem = Problem("files beside the recording are not read", str(path), "those that it lists", text, hint)
    return [("parts", problem)]


def _frame_rate(experiment: ElementTree.Element, planes: int) -> float | None:
    """Return the rate of frames or volumes: Experiment.xml has that of all frames, the flyback included."""
    scanner, streaming = experiment.find("LSM"), experiment.find("Streaming")
    rate = None if scanner is None else scanner.get("frameRate")
    if rate is None:
        return None
    flyback = int(streaming.get("flybackFrames", 0)) if streaming is not None and planes > 1 else 0
    return float(rate) / (planes + flyback)


def _read_times(pixels: ElementTree.Element, frames: int, channel: int) -> Times | None:
    """Return the times of the frames of a channel, by the OME-XML; None if it does not have them all."""
    times = {}
    for plane in pixels.iterfind("{*}Plane"):
        if plane.get("TheZ", "0") == "0" and plane.get("TheC", "0") == str(channel) and plane.get("DeltaT"):
            times[int(plane.get("TheT", 0))] = float(plane.get("DeltaT", 0)) * _SECONDS[plane.get("DeltaTUnit", "s")]
    values = np.array([times[number] for number in sorted(times)])
    return values if len(values) == frames and np.all(np.diff(values) > 0) else None
