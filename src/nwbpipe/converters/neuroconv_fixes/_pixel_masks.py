"""Pixel masks have x and y in their places.

roiextractors gives the pixels of an ROI as (y, x, weight); NeuroConv writes them as NWB's (x, y, weight) unchanged,
while it turns image masks and summary images into NWB's (x, y) order. Each ROI would be mirrored along the diagonal,
in silence.

Upstream: not reported as of 2026-11; written so since https://github.com/catalystneuro/neuroconv/pull/119, seen in
NeuroConv 0.10.2 with roiextractors 0.10.0. The masks are compared with the dense mask of the reader itself, so that
a version that writes them right is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nwbpipe.converters._added import AddedObjects

_ROIS_COMPARED = 50


def correct_pixel_masks(interface: Any, added: AddedObjects) -> list[str]:
    """Swap x and y of the pixel masks that a source wrote, where they are in each other's place.

    Parameters
    ----------
    interface : BaseDataInterface
        The source's interface.
    added : AddedObjects
        The objects that it wrote, in memory.

    Returns
    -------
    list of str
        A note for each corrected table.
    """
    extractor = getattr(interface, "segmentation_extractor", None)
    if extractor is None:
        return []
    notes = []
    for table in added.objects:
        if type(table).__name__ != "PlaneSegmentation" or "pixel_mask" not in (table.colnames or ()):
            continue
        index = table["pixel_mask"]
        if _are_swapped(extractor, [np.asarray(index[row]) for row in range(min(len(table), _ROIS_COMPARED))]):
            index.target.data[:] = [(y, x, weight) for x, y, weight in index.target.data]
            notes.append(f"{table.name}: x and y of the pixel masks, swapped by NeuroConv, were put right")
    return notes


def _are_swapped(extractor: Any, written: Iterable[Any]) -> bool:
    """Compare ROIs with the reader's dense masks (height, width), until the axes of an ROI differ."""
    ids = extractor.get_roi_ids()
    for roi, pixels in zip(ids, written, strict=False):
        dense = np.asarray(extractor.get_roi_image_masks([roi])).reshape(extractor.get_frame_shape())
        first, second = (np.array([pixel[axis] for pixel in pixels], dtype=int) for axis in (0, 1))
        is_right, is_swapped = _masks_agree(dense, second, first), _masks_agree(dense, first, second)
        if is_right != is_swapped:
            return is_swapped
    return False


def _masks_agree(dense: Any, rows: Any, columns: Any) -> bool:
    if not rows.size or rows.max() >= dense.shape[0] or columns.max() >= dense.shape[1]:
        return False
    return bool(np.count_nonzero(dense[rows, columns]) == np.count_nonzero(dense))
