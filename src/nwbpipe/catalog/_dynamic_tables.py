"""Read the columns of a ``DynamicTable`` with h5py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

Columns = dict[str, Any]  # by name: an array, or a list, with a value for each row

_WIDEST = 16  # values of a fixed number for each row
_LONGEST = 64  # values for each row of a ragged column, on average


def read_columns(group: h5py.Group, without: Sequence[str] = ()) -> tuple[Columns, dict[str, str]]:
    """Return the columns of a table, and the reasons why others were left out.

    Texts, numbers and truth values become columns, ragged ones lists. Images, masks, waveforms and references to
    other objects do not: they stay in the session file.

    Parameters
    ----------
    group : h5py.Group
        The table.
    without : sequence of str
        Columns that the caller reads.
    """
    names = [decode(name) for name in group.attrs.get("colnames", ())]
    columns: Columns = {}
    left_out: dict[str, str] = {}
    if isinstance(group.get("id"), h5py.Dataset):
        columns["id"] = group["id"][()]
    for name in names:
        if name in without:
            continue
        dataset = group.get(name)
        if not isinstance(dataset, h5py.Dataset):
            left_out[name] = "not a dataset"
        elif f"{name}_index" in group:
            if isinstance(ragged := _read_ragged(group, name), str):
                left_out[name] = ragged
            else:
                columns[name] = ragged
        elif isinstance(values := _read_values(dataset), str):
            left_out[name] = values
        elif values.ndim > 1 and int(np.prod(values.shape[1:])) > _WIDEST:
            left_out[name] = f"{'x'.join(map(str, values.shape[1:]))} values for each row"
        else:
            columns[name] = values if values.ndim == 1 else values.tolist()
    length = len(columns["id"]) if "id" in columns else None
    for name, values in list(columns.items()):
        if length is not None and len(values) != length:
            left_out[name] = f"{len(values)} values for {length} rows"
            del columns[name]
    return columns, left_out


def _read_values(dataset: h5py.Dataset) -> np.ndarray | str:
    """Return the values of a column, or why a table can't have them."""
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        return "references to other objects"
    if dataset.dtype.kind == "V":
        return "compound values"
    if dataset.shape is None or dataset.ndim == 0:
        return "one value for all rows"
    if dataset.ndim > 1 and int(np.prod(dataset.shape[1:])) > _WIDEST:
        return f"{'x'.join(map(str, dataset.shape[1:]))} values for each row"
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr(errors="replace")[()], dtype=object)
    if "elements" in dataset.attrs and dataset.dtype.kind in "iu":  # EnumData: the names of the values
        return _read_enum(dataset)
    return np.asarray(dataset[()])


def _read_enum(dataset: h5py.Dataset) -> np.ndarray:
    names = dataset.file[dataset.attrs["elements"]].asstr()[()].tolist()
    return np.array([names[code] if 0 <= code < len(names) else None for code in dataset[()]], dtype=object)


def _read_ragged(group: h5py.Group, name: str) -> pa.Array | str:
    """Return a ragged column as lists, or why a table can't have it."""
    if f"{name}_index_index" in group:
        return "lists of lists"
    ends = np.asarray(group[f"{name}_index"][()], dtype=np.int64)
    dataset = group[name]
    if len(dataset.shape or ()) == 1 and dataset.shape[0] > _LONGEST * max(len(ends), 1):
        return f"more than {_LONGEST} values for each row"
    values = _read_values(dataset)
    if isinstance(values, str):
        return values
    if values.ndim > 1:
        return "lists of arrays"
    offsets = np.concatenate(([0], ends))
    if np.any(np.diff(offsets) < 0) or (len(ends) and ends[-1] > len(values)):
        return "an index that does not fit the values"
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values))


def find_region(file: h5py.File, path: str) -> tuple[str | None, str | None]:
    """Return the column of a table that names rows of another table, and the path of that table."""
    group = file[path]
    for name in group:
        dataset = group[name]
        if isinstance(dataset, h5py.Dataset) and decode(dataset.attrs.get("neurodata_type")) == "DynamicTableRegion":
            target = dataset.attrs.get("table")
            if isinstance(target, h5py.Reference) and target:
                return name, file[target].name
    return None, None


def decode(value: Any) -> Any:
    """Return a text, number or truth value of a file, or lists of them, as Python's own."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [decode(part) for part in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
