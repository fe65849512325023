"""Read videos of a session file, and the keypoints of their frames; it runs in the process of `AsideReader`."""

from __future__ import annotations

import base64
from bisect import bisect_left
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError
from nwbpipe.report import encode_picture
from nwbpipe.serve._series import Series
from nwbpipe.session import SessionFile, SessionReader, find_nwb_object

Floats = NDArray[np.float64]
BLOCK = 500  # frames whose keypoints are told at a time
_MOST_KEYPOINTS = 200
_MOST_PIXELS = 100_000_000
_MOST_FILES = 10_000
_MOST_SAMPLES = 2_000_000  # of a keypoint within a block of frames
#: Suffixes of videos that are sent, and as what.
MEDIA_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".wmv": "video/x-ms-wmv",
    ".mj2": "video/mj2", ".ogv": "video/ogg",
}  # fmt: skip


def list_videos(location: str) -> dict[str, list[dict[str, Any]]]:
    """Return the videos and movies of a file, and its poses."""

    def read(reader: SessionReader) -> dict[str, list[dict[str, Any]]]:
        videos, poses = [], []
        for item in reader.objects:
            group = reader.file[item.path]
            if "ImageSeries" in item.lineage:
                files = _read_names(group)
                frames = 0 if files else _count_pictures(group)
                if files or frames:
                    videos.append({"path": item.path, "files": files, "frames": frames})
            elif "PoseEstimation" in item.lineage:
                poses.append({"path": item.path, "keypoints": [name for name, _ in _list_keypoints(group)]})
        return {"videos": videos, "poses": poses}

    return SessionFile.at(location).read(read)


def _read_names(group: h5py.Group) -> list[str]:
    names = group.get("external_file")
    if names is None:
        return []
    if names.size > _MOST_FILES:
        msg = "the series names too many files"
        raise RequestError(msg, where=group.name, expected=f"at most {_MOST_FILES}", found=str(names.size))
    return [str(name) for name in names.asstr()[()]]


def _count_pictures(group: h5py.Group) -> int:
    data = group.get("data")
    is_movie = isinstance(data, h5py.Dataset) and data.ndim == 3 and data.dtype.kind in "biuf" and data.size
    return int(data.shape[0]) if is_movie and data.shape[1] * data.shape[2] <= _MOST_PIXELS else 0


def _list_keypoints(group: h5py.Group) -> list[tuple[str, h5py.Group]]:
    series = [
        (name, group[name])
        for name in group
        if isinstance(group[name], h5py.Group)
        and "data" in group[name]
        and group[name]["data"].ndim == 2
        and group[name]["data"].shape[1] in (2, 3)
    ]
    return series[:_MOST_KEYPOINTS]


def _get(file: h5py.File, path: str, kind: str) -> h5py.Group:
    item = find_nwb_object(file, path)
    if item is None or kind not in item.lineage:
        raise RequestError(f"the file has no such {kind}", found=path[:1000])
    return file[path]


def locate_video(location: str, path: str, number: int) -> str:
    """Return the path of a video file on this machine, below the folder of the session file.

    Raises
    ------
    RequestError
        If the series names no such file, or the file is not a video, or lies elsewhere.
    """
    session = SessionFile.at(location)
    if not session.is_local:
        msg = "videos of a file in a store are not played here"
        raise RequestError(msg, where=location, hint="download the file with its folder of videos")
    names = session.read(lambda reader: _read_names(_get(reader.file, path, "ImageSeries")))
    if not 0 <= number < len(names):
        raise RequestError("the series has no such file", where=path, found=str(number))
    if Path(names[number]).suffix.lower() not in MEDIA_TYPES:
        raise RequestError("the external file is not a video", where=path, found=names[number])
    with session.external_files() as locate:
        return str(locate(names[number], path))


def measure_video(location: str, path: str, number: int) -> dict[str, Any]:
    """Return the number of frames of a video, as its file says, and the session's time of its first and last one.

    The number is 0 where it is not known: neither the time stamps tell it, nor can OpenCV be asked.
    """
    file = locate_video(location, path, number)

    def read(reader: SessionReader) -> dict[str, Any]:
        times = _VideoTimes(reader.file[path], number)
        frames = times.count or _count_frames(file)
        return {"frames": frames, "rate": times.series.rate if times.series.timestamps is None else 0.0}

    return SessionFile.at(location).read(read)


def _count_frames(file: str) -> int:
    try:
        import cv2
    except ImportError:
        return 0
    capture = cv2.VideoCapture(file)
    try:
        return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        capture.release()


