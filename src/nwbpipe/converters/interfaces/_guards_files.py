"""Guards for raw files that are truncated, or lack a part that their reader needs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nwbpipe.converters.interfaces._guards_folders import guard_openephys_legacy
from nwbpipe.converters.interfaces._video import check_video
from nwbpipe.errors import Problem

_COPY = "copy the recording again, whole"


def guard_openephys_binary(args: Mapping[str, Any]) -> list[Problem]:
    """Check that each stream's ``continuous.dat`` is there and holds whole samples."""
    folder = Path(str(args.get("folder_path", "")))
    if not folder.is_dir():
        return []
    oebins = sorted(folder.rglob("structure.oebin"))
    if not oebins:
        return [
            Problem(
                "no Open Ephys binary recording in the folder",
                str(folder),
                "a structure.oebin below it",
                ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "an empty folder",
                "the older formats are read by OpenEphysLegacyRecordingInterface",
            )
        ]
    stream = args.get("stream_name")
    problems = []
    for oebin in oebins:
        try:
            streams = json.loads(oebin.read_text(encoding="utf-8"))["continuous"]
            entries = [(entry["folder_name"].strip("/"), int(entry["num_channels"])) for entry in streams]
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(Problem("structure.oebin can't be read", str(oebin), found=f"{error!r}", hint=_COPY))
            continue
        for name, channels in entries:
            if stream is None or name in str(stream):
                problems += _check_continuous(oebin.parent / "continuous" / name / "continuous.dat", channels)
    return problems


def guard_openephys(args: Mapping[str, Any]) -> list[Problem]:
    """Check a recording of Open Ephys, whose format the interface finds out itself."""
    folder = Path(str(args.get("folder_path", "")))
    if any(folder.rglob("structure.oebin")):
        return guard_openephys_binary(args)
    return guard_openephys_legacy(args)


def _check_continuous(path: Path, channels: int) -> list[Problem]:
    if not path.is_file():
        return [Problem("the recording lacks its samples", str(path), "the file continuous.dat", "nothing", _COPY)]
    size, sample = path.stat().st_size, 2 * channels
    if size % sample:
        expected = f"a multiple of {sample} bytes ({channels} channels of int16)"
        return [Problem("continuous.dat is truncated", str(path), expected, f"{size} bytes", _COPY)]
    import numpy as np

    for name in ("sample_numbers.npy", "timestamps.npy"):
        stamps = path.with_name(name)
        if stamps.is_file():
            count = np.load(stamps, mmap_mode="r", allow_pickle=False).shape[0]
            if count != size // sample:
                return [
                    Problem(
                        f"continuous.dat doesn't fit {name}",
                        str(path),
                        f"{count} samples",
                        f"{size // sample} samples of {channels} channels",
                        _COPY,
                    )
                ]
    return []


def guard_spikeglx(args: Mapping[str, Any]) -> list[Problem]:
    """Check the size of each ``.bin`` against its ``.meta``."""
    stream = str(args.get("stream_id", "nidq"))
    if "file_path" in args:
        metas = [Path(str(args["file_path"])).with_suffix(".meta")]
        metas = [meta for meta in metas if meta.is_file()]
    else:
        folder = Path(str(args.get("folder_path", "")))
        if not folder.is_dir():
            return []
        stream = stream.removesuffix("-SYNC")
        metas = sorted(folder.rglob(f"*.{stream}.meta"))
        if not metas:
            streams = sorted({".".join(meta.name.split(".")[1:-1]) for meta in folder.rglob("*.meta")})
            names = ", ".join(streams) or "no .meta file"
            return [Problem(f"no stream {stream} in the SpikeGLX folder", str(folder), stream, names)]
    problems = []
    for meta in metas:
        binary = meta.with_suffix(".bin")
        lines = dict(line.split("=", 1) for line in meta.read_text("utf-8", "replace").splitlines() if "=" in line)
        stated = lines.get("fileSizeBytes", "")
        if not binary.is_file():
            problems.append(
                Problem("the recording lacks its samples", str(binary), "the .bin file", "nothing", _COPY)
            )
        elif stated.isdigit() and int(stated) != binary.stat().st_size:
            size = f"{binary.stat().st_size} bytes"
            expected = f"{stated} bytes, by fileSizeBytes in {meta.name}"
            problems.append(Problem("the .bin file has another size than stated", str(binary), expected, size, _COPY))
    return problems


