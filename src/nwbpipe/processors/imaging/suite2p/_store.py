"""suite2p's results as plain arrays in the movie's orientation (part of a compute module: numpy only).

suite2p works on (frames, y, x); NWB stores (frames, x, y). What a run of suite2p left, and what a folder of an
earlier one holds, come out of here alike. A volume's planes are joined along an axis after that of frames, and after
(x, y) of images; ROIs and traces are put side by side, with the plane of each ROI.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

FIELDS = ("npix", "npix_soma", "radius", "aspect_ratio", "compact", "footprint", "skew", "std", "snr")
TRACES = {
    "fluorescence": "F",
    "neuropil": "Fneu",
    "deconvolved": "spks",
    "fluorescence2": "F2",
    "neuropil2": "Fneu2",
}
_BY_FRAME = ("shifts", "correlation", "bad_frames", "block_shifts")

Arrays = Dict[str, np.ndarray]


def plane_arrays(
    outputs: Dict[str, Any],
    shape: Tuple[int, int, int],
    scales: Sequence[float],
    blocks: Optional[Sequence[Any]],
) -> Arrays:
    """Return the arrays of one plane.

    Parameters
    ----------
    outputs : dict
        ``reg`` and ``det`` (suite2p's dictionaries), ``stat`` (a sequence of dictionaries), ``F``, ``Fneu``, ``spks``
        (ROIs, frames) and where there are such ``iscell``, ``redcell`` (ROIs, 2), ``F2``, ``Fneu2``.
    shape : (int, int, int)
        Frames, y, x.
    scales : sequence of float
        What the movie, and that of the second channel, were divided by for suite2p.
    blocks : sequence, optional
        ``yblock`` and ``xblock`` of the non-rigid registration.
    """
    frames, ny, nx = shape
    scale = scales[0]
    reg, det = outputs["reg"], outputs["det"] or {}
    yrange, xrange = [int(v) for v in reg["yrange"]], [int(v) for v in reg["xrange"]]
    arrays: Arrays = {"valid": np.array([*xrange, *yrange], dtype=np.int64)}
    arrays["bad_frames"] = np.asarray(reg.get("badframes", np.zeros(frames)), dtype=bool)
    if "yoff" in reg:
        arrays["shifts"] = np.stack([reg["xoff"], reg["yoff"]], axis=1).astype(np.float32)
        arrays["correlation"] = np.asarray(reg["corrXY"], dtype=np.float32)
    if "yoff1" in reg and blocks is not None:
        arrays["blocks"] = np.hstack([np.stack(blocks[1]), np.stack(blocks[0])]).astype(np.int32)
        arrays["block_shifts"] = np.stack([reg["xoff1"], reg["yoff1"]], axis=2).astype(np.float32)

    def image(name: str, values: Any, cropped: bool, factor: float) -> None:
        full = np.zeros((ny, nx), dtype=np.float32)
        part = full[yrange[0] : yrange[1], xrange[0] : xrange[1]] if cropped else full
        part[...] = values
        arrays["images/" + name] = (full * np.float32(factor)).T

    if "meanImg" in reg:
        image("mean", reg["meanImg"], False, scale)
    elif "meanImg_crop" in det:
        image("mean", det["meanImg_crop"], True, scale)
    if "refImg" in reg:
        image("reference", reg["refImg"], False, scale)
    if reg.get("meanImg_chan2") is not None:
        image("mean_second_channel", reg["meanImg_chan2"], False, scales[1])
    if "max_proj" in det:
        image("max_projection", det["max_proj"], True, scale)
    if "Vcorr" in det:
        image("correlation", det["Vcorr"], True, 1)
    arrays.update(_rois(outputs, frames, scales))
    return arrays


def _rois(outputs: Dict[str, Any], frames: int, scales: Sequence[float]) -> Arrays:
    scale = scales[0]
    stat = outputs["stat"] if outputs.get("F") is not None else []
    count = len(stat)
    arrays: Arrays = {"rois/index": np.cumsum([len(s["ypix"]) for s in stat]).astype(np.int64)}
    for name, key, dtype in (("x", "xpix", np.uint32), ("y", "ypix", np.uint32), ("weight", "lam", np.float32)):
        arrays["rois/" + name] = (
            np.concatenate([np.asarray(s[key]) for s in stat]).astype(dtype) if count else np.zeros(0, dtype)
        )
    for key in FIELDS:
        if all(key in s for s in stat):  # suite2p before 1.0 knows no snr
            values = np.array([s[key] for s in stat], dtype=np.int32 if key.startswith("npix") else np.float32)
            arrays["rois/" + key] = values * np.float32(scale) if key == "std" else values
    arrays["rois/center"] = np.array([[s["med"][1], s["med"][0]] for s in stat], dtype=np.float32).reshape(count, 2)
    for name, key in (("iscell", "iscell"), ("red", "redcell")):
        if count and outputs.get(key) is not None:
            arrays["rois/" + name] = np.asarray(outputs[key])[:, 0].astype(bool)
            arrays["rois/" + name + "_probability"] = np.asarray(outputs[key], np.float32)[:, 1]
        elif not count and name == "iscell":
            arrays["rois/iscell"], arrays["rois/iscell_probability"] = np.zeros(0, bool), np.zeros(0, np.float32)
    for name, key in TRACES.items():
        if count and outputs.get(key) is not None:
            arrays["traces/" + name] = np.asarray(outputs[key], np.float32).T * np.float32(
                scales[1] if name.endswith("2") else scale
            )
        elif not count and not name.endswith("2"):
            arrays["traces/" + name] = np.zeros((frames, 0), np.float32)
    return arrays


def join_planes(planes: List[Arrays]) -> Arrays:
    """Join the planes of a volume; of one plane, return its arrays as they are."""
    if len(planes) == 1:
        return planes[0]
    planes_with_rois = [plane for plane in planes if len(plane["rois/index"])] or planes
    joined: Arrays = {}
    names = dict.fromkeys(name for plane in planes for name in plane)
    for name in names:
        if name.startswith(("rois/", "traces/")):  # those that all planes with ROIs have
            if all(name in plane for plane in planes_with_rois):
                axis = 1 if name.startswith("traces/") else 0
                joined[name] = np.concatenate([plane[name] for plane in planes_with_rois], axis=axis)
        elif name.startswith("images/"):
            blank = next(
                np.zeros_like(plane[name]) for plane in planes if name in plane
            )  # suite2p found nothing there
            joined[name] = np.stack([plane.get(name, blank) for plane in planes], axis=2)
        elif name in _BY_FRAME:
            joined[name] = np.stack([plane[name] for plane in planes], axis=1)
        elif name == "blocks":
            joined[name] = planes[0][name]
        elif name == "valid":
            x0, x1, y0, y1 = np.array([plane[name] for plane in planes]).T
            joined[name] = np.array([x0.max(), x1.min(), y0.max(), y1.min()])
    counts = [len(plane["rois/index"]) for plane in planes]
    ends = np.cumsum([0] + [len(plane["rois/x"]) for plane in planes])
    joined["rois/index"] = np.concatenate([plane["rois/index"] + ends[k] for k, plane in enumerate(planes)])
    joined["rois/plane"] = np.repeat(np.arange(len(planes)), counts)
    return joined


def store_arrays(results: Any, arrays: Arrays, scale: float) -> Dict[str, Any]:
    """Leave the arrays in an HDF5 file; return what the summary says of them."""
    for name, values in arrays.items():
        if name != "valid":
            results[name] = values
    valid = [int(v) for v in arrays["valid"]]
    return {
        "rois": len(arrays["rois/index"]),
        "cells": int(arrays["rois/iscell"].sum()) if "rois/iscell" in arrays else None,
        "bad_frames": int(arrays["bad_frames"].sum()),
        "valid_x": valid[:2],
        "valid_y": valid[2:],
        "intensity_scale": float(scale),
    }
