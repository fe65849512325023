"""Recognise videos, poses, finished sortings, and tables of trials and events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nwbpipe.converters import read_pose_columns
from nwbpipe.converters.accounts import read_sleap_track, read_sleap_video
from nwbpipe.proposals._candidate import Candidate, Mark, Noted, count, listed
from nwbpipe.proposals._tables import PARQUETS, PER_SECOND, TEXTS, Table, find_unit, read_table
from nwbpipe.proposals._tree import RawTree

_VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".m4v", ".wmv", ".mpg", ".mpeg", ".flv", ".webm")
_LABELED = re.compile(r"_labeled$|DLC_.*_(filtered_)?labeled|_id_labeled$", re.IGNORECASE)
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_STARTS = re.compile(r"(start_time|trial_start|start_trial|trial_start_time|trial_onset|start|onset)", re.IGNORECASE)
_STOPS = re.compile(
    r"(stop_time|end_time|trial_stop|trial_end|stop_trial|end_trial|trial_stop_time|trial_end_time|stop|end|offset)",
    re.IGNORECASE,
)
_MOMENTS = re.compile(r"_times?$", re.IGNORECASE)
_NAMES = re.compile(r"(name|event|event_type|event_name|kind|label|type|code)s?", re.IGNORECASE)
_TIMES = re.compile(r"(event_)?(time|timestamp|timestamps|time_s|time_ms|t)s?(\s*\(.*\))?", re.IGNORECASE)


def find_videos(tree: RawTree) -> Iterator[Candidate]:
    """Find videos, each a source; those that DeepLabCut has drawn on are none."""
    for path in tree.free(*_VIDEOS):
        if _LABELED.search(path.stem):
            tree.dismiss([path], "a video that a pose tool has drawn on: no raw data")
            continue
        with tree.note_errors(path):
            frames, rate, size, seconds = _read_video(path)
            notes = [
                f"{count(frames, 'frame')} of {size[0]} x {size[1]} pixels at {rate:g} Hz, {seconds:.3f} s",
                "a line `mm_per_px: SIZE` (of a pixel, where the animal is) gives its speed in mm instead of pixels",
            ]
            arguments = {"file_paths": [path]}
            yield Candidate(
                path.stem,
                "ExternalVideoInterface",
                arguments,
                [path],
                {"video": "link"},
                device=path.stem,
                role="video",
                samples=frames,
                rate=rate,
                notes=notes,
                span=(0.0, seconds),
            )


def _read_video(path: Path) -> tuple[int, float, tuple[int, int], float]:
    """Return frames, rate (Hz), width and height, and seconds of a video; nothing is decoded."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return frames, rate, (stream.width, stream.height), frames / rate if rate else 0.0


def find_poses(tree: RawTree) -> Iterator[Candidate]:
    """Find poses of DeepLabCut, Lightning Pose, SLEAP and Facemap."""
    for path in tree.free(".csv"):
        with tree.note_errors(path):
            yield from _look_at_pose_text(tree, path)
    for path in tree.free(".h5"):
        with tree.note_errors(path):
            yield from _look_at_pose_hdf5(tree, path)
    for path in tree.free(".slp"):
        with tree.note_errors(path):
            yield from _look_at_sleap(tree, path)
    for path in tree.free("_proc.npy"):
        with tree.note_errors(path):
            video = next((item for item in tree.files if item.stem == path.name.removesuffix("_proc.npy")), None)
            arguments: dict[str, Any] = {"file_path": path}
            if video is None:
                arguments["sampling_frequency"] = Mark("frames in a second (Hz) of the video")
            yield Candidate(
                path.stem,
                "FacemapInterface",
                arguments,
                [path],
                device=video.stem if video else path.stem,
                role="pose",
                is_accounted=False,
                notes=["motion and pupil by Facemap"],
            )


def _look_at_pose_text(tree: RawTree, path: Path) -> Iterator[Candidate]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        head = [file.readline().rstrip("\r\n").split(",") for _ in range(5)]
        rows = sum(1 for line in file if line.strip())
    if head[0][0] != "scorer" or head[1][0] not in ("bodyparts", "individuals"):
        return
    keys = {row[0]: row[1:] for row in head[:4] if row}
    parts, coordinates = list(dict.fromkeys(keys.get("bodyparts", []))), set(keys.get("coords", []))
    first = head[4] if "individuals" in keys else head[3]
    rows += 0 if "individuals" in keys else 1
    rows += int(bool(first[0])) if len(first) > 1 else 0
    yield from _propose_pose(tree, path, parts, coordinates, rows, keys["scorer"][0] if keys["scorer"] else "")


def _look_at_pose_hdf5(tree: RawTree, path: Path) -> Iterator[Candidate]:
    import h5py

    if not h5py.is_hdf5(path):
        return
    with h5py.File(path, "r") as file:
        if {"tracks", "node_names"} <= set(file):
            tree.dismiss([path], "SLEAP's analysis file: what the .slp holds")
        if not {"df_with_missing", "keypoints"} & set(file):
            return
    table = read_pose_columns(path, [tree.root])
    if isinstance(table, str):
        tree.dismiss([path], table)
        return
    parts, coordinates, rows = table
    yield from _propose_pose(tree, path, parts, coordinates, rows, "DLC")


