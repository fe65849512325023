"""Accounts of TIFF movies: whatever program wrote the axes, a channel is chosen, and planes are planes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.converters.accounts._scanimage import flatten, list_channels
from nwbpipe.converters.accounts._tiff import probe_tiff
from nwbpipe.errors import AccountError, SourceError
from tests.converters import raw

tifffile = pytest.importorskip("tifffile", reason="TIFF movies need tifffile: pip install nwbpipe[imaging]")
Build = Callable[..., Any]
HEIGHT, WIDTH = 6, 8


def movie(axes: str, frames: int = 12, channels: int = 2, planes: int = 3) -> np.ndarray:
    """Make a movie whose pixels say their frame (1s), channel (100s) and plane (1000s)."""
    sizes = {"T": frames, "C": channels, "Z": planes}
    value = np.zeros([sizes[axis] for axis in axes], np.uint16)
    for index, axis in enumerate(axes):
        step = {"T": 1, "C": 100, "Z": 1000}[axis]
        value = value + (np.arange(sizes[axis]) * step).reshape([-1 if i == index else 1 for i in range(len(axes))])
    return np.broadcast_to(value[..., None, None], (*value.shape, HEIGHT, WIDTH)).astype(np.uint16)


def write(path: Path, axes: str, form: str, **sizes: int) -> None:
    data = movie(axes, **sizes)
    if form == "imagej":
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": f"{axes}YX", "finterval": 1 / raw.RATE})
    elif form == "ome":
        tifffile.imwrite(path, data, ome=True, metadata={"axes": f"{axes}YX"}, photometric="minisblack")
    else:  # frame descriptions of ScanImage, without its header
        with tifffile.TiffWriter(path, bigtiff=True) as tiff:
            for number, page in enumerate(data.reshape(-1, HEIGHT, WIDTH)):
                text = f"frameNumbers = {number // 2 + 1}\nacquisitionNumbers = 1\n"
                tiff.write(page, contiguous=False, metadata=None, photometric="minisblack", description=text)


CHANNELS = [("TC", "imagej"), ("TC", "ome"), ("CT", "ome"), ("TC", "scanimage")]


@pytest.mark.parametrize(("axes", "form"), CHANNELS)
def test_channels(folder: Path, convert_to: Build, axes: str, form: str) -> None:
    write(folder / "two.tif", axes, form)
    with pytest.raises(SourceError, match="the file holds 2 channels, and none is chosen"):
        probe_tiff({"file_path": folder / "two.tif"})
    account = probe_tiff({"file_path": folder / "two.tif", "channel_name": "1"})
    assert account is not None
    assert account.streams[0].samples == 12
    source = raw.tiff("two.tif")
    source["args"]["channel_name"] = "1"
    series = raw.added_series(convert_to({"scope": source}), "scope")[0]
    data = load_array(series.data)
    assert data.shape == (12, WIDTH, HEIGHT)
    np.testing.assert_array_equal(data[:, 0, 0], 100 + np.arange(12))


@pytest.mark.parametrize(("axes", "form"), [("TZ", "imagej"), ("TZC", "ome")])
def test_planes(folder: Path, convert_to: Build, axes: str, form: str) -> None:
    write(folder / "stack.tif", axes, form)
    source = raw.tiff("stack.tif")
    if "C" in axes:
        source["args"]["channel_name"] = "0"
    series = raw.added_series(convert_to({"scope": source}), "scope")[0]
    data = load_array(series.data)
    assert data.shape == (12, WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(data[:, 0, 0, :], np.arange(12)[:, None] + 1000 * np.arange(3))


@pytest.mark.parametrize("axes", ["T", "Z"])
def test_a_movie_of_imagej_is_a_movie(folder: Path, axes: str) -> None:
    write(folder / "movie.tif", axes, "imagej", planes=12)
    account = probe_tiff({"file_path": folder / "movie.tif"})
    assert account is not None
    assert account.arguments == {}
    assert (account.streams[0].samples, account.streams[0].planes) == (12, 1)


def test_an_array_without_axes(folder: Path) -> None:
    tifffile.imwrite(folder / "a.tif", movie("TC"), photometric="minisblack")
    with pytest.raises(SourceError, match="does not say what they are") as caught:
        probe_tiff({"file_path": folder / "a.tif"})
    assert caught.value.problem.found == "12 x 2 x 6 x 8"
    tifffile.imwrite(folder / "b.tif", movie("T"), photometric="minisblack")
    assert probe_tiff({"file_path": folder / "b.tif"}) is not None
    tifffile.imwrite(folder / "c.tif", np.zeros((9, HEIGHT, WIDTH, 3), np.uint8), photometric="rgb")
    with pytest.raises(SourceError, match="in color"):
        probe_tiff({"file_path": folder / "c.tif"})


def test_one_file_of_a_numbered_set(folder: Path, convert_to: Build) -> None:
    for number in (1, 2):
        raw.write_movie(folder / f"m_{number:05d}.tif", seed=number)
    with pytest.raises(AccountError, match="one file of a numbered set"):
        convert_to({"scope": raw.tiff("m_00001.tif")})
    convert_to({"scope": raw.tiff("m_00001.tif", accept=["parts"])})
    names = ["m_00001.tif", "m_00002.tif"]
    account = probe_tiff({"file_paths": [folder / name for name in names]})
    assert account is not None
    assert (account.streams[0].samples, account.problems) == (60, ())


def test_pictures_without_a_page(folder: Path) -> None:
    # As ImageJ writes movies of more than 4 GB: one page, and all other pictures behind it.
    data = movie("T", frames=5)
    text = "ImageJ=1.53t\nimages=5\nframes=5\nhyperstack=true\n"
    tifffile.imwrite(folder / "imagej.tif", data[0], description=text, metadata=None, byteorder=">")
    with (folder / "imagej.tif").open("ab") as file:
        file.write(data[1:].astype(">u2").tobytes())
    tifffile.imwrite(folder / "truncated.tif", data, photometric="minisblack", truncate=True)
    for name in ("imagej.tif", "truncated.tif"):
        with pytest.raises(SourceError, match="pictures that have no page") as caught:
            probe_tiff({"file_path": folder / name})
        assert (caught.value.problem.expected, caught.value.problem.found) == (
            "5 pages, as many as pictures",
            "1 pages",
        )


def test_a_rate_that_denies_the_file(folder: Path, convert_to: Build) -> None:
    write(folder / "movie.tif", "T", "imagej")
    source = raw.tiff("movie.tif")
    source["args"]["sampling_frequency"] = 2 * raw.RATE
    with pytest.raises(AccountError, match="another rate") as caught:
        convert_to({"scope": source})
    assert (caught.value.problem.expected, caught.value.problem.found) == ("25 Hz", "50 Hz")


def test_arguments_that_deny_the_file(folder: Path) -> None:
    write(folder / "two.tif", "TC", "imagej")
    account = probe_tiff({"file_path": folder / "two.tif", "num_channels": 1})
    assert account is not None
    assert [kind for kind, _ in account.problems] == ["channels"]


def test_channels_of_scanimage_in_a_row_or_a_column() -> None:
    names = ["Green", "Red", "Far"]
    for saved, expected in ((1, ["Green"]), ([1, 3], ["Green", "Far"]), ([[1], [2]], ["Green", "Red"])):
        settings = {"SI.hChannels.channelName": names, "SI.hChannels.channelSave": saved}
        assert list_channels(settings) == expected
    assert flatten([[1], [2, [3]]]) == [1, 2, 3]