class _VideoTimes:
    """Times of the frames of one of the files of a series.

    Attributes
    ----------
    series : Series
    first : int
        Frame of the series that is the first of this file.
    count : int
        Number of frames of this file; 0 if the session file does not say.
    """

    def __init__(self, group: h5py.Group, number: int) -> None:
        self.series = Series(group)
        names = group.get("external_file")
        starts = [0] if names is None else [int(start) for start in np.atleast_1d(names.attrs["starting_frame"])]
        self.first = starts[number] if number < len(starts) else 0
        if number + 1 < len(starts):
            self.count = starts[number + 1] - self.first
        elif self.series.timestamps is not None:
            self.count = len(self.series.timestamps) - self.first
        else:
            self.count = 0

    def read(self, first: int, count: int) -> Floats:
        """Return the times of some frames of this file."""
        if self.count:
            count = min(count, self.count - first)
        return self.series.read_times(self.first + first, self.first + first + max(0, count))


def read_keypoints(location: str, path: str, number: int, pose: str, first: int) -> dict[str, Any]:
    """Return the keypoints of a block of frames of a video, by the times of both.

    Returns
    -------
    dict
        ``first``; ``times`` of the frames; ``points``: for each frame, x, y and likelihood of each keypoint, or None
        where the pose has no sample within half a frame.
    """

    def read(reader: SessionReader) -> dict[str, Any]:
        times = _VideoTimes(_get(reader.file, path, "ImageSeries"), number).read(max(0, first), BLOCK)
        keypoints = _list_keypoints(_get(reader.file, pose, "PoseEstimation"))
        columns = [_match(Series(group), group.get("confidence"), times) for _, group in keypoints]
        points = [[column[frame] for column in columns] for frame in range(len(times))]
        shown_times = [round(time, 6) if np.isfinite(time) else None for time in times.tolist()]
        return {"first": max(0, first), "times": shown_times, "points": points}

    return SessionFile.at(location).read(read)


def _match(series: Series, confidence: h5py.Dataset | None, times: Floats) -> list[list[float | None] | None]:
    """Return x, y and likelihood of the sample that is nearest to each time."""
    known = times[np.isfinite(times)]
    if not len(known) or not series.count:
        return [None] * len(times)
    half = float(np.median(np.diff(known))) / 2 if len(known) > 1 else 0.5 / series.rate
    rows = series.find_rows(float(known[0]) - half, float(known[-1]) + half)
    if rows[1] - rows[0] > _MOST_SAMPLES:
        msg = f"the pose has more than {_MOST_SAMPLES} samples within {len(times)} frames"
        raise RequestError(msg, where=series.group.name, hint="compare the times of the video and of the pose")
    samples = series.read_times(*rows)
    values = np.asarray(series.data[rows[0] : rows[1]], dtype=np.float64)
    sure = (
        np.ones(len(samples)) if confidence is None else np.asarray(confidence[rows[0] : rows[1]], dtype=np.float64)
    )
    matched: list[list[float | None] | None] = []
    for time in times.tolist():
        right = bisect_left(samples, time)
        neighbours = [index for index in (right - 1, right) if 0 <= index < len(samples)]
        near = min(neighbours, key=lambda index: abs(samples[index] - time))
        is_near = abs(samples[near] - time) <= half * 1.001
        point = [*values[near, :2].tolist(), float(sure[near])]
        matched.append([round(v, 3) if np.isfinite(v) else None for v in point] if is_near else None)
    return matched


def read_frame(location: str, path: str, number: int, frame: int) -> str:
    """Return one frame as a picture, as a ``data:`` URL: of a movie in the file, or of a video by OpenCV.

    Raises
    ------
    RequestError
        If there is no such frame, or it can't be decoded.
    """

    def read(reader: SessionReader) -> str:
        group = _get(reader.file, path, "ImageSeries")
        if _read_names(group):
            return ""
        if not 0 <= frame < _count_pictures(group):
            raise RequestError("the movie has no such frame", where=path, found=str(frame))
        return encode_picture(np.asarray(group["data"][frame]).T)  # NWB: width first

    return SessionFile.at(location).read(read) or _decode_frame(locate_video(location, path, number), frame)


def _decode_frame(file: str, frame: int) -> str:
    try:
        import cv2
    except ImportError as error:
        msg = "the browser can't play this video, and OpenCV is not here to decode it"
        raise RequestError(msg, found=file, hint="pip install opencv-python-headless") from error
    capture = cv2.VideoCapture(file)
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, max(0, frame))
        is_read, picture = capture.read()
    finally:
        capture.release()
    if not is_read or picture.shape[0] * picture.shape[1] > _MOST_PIXELS:
        raise RequestError("the video has no such frame, or it can't be decoded", where=file, found=str(frame))
    is_encoded, data = cv2.imencode(".jpg", picture)
    if not is_encoded:
        raise RequestError("the frame can't be shown", where=file)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
