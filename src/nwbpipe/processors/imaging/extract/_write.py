"""Write EXTRACT's results with the writer that all imaging methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.processors._base import Context, Results
from nwbpipe.processors.imaging._segmentation_write import (
    AXES,
    Rois,
    Traces,
    write_images,
    write_segmentation,
    write_traces,
)

if TYPE_CHECKING:
    from pynwb import ProcessingModule

IMAGES = {  # EXTRACT's name: ours, and what it is
    "mean": ("mean", "Mean of the movie that EXTRACT was given, in the movie's stored values."),
    "max": ("max_projection", "Maximum over time of the preprocessed movie."),
    "baseline": ("baseline", "Baseline of each pixel that the movie was divided by (F_per_pixel)."),
    "summary": ("summary", "Maximum over time of the filtered movie, as EXTRACT's cell finding sees it."),
}


def write_results(module: ProcessingModule, movie: Any, results: Results, context: Context) -> None:
    """Add the containers of one run to `module`."""
    arrays, summary = results.arrays, results.summary
    stored = arrays.get("images", {})
    write_images(
        module,
        context,
        {image_name: (text, stored[name][:]) for name, (image_name, text) in IMAGES.items() if name in stored},
    )
    if not summary["rois"]:
        return
    rois, traces = arrays["rois"], arrays["traces"]
    moved = " The frames were moved back by the shifts of another step before." if summary.get("corrected") else ""
    table = write_segmentation(
        module,
        context,
        movie,
        Rois.from_group(
            rois,
            {
                "iscell": (
                    "Whether the ROI is a cell: EXTRACT returns what passed its checks.",
                    np.ones(summary["rois"], bool),
                ),
                "npix": ("Number of pixels.", rois["npix"][:]),
                "center": (f"Centre of mass (x, y) of the footprint. {AXES}.", rois["center"][:]),
            },
        ),
        f"Cells that EXTRACT found in {movie.name}.{moved}",
    )
    fluorescence, dff = [], []
    if "fluorescence" in traces:
        text = "Mean over the footprint, weighted by it, in the movie's stored values; other cells are not taken out."
        fluorescence.append(Traces("RoiResponseSeries", traces["fluorescence"][:], text))
    temporal = traces["temporal"][:]
    if summary["dff"]:
        dff.append(
            Traces("DfOverF", temporal, "EXTRACT's demixed traces (temporal weights) of the dF/F movie.", "n.a.")
        )
    else:
        fluorescence.append(Traces("Demixed", temporal, "EXTRACT's demixed traces (temporal weights)."))
    write_traces(module, context, movie, table, fluorescence=fluorescence, dff=dff)
