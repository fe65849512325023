"""What a movie holds is what the NWB file holds: random movies in each format."""

from __future__ import annotations

import importlib.metadata
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters._added import load_array, original_times, sample_count
from tests.converters.accounts.raw_movies import FORMATS
from tests.converters.accounts.test_ephys_formats import read_source

pytest.importorskip("tifffile", reason="movies need tifffile: pip install nwbpipe[imaging]")
pytest.importorskip("av", reason="the times of a video's frames need PyAV: pip install nwbpipe[behavior]")
# roiextractors leaves files open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)
QUICK, LONG = 29, 300  # cases a format


@pytest.fixture(autouse=True)
def quick_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up versions of packages once: NeuroConv does it five times a source, which takes half of the time here."""
    monkeypatch.setattr(importlib.metadata, "version", cache(importlib.metadata.version))


def check(name: str, folder: Path, seed: int) -> None:
    """Hold one random movie to its truth."""
    random = np.random.default_rng([seed, len(name)])
    folder.mkdir()
    movie = FORMATS[name](folder, random)
    (series,) = read_source(movie.source, folder)
    times = original_times(series, sample_count(series))
    assert times.shape == movie.times.shape, f"seed {seed}"
    np.testing.assert_allclose(
        times - times[0], movie.times - movie.times[0], rtol=0, atol=movie.tolerance, err_msg=f"seed {seed}"
    )
    if movie.values is not None:
        np.testing.assert_array_equal(load_array(series.data)[:, 0, 1], movie.values, err_msg=f"seed {seed}")
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_holds_what_the_movie_does(name: str, tmp_path: Path) -> None:
    for seed in range(QUICK):
        check(name, tmp_path / str(seed), seed)


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_files_hold_what_many_movies_do(name: str, tmp_path: Path) -> None:
    for seed in range(QUICK, QUICK + LONG):
        check(name, tmp_path / str(seed), seed)
