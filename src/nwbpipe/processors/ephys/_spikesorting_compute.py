"""Spike sorting with SpikeInterface: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface only. The series is preprocessed once
(stage ``preprocessed``: see `_preprocess`), sorted from there (stage ``sorted``), and its units are
measured from there. `compute` leaves in ``results``:

================== ======== ================================ =====================================================
dataset            dtype    shape                            meaning
================== ======== ================================ =====================================================
unit_group         int32    (units,)                         index into ``facts["group_names"]``
spike_times        float64  (spikes,)                        seconds in the session's clock, unit after unit
spike_times_index  int64    (units,)                         end of each unit's spikes in ``spike_times``
obs_intervals      float64  (intervals, 2)                   stretches that were recorded without a gap, in seconds
channel_indices    int64    (channels,)                      columns of the series that were sorted
template_mean      float32  (units, samples, nearest)        microvolts, mean over ``max_spikes_per_unit`` spikes
template_sd        float32  (units, samples, nearest)        microvolts, standard deviation over them
template_channels  int64    (units, nearest)                 index into ``channel_indices``: the nearest to the peak
waveforms, …                                                 see `store_waveforms`; only if ``waveforms_per_unit``
spike_amplitudes   float32  (spikes,)                        microvolts on the unit's main channel
spike_depths       float32  (spikes,)                        micrometers along the probe
motion/…                                                      see `store_motion`; only if motion was corrected
artifacts          float64  (artifacts, 2)                   start and end in seconds of what was set to zero
peak_channel       int64    (units,)                         index into ``channel_indices``, largest peak to peak
unit_locations     float64  (units, 3)                       micrometers in the probe's plane and away from it, NaN
                                                             without a geometry
metrics/<name>     float64  (units,)                         quality metrics, NaN where one can't be computed
================== ======== ================================ =====================================================
"""

from __future__ import annotations

import difflib
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import h5py
import numpy as np
import spikeinterface.full as si
from spikeinterface.sorters.utils import SpikeSortingError

from ._kept_waveforms import store_waveforms
from ._merge_fragments import TidiedUnits, join_fragments
from ._preprocess import load_decisions, open_cache, preprocess
from ._spikesorting_series import cut_intervals, read_clock, sample_times, spike_times, store_motion

Request = Mapping[str, Any]

#: Quality metrics by SpikeInterface's names, and the parameters that are not left to it.
METRIC_NAMES = (
    "num_spikes", "firing_rate", "presence_ratio", "snr", "isi_violation", "rp_violation",
    "sliding_rp_violation", "amplitude_cutoff", "amplitude_median", "sd_ratio",
)  # fmt: skip
#: So many electrodes have the waveforms of a unit.
WAVEFORM_CHANNELS = 32
GPU_DEVICE = Path("/dev/nvidia0")
#: A sorter's parameter that takes the seed; the first one that it has.
SEED_NAMES = ("seed", "whitening_seed", "cluster_init_seed")


def stage_preprocessed(request: Request, folder: str, progress: Callable[[float, str], None]) -> None:
    """Check the sorter and its parameters, then write the preprocessed recording into `folder`."""
    check_sorter(request["params"]["sorter"], request["params"]["sorter_params"])
    begin(request)
    clock = read_clock(request["inputs"]["recording"])
    preprocess(request, clock.rate, Path(folder), progress)


def stage_sorted(request: Request, folder: str, progress: Callable[[float, str], None]) -> None:
    """Sort the preprocessed recording; leave each spike's sample and unit, and each unit's group."""
    params = request["params"]
    begin(request)
    recording = open_cache(Path(request["stages"]["preprocessed"]))
    sorter_params = check_sorter(params["sorter"], params["sorter_params"])
    frames, groups = sort(recording, sorter_params, request, progress)
    units = [np.full(len(train), unit) for unit, train in enumerate(frames)]
    np.savez(
        Path(folder) / "sorting.npz",
        samples=np.concatenate(frames) if frames else np.zeros(0, "int64"),
        units=np.concatenate(units) if units else np.zeros(0, "int64"),
        groups=groups,
    )


def begin(request: Request) -> None:
    """Seed the generators, and give SpikeInterface its number of threads."""
    seed_everything(request.get("seed"))
    si.set_global_job_kwargs(n_jobs=max(1, int(request["threads"])), chunk_duration="1s", progress_bar=False)


