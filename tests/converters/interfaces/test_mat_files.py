"""MATLAB files: both readers give the same, whatever the version; version 7.3 is written as MATLAB lays it out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from nwbpipe.converters.interfaces import _mat_files as mat
from nwbpipe.errors import SourceError

ROWS = [{"n": 1.0, "side": "left", "licks": [0.5, 0.75]}, {"n": 2.0, "side": "right", "licks": [1.5, 1.75, 2.0]}]


def write_5(path):
    names, values = np.empty(3, object), np.empty(2, object)
    names[:], values[:] = ["a", "bb", "c"], [1.0, 2.0]
    rows = np.empty(2, object)
    rows[:] = [{**row, "licks": np.array(row["licks"])} for row in ROWS]
    wide = np.arange(6.0).reshape(2, 3)
    savemat(path, {"wide": wide, "rows": rows, "held": {"names": names, "values": values}, "one": 3.0})


def write_73(path):
    count = 0

    def refer(file, items):
        nonlocal count
        made = []
        for item in items:
            count += 1
            made.append(file.create_dataset(f"#refs#/{count}", data=item))
            if item.dtype == np.uint16:
                made[-1].attrs["MATLAB_class"] = np.bytes_("char")
        return np.array([[one.ref] for one in made], dtype=h5py.ref_dtype)

    def text(value):
        return np.array([[ord(one)] for one in value], np.uint16)

    with h5py.File(path, "w") as file:
        file["wide"], file["one"] = np.arange(6.0).reshape(2, 3).T, [[3.0]]
        for name in ("n", "side", "licks"):  # a struct array: no class at its fields
            cells = [row[name] for row in ROWS]
            items = map(text, cells) if name == "side" else (np.atleast_2d(np.asarray(cell)).T for cell in cells)
            file.create_dataset(f"rows/{name}", data=refer(file, items), dtype=h5py.ref_dtype)
        for name, items in (
            ("names", map(text, ["a", "bb", "c"])),
            ("values", [np.ones((1, 1)), np.full((1, 1), 2.0)]),
        ):
            cell = file.create_dataset(f"held/{name}", data=refer(file, items), dtype=h5py.ref_dtype)
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
        for name, kind in (("flags", "logical"), ("none", "double")):
            file[name] = np.array([[1], [0]], np.uint8) if name == "flags" else np.zeros(2, np.uint64)
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        file["none"].attrs["MATLAB_empty"] = 1


@pytest.mark.parametrize("write", [write_5, write_73])
@pytest.mark.parametrize("read", [mat.load_mat, mat.open_mat])
def test_every_version_gives_the_same(tmp_path, write, read):
    write(tmp_path / "a.mat")
    found = read(tmp_path / "a.mat")
    rows = mat.as_structs(found["rows"])
    assert [row["side"] for row in rows] == ["left", "right"]
    assert [mat.as_scalar(row["n"]) for row in rows] == [1, 2]
    assert [mat.as_vector(row["licks"]).tolist() for row in rows] == [row["licks"] for row in ROWS]
    # A struct of cell arrays is no struct array, however like one it is stored.
    assert list(found["held"]["names"]) == ["a", "bb", "c"]
    assert [mat.as_scalar(one) for one in found["held"]["values"]] == [1, 2]
    assert mat.as_matrix(found["wide"]).shape == (2, 3)
    assert mat.as_matrix(found["wide"]).read_span(0, 1, slice(1, 3)).tolist() == [4, 5]
    if read is mat.load_mat:
        assert found["one"] == rows[0]["n"] + 2 == 3
        assert found["wide"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_logical_and_empty_arrays_of_version_73(tmp_path):
    write_73(tmp_path / "a.mat")
    found = mat.load_mat(tmp_path / "a.mat")
    assert found["flags"].tolist() == [True, False]
    assert found["none"].size == 0
    assert mat.as_matrix(mat.open_mat(tmp_path / "a.mat")["none"]) is None


def test_damaged_files_are_refused(tmp_path):
    write_73(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:2000])
    for read in (mat.load_mat, mat.open_mat):
        with pytest.raises(SourceError, match="MATLAB file can't be read"):
            read(tmp_path / "a.mat")