def guard_tdt(args: Mapping[str, Any]) -> list[Problem]:
    """Check that a tank has its ``.tev`` (or ``.sev`` files) beside its ``.tsq``."""
    folder = Path(str(args.get("folder_path", "")))
    if not folder.is_dir():
        return []
    endings = {entry.suffix.lower() for entry in folder.iterdir()}
    if ".tsq" not in endings:
        names = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "an empty folder"
        hint = "give the block's folder, not the tank's"
        return [Problem("no TDT block in the folder", str(folder), "a .tsq file", names, hint)]
    if not endings & {".tev", ".sev"} and not args.get("without_signal"):
        hint = f"{_COPY}; its events alone: TDTEventsInterface with without_signal: true"
        return [
            Problem("the TDT block lacks its .tev file", str(folder), ".tsq with .tev or .sev", ".tsq alone", hint)
        ]
    return []


def guard_tiff(args: Mapping[str, Any]) -> list[Problem]:
    """Check that each TIFF reaches to the end of its last page."""
    return [problem for path in _paths(args) for problem in _check_tiff(path)]


def guard_rated_tiff(args: Mapping[str, Any]) -> list[Problem]:
    """Check a plain TIFF, and that its rate is given: the file has none."""
    problems = guard_tiff(args)
    if not problems and args.get("sampling_frequency") is None and any(path.is_file() for path in _paths(args)):
        files = ", ".join(str(path) for path in _paths(args))
        hint = "add sampling_frequency (Hz) to args; times of a clock take its place"
        problems = [
            Problem("a TIFF does not say its frame rate", files, "the argument sampling_frequency", hint=hint)
        ]
    return problems


def _check_tiff(path: Path) -> list[Problem]:
    from tifffile import TiffFile, TiffFileError

    if not path.is_file():
        return []
    size, notes = path.stat().st_size, _LogCollector()
    logger = logging.getLogger("tifffile")
    logger.addHandler(notes)  # a broken chain of pages is logged, not raised
    try:
        with TiffFile(path) as tiff:
            pages = len(tiff.pages)
            last = tiff.pages[pages - 1]
            ends = [o + n for o, n in zip(last.dataoffsets, last.databytecounts, strict=False)]
            series = tiff.series[0]
            if series.dataoffset is not None:
                ends.append(series.dataoffset + series.nbytes)
    except (TiffFileError, ValueError, IndexError, KeyError, OSError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        return [Problem("the TIFF can't be read", str(path), "a whole TIFF file", text, _COPY)]
    finally:
        logger.removeHandler(notes)
    if notes.broken:
        return [Problem("the TIFF is truncated or damaged", str(path), "a whole TIFF file", notes.broken[0], _COPY)]
    if max(ends, default=0) > size:
        expected = f"{max(ends)} bytes for {pages} pages"
        return [Problem("the TIFF is truncated", str(path), expected, f"{size} bytes", _COPY)]
    return []


class _LogCollector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.broken: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # tifffile warns of many harmless things; these say that the chain of pages ended early.
        if any(sign in text for sign in ("invalid page offset", "missing page", "invalid offset to")):
            self.broken.append(text.splitlines()[0])


def guard_video(args: Mapping[str, Any]) -> list[Problem]:
    """Check that each video opens and is whole."""
    return [problem for path in _paths(args) for problem in check_video(path)]


def _paths(args: Mapping[str, Any]) -> Sequence[Path]:
    several = args.get("file_paths") or []
    single = args.get("file_path")
    return [Path(str(path)) for path in [*several, *([single] if single else [])]]
