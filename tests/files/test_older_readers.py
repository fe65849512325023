"""What nwbpipe writes is read by older HDF5: h5py of years ago (`make readers`), and h5dump where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.files import Codec, Layout, transaction, write_chunked

READERS = Path(__file__).parents[2] / ".make" / "readers"
MOVIE = np.random.default_rng(0).poisson(30, (40, 64, 96)).astype("<i2")
TRACE = np.random.default_rng(1).normal(0, 1, 5000)


@pytest.fixture(params=Layout)
def written(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file of ours: compressed in threads, then changed by a transaction."""
    path = tmp_path / "session.h5"
    with h5py.File(path, "w", **request.param.options()) as file:
        movie = file.create_dataset("movie", MOVIE.shape, MOVIE.dtype, chunks=(8, 64, 96), **Codec.GZIP.options())
        write_chunked(movie, MOVIE.__getitem__)
        file["about"] = "a text"
    with transaction(path) as file:
        trace = file.create_dataset("results/trace", (5000,), "f8", chunks=(999,), **Codec.GZIP.options())
        write_chunked(trace, TRACE.__getitem__)
        file["results"].attrs["unit"] = "V"
    return path


@pytest.mark.parametrize("version", ["3.8.0", "3.10.0"])
def test_h5py_of_years_ago(written: Path, version: str, tmp_path: Path) -> None:
    place = READERS / f"h5py-{version}"
    if not place.is_dir():
        reason = f"h5py {version} is not installed: make readers"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    code = (
        "import sys, json, h5py, numpy as np\n"
        "with h5py.File(sys.argv[1]) as file:\n"
        "    np.savez(sys.argv[2], movie=file['movie'][()], trace=file['results/trace'][()])\n"
        "    text, unit = file['about'].asstr()[()], file['results'].attrs['unit']\n"
        "print(json.dumps([h5py.__version__, h5py.version.hdf5_version, text, unit]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(written), str(tmp_path / "read.npz")],
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    found, hdf5, *texts = json.loads(done.stdout)
    assert found == version
    assert hdf5.startswith(("1.12", "1.14"))
    assert texts == ["a text", "V"]
    with np.load(tmp_path / "read.npz") as read:
        assert np.array_equal(read["movie"], MOVIE)
        assert np.array_equal(read["trace"], TRACE)


@pytest.mark.tool
def test_h5dump(written: Path, tmp_path: Path) -> None:
    program = shutil.which("h5dump")
    if program is None:
        pytest.skip("there is no h5dump (Debian's hdf5-tools have that of HDF5 1.10)")
    for name, values in (("movie", MOVIE), ("results/trace", TRACE)):
        out = tmp_path / "values.bin"
        subprocess.run(
            [program, "-d", f"/{name}", "-b", "LE", "-o", str(out), str(written)], check=True, capture_output=True
        )
        assert out.read_bytes() == values.tobytes()
