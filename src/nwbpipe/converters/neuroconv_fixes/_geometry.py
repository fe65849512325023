"""The positions of a probe's contacts are written: `rel_x`, `rel_y` of the electrodes, in micrometers.

NeuroConv 0.10 takes them from the property `location`, which SpikeInterface 0.105 no longer sets with a probe: the
geometry would be lost in silence.

Upstream: https://github.com/SpikeInterface/spikeinterface/pull/4465 dropped the property. Not reported to NeuroConv
as of 2026-11; seen in NeuroConv 0.10.2 with SpikeInterface 0.105.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source


def keep_geometry(sources: Iterable[Source]) -> None:
    """Set the property `location` of each recording with a probe that lacks it."""
    for source in sources:
        recording: Any = getattr(source.interface, "recording_extractor", None)
        if recording is None or not recording.has_probe() or "location" in recording.get_property_keys():
            continue
        recording.set_property("location", recording.get_channel_locations())
