"""Arrays of a MATLAB file, version 5 to 7.3, without loading more than is asked for where the format allows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import SourceError


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file by name.

    Arrays of numbers of a file of version 7.3 are `Matrix` objects, read when they are sliced; struct arrays are
    lists of dicts.

    Raises
    ------
    SourceError
        The file is no MATLAB file, or is damaged.
    """
    try:
        content = _version_73(path) if h5py.is_hdf5(path) else _version_5(path)
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
    return content


class Matrix:
    """A matrix of a MATLAB file, with MATLAB's own shape (rows, columns); `rows` reads some rows of it."""

    def __init__(self, data: Any, *, transposed: bool = False) -> None:
        self._data, self._transposed = data, transposed
        shape = data.shape if len(data.shape) == 2 else (1, data.size)
        self.shape: tuple[int, int] = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        self.dtype = np.dtype(data.dtype)

    def across(self, axis: int, index: int, span: slice) -> np.ndarray:
        """Read a span of one row (`axis` 0) or column (`axis` 1)."""
        by_row = (axis == 0) != self._transposed
        if len(self._data.shape) == 1:
            return np.asarray(self._data[span])
        return np.asarray(self._data[index, span] if by_row else self._data[span, index])


def matrix(value: Any) -> Matrix | None:
    """Return a variable as a matrix of real numbers, or None if it is none."""
    if isinstance(value, Matrix):
        return value if value.dtype.kind in "fiu" else None
    if isinstance(value, np.ndarray) and value.ndim <= 2 and value.dtype.kind in "fiu" and value.size:
        return Matrix(np.atleast_1d(value))
    return None


def structs(value: Any) -> list[dict[str, Any]] | None:
    """Return a struct array as a list of its elements, or None if it is none."""
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list | np.ndarray) and len(value) and all(isinstance(item, dict) for item in value):
        return list(value)
    return None


def scalar(value: Any) -> float | None:
    """Return a variable that holds one real number, else None."""
    if isinstance(value, Matrix):
        value = value.across(0, 0, slice(None))
    array = np.asarray(value)
    return float(array.ravel()[0]) if array.size == 1 and array.dtype.kind in "fiub" else None


def vector(value: Any) -> np.ndarray | None:
    """Return a variable that holds a row or column of real numbers, else None."""
    found = matrix(value)
    if found is None or 1 not in found.shape:
        return None
    return found.across(0 if found.shape[0] == 1 else 1, 0, slice(None))


def _version_5(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    content = loadmat(path, simplify_cells=True)
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _version_73(path: Path) -> dict[str, Any]:
    file = h5py.File(path, "r")  # stays open: its matrices are read later

    def value(item: Any) -> Any:
        if isinstance(item, h5py.Group):
            fields = {name: item[name] for name in item}
            if fields and all(_refers(one) for one in fields.values()):
                return list(_elements(fields))
            return {name: value(one) for name, one in fields.items()}
        if item.attrs.get("MATLAB_class") == b"char":
            return "".join(map(chr, item[()].ravel(order="F"))) if "MATLAB_empty" not in item.attrs else ""
        if _refers(item):
            return [value(file[reference]) for reference in item[()].ravel()]
        return Matrix(item, transposed=True)

    def _elements(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
        columns = {name: [value(file[reference]) for reference in one[()].ravel()] for name, one in fields.items()}
        for k in range(min(map(len, columns.values()))):
            yield {name: column[k] for name, column in columns.items()}

    return {name: value(file[name]) for name in file if not name.startswith("#")}


def _refers(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype and "MATLAB_empty" not in item.attrs
