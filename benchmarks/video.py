"""Videos: what of this disk is used while one in S3 is analysed.

Its frames are decoded by a processor that does nothing with them, by the way that DeepLabCut's and Facemap's take:
ranges of the video that nwbpipe's own process serves. Scratch, cache, logs and temporary files are looked at five
times a second; the server's own folder is elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks._nwb import make_session
from benchmarks._proxy import start_counting_server
from benchmarks._report import note, table
from benchmarks._tiny import Tiny
from benchmarks.s3 import BUCKET, open_bucket
from nwbpipe import Input, Tool

FRAME = (1024, 1280)
MOST_MB = 200


class Decode(Tiny):
    """Decode the frames of a video."""

    inputs: ClassVar = {"series": Input("ImageSeries")}
    tool: ClassVar[Tool] = Tool("av", ("numpy", "h5py", "av"))
    compute: ClassVar[str] = "benchmarks._video_compute"
    streams_media: ClassVar[bool] = True


def run(folder: Path, *, quick: bool) -> None:
    import nwbpipe

    frames = (3 * 10**7 if quick else 4 * 10**9) // (FRAME[0] * FRAME[1])
    with start_counting_server() as traffic:
        client = open_bucket()
        video = write_video(folder / "body.mkv", frames)
        size = video.stat().st_size
        session = write_session(folder / "session.nwb", frames)
        for path, key in ((video, "session/body.mkv"), (session, "session.nwb")):
            client.upload_file(str(path), BUCKET, key)
            path.unlink()
        traffic.reset()
        started = time.perf_counter()
        with watch_disk(folder) as peak:
            nwbpipe.process(f"s3://{BUCKET}/session.nwb", Decode(), step="decode")
        seconds = time.perf_counter() - started
        with nwbpipe.read(f"s3://{BUCKET}/session.nwb") as nwbfile:
            (found,) = nwbfile.processing["behavior"]["Mean_decode"].data[:]
    assert found == frames
    table(
        ["a video in S3", "frames", "seconds", "MB received", "requests", f"MB of local disk, at most ({MOST_MB})"],
        [
            [
                f"{size / 1e9:.1f} GB",
                str(frames),
                f"{seconds:.1f}",
                f"{traffic.down / 1e6:.0f}",
                str(traffic.requests),
                f"{peak[0] / 1e6:.1f}",
            ]
        ],
    )
    note()


def write_video(path: Path, frames: int) -> Path:
    """Write frames of gray noise as they are."""
    import av
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 255, FRAME, dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=30)
        stream.height, stream.width = FRAME
        stream.pix_fmt = "gray"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 7 * number, axis=1), format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_session(path: Path, frames: int) -> Path:
    from pynwb import NWBHDF5IO
    from pynwb.image import ImageSeries

    nwbfile = make_session()
    nwbfile.add_acquisition(
        ImageSeries(
            name="video",
            external_file=["session/body.mkv"],
            format="external",
            starting_frame=[0],
            rate=30.0,
            unit="n.a.",
            num_samples=frames,
        )
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


@contextmanager
def watch_disk(folder: Path) -> Iterator[list[int]]:
    """Give the most bytes that files in a folder took while the block ran; temporary files are led there."""
    import tempfile

    peak, over = [0], threading.Event()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    os.environ["TMPDIR"] = str(folder)

    def look() -> None:
        while not over.wait(0.2):
            peak[0] = max(peak[0], sum(_iter_bytes(folder)))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        tempfile.tempdir = before
        del os.environ["TMPDIR"]


def _iter_bytes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield 512 * path.stat().st_blocks
        except OSError:  # it went meanwhile
            continue