def _propose_pose(
    tree: RawTree, path: Path, parts: list[str], coordinates: set[str], rows: int, scorer: str
) -> Iterator[Candidate]:
    if "z" in coordinates:
        tree.dismiss([path], "positions in 3-D, which are not read: give each camera's file")
        return
    if "likelihood" not in coordinates:
        tree.dismiss([path], "labels made by hand for single pictures, no pose over time")
        return
    twins = [item for item in tree.in_folder(path.parent) if item.stem == path.stem and item != path]
    if path.suffix == ".h5" and any(twin.suffix == ".csv" and twin in tree.claimed for twin in twins):
        tree.dismiss([path], "the same pose as in the .csv")
        return
    video = _find_video(tree, path)
    arguments: dict[str, Any] = {"file_path": path}
    interface = "DeepLabCutInterface"
    if "DLC" not in scorer and "DLC" not in path.stem:  # Lightning Pose writes such tables, too
        interface = "LightningPoseDataInterface"
        arguments["original_video_file_path"] = video or Mark("the video that the pose was tracked in")
    elif (config := _find_config(tree, path)) is not None:
        arguments["config_file_path"] = config
        tree.claim([config], "DeepLabCut")
    notes = [f"{count(rows, 'row')}, {count(len(parts), 'body part')}: {listed(parts)}"]
    pickles = [
        item for item in tree.in_folder(path.parent) if item.stem.startswith(path.stem) and item.suffix == ".pickle"
    ]
    yield Candidate(
        f"{video.stem}_pose" if video else "pose",
        interface,
        arguments,
        [path, *pickles],
        role="pose",
        device=video.stem if video else path.stem,
        samples=rows,
        notes=notes,
    )


def _find_video(tree: RawTree, path: Path) -> Path | None:
    """Return the video that a pose was tracked in, by its name."""
    videos = [item for item in tree.files if item.suffix.lower() in _VIDEOS and not _LABELED.search(item.stem)]
    fitting = [video for video in videos if path.stem.startswith(video.stem)]
    return max(fitting, key=lambda video: len(video.stem), default=None)


def _find_config(tree: RawTree, path: Path) -> Path | None:
    """Return the config.yaml of the DeepLabCut project that a pose belongs to."""
    for folder in path.parents:
        config = folder / "config.yaml"
        if config in tree.files:
            text = config.read_text("utf-8", "replace")
            if all(re.search(rf"^{key}:", text, re.MULTILINE) for key in ("Task", "scorer", "video_sets")):
                return config
        if folder == tree.root:
            break
    return None


def _look_at_sleap(tree: RawTree, path: Path) -> Iterator[Candidate]:
    import h5py
    import numpy as np

    with h5py.File(path, "r") as file:
        frames, instances = int(file["frames"].shape[0]), np.unique(file["instances"]["track"][:])
        tracks = [read_sleap_track(entry) for entry in file["tracks_json"][:]] if "tracks_json" in file else []
        videos = [read_sleap_video(entry).name for entry in file["videos_json"][:]] if "videos_json" in file else []
    present = [name for number, name in enumerate(tracks) if number in instances] or [""]
    named = [name for name in videos if name]
    video = next((item for item in tree.files if item.suffix.lower() in _VIDEOS and item.name in named), None)
    rate = _read_video(video)[1] if video is not None else 0.0
    hint = "frames in a second (Hz) of the video"
    for track in present:
        arguments: dict[str, Any] = {"file_path": path}
        if track:
            arguments["track_name"] = track
        arguments["frames_per_second"] = Noted(_whole(rate), f"by {video.name}") if video and rate else Mark(hint)
        yield Candidate(
            track or "pose",
            "SLEAPInterface",
            arguments,
            [path],
            role="pose",
            device=video.stem if video else path.stem,
            notes=[f"{frames:,} frames, {count(len(tracks), 'track')}, by SLEAP"],
        )


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number


