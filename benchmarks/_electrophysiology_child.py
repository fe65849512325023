"""One computation of the benchmark on electrophysiology, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

SERIES = "acquisition/ElectricalSeries"
THREADS = os.cpu_count() or 1


def main() -> None:
    verb, session, *others = sys.argv[1:]
    if verb.startswith("cached"):
        from nwbpipe.environments._worker_imports import install

        install()  # as in the Python of a run: numba's code is kept
    if verb == "process":
        import nwbpipe

        params = {"motion": "none", "bad_channels": "none", "artifacts": False, "join_fragments": False}
        nwbpipe.process(session, "spikesorting", step="sort", params=params, threads=THREADS)
    elif verb == "lfp":
        import nwbpipe

        nwbpipe.process(session, "lfp", params={"rate": 1000.0}, threads=1)
    elif verb == "by_hand":
        sort_by_hand(session, *map(Path, others))
    else:
        measure(verb, session, *map(Path, others))


def start(threads: int):
    import spikeinterface.full as si

    si.set_global_job_kwargs(n_jobs=threads, chunk_duration="1s", progress_bar=False)
    return si


def open_chain(si, session: str):
    recording = si.read_nwb_recording(session, electrical_series_path=SERIES)
    chain = si.bandpass_filter(recording, 300.0, 6000.0, dtype="float32")
    chain = si.common_reference(chain, operator="median") if recording.get_num_channels() >= 32 else chain
    return si.astype(chain, "int16")


def sort_by_hand(session: str, cache: Path, report: Path) -> None:
    si = start(THREADS)
    cached = open_chain(si, session).save(folder=cache, format="binary")
    sorting = si.run_sorter(
        "spykingcircus2",
        cached,
        folder=cache.with_name("sorter"),
        apply_motion_correction=False,
        seed=0,
        deterministic_peaks_detection=True,
        remove_existing_folder=True,
    )
    analyzer = si.create_sorting_analyzer(sorting, cached, format="memory", sparse=True)
    compute_all(analyzer, in_one=True)
    report.write_text(json.dumps({"units": len(sorting.unit_ids)}))


def measure(verb: str, session: str, cache: Path, report: Path) -> None:
    """Measure the true units, from the preprocessed recording or over the lazy chain."""
    import h5py
    import numpy as np

    si = start(1)
    recording = open_chain(si, session)
    begun = time.process_time()
    if verb.startswith("cached"):
        recording = recording.save(folder=cache, format="binary")
    preprocessing = time.process_time() - begun
    with h5py.File(session) as file:
        times, ends = file["units/spike_times"][:], file["units/spike_times_index"][:].astype(int)
    trains = np.split(np.rint(times * recording.sampling_frequency).astype("int64"), ends[:-1])
    sorting = si.NumpySorting.from_unit_dict([dict(enumerate(trains))], recording.sampling_frequency)
    begun = time.process_time()
    analyzer = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=True)
    compute_all(analyzer, in_one=verb.startswith("cached"))
    used = time.process_time() - begun
    report.write_text(json.dumps({"cpu_seconds": used, "preprocessing_cpu_seconds": preprocessing}))


def compute_all(analyzer, *, in_one: bool) -> None:
    analyzer.compute("random_spikes", seed=0)
    analyzer.compute("noise_levels")
    analyzer.compute("waveforms")
    analyzer.compute("templates")
    if in_one:
        analyzer.compute({"spike_amplitudes": {}, "spike_locations": {"method": "center_of_mass"}})
    else:
        analyzer.compute("spike_amplitudes")
        analyzer.compute("spike_locations", method="center_of_mass")
    analyzer.compute("unit_locations")
    names = [
        "num_spikes",
        "firing_rate",
        "snr",
        "isi_violation",
        "rp_violation",
        "amplitude_cutoff",
        "amplitude_median",
    ]
    analyzer.compute("quality_metrics", metric_names=names, skip_pc_metrics=True)


if __name__ == "__main__":
    main()
