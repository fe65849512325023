"""What suite2p's results are, for the writer that all imaging methods share."""

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
            name: (text + ("" if name in ("mean", "reference") else outside), stored[name][:])
            for name, text in IMAGES.items()
            if name in stored
        },
    )
    if not summary["rois"]:
        return
    text = f"ROIs that suite2p found in {movie.name}: those of functional detection, cells or not."
    table = write_segmentation(module, context, movie, _rois(arrays["rois"], context), text)
    _write_traces(module, movie, table, arrays["traces"], context)


def _motion(arrays: Any, summary: Any) -> Motion:
    (x0, x1), (y0, y1) = summary["valid_x"], summary["valid_y"]
    blocks = arrays["blocks"][:] if "block_shifts" in arrays else None
    return Motion(
        shifts=arrays["shifts"][:],
        quality={
            "correlation": (
                "peak of the phase correlation of the frame with the reference image",
                arrays["correlation"][:],
            ),
            "excluded": (
                f"1 if the frame was excluded from detection ({summary['bad_frames']} frames), else 0",
                arrays["bad_frames"][:],
            ),
        },
        blocks=blocks,
        block_shifts=None if blocks is None else arrays["block_shifts"][:],
        note=f"After the correction the region x {x0} to {x1}, y {y0} to {y1} (ends excluded) is valid in every "
        "frame that was not excluded.",
    )


def _rois(stored: Any, context: Context) -> Rois:
    probability = stored["iscell_probability"][:]
    threshold = context.params.cell_threshold
    return Rois(
        index=stored["index"][:],
        x=stored["x"][:],
        y=stored["y"][:],
        weight=stored["weight"][:],
        columns={
            "iscell": (f"Whether the ROI is a cell: probability above {threshold:g}.", probability > threshold),
            "iscell_probability": (
                "Probability that the ROI is a cell, by suite2p's built-in classifier.",
                probability,
            ),
            "center": (f"Median pixel (x, y). {AXES}.", stored["center"][:]),
            **{name: (text, stored[name][:]) for name, text in COLUMNS.items()},
        },
    )


def _write_traces(module: ProcessingModule, movie: Any, table: Any, stored: Any, context: Context) -> None:
    fluorescence, neuropil = stored["fluorescence"][:], stored["neuropil"][:]
    coefficient = float(context.params.neuropil_coefficient)
    write_traces(
        module,
        context,
        movie,
        table,
        fluorescence=[
            Traces("RoiResponseSeries", fluorescence, "Weighted mean of each ROI, in the movie's stored values (F)."),
            Traces("Neuropil", neuropil, "Mean of each ROI's surround, in the movie's stored values (Fneu)."),
            Traces(
                "NeuropilCorrected",
                fluorescence - np.float32(coefficient) * neuropil,
                f"F - {coefficient:g} Fneu, in the movie's stored values; not divided by a baseline.",
            ),
        ],
        deconvolved=[
            Traces(
                "Deconvolved",
                stored["deconvolved"][:],
                f"Deconvolved activity (OASIS, tau {context.params.tau:g} s) of the corrected trace over its "
                "baseline: proportional to the number of spikes, in no absolute unit.",
            )
        ],
    )
