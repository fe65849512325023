"""Accounts of videos: frames that are not evenly spaced have the container's times."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.converters.accounts._counters import is_regular
from nwbpipe.converters.accounts._video import probe_video, read_stamps
from tests.converters import raw

av = pytest.importorskip("av", reason="the times of a video's frames need PyAV: pip install nwbpipe[behavior]")


def write(path: Path, times: np.ndarray, codec: str = "mpeg4") -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


STEPS = {
    "two rates": np.r_[np.full(60, 1 / 30), np.full(59, 1 / 10)],
    "a pause": np.r_[np.full(60, 1 / 30), 2.0, np.full(59, 1 / 30)],
    "jitter": np.random.default_rng(0).uniform(0.02, 0.06, 119),
}


@pytest.mark.parametrize(("kind", "name"), [*((kind, "face.mp4") for kind in STEPS), ("two rates", "face.mkv")])
def test_uneven_frames(folder: Path, convert_to: Callable[..., Any], kind: str, name: str) -> None:
    # Matroska's header has no count of frames, and the reader estimates it: the container's counts.
    times = np.r_[0.0, np.cumsum(STEPS[kind])]
    write(folder / name, times)
    series = raw.added_series(convert_to({"face": raw.video(name)}), "face")[0]
    written = np.asarray(load_array(series.timestamps))
    np.testing.assert_allclose(written, times, atol=0.002)


def test_even_frames_keep_their_rate(folder: Path, convert_to: Callable[..., Any]) -> None:
    write(folder / "even.mkv", np.arange(90) / 30)  # rounded to milliseconds: 33, 33, 34 ms
    for name in ("even.mkv", "body.avi"):
        account = probe_video({"file_paths": [folder / name]})
        assert account is not None
        assert account.streams[0].times is None
        assert raw.added_series(convert_to({"face": raw.video(name)}), "face")[0].rate == pytest.approx(
            30 if name == "even.mkv" else 20, rel=1e-3
        )


def test_frames_out_of_order_in_the_file(tmp_path: Path) -> None:
    times = np.arange(40) / 25
    write(tmp_path / "b.mp4", times, codec="libx264")  # with frames that are decoded from later ones
    np.testing.assert_allclose(read_stamps(tmp_path / "b.mp4"), times, atol=0.001)
    assert is_regular(times)
    assert not is_regular(np.r_[times, 9.0])
    assert is_regular(times[:1])
