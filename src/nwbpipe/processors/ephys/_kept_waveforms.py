"""Keep the waveforms of some spikes of each unit.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from spikeinterface.core.waveform_tools import extract_waveforms_to_single_buffer


def store_waveforms(results: h5py.File, analyzer: Any, nearest: np.ndarray, count: int, scratch: Path) -> None:
    """Leave the waveforms of up to `count` spikes of each unit, of those that its mean waveform is made of.

    ``waveforms`` (float32, (spikes x electrodes, samples), in volts: it goes into the file block by block) has unit
    after unit, spike after spike and electrode after electrode; ``waveforms_index`` the end of each spike's rows,
    ``waveforms_index_index`` the end of each unit's spikes in that, and ``waveform_spikes`` the position of each of
    these spikes among all of its unit.

    Parameters
    ----------
    results : h5py.File
    analyzer : SortingAnalyzer
        With ``random_spikes`` and ``templates``.
    nearest : ndarray, int64, shape (units, electrodes)
        Channels of each unit, ascending.
    count : int
    scratch : Path
        Folder for the waveforms in the order of the recording.
    """
    spikes, templates = analyzer.sorting.to_spike_vector(), analyzer.get_extension("templates")
    kept, positions = choose_spikes(
        spikes["unit_index"], analyzer.get_extension("random_spikes").get_data(), len(nearest), count
    )
    order = np.sort(np.concatenate(kept))
    mask = np.zeros((len(nearest), analyzer.get_num_channels()), dtype=bool)
    np.put_along_axis(mask, nearest, True, axis=1)
    path = scratch / "waveforms.npy"
    cut = extract_waveforms_to_single_buffer(
        analyzer.recording,
        spikes[order],
        templates.nbefore,
        templates.nafter,
        mode="memmap",
        file_path=path,
        dtype="float32",
        sparsity_mask=mask,
    )
    samples, width = templates.nbefore + templates.nafter, nearest.shape[1]
    stored = results.create_dataset("waveforms", (len(order) * width, samples), "float32")
    start = 0
    for unit in kept:
        waveforms = cut[np.searchsorted(order, unit)].transpose(0, 2, 1).reshape(-1, samples)
        stored[start : start + len(waveforms)] = waveforms * np.float32(1e-6)
        start += len(waveforms)
    del cut
    path.unlink()
    results["waveforms_index"] = np.arange(1, len(order) + 1, dtype="int64") * width
    results["waveforms_index_index"] = np.cumsum([len(unit) for unit in kept], dtype="int64")
    results["waveform_spikes"] = np.concatenate(positions).astype("int64")


def choose_spikes(
    units: np.ndarray, drawn: np.ndarray, number: int, count: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return up to `count` of each unit's drawn spikes, evenly spread over them, and their positions in the unit.

    Parameters
    ----------
    units : ndarray, int64, shape (spikes,)
        The unit of each spike, in the order of their times.
    drawn : ndarray, int64
        Indices of the spikes that were drawn, ascending.
    number : int
        Of units.
    count : int
    """
    kept, positions = [], []
    for unit in range(number):
        of_unit = np.flatnonzero(units == unit)
        chosen = drawn[units[drawn] == unit]
        if len(chosen) > count:
            chosen = chosen[np.linspace(0, len(chosen) - 1, count).round().astype(int)]
        kept.append(chosen)
        positions.append(np.searchsorted(of_unit, chosen))
    return kept, positions
