"""ScanImage's TIFF files: the parts of an acquisition, channels, planes, and fields of view."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._choices import require_choice
from nwbpipe.converters.accounts._fields import choose_field, list_fields, list_rois
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem

_FRAME = re.compile(r"^frameNumbers = (\d+)", re.MULTILINE)


@account("ScanImageImagingInterface")
def probe_scanimage(arguments: Mapping[str, Any]) -> Account | None:
    """Account for an acquisition of ScanImage."""
    from tifffile import TiffFile

    named = [Path(path) for path in arguments.get("file_paths") or [arguments["file_path"]]]
    with TiffFile(named[0]) as tiff:
        metadata = tiff.scanimage_metadata
        shape = (int(tiff.pages[0].shape[-2]), int(tiff.pages[0].shape[-1]))
    if not metadata:
        return None
    settings = metadata["FrameData"]
    names = list_channels(settings)
    count = f"the file holds {len(names)} channels"
    require_choice(arguments.get("channel_name"), names, "channel_name", count, named[0])
    files = named if arguments.get("file_paths") else find_parts(named[0], settings)
    counts = [_read_counts(path) for path in files]
    planes, per_cycle = _count_cycle(settings)
    problems = _check_fields(metadata, shape, arguments, named[0])
    if arguments.get("field") is not None:
        field = choose_field(metadata, shape, str(arguments["field"]), str(named[0]))
        shape = (field.rows, field.columns)
    if not arguments.get("file_paths"):
        problems += _find_next(files[-1], counts[-1][2])
    samples = sum(pages for pages, _, _ in counts) // (per_cycle * len(names))
    rate = settings.get("SI.hRoiManager.scanVolumeRate" if planes > 1 else "SI.hRoiManager.scanFrameRate")
    chosen_plane = arguments.get("plane_index") is not None
    # Samples of one slice, or all of them as frames of their own: the reader's choice.
    by_slice = arguments.get("interleave_slice_samples") or arguments.get("slice_sample") is not None
    stream = Stream(
        samples=None if by_slice else samples,
        channels=None,
        planes=1 if chosen_plane else planes,
        frame_shape=shape,
        rate=None if by_slice or chosen_plane or not rate else float(rate),
    )
    unread = tuple(f"channel {name}" for name in names if name != arguments.get("channel_name", names[0]))
    if arguments.get("field") is not None:
        unread += tuple(f"field {name}" for name, _ in list_rois(metadata) if name != str(arguments["field"]))
    return Account("ScanImage", files=tuple(files), streams=(stream,), others=unread, problems=tuple(problems))


def list_channels(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the channels that were saved; ScanImage writes their numbers as a row or as a column."""
    names = flatten(settings["SI.hChannels.channelName"])
    return [str(names[int(number) - 1]) for number in flatten(settings["SI.hChannels.channelSave"])]


def flatten(value: Any) -> list[Any]:
    """Return the elements of a row, a column (a list of lists) or a single value."""
    if not isinstance(value, list | tuple):
        return [value]
    return [item for part in value for item in flatten(part)]


def _count_cycle(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of planes, and the pages of a channel in a volume, those of the flyback included."""
    planes = int(settings.get("SI.hStackManager.numSlices") or 1)
    if not settings.get("SI.hStackManager.enable") or planes < 2:
        return 1, 1
    per_slice = int(settings.get("SI.hStackManager.framesPerSlice") or 1)
    pages = planes * per_slice
    volume = int(settings.get("SI.hStackManager.numFramesPerVolume") or pages)
    return planes, pages + int(settings.get("SI.hStackManager.numFramesPerVolumeWithFlyback") or volume) - volume


def find_parts(path: Path, settings: Mapping[str, Any]) -> list[Path]:
    """Return the files of an acquisition, in order, by ScanImage's rules for their names.

    ``base_<acquisition>_<file>`` where a grab is split into files, ``base_<file>`` of a loop and of slow stacks.
    """
    state, parts = settings.get("SI.acqState"), path.stem.split("_")
    split = settings.get("SI.hScan2D.logFramesPerFile") not in (None, float("inf"))
    volumetric = _count_cycle(settings)[0] > 1
    if (
        (state == "grab" and split and len(parts) > 2)
        or state == "loop"
        or (settings.get("SI.hStackManager.stackMode") == "slow" and volumetric)
    ):
        prefix = "_".join(parts[:-1])
    else:
        return [path]
    numbered = {
        int(file.stem.removeprefix(f"{prefix}_")): file
        for file in path.parent.glob(f"*{path.suffix}")
        if re.fullmatch(re.escape(prefix) + r"_\d+", file.stem)
    }
    return [numbered[number] for number in sorted(numbered)] or [path]


def _read_counts(path: Path) -> tuple[int, int | None, int | None]:
    """Return the number of pages of a file, and its first and last frame numbers."""
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        count = len(tiff.pages)
        return count, _frame_number(tiff.pages[0]), _frame_number(tiff.pages[count - 1])


def _frame_number(page: Any) -> int | None:
    match = _FRAME.search(getattr(page, "description", "") or "")
    return None if match is None else int(match.group(1))


def _find_next(path: Path, last: int | None) -> list[tuple[str, Problem]]:
    """Find a next file whose frames go on where this one's end, though the reader does not take it."""
    match = re.fullmatch(r"(.*_)(\d+)", path.stem)
    if match is None or last is None:
        return []
    number = f"{int(match[2]) + 1:0{len(match[2])}d}"
    following = path.with_name(f"{match[1]}{number}{path.suffix}")
    if not following.is_file() or _read_counts(following)[1] != last + 1:
        return []
    hint = f"name all files of the recording: file_paths: [{path.name}, {following.name}, …]"
    text = f"{following.name} goes on with frame {last + 1}"
    return [("parts", Problem("more files belong to the recording", str(path), "all of its files", text, hint))]


def _check_fields(
    metadata: Mapping[str, Any], shape: tuple[int, int], arguments: Mapping[str, Any], path: Path
) -> list[tuple[str, Problem]]:
    """Refuse several fields of view that lie below each other in a page, where none is chosen."""
    rois = list_rois(metadata) if metadata["FrameData"].get("SI.hRoiManager.mroiEnable") else []
    count = sum(len(fields) for _, fields in rois)
    if count < 2 or arguments.get("field") is not None:
        return []
    sizes = {name: fields[0].get("pixelResolutionXY", ["?", "?"]) for name, fields in rois}
    listed = ", ".join(f"{name} ({size[1]} x {size[0]} pixels)" for name, size in sizes.items())
    if list_fields(metadata, shape):
        expected = "field: " + " or ".join(sizes)
        hint = "name the field in args; the others are a source each"
    else:
        expected = "one field of view"
        hint = "save each field as a movie of its own (rows of the page), with its place; a source each"
    message = f"the file holds {count} fields of view below each other in each frame"
    return [("fields", Problem(message, str(path), expected, listed, hint))]
