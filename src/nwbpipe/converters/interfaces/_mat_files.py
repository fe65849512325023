"""Read MATLAB files, version 5 to 7.3, whole or with the matrices of version 7.3 left on disk.

pymatreader reads both versions too, but not alike: of version 7.3 it makes one thing of struct arrays and of structs
of cell arrays, gives the fields in no fixed order, keeps logicals as integers, and makes arrays of empty texts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import SourceError


def load_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file by name, as `scipy.io.loadmat` simplifies them, whatever the version.

    Structs are dicts, struct arrays lists of dicts, cell arrays arrays of objects; single numbers are scalars, rows
    and columns have one dimension.

    Raises
    ------
    SourceError
        The file is not a MATLAB file, or is damaged.
    """
    return _read(path, _load_73)


def open_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file as `load_mat` does, but for arrays of numbers of a file of version 7.3.

    Those are `MatlabMatrix` objects, read when they are sliced.

    Raises
    ------
    SourceError
        The file is not a MATLAB file, or is damaged.
    """
    # The file stays open: its matrices are read later.
    return _read(
        path, lambda path: _read_variables(h5py.File(path, "r"), lambda item: MatlabMatrix(item, transposed=True))
    )


def _read(path: Path, read_73: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read_73(path) if h5py.is_hdf5(path) else _load_version_5(path)
    except ImportError:
        raise
    except Exception as error:  # scipy and h5py raise nearly anything on a damaged file
        raise SourceError(
            "the MATLAB file can't be read",
            where=str(path),
            expected="a whole .mat file of version 5 to 7.3",
            found=(str(error).splitlines() or [type(error).__name__])[0],
            hint="copy the recording again, or save it again in MATLAB",
        ) from error


class MatlabMatrix:
    """A matrix of a MATLAB file, with MATLAB's own shape (rows, columns); `rows` reads some rows of it."""

    def __init__(self, data: Any, *, transposed: bool = False) -> None:
        self._data, self._transposed = data, transposed
        shape = data.shape if len(data.shape) == 2 else (1, data.size)
        self.shape: tuple[int, int] = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        self.dtype = np.dtype(data.dtype)

    def read_span(self, axis: int, index: int, span: slice) -> np.ndarray:
        """Read a span of one row (`axis` 0) or column (`axis` 1)."""
        by_row = (axis == 0) != self._transposed
        if len(self._data.shape) == 1:
            return np.asarray(self._data[span])
        return np.asarray(self._data[index, span] if by_row else self._data[span, index])


def as_matrix(value: Any) -> MatlabMatrix | None:
    """Return a variable as a matrix of real numbers, or None if it is something else."""
    if isinstance(value, MatlabMatrix):
        return value if value.dtype.kind in "fiu" else None
    if isinstance(value, np.ndarray) and value.ndim <= 2 and value.dtype.kind in "fiu" and value.size:
        return MatlabMatrix(np.atleast_1d(value))
    return None


def as_structs(value: Any) -> list[dict[str, Any]] | None:
    """Return a struct array as a list of its elements, or None if it is something else."""
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list | np.ndarray) and len(value) and all(isinstance(item, dict) for item in value):
        return list(value)
    return None


def as_scalar(value: Any) -> float | None:
    """Return a variable that holds one real number, else None."""
    if isinstance(value, MatlabMatrix):
        value = value.read_span(0, 0, slice(None))
    array = np.asarray(value)
    return float(array.ravel()[0]) if array.size == 1 and array.dtype.kind in "fiub" else None


def as_vector(value: Any) -> np.ndarray | None:
    """Return a variable that holds a row or column of real numbers, else None."""
    matrix = as_matrix(value)
    if matrix is None or 1 not in matrix.shape:
        return None
    return matrix.read_span(0 if matrix.shape[0] == 1 else 1, 0, slice(None))


def _load_version_5(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    content = loadmat(path, simplify_cells=True)
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _load_73(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return _read_variables(file, _load_dataset)


def _read_variables(file: h5py.File, numbers: Callable[[h5py.Dataset], Any]) -> dict[str, Any]:
    """Read a file of version 7.3; `numbers` turns a dataset of numbers into what stands for it."""

    def value(item: Any) -> Any:
        if isinstance(item, h5py.Group):
            if _is_struct_array(item):
                columns = [cells(item[name]) for name in item]
                return [dict(zip(item, row, strict=True)) for row in zip(*columns, strict=True)]
            return {name: value(field) for name, field in item.items()}
        empty = bool(item.attrs.get("MATLAB_empty", 0))  # then the dataset holds the array's size
        if item.attrs.get("MATLAB_class") == b"char":
            return "" if empty else _decode_text(item[()])
        if empty:
            return np.zeros(0)
        if item.dtype == h5py.ref_dtype:
            return np.fromiter(cells(item), dtype=object, count=item.size)
        return numbers(item)

    def cells(item: h5py.Dataset) -> list[Any]:
        return [value(file[reference]) for reference in item[()].ravel()]

    return {name: value(file[name]) for name in file if not name.startswith("#")}


def _is_struct_array(group: h5py.Group) -> bool:
    """Return True if each field holds references to its elements, and none is a cell array."""
    fields = list(group.values())
    return (
        bool(fields)
        and all(isinstance(field, h5py.Dataset) and field.dtype == h5py.ref_dtype for field in fields)
        and not any("MATLAB_class" in field.attrs for field in fields)
        and len({field.size for field in fields}) == 1
    )


def _decode_text(codes: Any) -> Any:
    rows = ["".join(map(chr, row)) for row in np.atleast_2d(codes.T)]  # MATLAB's order is the other one
    return rows[0] if len(rows) == 1 else np.array(rows, dtype=object)


def _load_dataset(item: h5py.Dataset) -> Any:
    data = item[()]
    if item.attrs.get("MATLAB_class") == b"logical":
        data = data.astype(bool)
    if data.size == 1:
        return data.ravel()[0]
    return data.ravel() if 1 in data.shape else data.T
