"""Accounts of Bruker's Prairie View: cycles, volumes, channels, and files that are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.errors import AccountError, SourceError
from tests.converters import raw
from tests.converters.accounts.raw_imaging import HEIGHT, WIDTH, bruker, expected, write_bruker

pytest.importorskip("roiextractors", reason="movies need roiextractors: pip install nwbpipe[imaging]")
Build = Callable[..., Any]


def read(convert_to: Build, **args: Any) -> tuple[Any, np.ndarray]:
    """Convert a recording in memory; give its series, and the pixel that says where each frame belongs."""
    series = raw.added_series(convert_to({"scope": bruker(args.pop("folder_path", "TSeries-1"), **args)}), "scope")[0]
    return series, load_array(series.data)[:, 0, 1]


def test_frames_and_channels(folder: Path, convert_to: Build) -> None:
    write_bruker(folder / "TSeries-1", [(np.arange(20) / 30.0).tolist()], channels=2)
    with pytest.raises(SourceError, match="holds 2 channels") as caught:
        read(convert_to)
    assert caught.value.problem.expected == "channel_name: Ch1 or Ch2"
    series, pixels = read(convert_to, channel_name="Ch2")
    np.testing.assert_array_equal(pixels, expected(20, channel=1))
    assert series.rate == pytest.approx(30.0, abs=1e-6)
    np.testing.assert_allclose(series.imaging_plane.grid_spacing[:], [1.1e-6, 1.5e-6])
    np.testing.assert_allclose(series.field_of_view[:], [1.1e-6 * WIDTH, 1.5e-6 * HEIGHT])


def test_cycles_keep_the_time_between_them(folder: Path, convert_to: Build) -> None:
    times = np.r_[np.arange(10) / 30, 5 + np.arange(8) / 30]
    write_bruker(folder / "TSeries-1", [times[:10].tolist(), times[10:].tolist()])
    series, pixels = read(convert_to)
    np.testing.assert_array_equal(pixels, expected(18))
    np.testing.assert_allclose(load_array(series.timestamps), times, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_volumes(folder: Path, convert_to: Build, bidirectional: bool) -> None:
    cycles = [(cycle / 4 + np.arange(3) / 12).tolist() for cycle in range(5)]
    cycles[-1] = cycles[-1][:2]  # stopped within a volume
    write_bruker(folder / "TSeries-1", cycles, planes=3, bidirectional=bidirectional)
    series, pixels = read(convert_to)
    np.testing.assert_array_equal(pixels, expected(4, planes=3))
    assert series.rate == pytest.approx(4.0)
    assert series.imaging_plane.imaging_rate == pytest.approx(4.0)
    series, pixels = read(convert_to, plane_index=1)
    np.testing.assert_array_equal(pixels, expected(4, planes=3, plane=1))


def test_files_that_are_missing_or_not_listed(folder: Path, convert_to: Build) -> None:
    write_bruker(folder / "TSeries-1", [(np.arange(6) / 30.0).tolist()])
    last = folder / "TSeries-1" / "TSeries-1_Cycle00001_Ch1_000006.ome.tif"
    more = last.with_name("TSeries-1_Cycle00001_Ch1_000007.ome.tif")
    last.rename(more)
    with pytest.raises(AccountError) as caught:
        read(convert_to)
    texts = [problem.found for problem in caught.value.problems]
    assert texts == [f"1 are missing, the first {last.name}", f"1 more, the first {more.name}"]
    more.rename(last)
    assert len(read(convert_to)[1]) == 6
    (folder / "TSeries-1").rename(folder / "day1")
    with pytest.raises(SourceError, match="no XML file of its own name") as caught:
        read(convert_to, folder_path="day1")
    assert caught.value.problem.found == "TSeries-1.xml"


def test_a_volume_in_the_middle_that_lacks_a_plane(folder: Path, convert_to: Build) -> None:
    cycles = [(cycle / 4 + np.arange(3) / 12).tolist() for cycle in range(4)]
    cycles[1] = cycles[1][:2]
    write_bruker(folder / "TSeries-1", cycles, planes=3)
    with pytest.raises(AccountError, match="differ in the number of planes") as caught:
        read(convert_to)
    assert caught.value.problem.found == "2 planes in volume 2"
