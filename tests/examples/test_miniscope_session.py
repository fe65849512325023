"""DeepLabCut pose and Minian's result, each on its own irregular times, against the csv and numcodecs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from tests.examples.checking import Converted, assert_blocks_equal, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
START = 1764635174.064755  # the first behaviour frame: time 0
LATE = 4044  # the frame whose time lies after that of the next one
EPOCH_EPS = 5e-7  # seconds since 1970 have no finer step in a double


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("miniscope_session")


@pytest.fixture
def folder(raw_store: Path) -> Path:
    return raw_store / "miniscope_session" / "regression_2d"


def read_zarr(folder: Path) -> np.ndarray:
    """Read an array of zarr 2 chunk by chunk, without zarr."""
    about = json.loads((folder / ".zarray").read_text())
    assert about["filters"] is None
    assert about["order"] == "C"
    codec = numcodecs.get_codec(about["compressor"])
    whole = np.zeros(about["shape"], dtype=np.dtype(about["dtype"]))
    read = np.zeros(about["shape"], dtype=bool)
    chunks = about["chunks"]
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        place = tuple(int(i) for i in path.name.split("."))
        chunk = np.frombuffer(codec.decode(path.read_bytes()), dtype=whole.dtype).reshape(chunks)
        where = tuple(
            slice(i * size, min((i + 1) * size, n)) for i, size, n in zip(place, chunks, whole.shape, strict=True)
        )
        whole[where] = chunk[tuple(slice(0, part.stop - part.start) for part in where)]
        read[where] = True
    assert read.all()
    return whole


def column(path: Path, name: str) -> np.ndarray:
    with path.open() as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def test_session(session: Converted) -> None:
    check_session(session)


def test_pose(session: Converted, folder: Path) -> None:
    with (folder / "behavior_position.csv").open() as file:
        rows = list(csv.reader(file))
    parts = rows[1][1::3]
    values = np.array([row[1:] for row in rows[3:]], dtype=float)
    stamps = column(folder / "behavior_timestamp.csv", "unix_time")
    assert len(values) == len(stamps) == 5006
    names = {"LED": "Led", "center": "Center", "taile_base": "Taile_base", "tail_end": "Tail_end"}
    with session.open() as file:
        pose = file["processing/behavior/PoseEstimationDeepLabCut_pose"]
        assert {name for name in pose if name.startswith("PoseEstimationSeries")} == {
            f"PoseEstimationSeries{names[part]}" for part in parts
        }
        for number, part in enumerate(parts):
            series = pose[f"PoseEstimationSeries{names[part]}"]
            assert_blocks_equal(series["data"], values[:, 3 * number : 3 * number + 2])
            assert_blocks_equal(series["confidence"], values[:, 3 * number + 2])
            assert series["data"].attrs["unit"] == "pixels"
            np.testing.assert_allclose(times_of(series), stamps - START, atol=EPOCH_EPS, rtol=0)


def test_minian(session: Converted, folder: Path) -> None:
    traces = read_zarr(folder / "neural_data" / "C.zarr" / "C")  # (units, frames)
    masks = read_zarr(folder / "neural_data" / "A.zarr" / "A")  # (units, height, width)
    units = read_zarr(folder / "neural_data" / "A.zarr" / "unit_id").astype(int)
    assert (read_zarr(folder / "neural_data" / "C.zarr" / "unit_id") == units).all()
    stamps = column(folder / "neural_timestamp.csv", "timestamp_first")
    assert np.flatnonzero(np.diff(stamps) <= 0).tolist() == [LATE]
    stamps[LATE] = (stamps[LATE - 1] + stamps[LATE + 1]) / 2
    with session.open() as file:
        series = file["processing/ophys/Fluorescence/Denoised_miniscope"]
        assert_blocks_equal(series["data"], traces.T)
        np.testing.assert_allclose(times_of(series), stamps - START, atol=EPOCH_EPS, rtol=0)
        table = file["processing/ophys/ImageSegmentation/PlaneSegmentation_miniscope"]
        # NWB's masks are (x, y), as NeuroConv writes them.
        assert_blocks_equal(table["image_mask"], masks.transpose(0, 2, 1), size=3)
        assert [int(name) for name in table["roi_name"].asstr()[()]] == units.tolist()
        assert series["rois"][()].tolist() == list(range(len(units)))
        image = file["processing/ophys/SegmentationImages/maximum_projection"][()]
    projection = read_zarr(folder / "neural_data" / "max_proj.zarr" / "max_proj")
    np.testing.assert_array_equal(image, projection.T)


def test_the_two_cameras_start_apart(session: Converted) -> None:
    """The miniscope starts 0.97 s after the behaviour camera, and neither is regular."""
    with session.open() as file:
        pose = times_of(file["processing/behavior/PoseEstimationDeepLabCut_pose/PoseEstimationSeriesLed"])
        cells = times_of(file["processing/ophys/Fluorescence/Denoised_miniscope"])
    assert pose[0] == 0
    assert cells[0] == pytest.approx(0.973208, abs=1e-6)
    assert np.ptp(np.diff(pose)) > 0.05
