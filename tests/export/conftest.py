"""Sessions that several modules share."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.catalog import Catalog
from nwbpipe.export import ml, write_zarr
from nwbpipe.export.ml import MlDataset
from tests.export.ml_sessions import SECONDS, declare, example
from tests.export.sessions import write_arrays_session
from tests.fixtures.processing import Scale


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


@pytest.fixture(scope="package")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session file with a run record, and chunks of its own."""
    path = write_arrays_session(tmp_path_factory.mktemp("zarr") / "session.nwb")
    with h5py.File(path, "r+") as file:
        values = file["acquisition/movie/data"]
        attributes, data = dict(values.attrs), np.tile(values[()], (20, 1, 1))
        del file["acquisition/movie/data"]
        chunked = file.create_dataset("acquisition/movie/data", data=data, chunks=(25, 4, 3), compression="gzip")
        chunked.attrs.update(attributes)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(path.parent / name.lower()))
        nwbpipe.process(path, Scale(), step="twice", inputs={"series": "acquisition/wheel"})
    return path


@pytest.fixture(scope="package")
def zarr_folder(processed: Path) -> Path:
    """The same as NWB-Zarr; it is not to be changed."""
    write_zarr(processed, processed.parent / "session.nwb.zarr")
    return processed.parent / "session.nwb.zarr"
