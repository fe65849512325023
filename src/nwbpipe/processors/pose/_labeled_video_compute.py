"""Draw keypoints on the frames of a video, and write them to a new one (compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from ._video_frames import explain_count, iter_frames

Progress = Callable[[float, str], None]
_TICKS = 90000  # of the new video's clock, per second


def make_colours(count: int) -> np.ndarray:
    """Return a colour for each keypoint, RGB, shape (count, 3) uint8."""
    colours = [colorsys.hsv_to_rgb(number / max(1, count), 0.9, 1.0) for number in range(count)]
    return np.asarray(np.rint(255 * np.array(colours)), dtype=np.uint8).reshape(-1, 3)


def draw_segment(image: np.ndarray, first: Any, last: Any, radius: float, colour: Any) -> None:
    """Draw a line with round ends in place; a disc where both ends are one point; what is outside is left out."""
    (x0, y0), (x1, y1) = first, last
    height, width = image.shape[:2]
    first_column, last_column = max(0, int(min(x0, x1) - radius - 1)), min(width, int(max(x0, x1) + radius + 3))
    top, bottom = max(0, int(min(y0, y1) - radius - 1)), min(height, int(max(y0, y1) + radius + 3))
    if first_column >= last_column or top >= bottom:
        return
    y, x = np.mgrid[top:bottom, first_column:last_column]
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length > 0 else np.zeros(x.shape)
    distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    part = image[top:bottom, first_column:last_column]
    part[...] = np.rint(part + cover * (np.asarray(colour, dtype=np.float64) - part)).astype(np.uint8)


class Pose:
    """Keypoints of one animal, and which of them are drawn at a time."""

    def __init__(self, file: h5py.File, facts: dict[str, Any], min_likelihood: float | None) -> None:
        first = facts["keypoints"][0]
        if first["timestamps"] is None:
            self.times = first["start"] + np.arange(file[first["data"]].shape[0]) / first["rate"]
        else:
            self.times = np.asarray(file[first["timestamps"]][()], dtype=np.float64)
        if self.times.size == 0 or not (np.diff(self.times) > 0).all():
            raise ValueError("the times of the pose don't increase, or there are none")
        points, sure = [], []
        for keypoint in facts["keypoints"]:
            position = file[keypoint["data"]][()] * keypoint["conversion"] + keypoint["offset"]
            likely = np.isfinite(position).all(axis=1)
            if keypoint["confidence"] is not None and min_likelihood is not None:
                likely &= np.nan_to_num(file[keypoint["confidence"]][()]) >= min_likelihood
            points.append(position)
            sure.append(likely)
        self.points, self.shown = np.stack(points, axis=1), np.stack(sure, axis=1)
        self.edges = facts["edges"]

    def find_sample(self, time: float, within: float) -> int | None:
        """Return the sample nearest to a time; None if it is farther away than `within` seconds."""
        following = int(np.searchsorted(self.times, time))
        near = [number for number in (following - 1, following) if 0 <= number < self.times.size]
        number = min(near, key=lambda sample: abs(self.times[sample] - time))
        return number if abs(self.times[number] - time) <= within else None

    def draw(self, image: np.ndarray, sample: int, radius: float, colours: np.ndarray, skeleton: bool) -> int:
        """Draw one sample in place; return the number of keypoints that were drawn."""
        points, likely = self.points[sample], self.shown[sample]
        for first, last in self.edges if skeleton else ():
            if likely[first] and likely[last]:
                colour = (colours[first].astype(float) + colours[last]) / 2
                draw_segment(image, points[first], points[last], max(0.5, radius / 4), colour)
        for number in np.flatnonzero(likely):
            draw_segment(image, points[number], points[number], radius + 1, (0, 0, 0))
            draw_segment(image, points[number], points[number], radius, colours[number])
        return int(likely.sum())


class VideoWriter:
    """A new video, H.264 in MP4, whose frames are shown at given times."""

    def __init__(self, path: Path, crf: int, threads: int) -> None:
        import av

        self._av, self._crf, self._threads = av, crf, threads
        self._container = av.open(str(path), "w", format="mp4")
        self._stream: Any = None
        self._first, self._last = 0.0, -1

    def add(self, image: np.ndarray, time: float) -> None:
        """Add a frame at a time in seconds; an odd height or width gets one more row or column."""
        from fractions import Fraction

        height, width = image.shape[0] + image.shape[0] % 2, image.shape[1] + image.shape[1] % 2
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=30)
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, _TICKS)
            self._stream.codec_context.thread_count = self._threads
            self._stream.options = {"crf": str(self._crf), "preset": "veryfast", "bf": "0"}
            self._first = time
        if image.shape[:2] != (height, width):
            image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last = max(self._last + 1, round((time - self._first) * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is left."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave the video ``labeled.mp4`` in the scratch folder, and ``shown``: the keypoints drawn in each frame."""
    import av

    params, facts, item = request["params"], request["facts"], request["inputs"]["video"]
    poses = []
    for name, pose in facts["poses"].items():
        with h5py.File(request["inputs"][name]["file"], "r", locking=False) as file:
            poses.append(Pose(file, pose, params["min_likelihood"]))
    times = None
    if item["timestamps"] is not None:
        with h5py.File(item["file"], "r", locking=False) as file:
            times = np.asarray(file[item["timestamps"]][()], dtype=np.float64)
    within = 0.5 * (float(np.median(np.diff(times))) if times is not None and times.size > 1 else 0.0)
    within = 0.5 / item["rate"] if times is None else within + 1e-9
    expected, counts, matched, count = facts["frames"], [], 0, 0
    writer = VideoWriter(Path(request["scratch"]) / "labeled.mp4", params["crf"], request["threads"])
    try:
        for image in iter_frames(item, facts["starting_frame"]):
            if count == (expected if times is None else times.size):
                raise ValueError(explain_count(count + 1, count))
            time = item["starting_time"] + count / item["rate"] if times is None else float(times[count])
            image = np.array(image)
            radius = params["radius_px"] or max(2.0, min(image.shape[:2]) / 80)
            drawn = 0
            for pose in poses:
                sample = pose.find_sample(time, within)
                if sample is not None:
                    matched += 1
                    colours = make_colours(pose.points.shape[1])
                    drawn += pose.draw(image, sample, radius, colours, params["skeleton"])
            writer.add(image, time)
            counts.append(drawn)
            count += 1
            if count % 16 == 0:
                progress(0.98 * (count / expected if expected else 0.5), "%d frames" % count)
    finally:
        writer.close()
    if expected is not None and count != expected:
        raise ValueError(explain_count(count, expected))
    if not matched:
        raise ValueError("none of the pose's samples is at the time of a frame: they are of other times")
    results["shown"] = np.array(counts, dtype=np.int32)
    total = sum(pose.shown.size for pose in poses)
    progress(1.0, "%d frames" % count)
    return {
        "frames": count,
        "matched": matched,
        "shown": int(np.sum(counts)),
        "sure": min(float(share) for pose in poses for share in pose.shown.mean(axis=0)) if total else 0.0,
        "colours": ["#%02x%02x%02x" % tuple(colour) for colour in make_colours(poses[0].points.shape[1])],
        "tool_version": av.__version__,
    }
