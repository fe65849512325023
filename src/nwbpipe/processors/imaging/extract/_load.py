"""Take the .mat file with EXTRACT's output as the result of a run. Neither EXTRACT nor MATLAB need be installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import InputError, SourceError
from nwbpipe.processors._base import Loaded
from nwbpipe.processors.imaging.extract._compute import store_cells

#: The struct's name, and in it the footprints and traces: of version 1 and later, and before.
_LAYOUTS = (("output", "spatial_weights", "temporal_weights"), ("extractAnalysisOutput", "filters", "traces"))
_IMAGES = {"summary": "summary_image", "max": "max_image", "baseline": "F_per_pixel"}


def output_files(source: Path) -> list[Path]:
    """Return the file itself, if it is one of EXTRACT's.

    Raises
    ------
    SourceError
        If it is not.
    """
    if source.is_file() and h5py.is_hdf5(source):
        with h5py.File(source, "r", locking=False) as file:
            if _find_layout(file) is not None:
                return [source]
    msg = "this is not an output of EXTRACT"
    raise SourceError(
        msg,
        where=str(source),
        expected="a .mat file of version 7.3 with the struct `output` (or `extractAnalysisOutput`)",
        hint="save it in MATLAB with save('file.mat', 'output', '-v7.3')",
    )


def load_output(source: Path, results: h5py.File, facts: Mapping[str, Any], params: Any) -> Loaded:
    """Read EXTRACT's output into `results`, in the arrays that the compute module leaves.

    MATLAB's rows are our y, its columns our x.

    Parameters
    ----------
    source : Path
    results : h5py.File
        Open for writing.
    facts : mapping
        Of the movie that it was made from (`movie_facts`).
    params : ExtractParams
        The defaults; nothing of them is taken.
    """
    frames, nx, ny = (int(size) for size in facts["shape"][:3])
    with h5py.File(source, "r", locking=False) as file:
        layout = _find_layout(file)
        assert layout is not None  # see output_files
        struct, spatial, temporal = layout
        output = file[struct]
        weights = _read_numbers(output[spatial], source)
        traces = _read_numbers(output[temporal], source)
        if weights.ndim == 2:  # MATLAB drops the last axis of a single cell
            weights = weights[None]
        count = len(weights)
        if struct != "output":
            traces = traces.T
        if weights.shape[1:] != (nx, ny) or traces.shape != (count, frames):
            msg = "the output is of another movie"
            raise InputError(
                msg,
                where=str(source),
                expected=f"{frames} frames of {nx} x {ny} pixels (x, y)",
                found=f"footprints {weights.shape}, traces {traces.shape}",
                hint="bind the movie that it was made from: --input movie=PATH",
            )
        store_cells(results, weights, traces)
        info = output.get("info", {})
        for image_name, name in _IMAGES.items():
            image = info.get(name)
            if isinstance(image, h5py.Dataset) and image.shape == (nx, ny):
                results["images/" + image_name] = np.asarray(image[()], np.float32)
        config = dict(_iter_config(output.get("config", {})))
        version = _read_text(info.get("version"))
    divided = bool(config.get("preprocess", True)) and not config.get("skip_dff", False)
    summary = {"frames": frames, "rois": count, "dff": divided, "corrected": False, "loaded": True}
    return Loaded(summary, params, {"loaded": True, **config}, version)


def _find_layout(file: h5py.File) -> tuple[str, str, str] | None:
    for struct, spatial, temporal in _LAYOUTS:
        if f"{struct}/{spatial}" in file and f"{struct}/{temporal}" in file:
            return struct, spatial, temporal
    return None


def _read_numbers(dataset: Any, source: Path) -> np.ndarray:
    """Read an array of numbers; what MATLAB wrote as sparse, or holds NaN, is refused."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        msg = "a part of the output is stored in a form that can't be read"
        raise SourceError(
            msg, where=f"{source}:{dataset.name}", expected="a full array", hint="save it with full(...) in MATLAB"
        )
    if dataset.attrs.get("MATLAB_empty"):
        return np.zeros((0, *dataset.shape[1:]))
    values = np.asarray(dataset[()])
    if not np.isfinite(values).all():
        msg = "the output holds NaN or infinite values"
        raise SourceError(msg, where=f"{source}:{dataset.name}", hint="run EXTRACT again")
    return values


def _iter_config(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Single numbers and texts of the configuration; arrays (masks, initial images) are no parameters to compare."""
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from _iter_config(item, f"{prefix}{name}.")
        elif item.attrs.get("MATLAB_class") == b"char":
            yield prefix + name, _read_text(item)
        elif item.size == 1 and item.dtype.kind in "iufb":
            value = float(np.ravel(item[()])[0])
            yield prefix + name, str(value) if not np.isfinite(value) else int(value) if value.is_integer() else value


def _read_text(dataset: Any) -> str:
    """Read a text of MATLAB's, which are numbers of characters."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "u":
        return "unknown"
    return "".join(chr(int(code)) for code in np.ravel(dataset[()]) if code)
