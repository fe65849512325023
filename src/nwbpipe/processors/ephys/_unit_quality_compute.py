"""Measure units on the recording that they were found in: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface only. `compute` leaves in ``results``
``metrics/<name>`` (float64, (units,)), NaN where one can't be computed, ``bombcell_label`` (text), and
``merge_group`` (int64, (units,)): units with the same number may be one neuron; -1 for none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

import h5py
import numpy as np
import spikeinterface.full as si
from spikeinterface.curation import bombcell_get_default_thresholds
from spikeinterface.metrics.quality import ComputeQualityMetrics
from spikeinterface.metrics.template import ComputeTemplateMetrics

from ._preprocess import open_cache, preprocess
from ._spikesorting_series import SeriesClock, read_clock

_DRIFT_INTERVAL_S = 60.0
#: Metrics that take hours, or that nobody asked for.
_LEFT_OUT = ("nn_advanced",)


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Measure the units ``request["inputs"]["units"]`` on ``request["inputs"]["recording"]``.

    Raises
    ------
    ValueError
        If a spike lies outside of the recording.
    """
    series, seed = request["inputs"]["recording"], request.get("seed")
    si.set_global_job_kwargs(n_jobs=max(1, int(request["threads"])), chunk_duration="1s", progress_bar=False)
    clock = read_clock(series)
    frames = read_frames(request["inputs"]["units"], series, clock, request["facts"]["samples"])
    folder = Path(request["scratch"]) / "cache"
    folder.mkdir()
    decisions = preprocess(request, clock.rate, folder, progress)
    progress(0.7, "measuring the units")
    metrics: Dict[str, np.ndarray] = {}
    absent: Dict[str, str] = {}
    if frames:
        metrics, absent, further = measure(open_cache(folder), frames, request["params"], seed)
        for name, values in further.items():
            results[name] = values
    table = results.create_group("metrics")
    for name, values in metrics.items():
        table[name] = values
    return {"rate": clock.rate, "units": len(frames), "not_measured": absent, "motion": decisions["motion_reason"]}


def read_frames(
    units: Mapping[str, Any], series: Mapping[str, Any], clock: SeriesClock, samples: int
) -> List[np.ndarray]:
    """Return the samples of each unit's spikes, ascending; refuse spikes outside of the recording."""
    with h5py.File(units["file"], "r", locking=False) as file:
        table = file[units["path"]]
        if "spike_times" not in table:
            return []
        times, ends = table["spike_times"][:], table["spike_times_index"][:].astype("int64")
    if clock.timestamps is None:
        frames = np.rint((times - clock.start) * clock.rate).astype("int64")
        distance = np.zeros(len(times))
    else:
        with h5py.File(series["file"], "r", locking=False) as file:
            stamps = file[clock.timestamps][:]
        upper = np.clip(np.searchsorted(stamps, times), 1, len(stamps) - 1)
        frames = np.where(times - stamps[upper - 1] < stamps[upper] - times, upper - 1, upper)
        distance = np.abs(stamps[frames] - times)
    outside = (frames < 0) | (frames >= samples) | (distance > 1.5 / clock.rate)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} of {len(times)} spikes lie outside of the recording, the first at "
            f"{times[outside][0]:.3f} s; next: bind the recording that the units were found in"
        )
    return [np.sort(unit) for unit in np.split(frames, ends[:-1])] if len(ends) else []


