"""Recognise movies of microscopes and miniscopes, and cells that were found in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts import list_scanimage_channels
from nwbpipe.proposals._candidate import Candidate, Mark, count, listed
from nwbpipe.proposals._tree import RawTree

_TIFF = (".tif", ".tiff")
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)")
_RATE = "frames in a second (Hz): the file does not say it"


def find_vendor_folders(tree: RawTree) -> Iterator[Candidate]:
    """Find recordings that are folders: Bruker, ThorImage, Micro-Manager, Miniscope."""
    for path in tree.free(".xml"):
        with tree.note_errors(path):
            yield from _find_bruker(tree, path)
            yield from _find_thor(tree, path)
    for folder in dict.fromkeys(path.parent for path in tree.free(".ome.tif")):
        files = [path for path in tree.in_folder(folder) if path.name.endswith(".ome.tif")]
        if any("_MMStack" in path.name for path in files):
            beside = [
                path
                for path in tree.in_folder(folder)
                if path.suffix == ".json" or path.name.endswith("_metadata.txt")
            ]
            yield Candidate(
                folder.name,
                "MicroManagerTiffImagingInterface",
                {"folder_path": folder},
                [*files, *beside],
                role="movie",
            )
    for stamps in tree.free("timestamps.csv"):
        folder = stamps.parent
        videos = sorted((path for path in tree.in_folder(folder) if path.suffix == ".avi"), key=_number)
        settings = folder / "metaData.json"
        if stamps.name == "timeStamps.csv" and videos and settings in tree.files:
            text = settings.read_text("utf-8", "replace")
            if "deviceType" in text and any(word in text for word in ("Miniscope", "gain", "led0")):
                files = [*videos, stamps, settings]
                yield Candidate(
                    folder.name, "MiniscopeImagingInterface", {"folder_path": folder}, files, role="movie"
                )


def _find_bruker(tree: RawTree, path: Path) -> Iterator[Candidate]:
    folder = path.parent
    if path.stem != folder.name or "<PVScan" not in _read_start(path):
        return
    files = [
        item for item in tree.in_folder(folder) if item.suffix.lower() in (".tif", ".xml", ".env", ".csv", ".ome")
    ]
    channels = sorted({match[1] for item in files if (match := re.search(r"_(Ch\d+)_", item.name))})
    for channel in channels or [""]:
        arguments: dict[str, Any] = {"folder_path": folder}
        if len(channels) > 1:
            arguments["channel_name"] = channel
        name = f"scope_{channel}".lower() if len(channels) > 1 else "scope"
        yield Candidate(name, "BrukerTiffImagingInterface", arguments, files, device="scope", role="movie")


def _find_thor(tree: RawTree, path: Path) -> Iterator[Candidate]:
    if path.name != "Experiment.xml":
        return
    movies = [item for item in tree.in_folder(path.parent) if item.suffix.lower() in _TIFF]
    channels = {
        match[1]: item for item in reversed(movies) if (match := re.match(r"(.+)_\d+_\d+_\d+_\d+$", item.stem))
    }
    for channel, first in sorted(channels.items()):
        arguments: dict[str, Any] = {"file_path": first}
        if len(channels) > 1:
            arguments["channel_name"] = channel
        name = f"scope_{channel}" if len(channels) > 1 else "scope"
        yield Candidate(name, "ThorImagingInterface", arguments, [path, *movies], device="scope", role="movie")


def find_tiffs(tree: RawTree) -> Iterator[Candidate]:
    """Find movies in TIFF files: ScanImage's, and plain ones, a numbered set as one."""
    for path in tree.free(*_TIFF):
        if path in tree.claimed:
            continue
        with tree.note_errors(path):
            yield from _look_at_tiff(tree, path)


def _look_at_tiff(tree: RawTree, path: Path) -> Iterator[Candidate]:
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        pages, settings = len(tiff.pages), (tiff.scanimage_metadata or {}).get("FrameData")
        shape = tuple(tiff.pages[0].shape)
    if settings:
        channels = list_scanimage_channels(settings)
        for channel in channels:
            arguments: dict[str, Any] = {"file_path": path}
            if len(channels) > 1:
                arguments["channel_name"] = channel
            name = f"scope_{channel}" if len(channels) > 1 else "scope"
            yield Candidate(name, "ScanImageImagingInterface", arguments, [path], device="scope", role="movie")
        return
    series = _find_series(tree, path)
    if pages == 1 and len(series) == 1:
        tree.dismiss(
            [path], f"one picture of {' x '.join(map(str, shape))} pixels, no movie (ImageInterface writes pictures)"
        )
        return
    arguments = {"file_path": path} if len(series) == 1 else {"file_paths": series}
    arguments["sampling_frequency"] = Mark(_RATE)
    notes = []
    if len(series) > 1:
        notes.append(f"{len(series)} numbered files; if they are trials of their own, give each a source")
    name = path.stem if len(series) == 1 else (re.sub(r"\d+$", "", path.stem).strip("_-") or path.parent.name)
    yield Candidate(name, "TiffImagingInterface", arguments, series, role="movie", notes=notes)


def _find_series(tree: RawTree, path: Path) -> list[Path]:
    """Return the files of a numbered set, in order."""
    match = _NUMBERED.fullmatch(path.stem)
    if match is None:
        return [path]
    files = [
        other
        for other in tree.in_folder(path.parent)
        if other.suffix == path.suffix
        and other not in tree.claimed
        and (sibling := _NUMBERED.fullmatch(other.stem)) is not None
        and sibling["stem"] == match["stem"]
    ]
    return sorted(files, key=_number)


