"""Guards for recordings that are kept in several files, which have to fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwbpipe.errors import Problem
from nwbpipe.foreign import read_shape

_COPY = "copy the recording again, whole"

# A .continuous file of Open Ephys: a header, then records of 1024 samples.
_HEADER, _RECORD = 1024, 2070


def guard_openephys_legacy(args: Mapping[str, Any]) -> list[Problem]:
    """Check that each channel's ``.continuous`` file holds whole records, and as many as the others.

    Readers cut all channels to the shortest one, or drop what is left of a record, without saying so.
    """
    folder = Path(str(args.get("folder_path", "")))
    if not folder.is_dir():
        return []
    problems = []
    records: dict[Path, int] = {}
    for path in sorted(folder.glob("*.continuous")):
        size = path.stat().st_size - _HEADER
        if size < 0 or size % _RECORD:
            expected = f"a header of {_HEADER} bytes and records of {_RECORD}"
            size_text = f"{path.stat().st_size} bytes"
            problems.append(Problem("a channel's file ends within a record", str(path), expected, size_text, _COPY))
        else:
            records[path] = size // _RECORD
    # Processors (100_, 101_, ...) may differ in rate, and so in length.
    for processor in sorted({path.name.split("_")[0] for path in records}):
        counts = {path: count for path, count in records.items() if path.name.split("_")[0] == processor}
        most = max(counts.values())
        problems += [
            Problem(
                "a channel has fewer records than others",
                str(path),
                f"{most} records",
                f"{count} records",
                f"{_COPY}; a channel that was recorded in part has to be left out by moving its file",
            )
            for path, count in counts.items()
            if count < most
        ]
    return problems


def guard_neuroscope_sorting(args: Mapping[str, Any]) -> list[Problem]:
    """Check that each shank has as many cluster numbers (``.clu``, after the first line) as spikes (``.res``)."""
    folder = Path(str(args.get("folder_path", "")))
    if not folder.is_dir():
        return []
    problems = []
    skipped = {str(shank) for shank in args.get("exclude_shanks") or ()}
    for clusters in sorted(folder.glob("*.clu.*")):
        shank = clusters.suffix.removeprefix(".")
        if not shank.isdigit() or shank in skipped:
            continue
        spikes = clusters.with_name(f"{clusters.name.removesuffix(f'.clu.{shank}')}.res.{shank}")
        if not spikes.is_file():
            problems.append(Problem("a shank has no times of spikes", str(spikes), "the .res file", "nothing", _COPY))
            continue
        numbers, times = len(clusters.read_bytes().split()) - 1, len(spikes.read_bytes().split())
        if numbers != times:
            expected = f"{times} cluster numbers, one for each spike in {spikes.name}"
            problems.append(
                Problem("clusters and spikes differ in number", str(clusters), expected, f"{numbers}", _COPY)
            )
    return problems


def guard_suite2p(args: Mapping[str, Any]) -> list[Problem]:
    """Check that suite2p's files are there and not empty, and hold an ROI."""
    folder = Path(str(args.get("folder_path", "")))
    planes = sorted(folder.glob(str(args.get("plane_name") or "plane*")))
    for plane in planes[:1]:
        for name in ("ops.npy", "stat.npy"):
            path = plane / name
            if path.is_file() and not path.stat().st_size:
                return [Problem(f"{name} is empty", str(path), "what suite2p writes", "0 bytes", _COPY)]
        for name in ("F.npy", "stat.npy"):
            shape = read_shape(plane / name)
            if shape and shape[0] == 0:
                hint = "leave the source out"
                return [Problem("suite2p found no ROI", str(plane / name), "one ROI or more", "0 ROIs", hint)]
    return []
