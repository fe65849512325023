"""The checks of real sessions can fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.examples.checking import Converted, assert_blocks_equal, check_session

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture
def copied(convert_example: Callable[[str], Converted], copy_of: Callable[[Converted], Path]) -> Converted:
    session = convert_example("two_photon")
    return dataclasses.replace(session, path=copy_of(session))


def test_a_source_that_left_nothing(copied: Converted, tmp_path: Path) -> None:
    spec = tmp_path / "more.yaml"
    spec.write_text(copied.spec.read_text() + "  camera: {interface: ExternalVideoInterface}\n")
    with pytest.raises(AssertionError, match="the source camera is in no output"):
        check_session(dataclasses.replace(copied, spec=spec))


def test_a_series_without_samples(copied: Converted) -> None:
    with h5py.File(copied.path, "r+") as file:
        series = file["acquisition/TwoPhotonSeries_scope"]
        attributes = dict(series["data"].attrs)
        del series["data"]
        series.create_dataset("data", (0, 256, 128), dtype="u2")
        series["data"].attrs.update(attributes)
    with pytest.raises(AssertionError, match="the source scope left no data"):
        check_session(copied)


def test_a_raw_file_that_is_not_the_one_recorded(copied: Converted, tmp_path: Path) -> None:
    other = tmp_path / "imaging" / "sima" / "example.tif"
    other.parent.mkdir(parents=True)
    other.write_bytes((copied.raw / "imaging" / "sima" / "example.tif").read_bytes()[:-1] + b"\2")
    with pytest.raises(AssertionError):
        check_session(dataclasses.replace(copied, raw=tmp_path))


@pytest.mark.parametrize("place", [0, 500, 999])
def test_one_changed_sample(place: int) -> None:
    expected = np.arange(1000.0)
    stored = expected.copy()
    assert_blocks_equal(stored, expected)
    stored[place] += 1
    with pytest.raises(AssertionError):
        assert_blocks_equal(stored, expected)
