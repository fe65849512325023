"""Pose files: frames that hold the animal, other animals and tracks, and the rows of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import h5py
import numpy as np

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._pose_table import PoseTable, choose_individual, read_pose_table
from nwbpipe.converters.accounts._registry import account


@account("SLEAPInterface")
def probe_sleap(arguments: Mapping[str, Any]) -> Account | None:
    """Account for one track of a .slp: a sample for each frame of one video in which it has an instance."""
    path = Path(arguments["file_path"])
    with h5py.File(path, "r") as file:
        frames, instances = file["frames"][:], file["instances"]["track"][:]
        tracks = [read_track_name(entry) for entry in file["tracks_json"][:]] if "tracks_json" in file else []
        videos = [read_video_path(entry).stem for entry in file["videos_json"][:]] if "videos_json" in file else []
    present = [track for number, track in enumerate(tracks) if np.any(instances == number)]
    name = arguments.get("track_name") or (present[0] if len(present) == 1 else None)
    video = arguments.get("video_name") or (videos[0] if len(videos) == 1 else None)
    if (name is None and present) or (videos and videos.count(str(video)) != 1):
        return None  # the reader writes several tracks, or asks which video
    if len(videos) > 1 and frames["video"].max(initial=0) >= len(videos):
        return None  # a file with images in it numbers its videos as their groups are called
    number = -1 if name is None else tracks.index(str(name))
    frames = frames[frames["video"] == videos.index(str(video))] if len(videos) > 1 else frames
    has_track = np.concatenate([[0], np.cumsum(instances == number)])
    counts = has_track[frames["instance_id_end"]] - has_track[frames["instance_id_start"]]
    numbers = np.sort(frames["frame_idx"][counts > 0])
    rate = arguments.get("frames_per_second")
    first = None if not len(numbers) or not rate or arguments.get("video_file_path") else float(numbers[0]) / rate
    unread = [f"track {track}" for track in present if track != name]
    unread += [f"video {item}" for item in videos if item != video]
    return Account("SLEAP", (path,), (Stream(samples=len(numbers), first_time=first),), others=tuple(unread))


@account("DeepLabCutInterface", "LightningPoseDataInterface")
def probe_pose_table(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a table of DeepLabCut's kind: a sample for each row."""
    path = Path(arguments["file_path"])
    table = read_pose_table(path)
    if not isinstance(table, PoseTable):
        return None
    chosen = choose_individual(table, str(arguments.get("subject_name", "ind1")))
    unread = tuple(f"animal {name}" for name in table.individuals if name != chosen)
    return Account("DeepLabCut", (path,), (Stream(samples=len(table.index)),), others=unread)


def read_track_name(entry: Any) -> str:
    """Return the name of a track by its entry in ``tracks_json``: of either form that SLEAP has written."""
    content = json.loads(entry)
    return str(content["name"] if isinstance(content, dict) else content[1])


def read_video_path(entry: Any) -> PureWindowsPath:
    """Return the path of a video by its entry in ``videos_json``, as the computer that labelled it had it."""
    content = json.loads(entry)
    names = content.get("backend", {}).get("filename") or content.get("filename") or ""
    name = names[0] if isinstance(names, list) and names else names
    return PureWindowsPath(str(name))
