"""Spike sorting with SpikeInterface: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface only. `compute` reads the
series lazily, sorts it, and leaves in ``results``:

================== ======== ================================ =====================================================
dataset            dtype    shape                            meaning
================== ======== ================================ =====================================================
unit_group         int32    (units,)                         index into ``facts["group_names"]``
spike_times        float64  (spikes,)                        seconds in the session's clock, unit after unit
spike_times_index  int64    (units,)                         end of each unit's spikes in ``spike_times``
obs_intervals      float64  (intervals, 2)                   stretches that were recorded without a gap, in seconds
channel_indices    int64    (channels,)                      columns of the series that were sorted
template_mean      float32  (units, samples, channels)       microvolts, mean over ``max_spikes_per_unit`` spikes
template_sd        float32  (units, samples, channels)       microvolts, standard deviation over them
peak_channel       int64    (units,)                         index into ``channel_indices``, largest peak to peak
unit_locations     float64  (units, 3)                       micrometers in the probe's plane and away from it, NaN
                                                             without a geometry
metrics/<name>     float64  (units,)                         quality metrics, NaN where one can't be computed
================== ======== ================================ =====================================================
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import h5py
import numpy as np
import spikeinterface.full as si
from spikeinterface.core import BaseRecording

from ._spikesorting_series import NwbSeriesRecording, read_clock, spike_times

Request = Mapping[str, Any]

#: Quality metrics by SpikeInterface's names, and the parameters that are not left to it.
METRIC_NAMES = (
    "num_spikes", "firing_rate", "presence_ratio", "snr", "isi_violation", "rp_violation",
    "sliding_rp_violation", "amplitude_cutoff", "amplitude_median", "sd_ratio",
)  # fmt: skip
#: A sorter's parameter that takes the seed; the first one that it has.
SEED_NAMES = ("seed", "whitening_seed", "cluster_init_seed")
#: Below so many channels, a reference taken over a group carries too much of its own spikes.
CHANNELS_FOR_REFERENCE = 32


def compute(request: Request, results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Sort the series ``request["inputs"]["recording"]``; see the module's docstring for what is left.

    Raises
    ------
    ValueError
        For a parameter that the sorter does not have, or times that are not regular.
    ModuleNotFoundError
        If the sorter is not installed here.
    """
    params, facts, seed = request["params"], request["facts"], request.get("seed")
    sorter_params = check_sorter(params["sorter"], params["sorter_params"])
    seed_everything(seed)
    si.set_global_job_kwargs(n_jobs=max(1, int(request["threads"])), chunk_duration="1s", progress_bar=False)
    progress(0.02, "reading the times")
    clock = read_clock(request["inputs"]["recording"])
    recording, shifts = open_recording(request, clock.rate)
    progress(0.05, "preprocessing")
    recording, bad, reference = preprocess(recording, params, seed)
    frames, groups = sort(recording, sorter_params, request, progress)
    progress(0.75, "measuring the units")
    measured = measure(recording, frames, groups, params, seed)
    if not facts.get("has_geometry", True):
        measured["unit_locations"][:] = np.nan
    elif len(frames):
        measured["unit_locations"][:, 0] -= shifts[groups]
    progress(0.97, "leaving the results")
    times = spike_times(request["inputs"]["recording"], clock, frames)
    results["spike_times"] = np.concatenate(times) if times else np.zeros(0)
    results["spike_times_index"] = np.cumsum([len(unit) for unit in times], dtype="int64")
    results["obs_intervals"] = clock.obs_intervals
    results["unit_group"] = groups.astype("int32")
    results["channel_indices"] = np.asarray(recording.channel_ids, dtype="int64")
    metrics = measured.pop("metrics")
    for name, values in measured.items():
        results[name] = values
    table = results.create_group("metrics")
    for name, values in metrics.items():
        table[name] = values
    sorter_class = si.sorter_dict[params["sorter"]]
    return {
        "sorter": params["sorter"],
        "sorter_version": str(sorter_class.get_sorter_version()),
        "units": len(frames),
        "spikes": int(sum(len(unit) for unit in frames)),
        "rate": clock.rate,
        "ms_before": params["ms_before"],
        "common_reference": reference,
        "bad_channels": [int(channel) for channel in bad],
        "gaps": len(clock.obs_intervals) - 1,
    }