def compute(request: Request, results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Measure the units of the stages; see the module's docstring for what is left.

    Raises
    ------
    ValueError
        For a parameter that the sorter does not have, or times that are not regular.
    ModuleNotFoundError
        If the sorter is not installed here.
    OSError
        If the preprocessed recording does not fit on the disk of the scratch folder.
    """
    params, facts, seed = request["params"], request["facts"], request.get("seed")
    begin(request)
    clock = read_clock(request["inputs"]["recording"])
    cache = Path(request["stages"]["preprocessed"])
    decisions, recording = load_decisions(cache), open_cache(cache)
    with np.load(Path(request["stages"]["sorted"]) / "sorting.npz") as sorting:
        groups = sorting["groups"]
        frames = [sorting["samples"][sorting["units"] == unit] for unit in range(len(groups))]
    progress(0.8, "joining fragments")
    units = tidy_units(recording, frames, groups, params, seed)
    frames, groups = units.frames, units.groups
    progress(0.85, "measuring the units")
    analyzer, measured = measure(recording, frames, groups, params, seed)
    if len(frames) and params.get("waveforms_per_unit", 0):
        count = params["waveforms_per_unit"]
        store_waveforms(results, analyzer, measured["template_channels"], count, Path(request["scratch"]))
    shifts = np.asarray(decisions["shifts"])
    if not facts.get("has_geometry", True):
        measured["unit_locations"][:] = np.nan
    elif len(frames):
        measured["unit_locations"][:, 0] -= shifts[groups]
    progress(0.97, "leaving the results")
    times = spike_times(request["inputs"]["recording"], clock, frames)
    results["spike_times"] = np.concatenate(times) if times else np.zeros(0)
    results["spike_times_index"] = np.cumsum([len(unit) for unit in times], dtype="int64")
    artifacts = sample_times(request["inputs"]["recording"], clock, np.array(decisions["artifacts"], "int64"))
    results["obs_intervals"] = cut_intervals(clock.obs_intervals, artifacts)
    results["artifacts"] = artifacts
    results["unit_group"] = groups.astype("int32")
    results["channel_indices"] = np.asarray(recording.channel_ids, dtype="int64")
    store_motion(results, decisions["motion"], request["inputs"]["recording"], clock, decisions["samples"])
    metrics = measured.pop("metrics")
    for name, values in measured.items():
        results[name] = values
    table = results.create_group("metrics")
    for name, values in metrics.items():
        table[name] = values
    sorter_class = si.sorter_dict[params["sorter"]]
    labels = decisions["labels"]
    return {
        "sorter": params["sorter"],
        "sorter_version": str(sorter_class.get_sorter_version()),
        "units": len(frames),
        "spikes": int(sum(len(unit) for unit in frames)),
        "rate": clock.rate,
        "ms_before": params["ms_before"],
        "common_reference": decisions["reference"],
        "phase_shift": decisions["phase_shift"],
        "bad_channels": {str(n): label for n, label in enumerate(labels) if label != "good"},
        "artifacts": len(artifacts),
        "clipped_values": decisions["clipped"],
        "motion": decisions["motion_reason"],
        "joined_fragments": units.merged,
        "spikes_found_twice": units.duplicates,
        "small_units": units.dropped,
        "spikes_of_small_units": units.dropped_spikes,
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
    if sorter.gpu_capability == "nvidia-required" and not (shutil.which("nvidia-smi") or GPU_DEVICE.exists()):
        raise RuntimeError(
            f"the sorter {name!r} needs an NVIDIA GPU, and there is none here; next: run it where one is"
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


def sort(
    recording: Any, given: Mapping[str, Any], request: Request, progress: Callable[[float, str], None]
) -> "tuple[List[np.ndarray], np.ndarray]":
    """Run the sorter on each group of channels; return each unit's samples (ascending), and its group."""
    params, seed = request["params"], request.get("seed")
    name, scratch = params["sorter"], Path(request["scratch"])
    arguments = turn_off_motion(name, _add_seed(name, given, seed), request["facts"].get("motion_method", "sorter"))
    groups = recording.get_property("group")
    labels = np.unique(groups).tolist() if params["group_by"] == "group_name" else [None]
    frames: List[np.ndarray] = []
    unit_group: List[int] = []
    for number, label in enumerate(labels):
        part = recording if label is None else recording.select_channels(recording.channel_ids[groups == label])
        progress(0.1 + 0.65 * number / len(labels), f"{name}: group {number + 1} of {len(labels)}")
        folder = scratch / f"sorter_{number}"
        try:
            sorting = si.run_sorter(name, part, folder=folder, verbose=True, remove_existing_folder=True, **arguments)
        except SpikeSortingError as error:
            raise RuntimeError(f"the sorter {name!r} failed: {find_cause(folder, error)}") from error
        last = recording.get_num_samples()
        for unit in sorting.unit_ids:
            train = np.sort(np.asarray(sorting.get_unit_spike_train(unit, segment_index=0), dtype="int64"))
            train = train[(train >= 0) & (train < last)]  # some sorters leave spikes past the edges
            if len(train):
                frames.append(train)
                unit_group.append(0 if label is None else int(label))
    return frames, np.asarray(unit_group, dtype="int64")


def find_cause(folder: Path, error: Exception) -> str:
    """Return the last line of a failed sorter's own traceback, which SpikeInterface leaves in a file."""
    try:
        trace = json.loads((folder / "spikeinterface_log.json").read_text(encoding="utf-8"))["error_trace"]
        return str([line for line in trace.strip().splitlines() if line.strip()][-1])
    except (OSError, ValueError, KeyError, IndexError):
        return str(error)


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


def turn_off_motion(name: str, given: Mapping[str, Any], method: str) -> Dict[str, Any]:
    """Return a sorter's arguments without motion correction of its own, unless that is the method."""
    arguments = dict(given)
    if method != "sorter":
        defaults = si.sorter_dict[name].default_params()
        for key, value in (("apply_motion_correction", False), ("nblocks", 0), ("do_correction", False)):
            if key in defaults:
                arguments[key] = value
    return arguments


def tidy_units(
    recording: Any, frames: List[np.ndarray], groups: np.ndarray, params: Mapping[str, Any], seed: Optional[int]
) -> TidiedUnits:
    """Join the fragments of units, and leave out units of very few spikes; see `_merge_fragments`."""
    if not frames or not (params["join_fragments"] or params["min_spikes"] > 1):
        return TidiedUnits(frames, groups, 0, 0, 0, 0)
    rate = recording.sampling_frequency
    templates = np.zeros((len(frames), 1, recording.get_num_channels()))
    if params["join_fragments"]:
        sorting = si.NumpySorting.from_unit_dict([dict(enumerate(frames))], rate)
        analyzer = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=False, return_in_uV=True)
        analyzer.compute("random_spikes", max_spikes_per_unit=200, seed=seed)
        analyzer.compute("templates", ms_before=1.0, ms_after=2.0, operators=["average"])
        templates = np.asarray(analyzer.get_extension("templates").get_templates(operator="average"), float)
    # Without templates no two waveforms are alike: only small units are left out.
    locations, duration = recording.get_channel_locations(), recording.get_num_samples() / rate
    return join_fragments(frames, groups, templates, locations, rate, duration, params["min_spikes"])