def _number(path: Path) -> tuple[int, str]:
    match = _NUMBERED.fullmatch(path.stem)
    return (int(match["number"]) if match else -1, path.name)


def find_scanner_files(tree: RawTree) -> Iterator[Candidate]:
    """Find movies in one file of a scanner's own format: Scanbox, Inscopix."""
    for path in tree.free(".sbx"):
        files = [path, *(item for item in tree.in_folder(path.parent) if item.name == f"{path.stem}.mat")]
        yield Candidate("scope", "SbxImagingInterface", {"file_path": path}, files, device="scope", role="movie")
    for path in tree.free(".isxd"):
        yield Candidate(path.stem, "InscopixImagingInterface", {"file_path": path}, [path], role="movie")


def find_hdf5(tree: RawTree) -> Iterator[Candidate]:
    """Find movies and results of CaImAn and EXTRACT in HDF5 files, by what they hold."""
    for path in tree.free(".h5", ".hdf5", ".mat"):
        with tree.note_errors(path):
            yield from _look_at_hdf5(tree, path)


def _look_at_hdf5(tree: RawTree, path: Path) -> Iterator[Candidate]:
    import h5py

    if not h5py.is_hdf5(path):
        return
    with h5py.File(path, "r") as file:
        if isinstance(file.get("estimates"), h5py.Group) and "A" in file["estimates"]:
            yield Candidate(
                f"{path.stem}_cells", "CaimanSegmentationInterface", {"file_path": path}, [path], role="cells"
            )
            return
        output = next((file[name] for name in ("output", "extractAnalysisOutput") if name in file), None)
        if isinstance(output, h5py.Group) and {"temporal_weights", "traces"} & set(output):
            arguments = {"file_path": path, "sampling_frequency": Mark("frames in a second (Hz) of the movie")}
            yield Candidate(f"{path.stem}_cells", "ExtractSegmentationInterface", arguments, [path], role="cells")
            return
        movies = _list_movies(file)
    if path.suffix.lower() == ".mat" or len(movies) != 1:
        if movies:
            tree.dismiss(
                [path], f"HDF5 with the arrays {listed(f'{name} {shape}' for name, shape in movies.items())}"
            )
        return
    name, shape = next(iter(movies.items()))
    arguments = {"file_path": path, "mov_field": name, "sampling_frequency": Mark(_RATE)}
    if len(shape) > 3:
        text = " x ".join(map(str, shape))
        arguments["axes"] = Mark(f"a letter for each axis of {text}: T, Z, Y, X, C")
    yield Candidate(
        path.stem,
        "Hdf5ImagingInterface",
        arguments,
        [path],
        role="movie",
        samples=shape[0] if len(shape) == 3 else None,
        notes=[f"dataset {name}: {' x '.join(map(str, shape))}"],
    )


def _list_movies(file: Any) -> dict[str, tuple[int, ...]]:
    """Return the arrays that may be movies, with their shapes: three axes or more, pictures of 8 pixels or more."""
    movies: dict[str, tuple[int, ...]] = {}

    def visit(name: str, item: Any) -> None:
        shape = getattr(item, "shape", None)
        if (
            shape is not None
            and len(shape) in (3, 4, 5)
            and item.dtype.kind in "uif"
            and sum(n >= 8 for n in shape) > 1
        ):
            movies[name] = tuple(int(size) for size in shape)

    file.visititems(visit)
    return movies


def find_cells(tree: RawTree) -> Iterator[Candidate]:
    """Find results of suite2p and Minian, which are folders."""
    outputs: dict[Path, list[Path]] = {}
    for path in tree.free("stat.npy"):
        if path.with_name("ops.npy") in tree.files and path.parent.name.startswith("plane"):
            outputs.setdefault(path.parents[1], []).append(path.parent)
    for folder, planes in outputs.items():
        for plane in planes:
            channels = ["chan1", "chan2"] if plane / "F_chan2.npy" in tree.files else ["chan1"]
            for channel in channels:
                arguments: dict[str, Any] = {"folder_path": folder}
                arguments |= {"plane_name": plane.name} if len(planes) > 1 else {}
                arguments |= {"channel_name": channel} if len(channels) > 1 else {}
                parts = [
                    "cells",
                    *([plane.name] if len(planes) > 1 else []),
                    *([channel] if len(channels) > 1 else []),
                ]
                yield Candidate(
                    "_".join(parts), "Suite2pSegmentationInterface", arguments, tree.below(plane), role="cells"
                )
        tree.dismiss(tree.below(folder / "combined"), "suite2p: all planes in one")
    for store in tree.stores:
        folder = store.parent
        if store.name == "A.zarr" and folder / "C.zarr" in tree.stores:
            stores = [item for item in tree.stores if item.parent == folder]
            samples, units = _read_minian(folder / "C.zarr")
            notes = [f"{count(units, 'unit')}, {samples:,} frames, by C.zarr"] if samples else []
            yield Candidate(
                folder.name,
                "MinianSegmentationInterface",
                {"folder_path": folder},
                stores,
                role="cells",
                samples=samples,
                notes=notes,
            )


def _read_minian(store: Path) -> tuple[int | None, int]:
    """Return the numbers of frames and units of Minian's traces, by the header of their array."""
    import json

    try:
        shape = json.loads((store / "C" / ".zarray").read_text(encoding="utf-8"))["shape"]
        names = json.loads((store / "C" / ".zattrs").read_text(encoding="utf-8"))["_ARRAY_DIMENSIONS"]
        return int(shape[names.index("frame")]), int(shape[names.index("unit_id")])
    except (OSError, ValueError, KeyError, TypeError):
        return None, 0


def _read_start(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(4096).decode("utf-8", "replace")
