"""Accounts of ScanImage: channels in a column, fields of view, parts that the reader does not take."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.converters.accounts import read_account
from nwbpipe.errors import AccountError, SourceError
from tests.converters import raw

tifffile = pytest.importorskip("tifffile", reason="ScanImage's movies need tifffile: pip install nwbpipe[imaging]")
# roiextractors leaves a file open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)
Build = Callable[..., Any]
HEIGHT, WIDTH, RATE = 16, 24, 30.0
SETTINGS = {
    "SI.LINE_FORMAT_VERSION": 1, "SI.VERSION_MAJOR": 2022, "SI.VERSION_MINOR": 1, "SI.VERSION_UPDATE": 0,
    "SI.acqState": "'grab'", "SI.hChannels.channelName": "{'Green' 'Red'}", "SI.hChannels.channelSave": 1,
    "SI.hChannels.channelsActive": 1, "SI.hRoiManager.linePeriod": 6e-05, "SI.hRoiManager.linesPerFrame": HEIGHT,
    "SI.hRoiManager.pixelsPerLine": WIDTH, "SI.hRoiManager.mroiEnable": "false",
    "SI.hRoiManager.scanFrameRate": RATE, "SI.hRoiManager.scanVolumeRate": RATE / 5,
    "SI.hScan2D.logFramesPerFile": "Inf", "SI.hStackManager.enable": "false", "SI.hStackManager.framesPerSlice": 1,
    "SI.hStackManager.numFramesPerVolume": 1, "SI.hStackManager.numFramesPerVolumeWithFlyback": 1,
    "SI.hStackManager.numSlices": 1, "SI.hStackManager.stackMode": "'slow'",
}  # fmt: skip


def field(height: int, width: int = WIDTH) -> dict[str, Any]:
    return {"centerXY": [0, 0], "sizeXY": [width, height], "pixelResolutionXY": [width, height], "enable": 1}


def write(
    path: Path, pages: list[np.ndarray], *, first: int = 1, repeats: int = 1, rois: Any = None,
    numbers: list[int] | None = None, **changed: Any,
) -> None:  # fmt: skip
    """Write a BigTIFF as ScanImage does; the n-th page is of frame `first` + n // `repeats`, or `numbers[n]`."""
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changed.items()}
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    groups = json.dumps({"RoiGroups": {"imagingRoiGroup": {"rois": rois or {"scanfields": field(HEIGHT)}}}})
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        head, tail = text.encode() + b"\0", groups.encode() + b"\0"
        tiff.filehandle.seek(16)
        tiff.filehandle.write(struct.pack("<IIII", 0x07030301, 4, len(head), len(tail)))
        tiff.filehandle.write(head + tail + b"\0" * 16)
        for index, page in enumerate(pages):
            number = first + index // repeats if numbers is None else numbers[index]
            description = f"frameNumbers = {number}\nacquisitionNumbers = 1\nframeNumberAcquisition = {number}\n"
            description += f"frameTimestamps_sec = {(number - 1) / RATE:.9f}\nepoch = [2024 5 1 10 0 0.000]\n"
            more = {"photometric": "minisblack", "software": text, "extratags": [(315, 2, 0, groups, True)]}
            tiff.write(page, contiguous=False, metadata=None, description=description, **more)


def page(value: int, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, WIDTH), value, np.int16)


def scope(name: str = "scan_00001.tif", accept: Any = None, **args: Any) -> dict[str, Any]:
    more = {} if accept is None else {"accept": accept}
    return {"interface": "ScanImageImagingInterface", "args": {"file_path": name, **args}, **more}


def convert(convert_to: Build, source: dict[str, Any]) -> np.ndarray:
    """Return the frames (time, x, y) that a conversion writes; close the files, which the reader leaves open."""
    built = convert_to({"scope": source})
    frames: np.ndarray = load_array(raw.added_series(built, "scope")[0].data)
    for reader in built.sources[0].interface.imaging_extractor._tiff_readers:
        reader.close()
    return frames


@pytest.mark.parametrize("saved", ["[1 2]", "[1;2]"])
def test_two_channels(folder: Path, convert_to: Build, saved: str) -> None:
    pages = [page(i + 1000 * channel) for i in range(10) for channel in (0, 1)]
    write(folder / "scan_00001.tif", pages, repeats=2, SI__hChannels__channelSave=saved)
    frames = convert(convert_to, scope(channel_name="Red"))
    np.testing.assert_array_equal(frames[:, 0, 0], 1000 + np.arange(10))
    with pytest.raises(SourceError, match="2 channels") as caught:
        convert(convert_to, scope())
    assert caught.value.problem.expected == "channel_name: Green or Red"


def test_fields_of_view(folder: Path, convert_to: Build) -> None:
    rois = [{"name": "V1", "scanfields": field(10)}, {"name": "M1", "scanfields": field(12)}]
    write(folder / "scan_00001.tif", [page(i, 28) for i in range(5)], rois=rois, SI__hRoiManager__mroiEnable="true")
    with pytest.raises(AccountError, match="2 fields of view") as caught:
        convert(convert_to, scope())
    assert caught.value.problem.found == "V1 (10 x 24 pixels), M1 (12 x 24 pixels)"
    assert caught.value.problem.expected == "field: V1 or M1"
    assert convert(convert_to, scope(accept="fields")).shape == (5, WIDTH, 28)
    with pytest.raises(SourceError, match="no field of view called 'S1'"):
        convert(convert_to, scope(field="S1"))