def measure(
    recording: Any, frames: List[np.ndarray], groups: np.ndarray, params: Mapping[str, Any], seed: Optional[int]
) -> "tuple[Any, Dict[str, Any]]":
    """Return SpikeInterface's SortingAnalyzer (None without units), and its templates, locations and metrics."""
    units, channels, rate = len(frames), recording.get_num_channels(), recording.sampling_frequency
    if units == 0:
        samples = int(params["ms_before"] * rate / 1000) + int(params["ms_after"] * rate / 1000)
        empty = np.zeros((0, samples, min(channels, WAVEFORM_CHANNELS)), "float32")
        return None, {
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
    analyzer.compute("unit_locations")
    # One call: one pass over the recording.
    analyzer.compute({"spike_amplitudes": {}, "spike_locations": {"method": "center_of_mass"}})
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
    peaks = np.argmax(extent, axis=1).astype("int64")
    nearest = find_nearest_channels(recording, peaks, params["group_by"] == "group_name")
    sd = np.asarray(templates.get_templates(operator="std"), "float32")
    return analyzer, {
        "template_mean": np.stack([mean[unit][:, nearest[unit]] for unit in range(units)]),
        "template_sd": np.stack([sd[unit][:, nearest[unit]] for unit in range(units)]),
        "template_channels": nearest,
        "peak_channel": peaks,
        "unit_locations": locations,
        "spike_amplitudes": collect_by_unit(analyzer, "spike_amplitudes").astype("float32"),
        "spike_depths": collect_by_unit(analyzer, "spike_locations")["y"].astype("float32"),
        "metrics": {str(name): np.asarray(table[name], dtype="float64") for name in table.columns},
    }


def collect_by_unit(analyzer: Any, extension: str) -> np.ndarray:
    """Return what an extension has for each spike, unit after unit."""
    by_unit = analyzer.get_extension(extension).get_data(outputs="by_unit")[0]
    return np.concatenate([by_unit[unit] for unit in analyzer.unit_ids])


def find_nearest_channels(recording: Any, peaks: np.ndarray, by_group: bool) -> np.ndarray:
    """Return the channels nearest to each unit's peak, in ascending order: as many for each unit.

    Their number is `WAVEFORM_CHANNELS`, or that of the smallest group (NWB's waveforms are rectangular).
    """
    locations, groups = recording.get_channel_locations(), recording.get_property("group")
    groups = np.asarray(groups) if by_group else np.zeros(len(locations), int)
    count = min(WAVEFORM_CHANNELS, int(np.unique(groups, return_counts=True)[1].min()))
    nearest = np.zeros((len(peaks), count), dtype="int64")
    for unit, peak in enumerate(peaks):
        distance = np.linalg.norm(locations - locations[peak], axis=1)
        distance[groups != groups[peak]] = np.inf
        nearest[unit] = np.sort(np.argsort(distance, kind="stable")[:count])
    return nearest
