"""The open-field video, linked, against PyAV; the labels of its project are no prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.examples.checking import Converted, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("dlc_openfield")


def test_session(session: Converted) -> None:
    check_session(session)


def test_video(session: Converted, raw_store: Path) -> None:
    raw = raw_store / "pose" / "dlc_openfield" / "videos" / "m3v1mp4.mp4"
    with session.open() as file:
        series = file["acquisition/ImageSeries_video"]
        (name,) = series["external_file"].asstr()[()]
        times = times_of(series)
    linked = session.path.parent / name
    assert name == "dlc_openfield/video_m3v1mp4.mp4"
    assert linked.read_bytes() == raw.read_bytes()
    with av.open(str(linked)) as container:
        stamps = [frame.time for frame in container.decode(video=0)]
    assert len(stamps) == 2330
    # The container counts in steps of 1/30000 s or so; the header's rate fits each frame within 2 ms.
    np.testing.assert_allclose(times, np.array(stamps) - stamps[0], atol=2e-3, rtol=0)


def test_labels_are_not_part_of_the_session(session: Converted) -> None:
    with session.open() as file:
        assert list(file["acquisition"]) == ["ImageSeries_video"]
        assert "processing" not in file or not list(file["processing"])
