"""Count the frames of a video, and check that the last one can be decoded."""

from __future__ import annotations

from pathlib import Path

from nwbpipe.errors import Problem


def count_frames(path: Path) -> int:
    """Count the frames of a video by its header.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int
        0 where the video doesn't open.

    Raises
    ------
    ImportError
        OpenCV is not installed.
    """
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) if capture.isOpened() else 0
    finally:
        capture.release()


def check_video(path: Path) -> list[Problem]:
    """Check that a video opens and that the last frame its header promises can be decoded.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of Problem
    """
    import cv2

    if not path.is_file():
        return []  # a missing file is named elsewhere
    hint = "copy it again from its origin; a recording that was cut off can be repaired with ffmpeg"
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            return [Problem("the video doesn't open", str(path), "a video", f"{path.stat().st_size} bytes", hint)]
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if count <= 0:
            return [Problem("the video has no frames", str(path), "one frame or more", str(count), hint)]
        capture.set(cv2.CAP_PROP_POS_FRAMES, count - 1)
        if capture.read()[0]:
            return []
        # Some containers can't seek to the end: only then is every frame decoded.
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        decoded = 0
        while capture.grab():
            decoded += 1
    finally:
        capture.release()
    if decoded >= count or decoded == _count_packets(path):
        return []
    return [
        Problem(
            "the video is truncated", str(path), f"{count} frames by its header", f"{decoded} can be decoded", hint
        )
    ]


def _count_packets(path: Path) -> int | None:
    """Count the frames that the container holds: Matroska's header gives a duration, and no count."""
    if path.suffix.lower() not in (".mkv", ".webm"):
        return None
    import av

    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)
