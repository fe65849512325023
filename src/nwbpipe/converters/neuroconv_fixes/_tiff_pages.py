"""Pages of a TIFF after the last whole volume are left out, not taken for the first one.

roiextractors counts cycles of channels and planes by integer division, and numbers the pages after the last whole
cycle from 0 again. Sorted by time, they come second: all frames after them are shifted, in silence but for a warning
that "some samples may not be accessible". A recording that was stopped within a volume is common.

Upstream: not reported as of 2026-11; seen in roiextractors 0.10.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def leave_out_partial_cycle(interface: Any) -> None:
    """Leave out the pages after the last whole cycle of a movie in TIFF pages, where time changes slowest."""
    extractor = getattr(interface, "imaging_extractor", None)
    table = getattr(extractor, "_frames_to_ifd_table", None)
    if extractor is None or table is None or not hasattr(extractor, "_dimension_order"):
        return  # another reader than roiextractors' of many pages
    drop_pages_after(extractor, extractor._get_ifds_per_file())


def drop_pages_after(extractor: Any, pages: list[int]) -> None:
    """Leave out the pages of an extractor after the last whole cycle; `pages` are those of each file."""
    per_cycle = extractor._num_channels * extractor._num_planes
    if sum(pages) % per_cycle == 0:
        return
    table = extractor._frames_to_ifd_table
    page = np.cumsum([0, *pages])[table["file_index"]] + table["IFD_index"]
    extractor._frames_to_ifd_table = table[page < sum(pages) // per_cycle * per_cycle]
    extractor._num_samples = len(extractor._frames_to_ifd_table) // extractor._num_planes
