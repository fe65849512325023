"""Workarounds for faults of NeuroConv and its readers, one a function.

Each docstring names the fault, the upstream issue, and the version in which the fault was seen. The test in
``tests/converters/neuroconv_fixes`` runs upstream alone: it fails once upstream is right, which is the time to delete
both.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nwbpipe.converters.neuroconv_fixes._dropped_frames import leave_out_dropped_frames
from nwbpipe.converters.neuroconv_fixes._ephys import (
    add_ecephys_block,
    keep_geometry,
    place_electrodes,
    rename_units,
    separate_probes,
)
from nwbpipe.converters.neuroconv_fixes._frames import allow_missing_rate, read_frame_numbers, refuse_missing_rate
from nwbpipe.converters.neuroconv_fixes._gaps import read_stored_samples
from nwbpipe.converters.neuroconv_fixes._interface_package import defer_interfaces
from nwbpipe.converters.neuroconv_fixes._metadata import merge_metadata, rename_devices
from nwbpipe.converters.neuroconv_fixes._pixel_masks import correct_pixel_masks
from nwbpipe.converters.neuroconv_fixes._scales import correct_scales
from nwbpipe.converters.neuroconv_fixes._storage import set_default_storage
from nwbpipe.converters.neuroconv_fixes._tiff_pages import leave_out_partial_cycle
from nwbpipe.converters.neuroconv_fixes._tiff_reads import keep_tiff_open

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

__all__ = [
    "add_ecephys_block",
    "allow_missing_rate",
    "correct_pixel_masks",
    "correct_scales",
    "defer_interfaces",
    "fix_interfaces",
    "merge_metadata",
    "read_frame_numbers",
    "refuse_missing_rate",
    "rename_devices",
    "set_default_storage",
]

logger = logging.getLogger("nwbpipe")


def fix_interfaces(sources: Sequence[Source], metadata: Mapping[str, Any]) -> None:
    """Apply the workarounds that open interfaces need before they write.

    Parameters
    ----------
    sources : sequence of Source
        Sources of one session, open.
    metadata : mapping
        Metadata of the spec.
    """
    separate_probes(sources)
    rename_units(sources)
    keep_geometry(sources)
    place_electrodes(sources, metadata)  # by their groups, which `separate_probes` may rename
    for source in sources:
        read_stored_samples(source.interface)
        leave_out_partial_cycle(source.interface)
        keep_tiff_open(source.interface)
        leave_out_dropped_frames(source.interface)
        for note in correct_scales(source.interface):
            logger.info("%s: %s", source.where, note)
