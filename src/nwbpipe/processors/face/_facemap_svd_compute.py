"""Run Facemap 1.0.8 on the video files of an NWB file's `ImageSeries` (compute module: see `nwbpipe.processors`).

What Facemap does otherwise is put right here, so that a result means one thing whatever the options and the
video's length:

* its pupil and blink functions paint their ROI's surround white *in the frames that the motion is then computed
  from*: they get copies;
* a frame that can't be read is replaced by the one before, with a line of print: it is an error here;
* ``motion`` of the first 500 frames is one sample early: it is shifted, so that sample i is always the difference
  between frames i - 1 and i (sample 0 repeats sample 1, as in the projections);
* without ``motSVD`` the movie SVD stays unfinished (#173): ``motSVD`` is always on, its result kept on demand;
* its running signal transforms frames by ``fft2(x)`` and drops what that returns, so that it is noise: here the
  transform is done in place, as was meant;
* the singular values of the region that it computes last are kept alone (#107): those of all regions are;
* the last row of bins of a motion ROI is left out, and none of its columns: it counts;
* in videos under 2000 frames masks and projections carry the singular values, which are lost: they are taken out
  again, so that masks have unit norm in every case.
"""

from __future__ import annotations

import os
import random
import weakref
from pathlib import Path
from typing import Any, Callable

import h5py
import numpy as np

Progress = Callable[[float, str], None]

PUPIL, MOTION, BLINK, RUNNING = range(4)
FIRST_CHUNK = 500  # frames that facemap.process.process_ROIs reads at a time
MIN_FRAMES = 10


def facemap_roi(roi: dict[str, Any], kind: int, index: int) -> dict[str, Any]:
    """Return an ROI as Facemap describes it; the ellipse is the one inscribed in the box."""
    (x0, x1), (y0, y1) = roi["x"], roi["y"]
    y, x = np.mgrid[y0:y1, x0:x1]
    rx, ry = (x1 - x0) / 2, (y1 - y0) / 2
    ellipse = ((x - (x0 + x1 - 1) / 2) / rx) ** 2 + ((y - (y0 + y1 - 1) / 2) / ry) ** 2 <= 1
    return {
        "rind": kind,
        "rtype": ("pupil", "motion SVD", "blink", "running")[kind],
        "iROI": index,
        "ivid": 0,
        "color": (0, 0, 0),
        "xrange": np.arange(x0, x1),
        "yrange": np.arange(y0, y1),
        "saturation": float(roi.get("saturation", 0)),
        "pupil_sigma": float(roi.get("pupil_sigma", 2.0)),
        "ellipse": ellipse,
    }


