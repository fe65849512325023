"""Run suite2p 1.1 on a movie of an NWB file (compute module: see `nwbpipe.processors`).

Orientation. NWB (and NeuroConv) store a movie as (frames, x, y); suite2p works on (frames, y, x). Frames are
transposed on their way in, and every result on its way out: images are (x, y), as the frames of the stored
series are; ``x`` is an index along the second axis of the series, ``y`` one along its third.

Memory. suite2p reads the frames that it asks for from the NWB file, and writes the registered ones to a
memory-mapped file in the scratch folder (2 bytes per pixel). It holds a binned movie of up to
``detection.nbins`` frames as float32.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import logging
import os
import random
import re
import sys
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

Progress = Callable[[float, str], None]

INT16_MAX = 32767
# Frames of the registered movie are clipped by suite2p at 2**15 - 2, so floats are scaled to stay below.
FLOAT_LIMIT = 30000.0
SCAN_BYTES = 64 * 1024**2
ROI_FIELDS = ("npix", "npix_soma", "radius", "aspect_ratio", "compact", "footprint", "skew", "std", "snr")
STAGES = {
    "REGISTRATION": (0.05, "registration"),
    "ROI DETECTION": (0.55, "detection of ROIs"),
    "EXTRACTION": (0.75, "extraction of traces"),
    "SPIKE DECONVOLUTION": (0.9, "deconvolution"),
    "ROI CLASSIFICATION": (0.95, "classification"),
}


class Movie:
    """A movie in an HDF5 dataset (frames, x, y), read lazily as int16 frames (frames, y, x).

    Values are ``stored / scale``; integers are rounded down. `scale` is 1 where the stored values fit.
    """

    def __init__(self, data: h5py.Dataset, scale: float, on_read: Callable[[int], None] | None = None) -> None:
        self.data = data
        self.scale = scale
        self.on_read = on_read
        frames, nx, ny = data.shape
        self.shape = (frames, ny, nx)

    def __getitem__(self, item: Any) -> np.ndarray:
        if isinstance(item, slice):
            frames = self.data[item]
            if self.on_read is not None:
                self.on_read(item.stop or self.shape[0])
        else:
            # One by one: h5py's own selection by a list of indices is slower still.
            frames = np.stack([self.data[int(i)] for i in np.atleast_1d(item)])
        return np.ascontiguousarray(self.cast(frames).transpose(0, 2, 1))

    def cast(self, frames: np.ndarray) -> np.ndarray:
        """Scale stored values into int16."""
        if frames.dtype.kind in "iub":
            if self.scale != 1:
                frames = frames // frames.dtype.type(self.scale)
            return frames.astype(np.int16)
        return np.round(frames.astype(np.float64) / self.scale).astype(np.int16)


def intensity_scale(data: h5py.Dataset, progress: Progress) -> float:
    """Return the divisor that brings the stored values into int16: 1 if they are there already.

    suite2p's own readers halve every uint16 movie. Here the movie is divided only if its values don't fit.
    """
    kind, size = data.dtype.kind, data.dtype.itemsize
    if kind == "b" or (kind == "i" and size <= 2) or (kind == "u" and size == 1):
        return 1
    if kind not in "iuf":
        raise TypeError("the movie's values are of type %s; expected integers or floats" % data.dtype)
    frames = data.shape[0]
    step = max(1, SCAN_BYTES // max(1, int(np.prod(data.shape[1:])) * size))
    if data.chunks:
        step = max(step // data.chunks[0], 1) * data.chunks[0]
    largest = 0.0
    for start in range(0, frames, step):
        block = data[start : start + step]
        low, high = float(block.min()), float(block.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(
                "the movie holds NaN or infinite values (frames %d to %d); suite2p can't use it"
                % (start, min(start + step, frames) - 1)
            )
        largest = max(largest, high, -low)
        progress(0.04 * min(start + step, frames) / frames, "range of values")
    if kind == "f":
        return largest / FLOAT_LIMIT if largest > 0 else 1
    scale = 1
    while largest // scale > INT16_MAX:
        scale *= 2
    return scale


def import_suite2p() -> tuple[Any, bool]:
    """Import suite2p; return it and whether torchvision had to be helped.

    Some wheels of torchvision are built for CUDA and can't register their operators beside a CPU build of
    torch. suite2p needs none of them, so their names are enough.
    """
    helped = False
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        import torch

        for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_suite2p.library = library  # type: ignore[attr-defined]  # lives as long as its definitions
        helped = True
    except ImportError:
        pass
    import suite2p

    return suite2p, helped


def merge(settings: dict[str, Any], changes: dict[str, Any], where: str = "settings") -> None:
    """Put nested `changes` into `settings`; a name that this suite2p does not have is an error."""
    for name, value in changes.items():
        if name not in settings:
            near = difflib.get_close_matches(name, list(settings), n=1)
            hint = "did you mean %r?" % near[0] if near else "it has " + ", ".join(sorted(settings))
            raise ValueError("suite2p has no setting %s[%r]: %s" % (where, name, hint))
        if isinstance(settings[name], dict) and settings[name]:
            if not isinstance(value, dict):
                raise ValueError("%s[%r] is a group of settings, not %r" % (where, name, value))
            merge(settings[name], value, "%s[%r]" % (where, name))
        else:
            settings[name] = value


def suite2p_settings(suite2p: Any, params: dict[str, Any], rate: float) -> dict[str, Any]:
    """Return suite2p's nested settings for our parameters."""
    settings: dict[str, Any] = copy.deepcopy(suite2p.default_settings())
    given = {
        "tau": params["tau"],
        "fs": rate,
        "diameter": list(params["diameter"]),
        # The registration metrics are not kept; a user's own classifier would depend on the machine.
        "run": {"do_regmetrics": False, "do_registration": int(params["do_registration"])},
        "registration": {
            name: params[name]
            for name in (
                "nonrigid",
                "nimg_init",
                "batch_size",
                "maxregshift",
                "smooth_sigma",
                "two_step_registration",
            )
        },
        "detection": {
            "algorithm": params["algorithm"],
            "threshold_scaling": params["threshold_scaling"],
            "max_overlap": params["max_overlap"],
            "sparsery_settings": {"spatial_scale": params["spatial_scale"]},
        },
        "classification": {"use_builtin_classifier": True},
        "extraction": {
            "allow_overlap": params["allow_overlap"],
            "neuropil_coefficient": params["neuropil_coefficient"],
        },
    }
    merge(settings, given)
    settings["registration"]["block_size"] = tuple(params["block_size"])
    merge(settings, params["settings"])
    return settings


