"""A video beside a session file in S3 is decoded by ranges: it never lies on this disk as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import av
import pytest

import nwbpipe
from nwbpipe.run import process
from nwbpipe.simulate import simulate_body_video
from tests.fixtures.processing import Scale
from tests.fixtures.s3 import Bucket

MOST_KEPT = 1_000_000  # bytes on this disk


class Streaming(Scale):
    """Decodes a video."""

    inputs: ClassVar = {"series": nwbpipe.Input("ImageSeries")}
    compute: ClassVar[str] = "tests.fixtures._media_compute"
    streams_media: ClassVar[bool] = True

    def prepare(self, nwbfile: Any, context: Any) -> dict[str, str]:
        return {"unit": "a.u."}


def write_session(path: Path) -> Path:
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.image import ImageSeries

    nwbfile = NWBFile("s", "id", datetime(2024, 5, 1, tzinfo=UTC))
    nwbfile.add_acquisition(
        ImageSeries(name="video", external_file=["session/body.avi"], rate=10.0, starting_time=0.0, format="external",
                    starting_frame=[0], unit="n.a.", num_samples=120)
    )  # fmt: skip
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def test_a_video_is_decoded_by_ranges(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    url = bucket.put(write_session(tmp_path / "session.nwb"), "deep/session.nwb")
    with pytest.raises(nwbpipe.errors.InputError, match="external file"):
        process(url, Streaming())
    video = simulate_body_video(tmp_path / "body.avi", n_frames=120).video
    assert video.stat().st_size > 4 * MOST_KEPT
    bucket.client.put_object(Bucket=bucket.name, Key="deep/session/body.avi", Body=video.read_bytes())
    process(url, Streaming())
    with nwbpipe.read(url) as nwbfile:
        size, is_served, *means = nwbfile.processing["behavior"]["Scaled_scale"].data[:]
    with av.open(str(video)) as container:
        assert means == [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    assert (size < 1000, is_served) == (True, 1)
    kept = sum(512 * path.stat().st_blocks for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept < MOST_KEPT
