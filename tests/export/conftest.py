"""Sessions that the tests of data sets share."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.catalog import Catalog
from nwbpipe.export import ml
from nwbpipe.export.ml import MlDataset
from tests.export.ml_sessions import SECONDS, declare, example


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sessions of three subjects on three days."""
    folder = tmp_path_factory.mktemp("ml")
    keys = (("M1", 1), ("M1", 2), ("M2", 3), ("M3", 3))
    return [
        example.simulate_session(folder / f"{subject}_{day}.nwb", subject, day, SECONDS, units=5 + day)
        for subject, day in keys
    ]


@pytest.fixture(scope="package")
def catalog(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NWBPIPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return Catalog.of_files(files)


@pytest.fixture(scope="package")
def blocks(catalog: Catalog) -> MlDataset:
    return ml.open_dataset(catalog, declare())
