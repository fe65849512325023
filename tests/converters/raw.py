"""Small raw files, and the session.yaml that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

SUBJECT = {"subject_id": "M042", "species": "Mus musculus", "sex": "F", "age": "P90D"}
SESSION = {"session_id": "s1", "session_start_time": "2024-05-01T10:00:00-04:00", "session_description": "A test."}
RATE = 25.0


def write_movie(path: Path, frames: int = 30, seed: int = 0) -> np.ndarray:
    import tifffile

    movie = np.random.default_rng(seed).integers(0, 500, (frames, 24, 20), dtype=np.uint16)
    tifffile.imwrite(path, movie)
    return movie


def write_video(path: Path, frames: int = 40, rate: float = 20.0) -> None:
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (32, 32))
    for number in range(frames):
        writer.write(np.full((32, 32, 3), number, dtype=np.uint8))
    writer.release()


def write_trials(path: Path, start: tuple[float, ...] = (1.0, 3.0, 5.0)) -> None:
    lines = ["start_time,stop_time,cue_time,reaction_time,outcome"]
    lines += [f"{t},{t + 1},{t + 0.5},0.25,hit" for t in start]
    path.write_text("\n".join(lines) + "\n")


def write_events(path: Path, times: tuple[float, ...] = (0.5, 1.5, 2.5)) -> None:
    path.write_text("t,kind\n" + "".join(f"{t},lick\n" for t in times))


def write_pose(path: Path, frames: int = 40, first: int = 0) -> None:
    parts = ["nose", "tail"]
    rows = [["scorer", *["net"] * 6], ["bodyparts", *[p for p in parts for _ in range(3)]]]
    rows.append(["coords", *["x", "y", "likelihood"] * 2])
    rows += [[str(first + i), *[f"{i + 0.5}", "2.0", "0.9"] * 2] for i in range(frames)]
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


def write_firings(path: Path) -> list[np.ndarray]:
    """Write an MDA file of two units at 1 kHz; give their sample numbers."""
    times = [np.array([100, 500, 900]), np.array([200, 800])]
    rows = sorted([(t, 1) for t in times[0]] + [(t, 2) for t in times[1]])
    data = np.array([[1.0, t, k] for t, k in rows], dtype="<f8").T
    with path.open("wb") as file:
        np.array([-7, 8, 2, 3, len(rows)], dtype="<i4").tofile(file)
        data.T.astype("<f8").tofile(file)
    return times


def write_recording(folder: Path, seconds: float = 0.5, channels: int = 4) -> np.ndarray:
    """Write a White Matter recording (headerless int16) at 25 kHz."""
    data = np.random.default_rng(1).integers(-500, 500, (int(25000 * seconds), channels), dtype=np.int16)
    name = f"HSW_2024_05_01__10_00_00__00min_00sec__hsamp_{channels}ch_25000sps.bin"
    path = folder / name
    with path.open("wb") as file:
        file.write(b"\0" * 8)
        data.tofile(file)
    return data


def write_photometry(path: Path, samples: int = 50) -> None:
    rows = "".join(f"{i / 20:.3f},{i % 7},{i % 5}\n" for i in range(samples))
    path.write_text("time,green,iso\n" + rows)


def write_spec(folder: Path, sources: dict[str, Any], name: str = "session.yaml", **more: Any) -> Path:
    content = {"nwbpipe": 1, "subject": dict(SUBJECT), "session": dict(SESSION), "sources": sources, **more}
    content = {key: value for key, value in content.items() if value is not None}
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def left_behind(folder: Path) -> list[str]:
    """Names of what a conversion may have left: anything but raw files, specs and the lock."""
    raw_names = {"movie.tif", "body.avi", "trials.csv", "events.csv", "poseDLC.csv", "session.yaml", "firings.mda"}
    return sorted(
        path.name for path in folder.iterdir() if path.name not in raw_names and not path.name.endswith(".lock")
    )


def added_series(built: Any, name: str) -> list[Any]:
    """Return the series that a source added to a file in memory."""
    return next(source.added.series() for source in built.sources if source.name == name)


def tiff(name: str = "movie.tif", **more: Any) -> dict[str, Any]:
    return {"interface": "TiffImagingInterface", "args": {"file_path": name, "sampling_frequency": RATE}, **more}


def video(name: str = "body.avi", **more: Any) -> dict[str, Any]:
    return {"interface": "ExternalVideoInterface", "args": {"file_paths": [name]}, **more}


def trials(**more: Any) -> dict[str, Any]:
    return {"interface": "CsvTimeIntervalsInterface", "args": {"file_path": "trials.csv"}, **more}


def events(**more: Any) -> dict[str, Any]:
    args = {"file_path": "events.csv", "timestamps_column": "t", "event_type_column": "kind"}
    return {"interface": "CSVEventsInterface", "args": args, **more}


def pose(**more: Any) -> dict[str, Any]:
    return {"interface": "DeepLabCutInterface", "args": {"file_path": "poseDLC.csv"}, **more}


def pose_with_rate() -> dict[str, Any]:
    """Return a pose on the clock of the scope, with the rate that its own file lacks."""
    source = pose(clock="scope")
    return {**source, "args": {**source["args"], "sampling_frequency": 20}}


#: A session with a movie, a video, trials and events.
SOURCES = {
    "scope": tiff(),
    "body": video(clock="scope"),
    "trials": trials(clock="scope"),
    "log": events(clock="scope"),
}
