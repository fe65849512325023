"""Write suite2p's results with the writer that all imaging methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.processors._base import Context, Results
from nwbpipe.processors.imaging._segmentation_write import (
    AXES,
    Motion,
    Rois,
    Traces,
    write_images,
    write_motion,
    write_segmentation,
    write_traces,
)

if TYPE_CHECKING:
    from pynwb import ProcessingModule

IMAGES = {
    "mean": "Mean of the registered movie, in the movie's stored values.",
    "reference": "Image that the frames were registered to, in the movie's stored values.",
    "max_projection": "Maximum over time of the binned, high-pass filtered movie, in the movie's stored values.",
    "mean_second_channel": "Mean of the second channel, moved as the movie was, in its own stored values.",
    "correlation": "Correlation of neighbouring pixels over time, as suite2p's detection sees it.",
}
COLUMNS = {
    "npix": "Number of pixels.",
    "npix_soma": "Number of pixels without the dendrites.",
    "radius": "Radius of a Gaussian that was fitted to the mask, in pixels.",
    "aspect_ratio": "Ratio of that Gaussian's axes: 1 is round.",
    "compact": "Mean distance of the pixels from the centre, over that of a disk: 1 is a disk.",
    "footprint": "Spatial extent of the correlation with the ROI, in suite2p's scales.",
    "skew": "Skewness of the neuropil-corrected trace.",
    "std": "Standard deviation of the neuropil-corrected trace, in the movie's stored values.",
    "red": "Whether the ROI is bright in the second channel.",
    "red_probability": "suite2p's measure of its brightness there.",
    "snr": "1 - 0.5 var(diff(trace)) / var(trace) of the neuropil-corrected trace.",
}


def write_results(module: ProcessingModule, movie: Any, results: Results, context: Context) -> None:
    """Add the containers of one run to `module`."""
    arrays, summary = results.arrays, results.summary
    (x0, x1), (y0, y1) = summary["valid_x"], summary["valid_y"]
    if "shifts" in arrays:
        write_motion(module, context, movie, _motion(arrays, summary))
    stored = arrays.get("images", {})
    outside = f" 0 outside x {x0} to {x1}, y {y0} to {y1}."
    write_images(
        module,
        context,
        {
            name: (text + ("" if name.startswith(("mean", "reference")) else outside), stored[name][:])
            for name, text in IMAGES.items()
            if name in stored
        },
    )
    if not summary["rois"]:
        return
    text = f"ROIs that suite2p found in {movie.name}: those of functional detection, cells or not."
    if summary.get("loaded"):
        text += " Loaded from an output of suite2p; traces and images are in the values that it had."
    if summary["intensity_scale"] != 1:
        text += (
            f" suite2p had the movie's stored values over {summary['intensity_scale']:g}, as int16; what is written "
            "is in the stored values again."
        )
    table = write_segmentation(module, context, movie, _rois(arrays["rois"], summary, context), text)
    _write_traces(module, movie, table, arrays["traces"], summary, context)


def _motion(arrays: Any, summary: Any) -> Motion:
    (x0, x1), (y0, y1) = summary["valid_x"], summary["valid_y"]
    lost = " Non-rigid shifts are not here: the output does not say which blocks they are of."
    return Motion.from_arrays(
        arrays,
        correlation=(
            "peak of the phase correlation of the frame with the reference image",
            arrays["correlation"][:],
        ),
        excluded=(
            f"1 if the frame was excluded from detection ({summary['bad_frames']} frames), else 0",
            arrays["bad_frames"][:],
        ),
        note=f"After the correction the region x {x0} to {x1}, y {y0} to {y1} (ends excluded) is valid in every "
        "frame that was not excluded." + (lost if summary.get("blocks_unknown") else ""),
    )


def _rois(stored: Any, summary: Any, context: Context) -> Rois:
    columns = {}
    if "iscell" in stored:
        threshold = context.params.cell_threshold
        description = f"Whether the ROI is a cell: probability above {threshold:g}."
        if summary.get("loaded"):
            description = (
                "Whether the ROI is a cell, as iscell.npy has it: the classifier's word, or a person's who edited it."
            )
        columns["iscell"] = (description, stored["iscell"][:])
        columns["iscell_probability"] = (
            "Probability that the ROI is a cell, by suite2p's classifier.",
            stored["iscell_probability"][:],
        )
    columns["center"] = (f"Median pixel (x, y). {AXES}.", stored["center"][:])
    columns.update({name: (text, stored[name][:]) for name, text in COLUMNS.items() if name in stored})
    return Rois.from_group(stored, columns)


def _write_traces(
    module: ProcessingModule, movie: Any, table: Any, stored: Any, summary: Any, context: Context
) -> None:
    values = "in the values that suite2p had" if summary.get("loaded") else "in the movie's stored values"
    fluorescence, neuropil = stored["fluorescence"][:], stored["neuropil"][:]
    coefficient = float(context.params.neuropil_coefficient)
    corrected = fluorescence - np.float32(coefficient) * neuropil
    traces = [
        Traces("RoiResponseSeries", fluorescence, f"Weighted mean of each ROI, {values} (F)."),
        Traces("Neuropil", neuropil, f"Mean of each ROI's surround, {values} (Fneu)."),
        Traces("NeuropilCorrected", corrected, f"F - {coefficient:g} Fneu, {values}; not divided by a baseline."),
    ]
    for name, key, text in (
        ("SecondChannel", "fluorescence2", "Weighted mean of each ROI"),
        ("SecondChannelNeuropil", "neuropil2", "Mean of each ROI's surround"),
    ):
        if key in stored:
            traces.append(Traces(name, stored[key][:], f"{text} in the second channel."))
    text = (
        f"Deconvolved activity (OASIS, tau {context.params.tau:g} s) of the corrected trace over its baseline: "
        "proportional to the number of spikes, in no absolute unit."
    )
    deconvolved = [Traces("Deconvolved", stored["deconvolved"][:], text)] if "deconvolved" in stored else []
    write_traces(module, context, movie, table, fluorescence=traces, deconvolved=deconvolved)
