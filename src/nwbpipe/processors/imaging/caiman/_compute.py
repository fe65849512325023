"""Run CaImAn 1.12 on a movie of an NWB file (compute module: see `nwbpipe.processors`).

Orientation. CaImAn has no opinion on which axis is x: the movie goes in as NWB stores it, (frames, x, y), and every
result comes out so. Its first axis of an image is our x.

Disk. CaImAn reads files, several times and from several processes. The movie is copied to an uncompressed HDF5 file
in the scratch folder, and CaImAn writes the corrected one beside it twice, as float32 (by frames, and by pixels).
"""

from __future__ import annotations

import difflib
import logging
import os
import random
import warnings
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

from nwbpipe_kit.plain import to_plain

from ._store import store_results

Progress = Callable[[float, str], None]
COPY_BYTES = 64 * 1024**2


def copy_movie(data: h5py.Dataset, path: Path, progress: Progress) -> None:
    """Copy a movie to an uncompressed file, as CaImAn reads it, and refuse one with holes."""
    if data.ndim != 3:
        raise ValueError("expected a movie (frames, x, y), found shape %s" % (data.shape,))
    if data.dtype.kind not in "iufb":
        raise TypeError("the movie's values are of type %s; expected integers or floats" % data.dtype)
    frames = data.shape[0]
    step = max(1, COPY_BYTES // max(1, int(np.prod(data.shape[1:])) * data.dtype.itemsize))
    if data.chunks:
        step = max(step // data.chunks[0], 1) * data.chunks[0]
    dtype = data.dtype if data.dtype.kind in "iu" and data.dtype.itemsize <= 2 else np.dtype("float32")
    with h5py.File(path, "w") as file:
        copied = file.create_dataset("mov", data.shape, dtype)
        for start in range(0, frames, step):
            block = data[start : start + step]
            if not np.isfinite(block).all():
                raise ValueError(
                    "the movie holds NaN or infinite values (frames %d to %d); CaImAn can't use it"
                    % (start, min(start + step, frames) - 1)
                )
            copied[start : start + step] = block
            progress(0.05 + 0.05 * min(start + step, frames) / frames, "reading the movie")


def caiman_params(params: dict[str, Any], facts: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return CaImAn's parameters, by its groups, for ours."""
    onephoton = params["method"] == "cnmfe"
    size = [int(v) for v in params["gSig"]]
    groups: dict[str, Any] = {name: dict(values) for name, values in facts["settings"].items()}
    groups["data"].update(fnames=[str(file)], fr=float(facts["rate"]))
    pairs = {name: tuple(value) for name, value in groups["motion"].items() if isinstance(value, list)}
    groups["motion"].update(
        pairs,
        pw_rigid=params["motion"] == "piecewise",
        border_nan="copy",
        shifts_opencv=True,  # else the shifts are those of another grid than the blocks'
        nonneg_movie=True,
    )
    groups["init"].update(
        gSig=size,
        gSiz=[2 * v + 1 for v in size] if not onephoton else [4 * v + 1 for v in size],
        method_init="corr_pnr" if onephoton else "greedy_roi",
        center_psf=onephoton,
        normalize_init=not onephoton,
    )
    groups["patch"].update(
        nb_patch=int(params["nb"]),
        only_init=True,
        del_duplicates=onephoton,
        low_rank_background=None if onephoton else True,
    )
    for group, values in params["settings"].items():
        groups.setdefault(group, {}).update(values)
    return groups


def check_names(groups: dict[str, Any], options: Any) -> None:
    """Refuse a name that this CaImAn does not have: it would only be warned of."""
    for group, values in groups.items():
        parameters = getattr(options, group, None)
        if not isinstance(parameters, dict):
            raise ValueError("this CaImAn has no group of parameters %r" % group)
        for name in values:
            if name not in parameters:
                near = difflib.get_close_matches(name, list(parameters), n=1)
                hint = "did you mean %r?" % near[0] if near else "it has " + ", ".join(sorted(parameters))
                raise ValueError("this CaImAn has no parameter %s.%s: %s" % (group, name, hint))


def prepare_folders(request: dict[str, Any]) -> None:
    """Give CaImAn a folder of its own for what it writes and for the networks that it reads."""
    scratch = Path(request["scratch"])
    data = scratch / "caiman_data"
    (data / "temp").mkdir(parents=True, exist_ok=True)
    (data / "model").mkdir(exist_ok=True)
    weights = Path(request["tool"]["weights"])
    for file in weights.glob("*") if request["params"]["use_cnn"] else ():
        (data / "model" / file.name).symlink_to(file)
    os.environ.update(CAIMAN_DATA=str(data), CAIMAN_TEMP=str(data / "temp"), HOME=str(scratch))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Correct the motion, find the components, evaluate them."""
    params, threads = request["params"], max(1, int(request["threads"]))
    prepare_folders(request)
    progress(0.0, "starting CaImAn")
    warnings.simplefilter("ignore")
    import caiman
    from caiman.source_extraction.cnmf import cnmf
    from caiman.source_extraction.cnmf import params as caiman_parameters

    logging.getLogger("caiman").setLevel(logging.INFO)
    for seeded in (random.seed, np.random.seed):
        seeded(int(request["seed"]) % 2**32)
    file = Path(request["scratch"]) / "movie.h5"
    source = request["inputs"]["movie"]
    with h5py.File(source["file"], "r", locking=False, rdcc_nbytes=COPY_BYTES) as session:
        copy_movie(session[source["data"]], file, progress)
    groups = caiman_params(params, request["facts"], file)
    check_names(groups, caiman_parameters.CNMFParams())
    options = caiman_parameters.CNMFParams(params_dict=groups)

    view = None
    if threads > 1:
        _, view, threads = caiman.cluster.setup_cluster(
            backend="multiprocessing", n_processes=threads, single_thread=False
        )
    try:
        motion, movie_file, offset = correct_motion(caiman, file, options, params["motion"], view, progress)
        images = open_movie(caiman, movie_file)
        store_images(results, images, motion, offset)
        progress(0.35, "components")
        estimates = find_components(cnmf, threads, options, view, images, params, progress)
        accepted = estimates is not None and evaluate(estimates, images, view, progress)
    finally:
        if view is not None:
            caiman.stop_server(dview=view)
    summary: dict[str, Any] = store_results(results, estimates if accepted else None, motion, images.shape, offset)
    summary.update(
        tool_version=str(caiman.__version__),
        processes=threads,
        parameters=to_plain({**groups, "data": {k: v for k, v in groups["data"].items() if k != "fnames"}}),
    )
    progress(1.0, "%d components, %d accepted" % (summary["rois"], summary["cells"]))
    return summary


def correct_motion(
    caiman: Any, file: Path, options: Any, kind: str, view: Any, progress: Progress
) -> tuple[dict[str, Any], str, float]:
    """Correct the motion; return what was found, the corrected movie's file, and what was taken off its values."""
    if kind == "none":
        progress(0.3, "taking the movie as it is")
        return {}, caiman.save_memmap([str(file)], base_name="still_", order="C", var_name_hdf5="mov"), 0.0
    progress(0.1, "motion correction")
    from caiman.motion_correction import MotionCorrect

    group = dict(options.get_group("motion"))
    correction = MotionCorrect([str(file)], dview=view, var_name_hdf5="mov", **group)
    correction.motion_correct(save_movie=True)
    progress(0.3, "ordering the corrected movie")
    corrected = caiman.save_memmap(correction.mmap_file, base_name="corrected_", order="C", dview=view)
    motion: dict[str, Any] = {
        "reference": np.asarray(
            correction.total_template_els if kind == "piecewise" else correction.total_template_rig
        )
    }
    if kind == "piecewise":
        # (frames, blocks) along our x, then along our y. CaImAn's shifts are corrections: the opposite.
        shifts = -np.stack([np.asarray(correction.x_shifts_els), np.asarray(correction.y_shifts_els)], axis=2)
        motion["shifts"] = shifts.mean(axis=1)
        motion["block_shifts"] = shifts - motion["shifts"][:, None]
        motion["blocks"] = block_edges(motion["reference"].shape, group)
    else:
        motion["shifts"] = -np.asarray(correction.shifts_rig, dtype=np.float64)
    # With nonneg_movie the smallest value of the movie is taken off every pixel.
    return motion, corrected, float(correction.min_mov) if group["nonneg_movie"] else 0.0


def block_edges(shape: tuple[int, int], group: dict[str, Any]) -> np.ndarray:
    """Return the blocks (x start, x stop, y start, y stop), in the order of the shifts."""
    from caiman.motion_correction import sliding_window_dims

    edges = []
    for _, corner, size in sliding_window_dims(shape, group["overlaps"], group["strides"]):
        edges.append((corner[0], corner[0] + size[0], corner[1], corner[1] + size[1]))
    return np.clip(np.array(edges, dtype=np.int32), 0, None)


def open_movie(caiman: Any, path: str) -> np.ndarray:
    """Return the corrected movie, (frames, x, y), as a memory map."""
    flat, dims, frames = caiman.load_memmap(path)
    return np.reshape(flat.T, [frames, *dims], order="F")


def store_images(results: h5py.File, images: np.ndarray, motion: dict[str, Any], offset: float) -> None:
    """Leave the summary images, in the movie's stored values."""
    from caiman.summary_images import max_correlation_image

    step = max(1, COPY_BYTES // max(1, 4 * images.shape[1] * images.shape[2]))
    total, largest = np.zeros(images.shape[1:]), np.full(images.shape[1:], -np.inf)
    for start in range(0, len(images), step):
        block = np.asarray(images[start : start + step])
        total += block.sum(axis=0, dtype=np.float64)
        largest = np.maximum(largest, block.max(axis=0))
    results["images/mean"] = (total / len(images) + offset).astype(np.float32)
    results["images/max_projection"] = (largest + offset).astype(np.float32)
    correlation = np.asarray(max_correlation_image(images, swap_dim=False), dtype=np.float32)
    results["images/correlation"] = np.nan_to_num(correlation)
    if "reference" in motion:
        results["images/reference"] = motion["reference"].astype(np.float32)  # nothing was taken off it


def find_components(
    cnmf: Any, processes: int, options: Any, view: Any, images: np.ndarray, params: dict[str, Any], progress: Progress
) -> Any:
    """Factorise the movie; return the model, or None if it holds no component."""
    model = cnmf.CNMF(processes, params=options, dview=view)
    try:
        model.fit(images)
    except Exception as error:
        if not stopped_without_components(error, model):
            raise
        print("CaImAn found no component:", error)
        return None
    if model.estimates.A is None or model.estimates.A.shape[1] == 0:
        return None
    if params["refit"] and params["method"] == "cnmf":
        progress(0.6, "refining the components")
        model = model.refit(images, dview=view)
    return model


def stopped_without_components(error: Exception, model: Any) -> bool:
    """Tell whether CaImAn stopped because nothing was left of its components."""
    estimates = model.estimates.A
    empty = estimates is None or 0 in estimates.shape
    signs = ("zero-size array", "No components", "need at least one array", "not enough values", "empty")
    return empty and any(sign in str(error) for sign in signs)


def evaluate(model: Any, images: np.ndarray, view: Any, progress: Progress) -> bool:
    """Judge the components; False if there is none."""
    progress(0.9, "judging the components")
    if model.estimates.A.shape[1] == 0:
        return False
    model.estimates.evaluate_components(images, model.params, dview=view)
    return True
