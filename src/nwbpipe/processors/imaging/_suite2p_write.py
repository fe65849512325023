"""Write suite2p's results as NWB containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.processors._base import Context, Results

if TYPE_CHECKING:
    from pynwb import ProcessingModule
    from pynwb.ophys import PlaneSegmentation

AXES = "x is the index along the second axis of the movie's data, y along the third"
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
    times = _times(movie)
    _write_motion(module, movie, times, results, context)
    _write_images(module, results, context)
    if results.summary["rois"]:
        table = _write_segmentation(module, movie, results, context)
        _write_traces(module, times, table, results, context)


def _times(movie: Any) -> dict[str, Any]:
    """Return the movie's times: a link to its timestamps, or its rate and starting time."""
    if movie.rate is not None:
        return {"rate": float(movie.rate), "starting_time": float(movie.starting_time or 0.0)}
    return {"timestamps": movie}


def _compressed(values: np.ndarray) -> Any:
    from pynwb import H5DataIO

    return H5DataIO(values, compression="gzip", compression_opts=4, shuffle=True, chunks=True)


def _write_motion(
    module: ProcessingModule, movie: Any, times: dict[str, Any], results: Results, context: Context
) -> None:
    from hdmf.common import DynamicTable, VectorData
    from pynwb import TimeSeries

    arrays, summary = results.arrays, results.summary
    if "shifts" not in arrays:
        return
    (x0, x1), (y0, y1) = summary["valid_x"], summary["valid_y"]
    module.add(
        TimeSeries(
            name=context.name("MotionCorrectionShifts"),
            data=_compressed(arrays["shifts"][:]),
            unit="pixels",
            description=f"Displacement (x, y) of the content of each frame of {movie.name} against the reference "
            f"image, positive towards larger indices; a frame is corrected by the opposite. {AXES}. After the "
            f"correction the region x {x0} to {x1}, y {y0} to {y1} (ends excluded) is valid in every frame that was "
            "not excluded.",
            **times,
        )
    )
    module.add(
        TimeSeries(
            name=context.name("MotionCorrectionQuality"),
            data=_compressed(np.stack([arrays["correlation"][:], arrays["bad_frames"][:]], axis=1).astype("float32")),
            unit="n.a.",
            description="First column: peak of the phase correlation of the frame with the reference image. Second "
            f"column: 1 if the frame was excluded from detection ({summary['bad_frames']} frames), else 0.",
            **times,
        )
    )
    if "block_shifts" not in arrays:
        return
    blocks = arrays["blocks"][:]
    module.add(
        DynamicTable(
            name=context.name("MotionCorrectionBlocks"),
            description=f"Blocks of the non-rigid registration, ends excluded. {AXES}.",
            columns=[
                VectorData(name=name, description=text, data=blocks[:, column])
                for column, (name, text) in enumerate(
                    {
                        "x_start": "First x of the block, in pixels.",
                        "x_stop": "End of the block in x, in pixels.",
                        "y_start": "First y of the block, in pixels.",
                        "y_stop": "End of the block in y, in pixels.",
                    }.items()
                )
            ],
        )
    )
    module.add(
        TimeSeries(
            name=context.name("MotionCorrectionBlockShifts"),
            data=_compressed(arrays["block_shifts"][:]),
            unit="pixels",
            description="Displacement (x, y) of the content of each block, beyond that of its frame: (frames, "
            f"blocks, 2). The blocks are the rows of {context.name('MotionCorrectionBlocks')}.",
            **times,
        )
    )


def _write_images(module: ProcessingModule, results: Results, context: Context) -> None:
    from pynwb.base import Images
    from pynwb.image import GrayscaleImage

    (x0, x1), (y0, y1) = results.summary["valid_x"], results.summary["valid_y"]
    stored = results.arrays.get("images", {})
    images = []
    for name, text in IMAGES.items():
        if name in stored:
            cropped = "" if name in ("mean", "reference") else f" 0 outside x {x0} to {x1}, y {y0} to {y1}."
            images.append(GrayscaleImage(name=name, data=stored[name][:], description=text + cropped))
    if images:
        module.add(
            Images(
                name=context.name("SummaryImages"),
                images=images,
                description="Summary images of the movie, (x, y) as its frames.",
            )
        )


