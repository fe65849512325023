"""Take what suite2p left in a folder, of this version or an older one, as the result of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import InputError, SourceError
from nwbpipe.nwb_builders import load_array, load_pickled_dict, load_pickled_dicts
from nwbpipe.processors._base import Loaded
from nwbpipe.processors.imaging.suite2p._params import SETTINGS
from nwbpipe.processors.imaging.suite2p._store import Arrays, join_planes, plane_arrays, store_arrays

_NEEDED = ("ops.npy", "stat.npy", "F.npy", "Fneu.npy")
_OPTIONAL = {
    "spks": "spks.npy",
    "iscell": "iscell.npy",
    "redcell": "redcell.npy",
    "F2": "F_chan2.npy",
    "Fneu2": "Fneu_chan2.npy",
}
#: Settings that older versions kept without groups, beside those of version 1.1.
_OLD_SETTINGS = (
    *("tau", "fs", "diameter", "neucoeff", "sparse_mode", "spatial_scale", "connected", "max_iterations", "1Preg"),
    *(
        "do_registration",
        "spikedetect",
        "high_pass",
        "nbinned",
        "anatomical_only",
        "functional_chan",
        "align_by_chan",
    ),
    *("use_builtin_classifier", "two_step_registration", "preclassify", "nplanes", "nchannels", "batch_size"),
)


def plane_folders(source: Path) -> list[Path]:
    """Return the folders of the planes in what suite2p left: one, or ``plane0``, ``plane1``, ….

    Raises
    ------
    SourceError
        There are none, or one lacks a file that every run of suite2p leaves.
    """
    for folder in (source, source / "suite2p"):
        planes = [
            entry for entry in folder.glob("plane*") if re.fullmatch(r"plane\d+", entry.name) and entry.is_dir()
        ]
        planes.sort(key=lambda one: int(one.name.removeprefix("plane")))
        if planes:
            break
    else:
        planes = [source]
    for plane in planes:
        missing = [name for name in _NEEDED if not (plane / name).is_file()]
        if missing:
            msg = "this is not a finished output of suite2p"
            raise SourceError(
                msg,
                where=str(plane),
                expected=", ".join(_NEEDED),
                found="no " + ", no ".join(missing),
                hint="name the folder `suite2p` or `plane0` of a run that ended (`suite2p.pipeline` alone writes no "
                "ops.npy: use `run_s2p` or `run_plane`)",
            )
    return planes


def output_files(source: Path) -> list[Path]:
    """Return the files of a suite2p folder that are read."""
    names = (*_NEEDED, *_OPTIONAL.values())
    return [plane / name for plane in plane_folders(source) for name in names if (plane / name).is_file()]


def load_output(source: Path, results: h5py.File, facts: Mapping[str, Any], params: Any) -> Loaded:
    """Read a suite2p folder into `results`, in the arrays that the compute module leaves.

    Parameters
    ----------
    source : Path
        The folder ``suite2p``, the one above it, or that of a plane.
    results : h5py.File
        Open for writing.
    facts : mapping
        Of the movie that it was made from (`movie_facts`).
    params : Suite2pParams
        The defaults; tau and the coefficient of the neuropil are replaced by those of the folder.
    """
    folders = plane_folders(source)
    shape = facts["shape"]
    if len(folders) != (shape[3] if len(shape) == 4 else 1):
        msg = "the output and the movie differ in their number of planes"
        raise InputError(
            msg,
            where=str(source),
            expected=f"{shape[3] if len(shape) == 4 else 1}",
            found=", ".join(plane_folder.name for plane_folder in folders),
            hint="name the folder of the plane that this series is",
        )
    planes, ops = [], {}
    for folder in folders:
        ops = load_pickled_dict(folder / "ops.npy")
        planes.append(_read_plane(folder, ops, (shape[0], shape[2], shape[1])))
    coefficient = ops.get("neucoeff", ops.get("extraction", {}).get("neuropil_coefficient"))
    if coefficient is None:
        msg = "the output does not say what part of the neuropil was taken off"
        raise SourceError(
            msg, where=str(folders[0] / "ops.npy"), expected="neucoeff, or extraction.neuropil_coefficient"
        )
    summary = store_arrays(results, join_planes(planes), 1.0)
    settings = _settings(ops)
    unknown = "yoff1" in ops and "yblock" not in ops
    return Loaded(
        summary={**summary, "frames": shape[0], "planes": len(planes), "loaded": True, "blocks_unknown": unknown},
        params=params.model_copy(
            update={
                "neuropil_coefficient": _read_number(folders[0], "neucoeff", coefficient),
                "tau": _read_number(folders[0], "tau", ops.get("tau", params.tau)),
            }
        ),
        parameters=settings,
        tool_version=str(ops.get("suite2p_version") or ops.get("version") or "unknown"),
    )


def _read_number(folder: Path, name: str, value: Any) -> float:
    if np.ndim(value) != 0 or not _is_finite(value):
        msg = f"{name} is not a finite number"
        raise SourceError(msg, where=str(folder / "ops.npy"), expected="a number", found=repr(value)[:80])
    return float(value)


def _read_plane(folder: Path, ops: Mapping[str, Any], shape: tuple[int, int, int]) -> Arrays:
    frames, ny, nx = shape
    stat = load_pickled_dicts(folder / "stat.npy")
    outputs: dict[str, Any] = {"reg": dict(ops), "det": dict(ops), "stat": stat}
    for key, name in {"F": "F.npy", "Fneu": "Fneu.npy", **_OPTIONAL}.items():
        if (folder / name).is_file():
            outputs[key] = _read_array(folder / name, len(stat), 2 if key in ("iscell", "redcell") else None)
    sizes = tuple(int(ops.get(key, 0)) for key in ("Ly", "Lx"))
    output_shape = (outputs["F"].shape[1], *sizes)
    if output_shape != shape:
        msg = "the output is of another movie"
        raise InputError(
            msg,
            where=str(folder),
            expected=f"{frames} frames of {nx} x {ny} pixels (x, y)",
            found=f"{output_shape[0]} frames of {output_shape[2]} x {output_shape[1]}",
            hint="bind the movie that it was made from: --input movie=PATH",
        )
    for name in ("yoff", "xoff", "corrXY", "yoff1", "xoff1", "badframes"):
        if name in ops and len(ops[name]) != frames:
            msg = f"{name} is not of all frames"
            raise SourceError(msg, where=str(folder / "ops.npy"), expected=str(frames), found=str(len(ops[name])))
    for number, roi in enumerate(stat):
        missing = [name for name in ("ypix", "xpix", "lam", "med") if name not in roi]
        if missing or len(roi["ypix"]) != len(roi["lam"]):
            msg = f"ROI {number} is not one of suite2p's"
            found_text = f"no {', '.join(missing)}" if missing else f"{len(roi['lam'])} weights"
            raise SourceError(msg, where=str(folder / "stat.npy"), expected="ypix, xpix, lam, med", found=found_text)
        for name in ("ypix", "xpix", "lam", "med"):
            if not _is_finite(roi[name]) or (name == "med" and np.shape(roi[name]) != (2,)):
                msg = f"{name} of ROI {number} does not hold finite numbers"
                raise SourceError(msg, where=str(folder / "stat.npy"), expected="numbers, as suite2p leaves them")
        y, x = np.asarray(roi["ypix"]), np.asarray(roi["xpix"])
        if (
            y.shape != x.shape
            or y.min(initial=0) < 0
            or x.min(initial=0) < 0
            or y.max(initial=0) >= ny
            or x.max(initial=0) >= nx
        ):
            msg = f"ROI {number} lies outside of the frame"
            raise SourceError(msg, where=str(folder / "stat.npy"), expected=f"x below {nx}, y below {ny}")
    for name in ("meanImg", "meanImgE", "max_proj", "Vcorr", "yoff", "xoff", "corrXY", "yoff1", "xoff1"):
        if name in ops and not _is_finite(ops[name]):
            msg = f"{name} does not hold finite numbers"
            raise SourceError(msg, where=str(folder / "ops.npy"), expected="numbers, as suite2p leaves them")
    if "meanImg" in ops and np.shape(ops["meanImg"]) != (ny, nx):
        msg = "meanImg is not of the size of a frame"
        raise SourceError(
            msg,
            where=str(folder / "ops.npy"),
            expected=f"{ny} rows of {nx}",
            found=f"shape {np.shape(ops['meanImg'])}",
        )
    outputs["reg"].setdefault("yrange", [0, ny])
    outputs["reg"].setdefault("xrange", [0, nx])
    blocks = (ops["yblock"], ops["xblock"]) if "yblock" in ops and "xblock" in ops else None
    return plane_arrays(outputs, shape, (1.0, 1.0), blocks)


def _read_array(path: Path, rois: int, columns: int | None) -> np.ndarray:
    values = load_array(path)
    if values.ndim != 2 or len(values) != rois or (columns is not None and values.shape[1] != columns):
        msg = "the files of the output contradict each other"
        expected = f"{rois} rows, one for each ROI of stat.npy"
        raise SourceError(msg, where=str(path), expected=expected, found=f"shape {values.shape}")
    if path.name != "redcell.npy" and not _is_finite(values):
        msg = "the output holds NaN or infinite values"
        raise SourceError(msg, where=str(path), hint="run suite2p again")
    return np.asarray(values)


def _is_finite(values: Any) -> bool:
    """Return True if values are finite numbers, and not texts or objects."""
    array = np.asarray(values)
    return array.dtype.kind in "biuf" and bool(np.isfinite(array).all())


def _settings(ops: Mapping[str, Any]) -> dict[str, Any]:
    """Settings among what ops.npy holds: numbers and names of methods, never a path."""
    groups = {name: ops[name] for name in SETTINGS if isinstance(ops.get(name), Mapping)}
    names = {leaf for group in SETTINGS.values() for leaf in (group if isinstance(group, tuple) else group[""])}
    flat = {name: ops[name] for name in (*_OLD_SETTINGS, *sorted(names)) if name in ops}
    return {"loaded": True, **_to_plain({**flat, **groups})}


def _to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _to_plain(v) for k, v in value.items() if not str(k).endswith("path")}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
