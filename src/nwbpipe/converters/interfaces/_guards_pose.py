"""Guards for files of pose estimation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.converters.accounts._pose import read_track_name
from nwbpipe.converters.accounts._pose_table import PoseTable, choose_individual, read_pose_table
from nwbpipe.converters.interfaces._video import check_video, count_frames
from nwbpipe.errors import Problem


def guard_deeplabcut(args: Mapping[str, Any]) -> list[Problem]:
    """Refuse labels, 3-D files and tables that don't fit the video; see :func:`check_deeplabcut`."""
    path = Path(str(args.get("file_path", "")))
    if not path.is_file():
        return []
    table = read_pose_table(path)
    if isinstance(table, Problem):
        return [table]
    problems = check_coordinates(table, path) + _check_config(args.get("config_file_path"))
    problems += check_individual(table, path, str(args.get("subject_name", "ind1")))
    video = args.get("video_file_path")
    if not problems and video is not None:
        problems = check_rows(table, path, Path(str(video)), bool(args.get("allow_fewer_rows")))
    return problems


def check_individual(table: PoseTable, path: Path, subject_name: str) -> list[Problem]:
    """Check that a file of several animals holds the one that is named."""
    if not table.individuals or choose_individual(table, subject_name) in table.individuals:
        return []
    return [
        Problem(
            f"the file holds {len(table.individuals)} animals, and none is called {subject_name!r}",
            str(path),
            "subject_name: " + " or ".join(table.individuals),
            subject_name,
            "name one with subject_name; the others are a source each",
        )
    ]


def check_coordinates(table: PoseTable, path: Path) -> list[Problem]:
    """Check that each keypoint has x, y and likelihood, in this order: readers take the third for confidence."""
    file, coordinates = str(path), ", ".join(table.coordinates)
    if table.is_labels:
        return [
            Problem(
                "the file holds labels made by hand, not a prediction",
                file,
                "x, y, likelihood for each frame of a video",
                f"{coordinates} for {len(table.index)} images, the first {table.index[0] if table.index else 'none'}",
                "give the file that DeepLabCut wrote for the video (<video>DLC_….h5)",
            )
        ]
    if "z" in table.coordinates:
        return [
            Problem(
                "the file holds 3-D positions: z would be written as confidence",
                file,
                "x, y, likelihood",
                coordinates,
                "give each camera's 2-D file as a source of its own; 3-D positions are not read",
            )
        ]
    if table.coordinates != ("x", "y", "likelihood") or not table.uniform:
        detail = coordinates if table.uniform else f"{coordinates}, and others for other keypoints"
        return [Problem("the pose file has other coordinates", file, "x, y, likelihood for each", detail)]
    if path.suffix.lower() == ".csv" and "individuals" in table.levels:
        hint = "give DeepLabCut's .h5 of the same video"
        return [Problem("a .csv of several animals can't be read", file, "one animal, or an .h5", coordinates, hint)]
    return []


def check_rows(table: PoseTable, path: Path, video: Path, fewer_allowed: bool) -> list[Problem]:
    """Check the rows of a prediction against the frames of its video."""
    problems = check_video(video)
    if problems or not video.is_file():
        return problems
    frames = count_frames(video)
    last = max((row for row in table.index if isinstance(row, int)), default=-1)
    if len(table.index) > frames or last >= frames:
        return [_mismatch_problem(path, video, len(table.index), frames, f", the last numbered {last}")]
    if len(table.index) < frames and not fewer_allowed:
        problem = _mismatch_problem(path, video, len(table.index), frames, "")
        hint = "if only a part of the video was analysed, say allow_fewer_rows: true"
        return [Problem(problem.what, problem.where, problem.expected, problem.found, hint)]
    return []


