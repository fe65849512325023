"""Workarounds for faults of NeuroConv and its readers, one a file.

Each file says what goes wrong, where upstream tracks it, and which version ends it. Its test in
``tests/converters/neuroconv_fixes`` asks upstream itself: it fails once the workaround is no longer needed, which is
the time to delete both.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nwbpipe.converters.neuroconv_fixes._analog_unit import correct_analog_unit
from nwbpipe.converters.neuroconv_fixes._device_names import rename_devices
from nwbpipe.converters.neuroconv_fixes._edf_gain import correct_edf_gain
from nwbpipe.converters.neuroconv_fixes._electrode_locations import place_electrodes
from nwbpipe.converters.neuroconv_fixes._frames import allow_missing_rate, read_frame_numbers
from nwbpipe.converters.neuroconv_fixes._geometry import keep_geometry
from nwbpipe.converters.neuroconv_fixes._merge import merge_metadata
from nwbpipe.converters.neuroconv_fixes._pixel_masks import correct_pixel_masks
from nwbpipe.converters.neuroconv_fixes._probe_groups import separate_probes
from nwbpipe.converters.neuroconv_fixes._sorting_metadata import add_ecephys_block
from nwbpipe.converters.neuroconv_fixes._unit_names import rename_units

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

__all__ = [
    "add_ecephys_block",
    "allow_missing_rate",
    "correct_pixel_masks",
    "fix_interfaces",
    "merge_metadata",
    "read_frame_numbers",
    "rename_devices",
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
        for note in (*correct_edf_gain(source.interface), *correct_analog_unit(source.interface)):
            logger.info("%s: %s", source.where, note)
