"""Bruker's Prairie View: a folder of OME-TIFF files, and an XML file that lists every frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream, Times
from nwbpipe.converters.accounts._choices import require_choice
from nwbpipe.converters.accounts._counters import is_regular, mean_rate
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem, SourceError

VOLUMES = "TSeries ZSeries Element"


@dataclass
class _Frame:
    relative_s: float
    absolute_s: float
    files: dict[str, tuple[str, int]]  # by channel: file, page (from 1)


@dataclass
class Sequence:
    """A <Sequence> of the XML: a volume, or a cycle of frames of one plane."""

    kind: str
    is_bidirectional: bool
    frames: list[_Frame] = field(default_factory=list)


@account("BrukerTiffImagingInterface", "BrukerTiffSinglePlaneImagingInterface")
def probe_bruker(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a recording of Prairie View."""
    folder = Path(arguments["folder_path"])
    path = folder / f"{folder.name}.xml"
    if not path.is_file():
        listed = ", ".join(sorted(entry.name for entry in folder.glob("*.xml"))[:5])
        raise SourceError(
            "the folder has no XML file of its own name",
            where=str(folder),
            expected=path.name,
            found=listed or "no XML file",
            hint="give the folder the name back that Prairie View gave it; both must be the same",
        )
    sequences = read_sequences(path)
    frames = [frame for sequence in sequences for frame in sequence.frames]
    if not any(frame.files for frame in frames):
        return None
    channel = _choose_channel(frames, arguments, path)
    planes = len(sequences[0].frames) if sequences[0].kind == VOLUMES else 1
    problems = [*_check_files(folder, frames, path), *_check_volumes(sequences, planes, path)]
    samples = sum(channel in frame.files for frame in frames) // planes
    left_out = len(frames) - samples * planes
    notes: tuple[str, ...] = (
        (f"the last volume was not finished: its {left_out} frames are left out",) if left_out else ()
    )
    times = read_times(sequences)[: samples * planes : planes]
    is_chosen = arguments.get("plane_index") is not None
    uneven = not is_regular(times)
    if uneven:
        notes += ("the frames are not evenly spaced: each has its own time, by the XML file",)
    stream = Stream(
        samples=samples,
        planes=1 if is_chosen else planes,
        frame_shape=_read_shape(folder, frames),
        true_rate=None if uneven else mean_rate(times),
        times=(lambda: times) if uneven else None,
    )
    names = {name for frame in frames for name in frame.files}
    unread = tuple(f"channel {name}" for name in sorted(names - {channel}))
    return Account("Bruker", (path,), (stream,), others=unread, problems=tuple(problems), notes=notes)


def read_sequences(path: Path) -> list[Sequence]:
    """Read the sequences and frames that the XML file lists."""
    status = path.stat()
    return _parse(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)  # with 100,000 frames it takes seconds; the interface reads it, too
def _parse(path: Path, *_: int) -> list[Sequence]:
    sequences: list[Sequence] = []
    events = ElementTree.iterparse(path, events=("start", "end"))  # noqa: S314  # expat limits what entities expand to
    for event, element in events:
        if event == "start" and element.tag == "Sequence":
            is_bidirectional = element.get("bidirectionalZ") == "True"
            sequences.append(Sequence(element.get("type", ""), is_bidirectional))
        elif event == "end" and element.tag == "Frame":
            files = {
                file.get("channelName", ""): (file.get("filename", ""), int(file.get("page", 1)))
                for file in element.iter("File")
            }
            relative, absolute = float(element.get("relativeTime", 0)), float(element.get("absoluteTime", 0))
            sequences[-1].frames.append(_Frame(relative, absolute, files))
            element.clear()
    return [sequence for sequence in sequences if sequence.frames]


def read_times(sequences: list[Sequence]) -> Times:
    """Return the time of each frame from the first one, in seconds.

    ``relativeTime`` counts from the start of the recording, or of each cycle: then ``absoluteTime`` says when
    the cycle began.
    """
    frames = [frame for sequence in sequences for frame in sequence.frames]
    times: Times = np.array([frame.relative_s for frame in frames], dtype=np.float64)
    if np.any(np.diff(times) <= 0):
        times = np.array([frame.absolute_s for frame in frames], dtype=np.float64)
    first: Times = times - times[0]
    return first


def _choose_channel(frames: list[_Frame], arguments: Mapping[str, Any], path: Path) -> str:
    names = list(dict.fromkeys(name for frame in frames[:100] for name in frame.files))
    chosen = arguments.get("channel_name") or str(arguments.get("stream_name") or "").partition("_")[0] or None
    argument = "stream_name" if "stream_name" in arguments else "channel_name"
    require_choice(chosen, names, argument, f"the recording holds {len(names)} channels", path)
    return str(chosen) if chosen in names else names[0]


def _check_files(folder: Path, frames: list[_Frame], path: Path) -> list[tuple[str, Problem]]:
    names = {name for frame in frames for name, _ in frame.files.values()}
    entries = {entry.name for entry in folder.iterdir()}
    missing = names - entries
    unlisted = {name for name in entries - names if name.endswith((".ome.tif", ".ome.tiff"))}
    problems = []
    if missing:
        problems.append(
            (
                "samples",
                Problem(
                    "files of the recording are missing",
                    str(path),
                    f"{len(names)} files, by the XML file",
                    f"{len(missing)} are missing, the first {min(missing)}",
                    "copy the recording again, whole",
                ),
            )
        )
    if unlisted:
        problems.append(
            (
                "parts",
                Problem(
                    "files of the recording are not listed in its XML file, and are not read",
                    str(path),
                    f"the {len(names)} files that it lists",
                    f"{len(unlisted)} more, the first {min(unlisted)}",
                    "Prairie View writes the XML file at the end: copy it again; or move the other files away",
                ),
            )
        )
    return problems


def _check_volumes(sequences: list[Sequence], planes: int, path: Path) -> list[tuple[str, Problem]]:
    if planes == 1:
        return []
    wrong = [number for number, sequence in enumerate(sequences[:-1], 1) if len(sequence.frames) != planes]
    if not wrong and len(sequences[-1].frames) <= planes:
        return []
    number = wrong[0] if wrong else len(sequences)
    expected, count = f"{planes} planes in each, as in the first", len(sequences[number - 1].frames)
    text = f"{count} planes in volume {number}"
    return [("planes", Problem("the volumes differ in the number of planes", str(path), expected, text))]


def _read_shape(folder: Path, frames: list[_Frame]) -> tuple[int, int] | None:
    from tifffile import TiffFile

    first = folder / Path(next(iter(frames[0].files.values()))[0]).name
    if not first.is_file():
        return None
    with TiffFile(first) as tiff:
        shape = tiff.pages[0].shape
    return (int(shape[-2]), int(shape[-1])) if len(shape) == 2 else None