def _check_config(file: Any) -> list[Problem]:
    if file is None or not Path(str(file)).is_file():
        return []
    import yaml

    expected = "the config.yaml of a DeepLabCut project: Task, scorer, video_sets"
    try:
        content = yaml.safe_load(Path(str(file)).read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        return [Problem("the project's config can't be read", str(file), expected, str(error).splitlines()[0])]
    lacks = [key for key in ("Task", "scorer", "video_sets") if not isinstance(content, dict) or key not in content]
    if lacks:
        hint = "leave config_file_path out: it only adds the skeleton's edges"
        return [Problem("not a project's config", str(file), expected, f"no {', '.join(lacks)}", hint)]
    return []


def guard_lightning_pose(args: Mapping[str, Any]) -> list[Problem]:
    """Refuse a prediction that has more or fewer rows than its video has frames."""
    path, video = (Path(str(args.get(key, ""))) for key in ("file_path", "original_video_file_path"))
    if not path.is_file():
        return []
    table = read_pose_table(path)
    if isinstance(table, Problem):
        return [table]
    problems = check_coordinates(table, path) or check_video(video)
    if problems or not video.is_file():
        return problems
    frames = count_frames(video)
    return [_mismatch_problem(path, video, len(table.index), frames, "")] if len(table.index) != frames else []


def guard_sleap(args: Mapping[str, Any]) -> list[Problem]:
    """Refuse a file of several tracks of which none is named, and predictions for frames that the video lacks."""
    path = Path(str(args.get("file_path", "")))
    if not path.is_file():
        return []
    try:
        with h5py.File(path, "r") as file:
            frames = file["frames"]["frame_idx"][:]
            tracks = _count_tracks(file)
    except (OSError, KeyError, ValueError) as error:
        hint = "predictions.analysis.h5 is an export; give the .slp"
        text = (str(error).splitlines() or [type(error).__name__])[0]
        return [Problem("not a file of SLEAP", str(path), "a .slp file with labelled frames", text, hint)]
    if not len(frames):
        return [Problem("SLEAP's file holds no frames", str(path), "one prediction or more", "none")]
    problems = _check_tracks(path, tracks, frames, args.get("track_name"))
    video = args.get("video_file_path")
    if problems or video is None or not Path(str(video)).is_file():
        return problems
    problems = check_video(Path(str(video)))
    if problems:
        return problems
    count = count_frames(Path(str(video)))
    if int(frames.max()) < count:
        return []
    rows = f"{len(frames)} rows, the last of frame {int(frames.max())}"
    expected = f"frames 0 to {count - 1} of {Path(str(video)).name}"
    hint = "give the video that was analysed"
    return [Problem("the pose has frames that the video lacks", str(path), expected, rows, hint)]


def _count_tracks(file: Any) -> dict[str, int]:
    """Return the tracks that have instances, each with their number."""
    if "instances" not in file or "tracks_json" not in file:
        return {}
    numbers = file["instances"]["track"][:]
    names = [read_track_name(entry) for entry in file["tracks_json"][:]]
    return {name: count for i, name in enumerate(names) if (count := int((numbers == i).sum()))}


def _check_tracks(path: Path, tracks: dict[str, int], frames: Any, name: Any) -> list[Problem]:
    listed = ", ".join(f"{track} ({count} instances)" for track, count in tracks.items())
    if name is not None and tracks and str(name) not in tracks:
        return [Problem(f"no track is called {str(name)!r}", str(path), "track_name: " + " or ".join(tracks), listed)]
    # NeuroConv writes several tracks at once where each has all frames from 0 on, and fails on others.
    complete = len(frames) == int(frames.max()) + 1 and set(tracks.values()) <= {len(frames)}
    if name is None and len(tracks) > 1 and not complete:
        return [
            Problem(
                f"the file holds {len(tracks)} tracks, not all of them in each frame, and none is named",
                str(path),
                "track_name: " + " or ".join(tracks),
                listed,
                "name one with track_name; the others are a source each",
            )
        ]
    return []


def _mismatch_problem(path: Path, video: Path, rows: int, frames: int, more: str) -> Problem:
    relation = "more" if rows > frames else "fewer" if rows < frames else "other"
    return Problem(
        f"the pose has {relation} rows than the video has frames",
        str(path),
        f"{frames} rows, one a frame of {video.name}",
        f"{rows} rows{more}",
        "give the prediction of this very video",
    )