def rois_of(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all ROIs of the parameters, numbered."""
    kinds = (("pupils", PUPIL), ("motion_rois", MOTION), ("blinks", BLINK), ("running", RUNNING))
    rois_and_kinds = [(roi, kind) for name, kind in kinds for roi in params[name]]
    return [facemap_roi(roi, kind, index) for index, (roi, kind) in enumerate(rois_and_kinds)]


def check_video(files: list[str], facts: dict[str, Any], rois: list[dict[str, Any]], details: Any) -> int:
    """Refuse a video that is not what the NWB file says; return its number of frames."""
    cumulative, heights, widths, containers = details
    for name, (container,) in zip(files, containers):
        if not container.isOpened():
            raise ValueError("the video %s can't be opened" % Path(name).name)
        size = int(container.get(4)), int(container.get(3))  # CAP_PROP_FRAME_HEIGHT, CAP_PROP_FRAME_WIDTH
        if size != (heights[0], widths[0]):
            raise ValueError(
                "the video files differ in frame size: %s is %d x %d" % (Path(name).name, size[1], size[0])
            )
    frames = int(cumulative[-1])
    expected = facts.get("frames")
    if expected is not None and frames != expected:
        raise ValueError(
            "the video has %d frames, but its ImageSeries has %d: times can't be given to frames" % (frames, expected)
        )
    starts = facts.get("starting_frame")
    if starts is not None and [int(n) for n in cumulative[:-1]] != list(starts):
        raise ValueError("the files start at frames %s, but starting_frame says %s" % (list(cumulative[:-1]), starts))
    if frames < MIN_FRAMES:
        raise ValueError("the video has %d frames; expected %d or more" % (frames, MIN_FRAMES))
    for roi in rois:
        if roi["xrange"][-1] >= widths[0] or roi["yrange"][-1] >= heights[0]:
            edges = [int(edge) for axis in ("xrange", "yrange") for edge in (roi[axis][0], roi[axis][-1] + 1)]
            raise ValueError(
                "a %s ROI, x %d to %d and y %d to %d, lies outside the frame of %d x %d pixels"
                % (roi["rtype"], *edges, widths[0], heights[0])
            )
    return frames


def pass_copies(function: Any) -> Any:
    """Let one of Facemap's ROI functions see copies of the frames: it changes them."""

    def call_with_copies(
        t: int, n: int, frames: Any, ivid: Any, rois: Any, indices: Any, found: Any, *more: Any
    ) -> Any:
        for k, index in enumerate(indices):
            copies = [frame.copy() for frame in frames]
            function(t, n, copies, ivid, rois, [index], [found[k]], *([values[k]] for values in more))
        return found

    return call_with_copies


def overwrite_input(transform: Any) -> Any:
    """Let a Fourier transform also overwrite what it is given, if that is complex."""

    def call_with_copies(values: np.ndarray) -> np.ndarray:
        transformed = np.asarray(transform(values))
        if np.iscomplexobj(values):
            values[...] = transformed
        return transformed

    return call_with_copies


def patch_facemap(
    facemap_process: Any, utils: Any, components: int, progress: Progress, total: int
) -> dict[str, list[Any]]:
    """Put right what can only be put right inside Facemap (see the module's docstring).

    Returns what will hold the singular values: under "mot" and "mov", an array or None for each region.
    """
    for name in ("process_pupil_ROIs", "process_blink_ROIs"):
        setattr(facemap_process, name, pass_copies(getattr(facemap_process, name)))
    running = facemap_process.running
    running.fft2, running.ifft2 = overwrite_input(running.fft2), overwrite_input(running.ifft2)
    svd, get_frames, svdecon = facemap_process.compute_SVD, utils.get_frames, utils.svdecon
    read = 0
    spectra: list[
        tuple[Any, Any]
    ] = []  # of all decompositions: the left vectors, if they are still there, and values
    singular_values: dict[str, list[Any]] = {"mot": [], "mov": []}

    def svdecon_noted(*args: Any, **options: Any) -> Any:
        usv = svdecon(*args, **options)
        spectra.append((weakref.ref(usv[0]), usv[1]))
        return usv

    def compute_svd(*args: Any, **options: Any) -> Any:
        options["ncomps"] = components
        decomposed = svd(*args, **options)
        for name, masks in zip(("mot", "mov"), decomposed):
            singular_values[name] = [next((s for u, s in spectra if u() is mask), None) for mask in masks]
        return decomposed

    def get_frames_counted(images: Any, containers: Any, wanted: Any, cumulative: Any) -> None:
        nonlocal read
        get_frames(images, containers, wanted, cumulative)
        read += len(wanted)
        progress(0.05 + 0.9 * min(1.0, read / total), "frames")

    def refuse(*texts: Any) -> None:
        raise ValueError("a frame of the video can't be read (Facemap: %s)" % " ".join(map(str, texts)))

    facemap_process.compute_SVD = compute_svd
    utils.svdecon = svdecon_noted
    utils.get_frames = get_frames_counted
    utils.print = refuse  # its only print says that a frame could not be read
    return singular_values


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Compute the SVDs, pupils, blinks and running of a video."""
    params, facts = request["params"], request["facts"]
    files = [str(name) for name in request["inputs"]["video"]["external_files"]]
    if not files:
        raise ValueError("the video is not in external files")
    os.environ["NUMBA_NUM_THREADS"] = str(max(1, int(request["threads"])))
    progress(0.0, "starting Facemap")
    import cv2
    from facemap import process, utils, version

    cv2.setNumThreads(max(1, int(request["threads"])))
    random.seed(int(request["seed"]))
    np.random.seed(int(request["seed"]) % 2**32)
    rois = rois_of(params)
    details = utils.get_frame_details([[name] for name in files])
    try:
        frames = check_video(files, facts, rois, details)
    finally:
        utils.close_videos(details[3])
    for roi in rois:
        if roi["rind"] == MOTION:
            roi["yrange"] = np.append(roi["yrange"], roi["yrange"][-1] + 1)
    wants_svd = params["motion_svd"] or params["movie_svd"]
    full = bool(params["full_frame"] and wants_svd)
    chunks = min(frames, 15000) if full or params["motion_rois"] else 0
    singular_values = patch_facemap(
        process, utils, params["n_components"], progress, min(1000, frames) + chunks + frames
    )
    scratch = Path(request["scratch"])
    options = {
        "sbin": params["sbin"],
        "fullSVD": full,
        "save_mat": False,
        "rois": rois or None,
        "sy": 0,
        "sx": 0,
        "savepath": str(scratch),
    }
    saved = process.run(
        [[name] for name in files], motSVD=True, movSVD=params["movie_svd"], proc=options, savepath=str(scratch)
    )
    # Written by Facemap itself a moment ago, in our own scratch folder.
    proc = np.load(saved, allow_pickle=True).item()
    regions = store_results(results, proc, params, singular_values)
    progress(1.0, "%d frames" % frames)
    return {
        "frames": frames,
        "sbin": params["sbin"],
        "regions": regions,
        "pupils": len(proc["pupil"]),
        "blinks": len(proc["blink"]),
        "running": len(proc["running"]),
        "pupil_found": [float(np.isfinite(pupil["area"]).mean()) for pupil in proc["pupil"]],
        "tool_version": str(getattr(version, "version", "")),
        "files": [Path(name).name for name in files],
    }


def unscale(masks: np.ndarray, projections: np.ndarray, values: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Give the masks (height, width, components) unit norm; what that takes from them is the singular values."""
    norms = np.sqrt((masks.astype(np.float64) ** 2).sum(axis=(0, 1)))
    nonzero = norms > 1e-6 * max(float(norms.max(initial=0.0)), 1e-30)
    norms, masks, projections = norms[nonzero], masks[:, :, nonzero], projections[:, nonzero]
    if np.allclose(norms, 1, rtol=1e-3):
        singular_values = np.zeros(0) if values is None or values.size != nonzero.size else values[nonzero]
        return masks, projections, singular_values
    order = np.argsort(-norms, kind="stable")
    norms = norms[order]
    return masks[:, :, order] / norms, projections[:, order] / norms, norms


def store_results(
    results: h5py.File, proc: dict[str, Any], params: dict[str, Any], singular_values: dict[str, list[Any]]
) -> list[str]:
    """Put what was found into `results`; return the regions of the SVDs, in words."""
    regions = ["full frame"] + [
        "motion ROI %d, x %d to %d, y %d to %d (pixels)"
        % (k, roi["x"][0], roi["x"][1] - 1, roi["y"][0], roi["y"][1] - 1)
        for k, roi in enumerate(params["motion_rois"], 1)
    ]
    for kind, short, option in (("motion_svd", "mot", "motion_svd"), ("movie_svd", "mov", "movie_svd")):
        if not params[option]:
            continue
        for index, projections in enumerate(proc[short + "SVD"]):
            if not len(projections):
                continue
            masks = np.asarray(proc[short + "Mask_reshape"][index])
            masks, projections, values = unscale(masks, np.asarray(projections), singular_values[short][index])
            count = params["n_components"]
            group = results.create_group("%s/%d" % (kind, index))
            group["projections"] = projections[:, :count].astype(np.float32)
            group["masks"] = masks[:, :, :count].astype(np.float32)
            if values.size:
                group["singular_values"] = values[:count].astype(np.float32)
    if params["motion_svd"]:
        for index, energy in enumerate(proc["motion"]):
            if len(energy):
                results["motion_energy/%d" % index] = align_motion_energy(np.asarray(energy))
    pupil_rois = [roi for roi in proc["rois"] or [] if roi["rind"] == PUPIL]
    for k, (pupil, roi) in enumerate(zip(proc["pupil"], pupil_rois)):
        corner = np.array([roi["xrange"][0], roi["yrange"][0]], dtype=float)
        group = results.create_group("pupils/%d" % k)
        group["area"] = pupil["area"]
        group["area_smooth"] = pupil["area_smooth"]
        group["center"] = np.asarray(pupil["com"])[:, ::-1] + corner
        group["center_smooth"] = np.asarray(pupil["com_smooth"])[:, ::-1] + corner
        group["squared_semiaxes"] = pupil["axlen"]
        group["axis_directions"] = pupil["axdir"]
    for k, blink in enumerate(proc["blink"]):
        results["blinks/%d" % k] = blink
    for k, shift in enumerate(proc["running"]):
        results["running/%d" % k] = np.asarray(shift)[:, ::-1]  # Facemap's are (y, x)
    for name in ("avgframe", "avgmotion"):
        results[name] = np.asarray(proc[name + "_reshape"], dtype=np.float32)
    return regions


def align_motion_energy(energy: np.ndarray) -> np.ndarray:
    """Shift the first chunk of the motion energy by the frame that it is early."""
    energy = energy.copy()
    first = min(FIRST_CHUNK, len(energy))
    energy[1:first] = energy[: first - 1].copy()
    return energy
