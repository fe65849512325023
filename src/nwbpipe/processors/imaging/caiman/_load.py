"""Take the file that CaImAn's ``CNMF.save`` wrote as the result of a run. CaImAn need not be installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import InputError, SourceError
from nwbpipe.processors._base import Loaded
from nwbpipe.processors.imaging._settings import own_settings
from nwbpipe.processors.imaging.caiman._params import KNOWN, CaimanParams
from nwbpipe.processors.imaging.caiman._store import store_components

_NEEDED = ("A", "C")


def output_files(source: Path) -> list[Path]:
    """Return the file itself, if it is one of CaImAn's.

    Raises
    ------
    SourceError
        If it is not.
    """
    if source.is_file() and h5py.is_hdf5(source):
        with h5py.File(source, "r", locking=False) as file:
            if all(f"estimates/{name}" in file for name in _NEEDED):
                return [source]
    msg = "this is not a saved result of CaImAn"
    raise SourceError(
        msg,
        where=str(source),
        expected="an HDF5 file with estimates/A and estimates/C",
        hint="name the file that `cnmf.save('….hdf5')` wrote",
    )


def load_output(source: Path, results: h5py.File, facts: Mapping[str, Any], params: Any) -> Loaded:
    """Read a saved result into `results`, in the arrays that the compute module leaves.

    Motion correction is not in such a file. CaImAn reads image files as (frames, rows, columns), which are our y and
    x; where the result was made from an NWB file, as (frames, x, y).

    Parameters
    ----------
    source : Path
    results : h5py.File
        Open for writing.
    facts : mapping
        Of the movie that it was made from (`movie_facts`).
    params : CaimanParams
        The defaults; nothing of them is taken.
    """
    frames, nx, ny = (int(size) for size in facts["shape"][:3])
    with h5py.File(source, "r", locking=False) as file:
        estimates = file["estimates"]
        values = {name: _read_array(estimates, name) for name in ("C", "YrA", "S", "f", "R")}
        if values["YrA"] is None:
            values["YrA"] = values["R"]
        shape, matrix = _read_matrix(estimates["A"], source)
        dims = _read_array(file, "dims")
        if dims is None:
            dims = _read_array(estimates, "dims")
        swapped = _is_swapped(dims, file, (nx, ny), source)
        components = int(shape[1])
        if values["C"] is None or values["C"].shape != (components, frames) or shape[0] != nx * ny:
            msg = "the result is of another movie"
            size = None if values["C"] is None else values["C"].shape
            raise InputError(
                msg,
                where=str(source),
                expected=f"{frames} frames of {nx * ny} pixels",
                found=f"footprints {tuple(map(int, shape))}, traces {size}",
                hint="bind the movie that it was made from: --input movie=PATH",
            )
        for name, value in values.items():
            if value is not None and not np.isfinite(value).all():
                msg = "the result holds NaN or infinite values"
                raise SourceError(msg, where=f"{source}:/estimates/{name}", hint="run CaImAn again")
        values["b"] = _read_background(estimates, nx * ny, source)
        if swapped:
            order = _pixel_order(nx, ny)
            matrix = (order[matrix[0]], matrix[1], matrix[2])
            if values["b"] is not None:
                moved = np.empty_like(values["b"])
                moved[order] = values["b"]
                values["b"] = moved
        judged = {
            name: _read_array(estimates, name)
            for name in ("idx_components", "SNR_comp", "r_values", "cnn_preds", "neurons_sn")
        }
        cells = store_components(results, matrix, values, judged, (frames, nx, ny), 0.0)
        dff = _read_array(estimates, "F_dff")
        if dff is not None and dff.shape == (components, frames):
            results["traces/DfOverF"] = dff.T.astype(np.float32)
        parameters, version = _read_parameters(file)
    summary = {"frames": frames, "rois": components, "cells": cells, "offset": 0.0, "loaded": True}
    return Loaded(summary, params, {"loaded": True, **parameters}, version)


def _pixel_order(nx: int, ny: int) -> np.ndarray:
    """For each pixel in Fortran order over (y, x), its place in Fortran order over (x, y)."""
    pixels = np.arange(nx * ny)
    y, x = pixels % ny, pixels // ny
    return np.asarray(x + y * nx)


def _read_array(group: Any, name: str) -> np.ndarray | None:
    """Return an array of numbers; None where CaImAn wrote that it has none (as text)."""
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iufb" or dataset.shape is None:
        return None
    return np.asarray(dataset[()])


def _read_matrix(group: Any, source: Path) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Read a sparse matrix by columns, and check that its parts fit together."""
    try:
        shape, indices, ends, data = (np.asarray(group[name][()]) for name in ("shape", "indices", "indptr", "data"))
    except (KeyError, TypeError, AttributeError) as error:
        msg = "the footprints are not stored as CaImAn stores them"
        raise SourceError(
            msg, where=f"{source}:/estimates/A", expected="data, indices, indptr and shape", found=str(error)
        ) from error
    consistent = (
        shape.shape == (2,)
        and len(ends) == int(shape[1]) + 1
        and ends[0] == 0
        and np.all(np.diff(ends) >= 0)
        and ends[-1] == len(indices) == len(data)
        and (len(indices) == 0 or (indices.min() >= 0 and indices.max() < shape[0]))
        and np.isfinite(data).all()
    )
    if not consistent:
        msg = "the footprints contradict themselves"
        raise SourceError(msg, where=f"{source}:/estimates/A", hint="the file is damaged: run CaImAn again")
    return shape, (indices, ends, data)


