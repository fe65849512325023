"""Decode the frames of a video for a network, and refuse a number of frames that is not its series'.

A part of compute modules, under their rule: standard library, numpy, h5py and PyAV only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe_kit.media import is_served, open_media

_TURNED = (
    "the video %s says that it is to be shown turned by %d degrees: its pixels are not those of labelled images; "
    "write it anew, turned (ffmpeg -i)"
)


def count_packets(path: str) -> int:
    """Return the number of packets of a video, an upper bound of its frames; nothing is decoded."""
    import av

    with av.open(path) as container:
        if not container.streams.video:
            raise ValueError("the file %s has no video" % Path(path).name)
        return sum(1 for packet in container.demux(video=0) if packet.size)


def iter_video(path: str) -> Iterator[np.ndarray]:
    """Yield the frames of a video file: RGB, (height, width, 3) uint8; refuse one that players turn."""
    import av

    name, number = Path(path).name, 0
    try:
        with av.open(open_media(path)) as container:
            if not container.streams.video:
                raise ValueError("the file %s has no video" % name)
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                turned = getattr(frame, "rotation", 0)  # by OpenCV, and so in labelled images, not by PyAV
                if turned:
                    raise ValueError(_TURNED % (name, turned))
                yield frame.to_ndarray(format="rgb24")
                number += 1
    except av.error.FFmpegError as error:
        raise ValueError("the video %s can't be decoded after frame %d: %s" % (name, number, error)) from error


def iter_dataset(item: dict[str, Any]) -> Iterator[np.ndarray]:
    """Yield the frames of an ImageSeries whose data are in the NWB file: RGB, (height, width, 3) uint8."""
    with h5py.File(item["file"], "r", locking=False) as file:
        data = file[item["data"]]
        for start in range(0, len(data), 32):
            for image in data[start : start + 32]:
                image = np.asarray(image)
                yield np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def iter_frames(item: dict[str, Any], starts: list[int] | None) -> Iterator[np.ndarray]:
    """Yield all frames of a series; refuse files that differ in size, or start elsewhere than the series says."""
    size, count, first = None, 0, ""
    for index, path in enumerate(item["external_files"]):
        if starts is not None and starts[index] != count:
            raise ValueError(
                "the file %s starts at frame %d, but starting_frame says %d" % (Path(path).name, count, starts[index])
            )
        first_frame = count
        for image in iter_video(path):
            if size is None:
                size, first = image.shape, Path(path).name
            if image.shape != size:
                raise ValueError(
                    "the video files differ in frame size: %s is %d x %d, %s is %d x %d"
                    % (first, size[1], size[0], Path(path).name, image.shape[1], image.shape[0])
                )
            count += 1
            yield image
        if count == first_frame:
            raise ValueError("the video %s has no frames" % Path(path).name)
    if not item["external_files"]:
        yield from iter_dataset(item)


def explain_count(count: int, expected: int) -> str:
    """Return the message for a number of frames that is not the series'."""
    return "the video has %d frames, but its ImageSeries has %d: times can't be given to frames" % (count, expected)


def check_packets(item: dict[str, Any], expected: int | None) -> None:
    """Refuse, before anything is computed, files that can't have as many frames as the series."""
    import av

    if not item["external_files"] or expected is None or any(map(is_served, item["external_files"])):
        return
    total = 0
    for path in item["external_files"]:
        try:
            total += count_packets(path)
        except av.error.FFmpegError as error:
            raise ValueError("the video %s can't be read: %s" % (Path(path).name, error)) from error
    if total < expected:
        raise ValueError(explain_count(total, expected))


def crop_image(image: np.ndarray, crop: list[list[int]] | None) -> np.ndarray:
    """Return the part of a frame that is analysed."""
    if crop is None:
        return image
    (x0, x1), (y0, y1) = crop
    if x1 > image.shape[1] or y1 > image.shape[0]:
        raise ValueError(
            "crop: x %d to %d, y %d to %d lies outside of the frame of %d x %d pixels"
            % (x0, x1, y0, y1, image.shape[1], image.shape[0])
        )
    return image[y0:y1, x0:x1]


def predict_frames(
    request: dict[str, Any],
    predict: Callable[[list[np.ndarray]], np.ndarray],
    block: int,
    progress: Callable[[float, str], None],
) -> np.ndarray:
    """Give the frames of the video to a network; return what it finds, float32, in pixels of the whole frame.

    Parameters
    ----------
    request : dict
        Of the compute module: the input ``video``, the parameter ``crop``, the facts of `PoseProcessor.prepare`.
    predict : callable
        Takes frames of one size, RGB; returns x, y and likelihood, shape (frames, …, keypoints, 3).
    block : int
        Frames that it is given at a time.
    progress : callable
    """
    facts, crop, expected = request["facts"], request["params"]["crop"], request["facts"]["frames"]
    frames, blocks, count = iter_frames(request["inputs"]["video"], facts["starting_frame"]), [], 0
    while True:
        images = [crop_image(image, crop) for image in islice(frames, block)]
        if not images:
            break
        count += len(images)
        if expected is not None and count > expected:
            raise ValueError(explain_count(count + sum(1 for _ in frames), expected))
        blocks.append(predict(images))
        progress(0.02 + 0.97 * (count / expected if expected else 0.5), "%d frames" % count)
    if expected is not None and count != expected:
        raise ValueError(explain_count(count, expected))
    if not count:
        raise ValueError("the video has no frames")
    poses = np.concatenate(blocks).astype(np.float32)
    if crop:
        poses[..., :2] += np.array([crop[0][0], crop[1][0]], dtype=np.float32)
    return poses


def measure_sure(poses: np.ndarray, facts: dict[str, Any]) -> dict[str, float]:
    """Return by keypoint the share of frames, of poses (frames, keypoints, 3), that are as likely as the cut-off."""
    sure = (poses[..., 2] >= facts["likelihood_cutoff"]).mean(axis=0)
    return {part: round(float(sure[i]), 4) for i, part in enumerate(facts["bodyparts"])}


def track_frames(
    request: dict[str, Any],
    predict: Callable[[list[np.ndarray]], np.ndarray],
    block: int,
    results: h5py.File,
    progress: Callable[[float, str], None],
) -> dict[str, Any]:
    """Give the frames of the video to a network for one animal; leave ``poses``, float32, (frames, keypoints, 3).

    The parameters are those of `predict_frames`.

    Returns
    -------
    dict
        ``frames``, and ``sure`` (see `measure_sure`).
    """
    poses = predict_frames(request, predict, block, progress)
    results["poses"] = poses
    progress(1.0, "%d frames" % len(poses))
    return {"frames": len(poses), "sure": measure_sure(poses, request["facts"])}