def _write_segmentation(
    module: ProcessingModule, movie: Any, results: Results, context: Context
) -> PlaneSegmentation:
    from hdmf.common import VectorData, VectorIndex
    from pynwb.ophys import ImageSegmentation, PlaneSegmentation

    rois = results.arrays["rois"]
    pixels = np.empty(rois["x"].shape[0], dtype=[("x", np.uint32), ("y", np.uint32), ("weight", np.float32)])
    for name in ("x", "y", "weight"):
        pixels[name] = rois[name][:]
    mask = VectorData(name="pixel_mask", description=f"Pixels (x, y, weight) of each ROI. {AXES}.", data=pixels)
    probability = rois["iscell_probability"][:]
    threshold = context.params.cell_threshold
    columns: list[VectorData] = [
        mask,
        VectorIndex(name="pixel_mask_index", target=mask, data=rois["index"][:].astype(np.uint64)),
        VectorData(
            name="iscell",
            description=f"Whether the ROI is a cell: probability above {threshold:g}.",
            data=probability > threshold,
        ),
        VectorData(
            name="iscell_probability",
            description="Probability that the ROI is a cell, by suite2p's built-in classifier.",
            data=probability,
        ),
        VectorData(name="center", description=f"Median pixel (x, y). {AXES}.", data=rois["center"][:]),
        *(VectorData(name=name, description=text, data=rois[name][:]) for name, text in COLUMNS.items()),
    ]
    table = PlaneSegmentation(
        name=context.name("PlaneSegmentation"),
        description=f"ROIs that suite2p found in {movie.name}: those of functional detection, cells or not.",
        imaging_plane=movie.imaging_plane,
        reference_images=movie,
        columns=columns,
        colnames=["pixel_mask", *(c.name for c in columns[2:])],
    )
    module.add(ImageSegmentation(name=context.name("ImageSegmentation"), plane_segmentations=[table]))
    return table


def _write_traces(
    module: ProcessingModule, times: dict[str, Any], table: PlaneSegmentation, results: Results, context: Context
) -> None:
    from pynwb.ophys import Fluorescence, RoiResponseSeries

    traces = results.arrays["traces"]
    fluorescence, neuropil = traces["fluorescence"][:], traces["neuropil"][:]
    coefficient = float(context.params.neuropil_coefficient)

    def series(name: str, values: np.ndarray, text: str, unit: str = "a.u.") -> RoiResponseSeries:
        region = table.create_roi_table_region(
            region=list(range(len(table))), description=f"All ROIs of {table.name}."
        )
        return RoiResponseSeries(
            name=name, data=_compressed(values), rois=region, unit=unit, description=text, **times
        )

    module.add(
        Fluorescence(
            name=context.name("Fluorescence"),
            roi_response_series=[
                series(
                    "RoiResponseSeries", fluorescence, "Weighted mean of each ROI, in the movie's stored values (F)."
                ),
                series("Neuropil", neuropil, "Mean of each ROI's surround, in the movie's stored values (Fneu)."),
                series(
                    "NeuropilCorrected",
                    fluorescence - np.float32(coefficient) * neuropil,
                    f"F - {coefficient:g} Fneu, in the movie's stored values; not divided by a baseline.",
                ),
            ],
        )
    )
    module.add(
        Fluorescence(
            name=context.name("Deconvolved"),
            roi_response_series=[
                series(
                    "Deconvolved",
                    traces["deconvolved"][:],
                    f"Deconvolved activity (OASIS, tau {context.params.tau:g} s) of the corrected trace over its "
                    "baseline: proportional to the number of spikes, in no absolute unit.",
                )
            ],
        )
    )
