"""Check that the parts of a segmentation fit each other: ROIs and image, traces and traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import Problem, SourceError

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

_LISTED = 5


def check_segmentation(source: Source) -> None:
    """Refuse a segmentation without ROIs, or with pixels outside of its image, before it is written.

    Parameters
    ----------
    source : Source
        Open; a source of another kind passes.

    Raises
    ------
    SourceError
    """
    extractor = getattr(source.interface, "segmentation_extractor", None)
    if extractor is None:
        return
    location = f"{source.where}: {source.file_names}"
    if not extractor.get_num_rois():
        raise SourceError(
            "the segmentation found no ROI",
            where=location,
            expected="one ROI or more",
            found="0 ROIs",
            hint="leave the source out",
        )
    outside = _find_rois_outside(extractor) if "shape" not in (source.spec.accept or ()) else []
    if outside:
        height, width = extractor.get_frame_shape()[:2]
        more = f", and {len(outside) - _LISTED} more ROIs" if len(outside) > _LISTED else ""
        raise SourceError(
            f"{len(outside)} of {extractor.get_num_rois()} ROIs have pixels outside of the image",
            where=location,
            expected=f"rows 0 to {height - 1} and columns 0 to {width - 1}",
            found="; ".join(outside[:_LISTED]) + more,
            hint="check that the ROIs and the image are of one recording and neither is cropped",
        )


def _find_rois_outside(extractor: Any) -> list[str]:
    masks = getattr(extractor, "_roi_masks", None)
    if masks is None or masks.mask_tpe != "nwb-pixel_mask":
        return []  # dense masks have the size of the image, whatever they hold
    height, width = masks.field_of_view_shape[-2:]
    outside = []
    for roi in extractor.get_roi_ids():
        pixels = np.asarray(masks.data[masks.roi_id_map[roi]], dtype=np.float64)
        if not len(pixels):
            continue
        (low_y, low_x), (high_y, high_x) = pixels[:, :2].min(axis=0), pixels[:, :2].max(axis=0)
        if min(low_y, low_x) < 0 or high_y >= height or high_x >= width:
            outside.append(f"ROI {roi}: rows {low_y:g} to {high_y:g}, columns {low_x:g} to {high_x:g}")
    return outside


def find_misfits(source: Source) -> Iterator[Problem]:
    """Find traces of one segmentation that differ in length, or that lack a trace for some ROI."""
    segments: dict[int, list[Any]] = {}
    for series in source.added.series():
        if any(owner.__name__ == "RoiResponseSeries" for owner in type(series).__mro__):
            segments.setdefault(id(series.rois.table), []).append(series)
    for group in segments.values():
        lengths = {series.name: _shape(series)[0] for series in group}
        if len(set(lengths.values())) > 1:
            yield Problem(
                "the traces of one segmentation differ in length",
                source.where,
                "as many frames in each",
                ", ".join(f"{name}: {length}" for name, length in lengths.items()),
                "check that the files are of one run of the tool",
            )
        for series in group:
            columns = _shape(series)[1] if len(_shape(series)) > 1 else 1
            if columns != len(series.rois.data):
                expected = f"{len(series.rois.data)} traces, one for each ROI"
                yield Problem(
                    f"the traces of {series.name} do not fit the ROIs", source.where, expected, f"{columns} traces"
                )


def _shape(series: Any) -> tuple[int, ...]:
    from hdmf.utils import get_data_shape

    shape: tuple[int, ...] = get_data_shape(series.data)
    return shape
