"""Samples beside a gap are kept: Open Ephys' legacy format."""

from __future__ import annotations

from typing import Any

_RECORD = 1024  # samples


def read_stored_samples(interface: Any) -> None:
    """Let neo read the stored samples of Open Ephys' legacy format, and nothing in the place of missing ones.

    neo fills gaps with 0, and with them the last record of what is read at a time, if it follows a gap: its samples
    are lost in silence. The account gives each stored sample its time.

    Upstream: not reported as of 2026-11; so since https://github.com/NeuralEnsemble/python-neo/pull/1387. Seen in neo
    0.14.6.
    """
    recording = getattr(interface, "recording_extractor", None)
    reader: Any = getattr(recording, "neo_reader", None)
    if type(reader).__name__ != "OpenEphysRawIO" or not getattr(reader, "_gap_mode", False):
        return
    reader._gap_mode = False
    for segment, channels in reader._sigs_memmap.items():
        reader._sig_length[segment] = _RECORD * min(len(records) for records in channels.values())