def measure(
    recording: Any, frames: List[np.ndarray], params: Mapping[str, Any], seed: Any
) -> "tuple[Dict[str, np.ndarray], Dict[str, str], Dict[str, Any]]":
    """Return the metrics, the reason for each that was not measured, and Bombcell's labels and merge groups."""
    sorting = si.NumpySorting.from_unit_dict([dict(enumerate(frames))], recording.sampling_frequency)
    analyzer = si.create_sorting_analyzer(
        sorting, recording, format="memory", sparse=True, peak_sign="neg", return_in_uV=True, seed=seed or 0
    )
    analyzer.compute("random_spikes", max_spikes_per_unit=params["max_spikes_per_unit"], seed=seed)
    analyzer.compute("noise_levels", random_slices_kwargs={"seed": seed})
    # sd_ratio takes them as the recording has them, and would else draw its own stretches in each run.
    si.get_noise_levels(analyzer.recording, return_in_uV=True, method="std", random_slices_kwargs={"seed": seed})
    window = {"ms_before": params["ms_before"], "ms_after": params["ms_after"]}
    analyzer.compute("waveforms", **window)
    analyzer.compute("templates", operators=["average", "std", "median"])
    # One call: one pass over the recording.
    analyzer.compute({"spike_amplitudes": {}, "spike_locations": {"method": "center_of_mass"}})
    quality, shapes, columns = choose_metrics(params)
    if shapes is None:
        analyzer.compute("template_metrics", include_multi_channel_metrics=True)
    elif shapes:
        analyzer.compute("template_metrics", metric_names=shapes)
    absent: Dict[str, str] = {}
    of_pcs = si.get_quality_pca_metric_list()
    with_pcs = any(name in of_pcs for name in quality)
    if with_pcs:
        try:
            analyzer.compute("principal_components", n_components=params["n_components"], mode="by_channel_local")
        except Exception as error:  # too few spikes: the other metrics are none the worse
            with_pcs = False
            lost = of_pcs if columns is None else [name for name in columns if name in list_columns(of_pcs)]
            absent = dict.fromkeys(lost, f"no principal components: {error}")
            quality = [name for name in quality if name not in of_pcs]
    interval = {"interval_s": _DRIFT_INTERVAL_S, "min_spikes_per_interval": 100}
    if quality:
        analyzer.compute(
            "quality_metrics",
            metric_names=quality,
            metric_params={"isi_violation": {"isi_threshold_ms": params["isi_threshold_ms"]}, "drift": interval},
            skip_pc_metrics=not with_pcs,
            seed=seed or 0,
        )
    metrics: Dict[str, np.ndarray] = {}
    for extension in ("quality_metrics", "template_metrics"):
        if analyzer.has_extension(extension):
            table = analyzer.get_extension(extension).get_data()
            for name in table.columns:
                values = table[name].to_numpy(dtype="float64", na_value=np.nan)
                metrics[str(name)] = values
    templates = analyzer.get_extension("templates").get_templates(operator="average")
    metrics["amplitude"] = np.ptp(np.asarray(templates), axis=1).max(axis=1).astype("float64")
    metrics["cumulative_drift"] = sum_drift(analyzer)
    if columns is not None:
        for name in columns:
            if name not in metrics:
                absent.setdefault(name, "SpikeInterface does not compute it of this recording")
        metrics = {name: metrics[name] for name in columns if name in metrics}
    for name in [name for name, values in metrics.items() if np.isnan(values).all()]:
        absent[name] = "unknown for every unit: the recording is too short, or has too few spikes"
        if name not in ("presence_ratio", "amplitude_cutoff"):  # thresholds count them as unknown
            del metrics[name]
    further: Dict[str, Any] = {}
    unasked = [] if columns is None else [name for name in list_bombcell_metrics() if name not in columns]
    if unasked:  # fewer rules would call more units good
        absent["bombcell_label"] = f"its rules need metrics that were not asked for: {', '.join(unasked)}"
    else:
        try:
            labels = [str(label) for label in np.asarray(si.bombcell_label_units(analyzer)).reshape(-1)]
            if len(labels) == len(frames):
                further["bombcell_label"] = labels
        except Exception as error:  # its rules need metrics that a short recording does not have
            absent["bombcell_label"] = str(error).splitlines()[0]
    if params["merges"] != "none":
        try:
            further["merge_group"] = find_merges(analyzer, params["merges"])
        except Exception as error:  # too few spikes for a correlogram: the metrics are none the worse
            absent["merge_candidates"] = (str(error).splitlines() or [type(error).__name__])[0]
    return metrics, absent, further


def choose_metrics(params: Mapping[str, Any]) -> "tuple[List[str], Optional[List[str]], Optional[List[str]]]":
    """Return what to compute: quality metrics and template metrics by SpikeInterface's names, and the columns.

    Template metrics and columns are None for all. What is asked for by name are columns; those by which the
    thresholds judge are measured too.
    """
    quality = [name for name in si.get_quality_metric_list() if name not in _LEFT_OUT]
    if params["metrics"] == "all":
        return quality, None, None
    if params["metrics"] == "no_pc":
        return [name for name in quality if name not in si.get_quality_pca_metric_list()], None, None
    columns = list(dict.fromkeys([*params["metrics"], *params["thresholds"].get("unit", {})]))
    wanted = [name for name in quality if set(list_columns([name])) & set(columns)]
    shapes = [name for name in si.get_template_metric_list() if set(list_columns([name])) & set(columns)]
    return wanted, shapes, columns


def list_columns(metrics: Iterable[str]) -> List[str]:
    """Return the columns that SpikeInterface's metrics of these names have."""
    known = [*ComputeQualityMetrics.metric_list, *ComputeTemplateMetrics.metric_list]
    by_name = {metric.metric_name: list(metric.metric_columns) for metric in known}
    return [column for name in metrics for column in by_name[name]]


def list_bombcell_metrics() -> List[str]:
    """Return the columns that Bombcell's rules are about."""
    return [name for section in bombcell_get_default_thresholds().values() for name in section]


def find_merges(analyzer: Any, preset: str) -> np.ndarray:
    """Return the number of the group of each unit that may be one neuron with others; -1 for none.

    Parameters
    ----------
    analyzer : SortingAnalyzer
    preset : str
        Of SpikeInterface's `compute_merge_unit_groups`.
    """
    from spikeinterface.curation import compute_merge_unit_groups

    groups = np.full(len(analyzer.unit_ids), -1, dtype="int64")
    place = {unit: number for number, unit in enumerate(analyzer.unit_ids)}
    for number, units in enumerate(compute_merge_unit_groups(analyzer, preset=preset, resolve_graph=True)):
        groups[[place[unit] for unit in units]] = number
    return groups


def sum_drift(analyzer: Any) -> np.ndarray:
    """Return for each unit the summed steps of the median depth between intervals, NaN under two of them."""
    depths = analyzer.get_extension("spike_locations").get_data(outputs="by_unit")[0]
    drift = np.full(len(analyzer.unit_ids), np.nan)
    for number, unit in enumerate(analyzer.unit_ids):
        frames = analyzer.sorting.get_unit_spike_train(unit, segment_index=0)
        interval = (frames / analyzer.sampling_frequency // _DRIFT_INTERVAL_S).astype("int64")
        medians = [np.median(depths[unit]["y"][interval == step]) for step in np.unique(interval)]
        if len(medians) > 1:
            drift[number] = float(np.sum(np.abs(np.diff(medians))))
    return drift
