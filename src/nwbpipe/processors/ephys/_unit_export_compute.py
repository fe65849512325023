"""Write units with their preprocessed recording for Phy, or for SpikeInterface: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface only. The folder ``export`` in the
scratch folder is what is left. It has ``nwbpipe_export.json`` (which units of which file they are) and
``nwbpipe_spikes.npy`` (int64: for each spike of the folder, its position among the spikes of the table of units), by
which a curation finds its way back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import h5py
import numpy as np
import spikeinterface.full as si

from ._preprocess import open_cache, preprocess
from ._spikesorting_series import read_clock
from ._unit_quality_compute import read_frames

MARK, SPIKES = "nwbpipe_export.json", "nwbpipe_spikes.npy"


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Write the folder ``export``.

    Raises
    ------
    ValueError
        If there is no spike, or a spike lies outside of the recording.
    """
    params, facts, seed = request["params"], request["facts"], request.get("seed")
    series = request["inputs"]["recording"]
    si.set_global_job_kwargs(n_jobs=max(1, int(request["threads"])), chunk_duration="1s", progress_bar=False)
    clock = read_clock(series)
    frames = read_frames(request["inputs"]["units"], series, clock, facts["samples"])
    names = list(facts["unit_names"])
    filled = [unit for unit, train in enumerate(frames) if len(train)]
    if not filled:
        raise ValueError("there are no spikes to export")
    cache = Path(request["scratch"]) / "cache"
    cache.mkdir()
    decisions = preprocess(request, clock.rate, cache, progress)
    folder = Path(request["scratch"]) / "export"
    recording = open_cache(cache)
    progress(0.7, f"writing the units for {params['to']}")
    keys = (
        [str(number) for number in range(len(filled))] if params["to"] == "phy" else [names[unit] for unit in filled]
    )
    sorting = si.NumpySorting.from_unit_dict([dict(zip(keys, (frames[u] for u in filled)))], clock.rate)
    sorting.set_property("unit_name", np.array([names[unit] for unit in filled]))
    if params["to"] == "phy":
        labels = [facts["quality_labels"][unit] or "unsorted" for unit in filled]
        sorting.set_property("quality", np.array(labels))
        analyzer = make_analyzer(sorting, recording, params, seed)
        si.export_to_phy(
            analyzer,
            folder,
            copy_binary=True,
            use_relative_path=True,
            additional_properties=["unit_name"],
            verbose=False,
        )
    else:
        folder.mkdir()
        saved = recording.save(folder=folder / "recording", format="binary")
        analyzer = make_analyzer(sorting, saved, params, seed, folder=folder / "analyzer", format="binary_folder")
        analyzer.compute("correlograms")
        analyzer.compute("unit_locations")
        analyzer.compute("quality_metrics", metric_names=["num_spikes", "firing_rate", "snr", "isi_violation"])
        analyzer.compute("template_metrics", include_multi_channel_metrics=True)
    samples, positions = order_spikes(frames)
    written = sorting.to_spike_vector()["sample_index"]
    if not np.array_equal(written, samples):
        raise ValueError("the spikes were not written in their order; this is a fault of the export")
    np.save(folder / SPIKES, positions)
    results["spike_positions"] = positions
    mark = {
        "format": 1,
        "units": facts["units_object"],
        "names": names,
        "spikes": len(samples),
        "channels": decisions["channels"],
    }
    (folder / MARK).write_text(json.dumps(mark, indent=1), encoding="utf-8")
    return {"units": len(filled), "spikes": len(samples), "empty": len(frames) - len(filled)}


def order_spikes(frames: Any) -> "tuple[np.ndarray, np.ndarray]":
    """Return the samples of all spikes as SpikeInterface orders them, and their positions in the table of units."""
    samples = np.concatenate(frames)
    units = np.repeat(np.arange(len(frames)), [len(train) for train in frames])
    positions = np.lexsort((units, samples))
    return samples[positions], positions


def make_analyzer(sorting: Any, recording: Any, params: Mapping[str, Any], seed: Any, **storage: Any) -> Any:
    """Return an analyzer with what both formats need."""
    storage = storage or {"format": "memory"}
    analyzer = si.create_sorting_analyzer(
        sorting, recording, sparse=True, peak_sign="neg", return_in_uV=True, seed=seed or 0, **storage
    )
    analyzer.compute("random_spikes", max_spikes_per_unit=params["max_spikes_per_unit"], seed=seed)
    analyzer.compute("noise_levels", random_slices_kwargs={"seed": seed})
    analyzer.compute("waveforms", ms_before=params["ms_before"], ms_after=params["ms_after"])
    analyzer.compute("templates", operators=["average", "std", "median"])
    analyzer.compute({"spike_amplitudes": {}, "spike_locations": {"method": "center_of_mass"}})
    analyzer.compute("template_similarity")
    analyzer.compute("principal_components", n_components=3, mode="by_channel_local")
    return analyzer
