"""Accounts of movies in HDF5 files and Miniscope's videos, and of results of suite2p, CaImAn and EXTRACT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.converters.accounts import read_account
from nwbpipe.errors import AccountError, SourceError
from tests.converters import raw
from tests.converters.accounts.raw_imaging import HEIGHT, WIDTH, expected, page, write_miniscope
from tests.converters.neuroconv_fixes.test_readers import FRAMES, write_suite2p

h5py = pytest.importorskip("h5py")
pytest.importorskip("roiextractors", reason="movies need roiextractors: pip install nwbpipe[imaging]")
Build = Callable[..., Any]


def hdf5(**args: Any) -> dict[str, Any]:
    return {
        "interface": "Hdf5ImagingInterface",
        "args": {"file_path": "movie.h5", "sampling_frequency": 10.0, **args},
    }


def write_hdf5(path: Path, axes: str, frames: int = 7) -> None:
    """Write a movie of two channels and three planes in an order of axes; those that are missing have one."""
    sizes = {"T": frames, "C": 2 if "C" in axes else 1, "Z": 3 if "Z" in axes else 1}
    data = np.zeros([*sizes.values(), HEIGHT, WIDTH], np.uint16)
    for t, c, z in np.ndindex(*sizes.values()):
        data[t, c, z] = page(t, c, z)
    absent = tuple("TCZ".index(axis) for axis in "CZ" if axis not in axes)
    data = data.squeeze(axis=absent)
    present = [axis for axis in "TCZYX" if axis in axes]
    with h5py.File(path, "w") as file:
        file["mov"] = data.transpose([present.index(axis) for axis in axes])


@pytest.mark.parametrize(
    ("axes", "args", "channel", "planes", "plane"),
    [
        ("TYX", {"axes": "TYX"}, 0, 1, None),
        ("YXT", {"axes": "YXT"}, 0, 1, None),
        ("CTYX", {"channel_index": 1}, 1, 1, None),
        ("TYXC", {"axes": "TYXC", "channel_index": 1}, 1, 1, None),
        ("TZYXC", {"axes": "TZYXC", "channel_index": 0}, 0, 3, None),
        ("CZTYX", {"axes": "CZTYX", "channel_index": 1, "plane_index": 2}, 1, 3, 2),
    ],
)
def test_axes_of_hdf5(
    folder: Path, convert_to: Build, axes: str, args: dict[str, Any], channel: int, planes: int, plane: int | None
) -> None:
    write_hdf5(folder / "movie.h5", axes)
    series = raw.added_series(convert_to({"scope": hdf5(**args)}), "scope")[0]
    data = load_array(series.data)
    assert data.shape[:3] == (7, WIDTH, HEIGHT)
    np.testing.assert_array_equal(data[:, 0, 1], expected(7, channel, planes, plane))


def test_channels_and_axes_of_hdf5_are_asked_for(folder: Path) -> None:
    write_hdf5(folder / "movie.h5", "CTYX")
    with pytest.raises(SourceError, match="the dataset holds 2 channels") as caught:
        read_account("Hdf5ImagingInterface", {"file_path": folder / "movie.h5"})
    assert caught.value.problem.expected == "channel_index: 0 to 1"
    for axes in ("TZYXC", "YXT"):
        write_hdf5(folder / "movie.h5", axes)
        with pytest.raises(SourceError, match="axes of the movie are not clear"):
            read_account("Hdf5ImagingInterface", {"file_path": folder / "movie.h5"})
    with pytest.raises(SourceError, match="no dataset 'movie'") as caught:
        read_account("Hdf5ImagingInterface", {"file_path": folder / "movie.h5", "mov_field": "movie"})
    assert caught.value.problem.expected == "mov_field: mov"


def test_times_of_miniscope(folder: Path, convert_to: Build) -> None:
    times = np.r_[np.arange(10) / 20, 3 + np.arange(10) / 20]
    write_miniscope(folder / "Miniscope", [12, 8], times)
    source = {"interface": "MiniscopeImagingInterface", "args": {"folder_path": "Miniscope"}}
    series = raw.added_series(convert_to({"scope": source}), "scope")[0]
    np.testing.assert_allclose(load_array(series.timestamps), times)
    write_miniscope(folder / "more", [12, 8], np.arange(25) / 20)  # the reader cuts the table
    source["args"] = {"folder_path": "more"}
    with pytest.raises(AccountError, match="does not fit the videos") as caught:
        convert_to({"scope": source})
    assert caught.value.problem.found == "25 times"


def test_videos_of_miniscope_that_are_missing(folder: Path, convert_to: Build) -> None:
    write_miniscope(folder / "Miniscope", [5, 5, 5], np.arange(10) / 20)
    (folder / "Miniscope" / "1.avi").unlink()
    source = {"interface": "MiniscopeImagingInterface", "args": {"folder_path": "Miniscope"}}
    with pytest.raises(SourceError, match="videos of the recording are missing") as caught:
        convert_to({"scope": source})
    assert caught.value.problem.found == "no 1.avi"


def test_frames_of_inscopix_that_were_dropped(folder: Path, convert_to: Build) -> None:
    isx = pytest.importorskip("isx", reason="Inscopix' movies need isx")
    timing = isx.Timing(num_samples=8, period=isx.Duration.from_msecs(50), dropped=[2, 3])
    movie = isx.Movie.write(str(folder / "movie.isxd"), timing, isx.Spacing(num_pixels=(HEIGHT, WIDTH)), np.uint16)
    for frame in (0, 1, 4, 5, 6, 7):
        movie.set_frame_data(frame, page(frame))
    movie.flush()
    del movie
    source = {"interface": "InscopixImagingInterface", "args": {"file_path": "movie.isxd"}}
    series = raw.added_series(convert_to({"scope": source}), "scope")[0]
    np.testing.assert_array_equal(load_array(series.data)[:, 0, 1], [0, 1, 4, 5, 6, 7])  # none is black
    np.testing.assert_allclose(load_array(series.timestamps), np.array([0, 1, 4, 5, 6, 7]) * 0.05)


def suite2p(**args: Any) -> dict[str, Any]:
    return {"interface": "Suite2pSegmentationInterface", "args": {"folder_path": "result", **args}}


def test_planes_and_channels_of_suite2p_are_chosen(folder: Path, convert_to: Build) -> None:
    write_suite2p(folder / "result")
    (folder / "result" / "plane1").mkdir()
    with pytest.raises(SourceError, match="the result holds 2 planes") as caught:
        convert_to({"cells": suite2p()})
    assert caught.value.problem.expected == "plane_name: plane0 or plane1"
    plane = folder / "result" / "plane0"
    np.save(plane / "F_chan2.npy", np.ones((2, FRAMES), np.float32))
    with pytest.raises(SourceError, match="the result holds 2 channels"):
        convert_to({"cells": suite2p(plane_name="plane0")})


def test_arrays_of_suite2p_that_are_of_two_runs(folder: Path) -> None:
    write_suite2p(folder / "result")
    plane = folder / "result" / "plane0"
    np.save(plane / "iscell.npy", np.ones((3, 2)))
    np.save(plane / "spks.npy", np.ones((2, FRAMES - 1), np.float32))
    account, _ = read_account("Suite2pSegmentationInterface", {"folder_path": folder / "result"})
    assert account is not None
    assert [problem.what for _, problem in account.problems] == [
        "the arrays differ in the number of ROIs",
        "the traces of one segmentation differ in length",
    ]


def write_caiman(path: Path, frames: int = 20, residual: int | None = None, pixels: int = HEIGHT * WIDTH) -> None:
    with h5py.File(path, "w") as file:
        footprints = {"data": [0.5, 0.7], "indices": [3, 9], "indptr": [0, 1, 2], "shape": [pixels, 2]}
        for name, values in footprints.items():
            file[f"estimates/A/{name}"] = values
        for name in ("C", "S"):
            file[f"estimates/{name}"] = np.ones((2, frames))
        file["estimates/YrA"] = np.ones((2, residual or frames))
        file["params/data/fr"], file["params/data/dims"] = 12.0, [HEIGHT, WIDTH]


def test_arrays_of_caiman(tmp_path: Path) -> None:
    write_caiman(tmp_path / "a.hdf5")
    account, _ = read_account("CaimanSegmentationInterface", {"file_path": tmp_path / "a.hdf5"})
    assert account is not None
    assert (account.streams[0].samples, account.streams[0].rate, account.problems) == (20, 12.0, ())
    write_caiman(tmp_path / "b.hdf5", residual=19, pixels=40)
    account, _ = read_account("CaimanSegmentationInterface", {"file_path": tmp_path / "b.hdf5"})
    assert account is not None
    assert [problem.found for _, problem in account.problems] == ["YrA: 2 x 19", "40 pixels"]


def write_extract(path: Path, footprints: int = 2, frames: int = 30) -> None:
    """Write a result of EXTRACT 0.6, which took 60 s."""
    with h5py.File(path, "w") as file:
        output = file.create_group("extractAnalysisOutput")
        output["traces"], output["filters"] = np.ones((frames, 2)), np.ones((footprints, WIDTH, HEIGHT))
        output["info/version"] = np.frombuffer(b"0.6.1", np.uint8).astype(np.uint16)[:, None]
        output["info/summary_image"], output["time/totalTime"] = np.ones((WIDTH, HEIGHT)), [[60.0]]
        output["file"] = np.frombuffer(b"movie.h5", np.uint8).astype(np.uint16)[:, None]


def test_extract_has_the_rate_that_was_given(folder: Path, convert_to: Build) -> None:
    write_extract(folder / "result.mat")
    args = {"file_path": "result.mat", "sampling_frequency": 20.0}
    source = {"interface": "ExtractSegmentationInterface", "args": args}
    built = convert_to({"cells": source, "again": {**source, "clock": "cells"}})
    assert {series.rate for series in raw.added_series(built, "cells")} == {20.0}  # and not 30 frames / 60 s
    assert [series.name for series in raw.added_series(built, "again")] == ["RoiResponseSeries_again"]
    write_extract(folder / "other.mat", footprints=3)
    account, _ = read_account("ExtractSegmentationInterface", {"file_path": folder / "other.mat"})
    assert account is not None
    assert [problem.found for _, problem in account.problems] == ["3 footprints"]
