"""CaImAn's estimates as the arrays that are written (part of a compute module: standard library and numpy).

They come from a run, or from the file that ``CNMF.save`` wrote: both have the same names.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def store_results(
    results: Any, model: Any, motion: dict[str, Any], shape: tuple[int, ...], offset: float
) -> dict[str, Any]:
    """Put the motion and, if there is one, the model of a run into `results`; return a summary.

    Parameters
    ----------
    results : h5py.File
    model : caiman CNMF, or None
        None if nothing was found.
    motion : dict
        ``shifts`` (frames, 2), and of a piecewise correction ``blocks`` and ``block_shifts``.
    shape : tuple of int
        Of the movie: (frames, x, y).
    offset : float
        What was taken off every pixel before.
    """
    for name, dtype in (("shifts", np.float32), ("block_shifts", np.float32), ("blocks", np.int32)):
        if name in motion:
            results[name] = np.asarray(motion[name], dtype=dtype)
    count, cells = 0, 0
    if model is not None:
        estimates = model.estimates
        matrix = estimates.A.tocsc()
        count = matrix.shape[1]
        columns = (matrix.indices, matrix.indptr, matrix.data)
        values = {name: getattr(estimates, name, None) for name in ("C", "YrA", "S", "b", "f", "W", "b0")}
        judged = {name: getattr(estimates, name, None) for name in ("idx_components", "SNR_comp", "r_values")}
        judged["cnn_preds"] = getattr(estimates, "cnn_preds", None)
        judged["neurons_sn"] = getattr(estimates, "neurons_sn", None)
        cells = store_components(results, columns, values, judged, shape, offset)
        store_dff(results, model)
    return {"frames": int(shape[0]), "rois": int(count), "cells": int(cells), "offset": float(offset)}


def store_components(
    results: Any,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    values: dict[str, Any],
    judged: dict[str, Any],
    shape: tuple[int, ...],
    offset: float,
) -> int:
    """Put the components into `results`; return how many were accepted.

    Traces are brought to the movie's stored values: with a footprint `a` and a trace `c`, of a movie that is modelled
    as ``a c``, the mean over the footprint, weighted by it, is ``c |a|^2 / sum(a)``.

    Parameters
    ----------
    results : h5py.File
    columns : tuple of ndarray
        Pixels (in Fortran order over x and y), ends and values of the footprints: a matrix by columns.
    values : dict
        ``C``, ``YrA``, ``S``, each (components, frames); ``b`` (pixels, backgrounds), ``f`` (backgrounds, frames).
    judged : dict
        ``idx_components``, ``SNR_comp``, ``r_values``, ``cnn_preds``, ``neurons_sn``; None where it is not known.
    shape : tuple of int
        Of the movie: (frames, x, y).
    offset : float
        What was taken off every pixel before.
    """
    frames, nx = int(shape[0]), int(shape[1])
    pixels, ends, weights = (np.asarray(array) for array in columns)
    keep = weights > 0
    owner = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    pixels, owner, weights = pixels[keep].astype(np.int64), owner[keep], weights[keep].astype(np.float64)
    count = len(ends) - 1
    rois = results.create_group("rois")
    rois["index"] = np.cumsum(np.bincount(owner, minlength=count)).astype(np.int64)
    x, y = pixels % nx, pixels // nx
    rois["x"], rois["y"], rois["weight"] = x.astype(np.uint32), y.astype(np.uint32), weights.astype(np.float32)
    total = np.bincount(owner, weights, minlength=count)
    square = np.bincount(owner, weights**2, minlength=count)
    safe = np.where(total > 0, total, 1.0)
    rois["center"] = np.stack(
        [np.bincount(owner, weights * array, minlength=count) / safe for array in (x, y)], axis=1
    ).astype(np.float32)
    rois["npix"] = np.bincount(owner, minlength=count).astype(np.int32)

    def series(name: str) -> np.ndarray:
        component_values = values.get(name)
        return (
            np.zeros((count, frames)) if component_values is None else np.asarray(component_values, dtype=np.float64)
        )

    scale = (square / safe)[:, None]
    denoised, residual = series("C") * scale, series("YrA") * scale
    background = None
    if values.get("b") is not None and values.get("f") is not None and np.size(values["b"]):
        spatial = np.asarray(values["b"].todense() if hasattr(values["b"], "todense") else values["b"])
        weighted = np.stack(
            [np.bincount(owner, weights * column[pixels], minlength=count) for column in spatial.T], axis=1
        )
        background = (weighted / safe[:, None]) @ np.asarray(values["f"]) + offset
    traces = {"NeuropilCorrected": denoised + residual, "Denoised": denoised, "Deconvolved": series("S") * scale}
    if background is not None:
        traces["Neuropil"] = background
        traces["RoiResponseSeries"] = denoised + residual + background
    for name, trace_values in traces.items():
        results["traces/" + name] = trace_values.T.astype(np.float32)

    accepted = np.ones(count, dtype=bool)
    if judged.get("idx_components") is not None:
        accepted = np.isin(np.arange(count), np.asarray(judged["idx_components"]))
        rois["iscell"] = accepted
    for name, key in (("snr", "SNR_comp"), ("r_value", "r_values"), ("cnn", "cnn_preds"), ("noise", "neurons_sn")):
        measure = judged.get(key)
        if measure is not None and np.size(measure) == count:
            column = np.asarray(measure, dtype=np.float64).reshape(count)
            rois[name] = (column * scale[:, 0] if name == "noise" else column).astype(np.float32)
    return int(accepted.sum())


def store_dff(results: Any, model: Any) -> None:
    """Put CaImAn's dF/F into `results`, where there is a background to divide by."""
    estimates = model.estimates
    if estimates.b is None or not np.size(estimates.b) or estimates.f is None:
        return
    estimates.detrend_df_f(quantileMin=8, frames_window=500)
    if estimates.F_dff is not None:
        results["traces/DfOverF"] = np.asarray(estimates.F_dff, dtype=np.float32).T