def test_each_field_of_view_is_a_series(folder: Path, convert_to: Build) -> None:
    rois = [{"name": name, "scanfields": field(rows)} for name, rows in (("V1", 6), ("", 8), ("M1", 5))]
    rows = np.arange(25)  # 6 + 8 + 5 of the fields, and 3 between each two
    pages = [np.repeat(100 * i + rows[:, None], WIDTH, axis=1).astype(np.int16) for i in range(4)]
    more = {"SI__hRoiManager__mroiEnable": "true", "SI__objectiveResolution": 15}
    write(folder / "scan_00001.tif", pages, rois=rois, **more)
    sources = {f"roi{name}": scope(field=name) for name in ("V1", "2", "M1")}
    built = convert_to(sources, clocks={name: {"align": "start", "offset_s": 0} for name in ("roi2", "roiM1")})
    for name, first, count in (("roiV1", 0, 6), ("roi2", 9, 8), ("roiM1", 20, 5)):
        (series,) = raw.added_series(built, name)
        expected = 100 * np.arange(4)[:, None] + rows[first : first + count]
        np.testing.assert_array_equal(load_array(series.data)[:, 0, :], expected)
        np.testing.assert_allclose(series.imaging_plane.grid_spacing[:], [15e-6, 15e-6])
    for source in built.sources:
        source.interface.imaging_extractor._fov_root.__del__()


def test_pixels_have_their_size_in_micrometers(folder: Path, convert_to: Build) -> None:
    write(folder / "scan_00001.tif", [page(i) for i in range(3)], SI__objectiveResolution=15)
    built = convert_to({"scope": scope()})
    plane = raw.added_series(built, "scope")[0].imaging_plane
    np.testing.assert_allclose(plane.grid_spacing[:], [15e-6, 15e-6])  # 1 degree, 15 micrometers for each
    for reader in built.sources[0].interface.imaging_extractor._tiff_readers:
        reader.close()


def test_fields_that_differ_from_plane_to_plane_are_refused(folder: Path, convert_to: Build) -> None:
    rois = [{"name": "V1", "scanfields": [field(10), field(10)]}, {"name": "M1", "scanfields": field(12)}]
    write(folder / "scan_00001.tif", [page(i, 28) for i in range(5)], rois=rois, SI__hRoiManager__mroiEnable="true")
    with pytest.raises(AccountError, match="3 fields of view") as caught:
        convert(convert_to, scope())
    assert "a movie of its own" in str(caught.value.problem.hint)
    with pytest.raises(SourceError, match="no field of view called"):
        convert(convert_to, scope(field="V1"))


def test_the_parts_of_an_acquisition(folder: Path, convert_to: Build) -> None:
    for part in range(3):
        pages = [page(5 * part + i) for i in range(5)]
        write(folder / f"a_00001_{part + 1:05d}.tif", pages, first=5 * part + 1, SI__hScan2D__logFramesPerFile=5)
    frames = convert(convert_to, scope("a_00001_00001.tif"))
    np.testing.assert_array_equal(frames[:, 0, 0], np.arange(15))
    account, _ = read_account("ScanImageImagingInterface", {"file_path": folder / "a_00001_00001.tif"})
    assert account is not None
    assert len(account.files) == 3  # all are hashed


def test_a_part_that_the_reader_does_not_take(folder: Path, convert_to: Build) -> None:
    for part in range(2):
        write(folder / f"b_{part + 1:05d}.tif", [page(5 * part + i) for i in range(5)], first=5 * part + 1)
    with pytest.raises(AccountError, match="more files belong") as caught:
        convert(convert_to, scope("b_00001.tif"))
    assert caught.value.problem.found == "b_00002.tif goes on with frame 6"
    write(folder / "b_00002.tif", [page(0)])  # another acquisition, which counts from 1
    assert convert(convert_to, scope("b_00001.tif")).shape[0] == 5


@pytest.mark.parametrize(
    "text",
    [
        "state.acq.savingChannel1=1\rstate.acq.savingChannel2=1\rstate.acq.numberOfZSlices=1\rstate.acq.frameRate=3.9\r",
        "scanimage.SI4.channelsSave = [1;2]\nscanimage.SI4.stackNumSlices = 1\n",
        "scanimage.SI.hChannels.channelSave = [1;2]\nscanimage.SI.hStackManager.numSlices = 1\n",
    ],
)
def test_channels_of_scanimage_before_2016(tmp_path: Path, text: str) -> None:
    movie = np.stack([page(number) for number in range(6)])
    tifffile.imwrite(tmp_path / "old.tif", movie, description=text, metadata=None)
    with pytest.raises(SourceError, match="takes channels and planes for frames") as caught:
        read_account("ScanImageLegacyImagingInterface", {"file_path": tmp_path / "old.tif"})
    assert caught.value.problem.found == "2 channels, 1 planes in 6 pages"
    text = text.replace("savingChannel2=1", "savingChannel2=0").replace("[1;2]", "1")
    tifffile.imwrite(tmp_path / "old.tif", movie, description=text, metadata=None)
    account, reason = read_account("ScanImageLegacyImagingInterface", {"file_path": tmp_path / "old.tif"})
    assert account is not None, reason
    assert account.streams[0].samples == 6
    assert account.streams[0].rate == (3.9 if "frameRate" in text else None)
