"""Arrays of a session file in S3, and a session as NWB-Zarr there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbpipe.export import align, to_pandas, to_xarray, write_hdf5, write_zarr
from nwbpipe.testing import assert_same_content
from tests.export.sessions import write_arrays_session
from tests.fixtures.s3 import Bucket


@pytest.mark.long  # a folder of Zarr is a thousand objects
def test_a_session_in_s3_gives_the_same_arrays(bucket: Bucket, tmp_path: Path) -> None:
    path = write_arrays_session(tmp_path / "session.nwb")
    address = bucket.put(path)
    dff = to_xarray(address)["movie"]["Fluorescence.dff"]
    assert dff.sel(roi=22).sel(time=slice(1.0, 1.02)).values.tolist() == [1050.0, 1051.0, 1052.0]
    assert to_pandas(address)["trials"]["go_cue"].tolist() == [1.0, 2.0, 9.9]
    tree = align([address], around="trials.go_cue", window=(0, 1), bin=0.5, series=["units", "wheel"])
    np.testing.assert_allclose(tree["sub-M1_ses-a"]["wheel"][0], [1.245, 1.745])

    folder = f"s3://{bucket.name}/session.zarr"
    write_zarr(address, folder)
    write_hdf5(folder, tmp_path / "back.nwb")
    assert_same_content(path, tmp_path / "back.nwb")  # it has no records