def fit_blocks(registration: dict[str, Any], ny: int, nx: int) -> None:
    """Make non-rigid registration possible on a small frame.

    suite2p 1.1 fails ("Input and output sizes should be greater than 0") where a block is as large as the frame
    in either direction. One block in both is rigid registration; in one direction the block is made smaller.
    """
    block = [int(v) for v in registration["block_size"]]
    if registration["nonrigid"] and block[0] >= ny and block[1] >= nx:
        print("the frame (%d x %d) is no larger than a block: registration is rigid" % (nx, ny))
        registration["nonrigid"] = False
    elif registration["nonrigid"]:
        block = [min(size, length * 3 // 4) if size >= length else size for size, length in zip(block, (ny, nx))]  # noqa: B905
    registration["block_size"] = tuple(block)


class Follow(logging.Handler):
    """Turns suite2p's log into progress, and remembers how many ROIs it discarded."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self.progress = progress
        self.removed = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        print(text, flush=True)
        removed = re.match(r"Removing (\d+) ROIs with snr", text)
        if removed:
            self.removed = int(removed.group(1))
        if text.startswith("-----------"):
            for name, (fraction, label) in STAGES.items():
                if text.strip("- ").startswith(name):
                    self.progress(fraction, label)


def found_nothing(error: Exception, folder: Path, follow: Follow) -> bool:
    """Tell whether suite2p stopped because no ROI was left."""
    if "no ROIs were found" in str(error) or "no ROIs passed preclassify" in str(error):
        return True
    if follow.removed and (folder / "stat.npy").exists():
        return len(np.load(folder / "stat.npy", allow_pickle=True)) == follow.removed
    return False


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Register the movie, find the cells, extract and deconvolve their activity."""
    params, facts = request["params"], request["facts"]
    scratch = Path(request["scratch"])
    folder = scratch / "suite2p"
    folder.mkdir(parents=True, exist_ok=True)
    # suite2p reads and writes ~/.suite2p when it is imported: a user's settings must not change the result.
    os.environ["HOME"] = str(scratch)
    progress(0.0, "starting suite2p")
    suite2p, helped = import_suite2p()
    import torch

    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(int(request["seed"]) % 2**32)
    torch.set_num_threads(max(1, int(request["threads"])))
    device = params["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device='cuda' was asked for, but torch finds no CUDA device; use device='cpu'")
    settings = suite2p_settings(suite2p, params, float(facts["rate"]))
    settings["torch_device"] = device

    source = request["inputs"]["movie"]
    follow = Follow(progress)
    log = logging.getLogger("suite2p")
    log.setLevel(logging.INFO)
    log.addHandler(follow)
    log.propagate = False
    try:
        with h5py.File(source["file"], "r", locking=False, rdcc_nbytes=SCAN_BYTES) as file:
            data = file[source["data"]]
            if data.ndim != 3:
                raise ValueError("expected a movie (frames, x, y), found shape %s" % (data.shape,))
            scale = intensity_scale(data, progress)
            frames, nx, ny = data.shape
            fit_blocks(settings["registration"], ny, nx)

            def on_read(stop: int) -> None:
                progress(0.05 + 0.5 * min(stop, frames) / frames, "registration")

            movie = Movie(data, scale, on_read if params["do_registration"] else None)
            outputs = run_pipeline(suite2p, movie, params["do_registration"], settings, folder, follow)
    finally:
        log.removeHandler(follow)
    summary = store(results, outputs, settings, scale, movie.shape, suite2p)
    summary.update(
        device=device,
        rate=settings["fs"],
        cells=int((results["rois/iscell_probability"][:] > params["cell_threshold"]).sum()),
        torchvision_helped=helped,
        tool_version=str(suite2p.version),
    )
    progress(1.0, "%d ROIs, %d of them cells" % (summary["rois"], summary["cells"]))
    return summary


def run_pipeline(
    suite2p: Any, movie: Movie, register: bool, settings: dict[str, Any], folder: Path, follow: Follow
) -> dict[str, Any]:
    """Call ``suite2p.pipeline``; where it finds nothing the result is empty."""
    import torch

    device = torch.device(settings["torch_device"])
    names = ("reg", "det", "stat", "F", "Fneu", "F2", "Fneu2", "spks", "iscell", "redcell", "zcorr", "times")
    binary, registered = folder / "data.bin", None
    frames, ny, nx = movie.shape
    if register:
        registered = suite2p.io.BinaryFile(ny, nx, str(binary), n_frames=frames, write=True)
    try:
        values = suite2p.pipeline(
            str(folder),
            registered if register else movie,
            f_raw=movie if register else None,
            run_registration=register,
            settings=settings,
            device=device,
        )
    except Exception as error:
        if not found_nothing(error, folder, follow):
            raise
        print("suite2p found no ROI:", error)
        # Like stat.npy above, they were written by suite2p itself a moment ago, in our own scratch folder.
        reg = np.load(folder / "reg_outputs.npy", allow_pickle=True).item()
        detected = folder / "detect_outputs.npy"
        values = (reg, np.load(detected, allow_pickle=True).item() if detected.exists() else {}) + (None,) * 10
    finally:
        if registered is not None:
            registered.close()
            binary.unlink()
    return dict(zip(names, values))  # noqa: B905 (Python 3.9)


def store(
    results: h5py.File,
    outputs: dict[str, Any],
    settings: dict[str, Any],
    scale: float,
    shape: tuple[int, int, int],
    suite2p: Any,
) -> dict[str, Any]:
    """Put suite2p's results into `results`, transposed to the movie's orientation and in its units."""
    frames, ny, nx = shape
    reg, det = outputs["reg"], outputs["det"] or {}
    yrange, xrange = [int(v) for v in reg["yrange"]], [int(v) for v in reg["xrange"]]
    bad = np.asarray(reg["badframes"], dtype=bool)
    if "yoff" in reg:
        results["shifts"] = np.stack([reg["xoff"], reg["yoff"]], axis=1).astype(np.float32)
        results["correlation"] = np.asarray(reg["corrXY"], dtype=np.float32)
        results["bad_frames"] = bad
    if "yoff1" in reg:
        blocks = suite2p.registration.nonrigid.make_blocks(ny, nx, settings["registration"]["block_size"])
        results["blocks"] = np.hstack([np.stack(blocks[1]), np.stack(blocks[0])]).astype(np.int32)
        results["block_shifts"] = np.stack([reg["xoff1"], reg["yoff1"]], axis=2).astype(np.float32)

    def image(name: str, values: Any, cropped: bool, factor: float) -> None:
        full = np.zeros((ny, nx), dtype=np.float32)
        part = full[yrange[0] : yrange[1], xrange[0] : xrange[1]] if cropped else full
        part[...] = values
        results["images/" + name] = (full * factor).T

    if "meanImg" in reg:
        image("mean", reg["meanImg"], False, scale)
        image("reference", reg["refImg"], False, scale)
    elif "meanImg_crop" in det:
        image("mean", det["meanImg_crop"], True, scale)
    if "max_proj" in det:
        image("max_projection", det["max_proj"], True, scale)
    if "Vcorr" in det:
        image("correlation", det["Vcorr"], True, 1)

    stat = outputs["stat"] if outputs["F"] is not None else []
    count = len(stat)
    rois = results.create_group("rois")
    rois["index"] = np.cumsum([len(s["ypix"]) for s in stat]).astype(np.int64)
    for name, key, dtype in (("x", "xpix", np.uint32), ("y", "ypix", np.uint32), ("weight", "lam", np.float32)):
        rois[name] = np.concatenate([s[key] for s in stat]).astype(dtype) if count else np.zeros(0, dtype)
    for key in ROI_FIELDS:
        values = np.array([s[key] for s in stat], dtype=np.int32 if key.startswith("npix") else np.float32)
        rois[key] = values * np.float32(scale) if key == "std" else values
    rois["center"] = np.array([[s["med"][1], s["med"][0]] for s in stat], dtype=np.float32).reshape(count, 2)
    rois["iscell_probability"] = np.asarray(outputs["iscell"], np.float32)[:, 1] if count else np.zeros(0, np.float32)
    for name, key in (("fluorescence", "F"), ("neuropil", "Fneu"), ("deconvolved", "spks")):
        values = np.asarray(outputs[key], np.float32).T * np.float32(scale) if count else np.zeros((frames, 0), "f4")
        results["traces/" + name] = values
    return {
        "frames": frames,
        "rois": count,
        "bad_frames": int(bad.sum()),
        "valid_x": xrange,
        "valid_y": yrange,
        "intensity_scale": float(scale),
        "bidiphase": float(reg.get("bidiphase", 0)),
        "seconds": {str(k): float(v) for k, v in (outputs["times"] or {}).items()},
        "settings": plain(settings),
    }


def plain(value: Any) -> Any:
    """Return `value` as JSON knows it."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
