"""Read what `recording_quality` found, or a table of the same kind: labels of channels, artefacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors._base import Context, Input
from nwbpipe.processors.ephys._clock import samples_at

if TYPE_CHECKING:
    from pynwb import NWBFile
    from pynwb.ecephys import ElectricalSeries

#: The input of processors that leave bad channels out.
CHANNELS = Input(
    "DynamicTable", optional=True, doc="ChannelQuality of `recording_quality`: which channels are left out"
)


def read_quality(nwbfile: NWBFile, context: Context, series: ElectricalSeries) -> dict[str, Any]:
    """Return ``channel_labels`` and ``artifact_samples`` of the inputs that are bound."""
    facts: dict[str, Any] = {}
    if "channels" in context.inputs:
        table = context.input(nwbfile, "channels")
        facts["channel_labels"] = _read_labels(table, series, context.inputs["channels"].path)
    if "artifacts" in context.inputs:
        table = context.input(nwbfile, "artifacts")
        times = np.column_stack([table["start_time"].data[:], table["stop_time"].data[:]]).astype(np.float64)
        samples = np.clip(samples_at(series, times.reshape(-1)), 0, len(series.data)).reshape(-1, 2)
        facts["artifact_samples"] = [[int(start), int(end)] for start, end in samples if end > start]
    return facts


def _read_labels(table: Any, series: ElectricalSeries, where: str) -> list[str]:
    missing = sorted({"electrode", "label"} - set(table.colnames))
    if missing:
        msg = "the table does not label electrodes"
        raise InputError(
            msg, where=where, expected="columns electrode and label", found=f"no {', no '.join(missing)}"
        )
    rows = [int(row) for row in table["electrode"].data[:]]
    labels = dict(zip(rows, (str(label) for label in table["label"].data[:]), strict=True))
    absent = [int(row) for row in series.electrodes.data[:] if int(row) not in labels]
    if absent:
        msg = "the table is of another recording"
        expected = f"a label for each electrode of {series.name!r}"
        raise InputError(msg, where=where, expected=expected, found=f"none for the electrodes {absent[:10]}")
    return [labels[int(row)] for row in series.electrodes.data[:]]
