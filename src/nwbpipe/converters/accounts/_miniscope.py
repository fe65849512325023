"""Miniscope: numbered videos, and a table of their frames' times."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream, Times
from nwbpipe.converters.accounts._counters import is_regular, mean_rate
from nwbpipe.converters.accounts._registry import account
from nwbpipe.converters.accounts._video import count_packets
from nwbpipe.errors import Problem

_TIME = "Time Stamp (ms)"


@account("MiniscopeImagingInterface")
def probe_miniscope(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a recording of Miniscope-DAQ."""
    if arguments.get("folder_path"):
        folder = Path(arguments["folder_path"])
        videos = sorted(folder.glob("*.avi"), key=lambda path: (len(path.stem), path.stem))
    else:
        videos = [Path(path) for path in arguments["file_paths"]]
        folder = videos[0].parent
    stamps = Path(arguments.get("timeStamps_file_path") or folder / "timeStamps.csv")
    if not videos or not stamps.is_file():
        return None
    frames = sum(count_packets(path) for path in videos)
    times = _read_times(stamps)
    problems = _find_lacking(videos, folder)
    if len(times) != frames:
        expected, listed = f"{frames} times, as many as frames in {len(videos)} videos", f"{len(times)} times"
        hint = "check that all videos are there, and whole; the frames whose times are missing are not known"
        problem = Problem("the table of times does not fit the videos", str(stamps), expected, listed, hint)
        problems.append(("samples", problem))
    fits = len(times) == frames and bool(np.all(np.diff(times) > 0))
    even = fits and is_regular(times)
    stream = Stream(
        samples=frames,
        true_rate=mean_rate(times) if even else None,
        times=(lambda: times) if fits and not even else None,
    )
    return Account("Miniscope", (*videos, stamps), (stream,), problems=tuple(problems))


def _read_times(path: Path) -> Times:
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([float(row[_TIME]) / 1000 for row in csv.DictReader(file) if row.get(_TIME)])


def _find_lacking(videos: list[Path], folder: Path) -> list[tuple[str, Problem]]:
    """Find numbers that are missing among the videos' names."""
    numbers = [int(path.stem) for path in videos if path.stem.isdigit()]
    lacking = sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers))
    if not lacking:
        return []
    listed = ", ".join(f"{number}.avi" for number in lacking[:5])
    hint = "copy the recording again, whole"
    expected = f"0.avi to {max(numbers)}.avi"
    return [("parts", Problem("videos of the recording are missing", str(folder), expected, f"no {listed}", hint))]
