"""Accounts of microscopes whose programs write folders or plain counts: ThorImage, Scanbox, Micro-Manager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.errors import AccountError, SourceError
from tests.converters import raw
from tests.converters.accounts.raw_imaging import (
    expected,
    micromanager,
    scanbox,
    thor,
    write_micromanager,
    write_scanbox,
    write_thor,
)

pytest.importorskip("roiextractors", reason="movies need roiextractors: pip install nwbpipe[imaging]")
Build = Callable[..., Any]


def read(convert_to: Build, source: dict[str, Any]) -> tuple[Any, np.ndarray]:
    """Convert a recording in memory; give its series, and the pixel that says where each frame belongs."""
    series = raw.added_series(convert_to({"scope": source}), "scope")[0]
    return series, load_array(series.data)[:, 0, 1]


def test_rate_and_channels_of_scanbox(folder: Path, convert_to: Build) -> None:
    write_scanbox(folder / "scan.sbx", [(frame, 0) for frame in range(12)], channels=2)
    with pytest.raises(SourceError, match="holds 2 channels") as caught:
        read(convert_to, scanbox())
    assert caught.value.problem.expected == "channel_name: green or red"
    series, pixels = read(convert_to, scanbox(channel_name="red"))
    np.testing.assert_array_equal(pixels, expected(12, channel=1))
    assert series.rate == pytest.approx(7930 / 512)  # 15.488, and not 15
    sources = {name: {**scanbox(channel_name=name), "clock": "red"} for name in ("red", "green")}
    names = [raw.added_series(convert_to(sources), name)[0].name for name in sources]
    assert names == ["TwoPhotonSeries_red", "TwoPhotonSeries_green"]


def test_planes_of_scanbox(folder: Path, convert_to: Build) -> None:
    pages = [(frame, plane) for frame in range(5) for plane in range(3)][:-1]  # stopped within a volume
    write_scanbox(folder / "scan.sbx", pages, planes=3)
    series, pixels = read(convert_to, scanbox())
    np.testing.assert_array_equal(pixels, expected(4, planes=3))
    assert series.rate == pytest.approx(7930 / 512 / 3)
    series, pixels = read(convert_to, scanbox(plane_index=2))
    np.testing.assert_array_equal(pixels, expected(4, planes=3, plane=2))


def test_a_scanbox_file_that_ends_within_a_picture(folder: Path, convert_to: Build) -> None:
    write_scanbox(folder / "scan.sbx", [(frame, 0) for frame in range(4)])
    content = (folder / "scan.sbx").read_bytes()
    (folder / "scan.sbx").write_bytes(content[:-10])
    with pytest.raises(AccountError, match="ends within a picture"):
        read(convert_to, scanbox())


def test_channels_of_thorimage(folder: Path, convert_to: Build) -> None:
    write_thor(folder / "thor", 6, channels=2)
    with pytest.raises(SourceError, match="holds 2 channels") as caught:
        read(convert_to, thor())
    assert caught.value.problem.expected == "channel_name: ChanA or ChanB"
    series, pixels = read(convert_to, thor(channel_name="ChanB"))
    np.testing.assert_array_equal(pixels, expected(6, channel=1))
    assert series.rate == pytest.approx(30.0)


def test_volumes_of_thorimage_have_the_rate_of_volumes(folder: Path, convert_to: Build) -> None:
    write_thor(folder / "thor", 4, planes=3, flyback=2)
    series, pixels = read(convert_to, thor())
    np.testing.assert_array_equal(pixels, expected(4, planes=3))
    assert series.rate == pytest.approx(30.0 / 5)  # 3 planes, and 2 frames on the way back


def test_uneven_frames_of_thorimage(folder: Path, convert_to: Build) -> None:
    steps = np.array([0.1, 0.1, 2.0, 0.1])
    write_thor(folder / "thor", 5, steps=steps)
    series, _ = read(convert_to, thor())
    np.testing.assert_allclose(load_array(series.timestamps), np.r_[0.0, np.cumsum(steps)])


def test_files_of_thorimage_that_are_missing_or_more(folder: Path, convert_to: Build) -> None:
    write_thor(folder / "thor", 4)
    last = folder / "thor" / "ChanA_001_001_001_004.tif"
    last.rename(last.with_name("ChanA_001_001_001_005.tif"))
    with pytest.raises(SourceError) as caught:
        read(convert_to, thor())
    assert [problem.found for problem in caught.value.problems] == [
        "1 are missing, the first ChanA_001_001_001_004.tif",
        "1 more, the first ChanA_001_001_001_005.tif",
    ]


def test_frames_of_micro_manager_have_the_times_of_their_pages(folder: Path, convert_to: Build) -> None:
    times = np.arange(30) / 25
    write_micromanager(folder / "mm", times)
    series, pixels = read(convert_to, micromanager())
    np.testing.assert_array_equal(pixels, expected(30))
    np.testing.assert_allclose(load_array(series.timestamps), times)  # and not the 10 Hz at which it was played
    assert series.imaging_plane.imaging_rate == pytest.approx(25.0)
    times[20:] += 3.0
    write_micromanager(folder / "pause", times)
    series, _ = read(convert_to, micromanager("pause"))
    np.testing.assert_allclose(load_array(series.timestamps), times)


def test_micro_manager_without_times_or_of_several_slices(folder: Path, convert_to: Build) -> None:
    write_micromanager(folder / "mm", None, frames=5)
    with pytest.raises(AccountError, match="do not say when they were taken"):
        read(convert_to, micromanager())
    write_micromanager(folder / "stack", np.arange(6) / 25, Slices=3)
    with pytest.raises(SourceError, match="one position, channel and slice") as caught:
        read(convert_to, micromanager("stack"))
    assert caught.value.problem.found == "3 slices"