def find_sortings(tree: RawTree) -> Iterator[Candidate]:
    """Find finished sortings: folders of Phy and Kilosort, of SpikeInterface, MountainSort's .mda."""
    for path in tree.free("spike_clusters.npy"):
        folder = path.parent
        if folder / "spike_times.npy" not in tree.files:
            continue
        files = tree.in_folder(folder)
        if folder / "params.py" not in files:
            tree.dismiss([path], "a sorting without its params.py, which holds the sampling rate")
            continue
        yield Candidate(
            "units",
            "PhySortingInterface",
            {"folder_path": folder},
            files,
            role="sorting",
            notes=["a folder of Phy or Kilosort"],
        )
    for path in tree.free("spikeinterface_info.json", "numpysorting_info.json"):
        folder = path.parent
        if path in tree.claimed or folder.parent / "params.py" in tree.files:
            continue  # the sorting in an analyzer; or the analyzer beside what was exported to Phy
        if folder.name == "sorting" and folder.parent / "spikeinterface_info.json" in tree.files:
            continue
        yield Candidate(
            "units",
            "SpikeInterfaceSortingInterface",
            {"folder_path": folder},
            tree.below(folder),
            role="sorting",
            notes=["a sorting that SpikeInterface saved"],
        )
    for path in tree.free(".mda"):
        if "firings" in path.stem:
            arguments = {"file_path": path, "sampling_frequency": Mark("samples in a second (Hz) of the recording")}
            yield Candidate(
                "units",
                "MdaSortingInterface",
                arguments,
                [path],
                role="sorting",
                is_accounted=False,
                notes=["units of MountainSort"],
            )


def find_tables(tree: RawTree) -> Iterator[Candidate]:
    """Find tables of trials and of events, by the names of their columns."""
    for path in tree.free(*TEXTS, *PARQUETS):
        with tree.note_errors(path):
            table = read_table(path)
            if table is not None and table.is_headed:
                yield from _look_at_table(table)


def _look_at_table(table: Table) -> Iterator[Candidate]:
    path = table.path
    start = next((name for name in table.names if _STARTS.fullmatch(name)), None)
    stop = next((name for name in table.names if _STOPS.fullmatch(name)), None)
    described = f"{count(table.rows, 'row')}; columns {listed(table.names, 14)}"
    if start is not None and stop is not None and (times := table.numbers(start)) is not None:
        arguments: dict[str, Any] = {"file_path": path}
        unit = find_unit(start, times)
        interface = "TrialsInterface"
        if unit == "s" and (start, stop) == ("start_time", "stop_time") and path.suffix == ".csv":
            interface = "CsvTimeIntervalsInterface"
        elif unit != "s":
            arguments["time_unit"] = unit or Mark("s, ms or us: the table does not say it")
        if interface == "TrialsInterface":
            arguments |= _mark_times(table, {start, stop})
        yield _make_candidate(table, "trials", interface, arguments, start, described)
        return
    moments = _list_times(table)
    if len(moments) > 1:
        hint = f"one of {listed(moments)}"
        arguments = {"file_path": path, "start_column": Mark(hint), "stop_column": Mark(hint)}
        arguments |= _mark_times(table, set())
        yield _make_candidate(table, "trials", "TrialsInterface", arguments, moments[0], described)
        return
    time = next((name for name in table.names if _TIMES.fullmatch(name)), None)
    name = next((name for name in table.names if _NAMES.fullmatch(name)), None)
    if time is None or name is None or (times := table.numbers(time)) is None:
        return
    arguments = {"file_path": path, "time_column": time, "name_column": name}
    if (unit := find_unit(time, times)) != "s":
        arguments["time_unit"] = unit or Mark("s, ms or us: the table does not say it")
    if not path.suffix.lower().endswith(PARQUETS) and table.separator not in (",", "\t", ""):
        arguments["delimiter"] = table.separator
    arguments |= _mark_times(table, {time, name})
    names = sorted(set(table.texts(name)))
    yield _make_candidate(
        table, "events", "BehaviorEventsInterface", arguments, time, f"{described}; {listed(names)}"
    )


def _list_times(table: Table) -> list[str]:
    """Return the columns of numbers that are called ``…_time`` or ``…_times``."""
    return [name for name in table.names if _MOMENTS.search(name) and table.numbers(name) is not None]


def _mark_times(table: Table, taken: set[str]) -> dict[str, Any]:
    """Ask for what further columns of times are: they move with the clock, or are durations."""
    columns = [name for name in _list_times(table) if name not in taken]
    if not columns:
        return {}
    words = f"of {listed(columns)}, as [a, b]; remove the line if there are none"
    return {
        "time_columns": Mark(f"which are times, {words}"),
        "duration_columns": Mark(f"which are durations, {words}"),
    }


def _make_candidate(
    table: Table, role: str, interface: str, arguments: dict[str, Any], time: str, described: str
) -> Candidate:
    values = table.numbers(time)
    assert values is not None
    scale = PER_SECOND.get(find_unit(time, values), 1.0)
    span = (float(values[0]) / scale, float(values[-1]) / scale) if len(values) else None
    notes = [described]
    if span is not None:
        notes.append(f"{time} from {values[0]:g} to {values[-1]:g}")
    return Candidate(
        table.path.stem,
        interface,
        arguments,
        [table.path],
        device=table.path.parent.name,
        role=role,
        notes=notes,
        span=span,
        is_accounted=False,
    )


def note_others(tree: RawTree) -> None:
    """Say of files that are no stream what they are, where it can be seen."""
    for path in tree.free(*_PICTURES):
        tree.dismiss([path], "pictures (ImageInterface or ExternalImageInterface writes them)")