def _read_background(estimates: Any, pixels: int, source: Path) -> np.ndarray | None:
    background = estimates.get("b")
    if isinstance(background, h5py.Group):
        shape, (indices, ends, data) = _read_matrix(background, source)
        dense = np.zeros(tuple(int(size) for size in shape))
        dense[indices, np.repeat(np.arange(len(ends) - 1), np.diff(ends))] = data
    else:
        read = _read_array(estimates, "b")
        if read is None:
            return None
        dense = read
    return dense if dense.ndim == 2 and dense.shape[0] == pixels and dense.shape[1] else None


def _is_swapped(dims: np.ndarray | None, file: h5py.File, size: tuple[int, int], source: Path) -> bool:
    """Tell whether CaImAn's first axis is our y."""
    nx, ny = size
    if dims is None or dims.shape != (2,) or tuple(map(int, dims)) not in ((nx, ny), (ny, nx)):
        msg = "the result is of another movie"
        raise InputError(
            msg,
            where=str(source),
            expected=f"one plane of {nx} x {ny} pixels (x, y)",
            found="no size" if dims is None else " x ".join(str(int(length)) for length in np.ravel(dims)),
            hint="bind the movie that it was made from: --input movie=PATH",
        )
    if nx != ny:
        return tuple(map(int, dims)) == (ny, nx)
    names = file.get("params/data/fnames")
    text = str(names[()]) if isinstance(names, h5py.Dataset) else ""
    return ".nwb" not in text


def _read_parameters(file: h5py.File) -> tuple[dict[str, Any], str]:
    """Parameters that the file tells, by group, without paths; and CaImAn's version. Texts are attributes there."""
    known_paths = {"data.fr", *own_settings(CaimanParams), *KNOWN}
    parameters: dict[str, Any] = {}
    version = "unknown"
    for group in sorted({path.partition(".")[0] for path in known_paths} & set(file.get("params", {}))):
        texts = file["params"][group].attrs
        version = str(texts.get("caiman_version", version))
        for name in sorted(path.partition(".")[2] for path in known_paths if path.startswith(f"{group}.")):
            dataset = file["params"][group].get(name)
            value = dataset[()] if isinstance(dataset, h5py.Dataset) else texts.get(name)
            if isinstance(value, bytes):
                value = None if value == b"NoneType" else value.decode("utf-8", "replace")
            elif isinstance(value, (np.ndarray, np.generic)):
                value = value.tolist() if value.dtype.kind in "iufb" else None
            elif not isinstance(value, str):
                continue  # the file does not tell it
            parameters.setdefault(group, {})[name] = value
    return parameters, version
