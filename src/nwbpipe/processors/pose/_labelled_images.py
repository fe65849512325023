"""Take labelled frames out of videos, as images that networks are trained on (part of compute modules)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ._video_frames import iter_frames


def pick_frames(
    item: dict[str, Any], starts: list[int] | None, numbers: Collection[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield frames of a video by their numbers: RGB, (height, width, 3) uint8; refuse numbers that it lacks.

    Parameters
    ----------
    item : dict
        The `ImageSeries`, as in the request of a compute module.
    starts : list of int or None
        The frame at which each of its files starts.
    numbers : collection of int
    """
    picked, count = set(numbers), 0
    if not picked:
        return
    last = max(picked)
    for count, image in enumerate(iter_frames(item, starts), start=1):
        if count - 1 in picked:
            yield count - 1, image
        if count > last:
            return
    raise ValueError("the video %s has %d frames: there is no frame %d" % (item["path"], count, last))


def encode_png(image: np.ndarray) -> bytes:
    """Return an image, RGB (height, width, 3) uint8, as a PNG."""
    import av

    codec = av.CodecContext.create("png", "w")
    codec.height, codec.width = image.shape[:2]
    codec.pix_fmt, codec.time_base = "rgb24", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))


def gather_frames(request: dict[str, Any]) -> dict[str, Any]:
    """Return the labelled frames of the project and of the sessions that a network is trained on.

    Frames of sessions are taken out of their videos into the scratch folder.

    Returns
    -------
    dict
        ``bodyparts``, ``skeleton``, ``individuals`` (of several animals, else empty), and ``frames``, sorted by name:
        ``name``, ``points`` (animal by animal), ``image`` (SHA-256) and ``file``, the path of the image.
    """
    facts, sessions = request["facts"], [item for item in request.get("sessions", ()) if item["facts"]]
    sources = [facts] if facts.get("frames") else []
    sources += [session["facts"] for session in sessions]
    if not sources:
        raise ValueError("there are no labelled frames: bind a project of DeepLabCut, or labels of sessions")
    for source in sources[1:]:
        if list(source["bodyparts"]) != list(sources[0]["bodyparts"]):
            message = "the labelled frames are of other keypoints: %s, and %s"
            raise ValueError(message % (", ".join(sources[0]["bodyparts"]), ", ".join(source["bodyparts"])))
        if list(source["individuals"]) != list(sources[0]["individuals"]):
            message = "the labelled frames are of other animals: %s, and %s"
            raise ValueError(
                message % tuple(", ".join(item["individuals"]) or "one" for item in (sources[0], source))
            )
    frames = []
    for frame in facts.get("frames", ()):
        file = Path(request["inputs"]["project"]["folder"]) / "labeled-data" / frame["name"]
        frames.append({**frame, "file": str(file)})
    for session in sessions:
        frames += extract_frames(session, Path(request["scratch"]) / "labelled")
    names = [frame["name"] for frame in frames]
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    if twice:
        raise ValueError("two labelled frames are called %s" % twice[0])
    return {
        "bodyparts": list(sources[0]["bodyparts"]),
        "skeleton": [list(pair) for pair in sources[0]["skeleton"]],
        "individuals": list(sources[0]["individuals"]),
        "frames": sorted(frames, key=lambda frame: frame["name"]),
    }


def name_points(facts: dict[str, Any]) -> list[str]:
    """Return the names of the points of a labelled frame: those of the keypoints, of several animals for each."""
    parts = list(facts["bodyparts"])
    return ["%s %s" % (animal, part) for animal in facts["individuals"] for part in parts] or parts


def extract_frames(session: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Write the labelled frames of a session as images; return them as `gather_frames` does."""
    frames = []
    for video in session["facts"]["videos"]:
        points = {frame["frame"]: frame for frame in session["facts"]["frames"] if frame["video"] == video["input"]}
        for number, image in pick_frames(session["inputs"][video["input"]], video["starting_frame"], points):
            content, file = encode_png(image), folder / points[number]["name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            frames.append(
                {
                    "name": points[number]["name"],
                    "points": points[number]["points"],
                    "image": hashlib.sha256(content).hexdigest(),
                    "file": str(file),
                }
            )
    return frames


def store_labels(results: h5py.File, facts: dict[str, Any]) -> None:
    """Leave the labelled frames in ``labelled``, as JSON, without the paths of their images."""
    frames = [{name: frame[name] for name in ("name", "points", "image")} for frame in facts["frames"]]
    results["labelled"] = np.frombuffer(json.dumps({**facts, "frames": frames}).encode(), dtype=np.uint8)