def seed_everything(fixed: Optional[int]) -> None:
    """Give every generator of this process the seed, those that SpikeInterface leaves unseeded too.

    Its matched filter, for one, draws the chunks that set its thresholds from ``default_rng()``: two runs would
    differ by a few spikes. A process of the run's own may be changed this way.
    """
    if fixed is None:
        return
    np.random.seed(fixed)
    unseeded = np.random.default_rng

    def default_rng(seed: Any = None) -> Any:
        return unseeded(fixed if seed is None else seed)

    np.random.default_rng = default_rng


def check_sorter(name: str, given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the sorter's parameters, or say what is wrong with them; nothing is run."""
    sorters = si.available_sorters()
    if name not in sorters:
        raise ValueError(
            f"there is no sorter {name!r}{_suggest_name(name, sorters)}; "
            f"SpikeInterface {si.__version__} knows: {', '.join(sorters)}"
        )
    sorter = si.sorter_dict[name]
    if not sorter.is_installed():
        raise ModuleNotFoundError(
            f"the sorter {name!r} is not installed; installed here: {', '.join(si.installed_sorters())}; "
            f"SpikeInterface says: {' '.join(sorter.installation_mesg.split()) or 'see its documentation'}"
        )
    defaults = sorter.default_params()
    for key in given:
        if key not in defaults:
            raise ValueError(
                f"the sorter {name!r} has no parameter {key!r}{_suggest_name(key, defaults)}; "
                f"it has: {', '.join(sorted(defaults))}"
            )
    for key, value in given.items():
        default = defaults[key]
        if isinstance(default, dict) != isinstance(value, dict) and default is not None and value is not None:
            raise ValueError(f"the sorter's parameter {key!r} is {value!r}; expected something like {default!r}")
    # A nested mapping is merged over the sorter's own: SpikeInterface would replace it whole.
    return {key: _merge_params(defaults[key], value) for key, value in given.items()}


def _merge_params(default: Any, value: Any) -> Any:
    if not (isinstance(default, dict) and isinstance(value, dict)):
        return value
    return {**default, **{key: _merge_params(default.get(key), inner) for key, inner in value.items()}}


def _suggest_name(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def open_recording(request: Request, rate: float) -> "tuple[BaseRecording, np.ndarray]":
    """Return the recording, and how far each group was moved in x (micrometers) so that none overlap."""
    facts, series = request["facts"], request["inputs"]["recording"]
    locations, groups = np.array(facts["locations"], float), np.asarray(facts["groups"])
    shifts = np.zeros(int(groups.max()) + 1)
    edge = None
    for group in range(len(shifts)):
        inside = locations[groups == group, 0]
        # Half a millimeter: no spike is seen on two probes.
        shifts[group] = 0.0 if edge is None else edge + 500.0 - inside.min()
        edge = float(inside.max() + shifts[group])
    if len(shifts) == 1:
        shifts[:] = 0.0
    locations[:, 0] += shifts[groups]
    arguments = {
        "file": series["file"],
        "data": series["data"],
        "rate": rate,
        "gains": facts["gains_to_uv"],
        "offsets": facts["offsets_to_uv"],
        "locations": locations.tolist(),
        "groups": groups.tolist(),
    }
    return NwbSeriesRecording(**arguments), shifts


def preprocess(recording: Any, params: Mapping[str, Any], seed: Optional[int]) -> "tuple[Any, List[int], str]":
    """Filter, drop bad channels if that was asked for, and reference each group to itself."""
    nyquist = recording.sampling_frequency / 2
    low, high = params["freq_min"], params["freq_max"]
    if high is not None and high >= nyquist:
        raise ValueError(f"freq_max is {high} Hz; expected less than half of the sampling rate, {nyquist:g} Hz")
    if low is not None and high is not None:
        recording = si.bandpass_filter(recording, freq_min=low, freq_max=high, dtype="float32")
    elif low is not None:
        recording = si.highpass_filter(recording, freq_min=low, dtype="float32")
    bad: List[int] = []
    if params["bad_channels"] != "none":
        bad_ids, _ = si.detect_bad_channels(recording, method=params["bad_channels"], seed=seed)
        bad = list(bad_ids)
        if len(bad) == recording.get_num_channels():
            raise ValueError("every channel was found to be bad; set bad_channels to 'none' or to another method")
        recording = recording.remove_channels(bad) if bad else recording
    operator = params["common_reference"]
    groups = recording.get_property("group")
    members = [recording.channel_ids[groups == group].tolist() for group in np.unique(groups)]
    if operator == "auto":
        operator = "median" if min(map(len, members)) >= CHANNELS_FOR_REFERENCE else "none"
    if operator != "none":
        recording = si.common_reference(recording, operator=operator, groups=members)
    return recording, bad, operator


def sort(
    recording: Any, given: Mapping[str, Any], request: Request, progress: Callable[[float, str], None]
) -> "tuple[List[np.ndarray], np.ndarray]":
    """Run the sorter on each group of channels; return each unit's samples (ascending), and its group."""
    params, seed = request["params"], request.get("seed")
    name, scratch = params["sorter"], Path(request["scratch"])
    arguments = _add_seed(name, given, seed)
    groups = recording.get_property("group")
    labels = np.unique(groups).tolist() if params["group_by"] == "group_name" else [None]
    frames: List[np.ndarray] = []
    unit_group: List[int] = []
    for number, label in enumerate(labels):
        part = recording if label is None else recording.select_channels(recording.channel_ids[groups == label])
        progress(0.1 + 0.65 * number / len(labels), f"{name}: group {number + 1} of {len(labels)}")
        sorting = si.run_sorter(
            name, part, folder=scratch / f"sorter_{number}", verbose=True, remove_existing_folder=True, **arguments
        )
        last = recording.get_num_samples()
        for unit in sorting.unit_ids:
            train = np.sort(np.asarray(sorting.get_unit_spike_train(unit, segment_index=0), dtype="int64"))
            train = train[(train >= 0) & (train < last)]  # some sorters leave spikes past the edges
            if len(train):
                frames.append(train)
                unit_group.append(0 if label is None else int(label))
    return frames, np.asarray(unit_group, dtype="int64")


def _add_seed(name: str, given: Mapping[str, Any], seed: Optional[int]) -> Dict[str, Any]:
    defaults = si.sorter_dict[name].default_params()
    arguments = dict(given)
    for key in SEED_NAMES:
        if seed is not None and key in defaults:
            arguments.setdefault(key, int(seed))
            break
    # Without it, which peaks are kept depends on which worker is first.
    if seed is not None and "deterministic_peaks_detection" in defaults:
        arguments.setdefault("deterministic_peaks_detection", True)
    return arguments


def measure(
    recording: Any, frames: List[np.ndarray], groups: np.ndarray, params: Mapping[str, Any], seed: Optional[int]
) -> Dict[str, Any]:
    """Return templates, locations and quality metrics, with SpikeInterface's SortingAnalyzer."""
    units, channels, rate = len(frames), recording.get_num_channels(), recording.sampling_frequency
    if units == 0:
        samples = int(params["ms_before"] * rate / 1000) + int(params["ms_after"] * rate / 1000)
        empty = np.zeros((0, samples, channels), "float32")
        return {
            "template_mean": empty,
            "template_sd": empty,
            "peak_channel": np.zeros(0, "int64"),
            "unit_locations": np.zeros((0, 3)),
            "metrics": {},
        }
    sorting = si.NumpySorting.from_unit_dict([dict(enumerate(frames))], rate)
    analyzer = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=False, return_in_uV=True)
    analyzer.compute("random_spikes", max_spikes_per_unit=params["max_spikes_per_unit"], seed=seed)
    analyzer.compute(
        "templates", ms_before=params["ms_before"], ms_after=params["ms_after"], operators=["average", "std"]
    )
    analyzer.compute("noise_levels", random_slices_kwargs={"seed": seed})
    analyzer.compute(["unit_locations", "spike_amplitudes"])
    metric_params = {"isi_violation": {"isi_threshold_ms": params["isi_threshold_ms"]}}
    analyzer.compute(
        "quality_metrics", metric_names=list(METRIC_NAMES), metric_params=metric_params, skip_pc_metrics=True
    )
    table = analyzer.get_extension("quality_metrics").get_data()
    templates = analyzer.get_extension("templates")
    mean = np.asarray(templates.get_templates(operator="average"), "float32")
    extent = np.ptp(mean, axis=1)
    if params["group_by"] == "group_name":
        extent = np.where(recording.get_property("group")[None, :] == groups[:, None], extent, -1.0)
    coordinates = np.asarray(analyzer.get_extension("unit_locations").get_data(), float)
    locations = np.full((units, 3), np.nan)
    locations[:, : min(3, coordinates.shape[1])] = coordinates[:, :3]
    return {
        "template_mean": mean,
        "template_sd": np.asarray(templates.get_templates(operator="std"), "float32"),
        "peak_channel": np.argmax(extent, axis=1).astype("int64"),
        "unit_locations": locations,
        "metrics": {str(name): np.asarray(table[name], dtype="float64") for name in table.columns},
    }
