"""Write CaImAn's results with the writer that all imaging methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    "mean": "Mean of the corrected movie, in the movie's stored values.",
    "reference": "Image that the frames were registered to, in the movie's stored values.",
    "max_projection": "Maximum over time of the corrected movie, in the movie's stored values.",
    "correlation": "Correlation of a pixel with its eight neighbours over time: the largest of parts of about 1,000 "
    "frames.",
}
COLUMNS = {
    "iscell": "Whether CaImAn accepted the component.",
    "snr": "Signal-to-noise ratio of its transients (SNR_comp).",
    "r_value": "Correlation of the footprint with the data at its transients (r_values).",
    "cnn": "Value of CaImAn's network for the footprint (cnn_preds).",
    "noise": "Standard deviation of the trace's noise, in the movie's stored values (neurons_sn).",
    "npix": "Number of pixels.",
    "center": f"Centre of mass (x, y) of the footprint. {AXES}.",
}
WEIGHTED = "Mean over the footprint, weighted by it, in the movie's stored values"
FLUORESCENCE = {
    "RoiResponseSeries": f"{WEIGHTED}, without other components: C + YrA and the background.",
    "Neuropil": f"{WEIGHTED}, of the background that CaImAn found (b f).",
    "NeuropilCorrected": f"{WEIGHTED}, without other components and background: C + YrA.",
    "Denoised": f"{WEIGHTED}, as the model has it: C.",
}


def write_results(module: ProcessingModule, movie: Any, results: Results, context: Context) -> None:
    """Add the containers of one run to `module`."""
    arrays = results.arrays
    if "shifts" in arrays:
        note = "It is the mean over the blocks." if "block_shifts" in arrays else ""
        write_motion(module, context, movie, Motion.from_arrays(arrays, note=note))
    stored = arrays.get("images", {})
    write_images(module, context, {name: (text, stored[name][:]) for name, text in IMAGES.items() if name in stored})
    if not results.summary["rois"]:
        return
    rois, traces = arrays["rois"], arrays["traces"]
    table = write_segmentation(
        module,
        context,
        movie,
        Rois.from_group(rois, {name: (text, rois[name][:]) for name, text in COLUMNS.items() if name in rois}),
        f"Components that CaImAn found in {movie.name}, accepted or not.",
    )
    fluorescence = [Traces(name, traces[name][:], text) for name, text in FLUORESCENCE.items() if name in traces]
    dff = "dF/F by CaImAn's detrend_df_f: over a baseline, the 8th percentile in a window of 500 frames."
    write_traces(
        module,
        context,
        movie,
        table,
        fluorescence=fluorescence,
        dff=[Traces("DfOverF", traces["DfOverF"][:], dff, "n.a.")] if "DfOverF" in traces else [],
        deconvolved=[
            Traces(
                "Deconvolved",
                traces["Deconvolved"][:],
                f"{WEIGHTED}: the jumps (S) of the autoregressive model of the denoised trace, proportional to the "
                "number of spikes.",
            )
        ],
    )
