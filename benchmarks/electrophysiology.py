"""Electrophysiology: sorting beside SpikeInterface by hand, metrics of units, and the field potential.

Sorting: a recording in an NWB file, sorted and measured by nwbpipe, from the first byte read to the commit; and by
hand by SpikeInterface with the same preprocessing (once, int16), sorter, parameters and threads. Metrics: from the
preprocessed recording with one pass for all that needs the spikes, and with the code that numba compiled before, as
nwbpipe does it; against a pass for each extension over the lazy chain, in a Python that compiles again. Field
potential: CPU time of a channel-hour, and memory by the recording's size.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks._report import note, table
from benchmarks._watch import watch

BOUND_WALL, BOUND_MEMORY, BOUND_METRICS = 1.1, 1.2, 3.0
SERIES = "acquisition/ElectricalSeries"


def run(folder: Path, *, quick: bool) -> None:
    try:
        import spikeinterface  # noqa: F401
    except ImportError:
        note("SpikeInterface is not installed here, so there is nothing to measure: pip install 'nwbpipe[demo]'")
        return
    _sorting(folder, quick=quick)
    note()
    _metrics(folder, quick=quick)
    note()
    _field_potential(folder, quick=quick)


def _sorting(folder: Path, *, quick: bool) -> None:
    channels, seconds = (16, 8) if quick else (64, 60)
    session = write_probe(folder / "probe.nwb", channels, seconds)
    report = folder / "by_hand.json"
    rows, figures = [], {}
    ways = {
        "nwbpipe": ["process", str(session)],
        "SpikeInterface by hand": ["by_hand", str(session), str(folder / "preprocessed"), str(report)],
    }
    if quick:
        del ways["SpikeInterface by hand"]
        note("Left out of the small sizes, as numba compiles for a minute: by hand, and metrics of the lazy chain.\n")
    for name, arguments in ways.items():
        watched = watch([sys.executable, "-m", "benchmarks._electrophysiology_child", *arguments])
        peak = watched.peak
        if name == "nwbpipe":  # the tool runs in a process of its own
            import nwbpipe

            record = nwbpipe.read_records(session)[-1]
            peak = max(peak, int(record.resources["peak_memory_bytes"]))
            units = _count_units(session)
        else:
            units = json.loads(report.read_text())["units"]
        figures[name] = watched.seconds, peak
        rows.append([name, f"{watched.seconds:.1f}", f"{peak / 1e6:.0f}", str(units)])
    note(
        f"{channels} channels, {seconds} s, SpyKING CIRCUS 2, {os.cpu_count()} threads, without motion correction.\n"
    )
    table(["by", "seconds, with imports", "peak memory (MB)", "units"], rows)
    if quick:
        return
    wall, memory = (figures["nwbpipe"][k] / figures["SpikeInterface by hand"][k] for k in range(2))
    within = wall <= BOUND_WALL and memory <= BOUND_MEMORY
    verdict = f"{'below' if within else 'ABOVE'} {BOUND_WALL:g} and {BOUND_MEMORY:g}"
    note(f"\nnwbpipe takes {wall:.2f} times as long, and {memory:.2f} times the memory: {verdict}.")


def _count_units(session: Path) -> int:
    import h5py

    with h5py.File(session) as file:
        return len(file["processing/ecephys/Units_sort/id"])


def _metrics(folder: Path, *, quick: bool) -> None:
    channels, seconds = (16, 8) if quick else (64, 60)
    session = folder / "probe.nwb"
    rows, times = [], {}
    # The first run on a machine compiles for those after it.
    for name in ("cached",) if quick else ("cached, first", "cached", "lazy"):
        report = folder / f"{name}.json"
        watch(
            [
                sys.executable,
                "-m",
                "benchmarks._electrophysiology_child",
                name,
                str(session),
                str(folder / name),
                str(report),
            ]
        )
        content = json.loads(report.read_text())
        times[name] = content["cpu_seconds"]
        rows.append([name, f"{content['cpu_seconds']:.1f}", f"{content['preprocessing_cpu_seconds']:.1f}"])
    note(f"{channels} channels, {seconds} s: waveforms, templates, amplitudes, locations and metrics without PCs.\n")
    table(["recording", "CPU seconds of the measures", "CPU seconds of preprocessing before"], rows)
    if quick:
        return
    factor = times["lazy"] / times["cached"]
    verdict = f"{'above' if factor >= BOUND_METRICS else 'NOT'} {BOUND_METRICS:g}"
    note(
        f"\nFrom the preprocessed recording, with code that was compiled before, {factor:.1f} times less: {verdict};"
    )
    first = times["lazy"] / times["cached, first"]
    note(f"in the first run, which compiles if none did before, {first:.1f} times less.")


def _field_potential(folder: Path, *, quick: bool) -> None:
    import nwbpipe

    rows, peaks = [], []
    for size in (20e6,) if quick else (1e9, 4e9):
        seconds = size / (384 * 2 * 30_000)
        session = write_noise(folder / f"lfp_{size:g}.nwb", 384, seconds)
        watch([sys.executable, "-m", "benchmarks._electrophysiology_child", "lfp", str(session)])
        resources = nwbpipe.read_records(session)[-1].resources
        hours = 384 * seconds / 3600
        peaks.append(resources["peak_memory_bytes"])
        rows.append(
            [f"{size / 1e9:g}", f"{seconds:.0f}", f"{resources['cpu_seconds'] / hours:.1f}", f"{peaks[-1] / 1e6:.0f}"]
        )
        session.unlink()
    note("384 channels of 30 kHz, resampled to 1 kHz.\n")
    table(
        ["GB", "seconds of recording", "CPU seconds of a channel-hour", "peak memory of the computation (MB)"], rows
    )
    if not quick:
        note(f"\nFour times the recording takes {peaks[1] / peaks[0]:.2f} times the memory.")


def write_probe(path: Path, channels: int, seconds: float) -> Path:
    """Write a session with a simulated dense probe, and its true units as /units."""
    from nwbpipe.simulate import DenseProbeSettings, simulate_dense_probe

    settings = DenseProbeSettings(n_channels=channels, duration_s=seconds, n_units=max(4, channels // 4))
    truth = simulate_dense_probe(settings, seed=1)
    nwbfile, region = _start_session(truth.channel_locations)
    for train in truth.spike_samples:
        nwbfile.add_unit(spike_times=train / truth.rate)
    return _write(path, nwbfile, region, truth.samples, truth.gain_to_uv * 1e-6)


def write_noise(path: Path, channels: int, seconds: float) -> Path:
    """Write a session with noise: two seconds, again and again."""
    import h5py
    import numpy as np

    block = np.random.default_rng(0).normal(0, 20, (60_000, channels)).astype("int16")
    places = np.column_stack([16.0 * (np.arange(channels) % 2), 20.0 * (np.arange(channels) // 2)])
    nwbfile, region = _start_session(places)
    _write(path, nwbfile, region, block, 1e-6)
    with h5py.File(path, "r+") as file:
        data = file[f"{SERIES}/data"]
        data.resize(int(seconds * 30_000), axis=0)
        for start in range(len(block), data.shape[0], len(block)):
            data[start : start + len(block)] = block[: data.shape[0] - start]
    return path


def _start_session(locations):
    from datetime import UTC, datetime

    from pynwb import NWBFile
    from pynwb.file import Subject

    nwbfile = NWBFile("a benchmark", "bench", datetime(2024, 5, 1, 10, tzinfo=UTC), session_id="bench")
    nwbfile.subject = Subject(subject_id="bench", species="Mus musculus", sex="F", age="P90D")
    device = nwbfile.create_device(name="Probe", description="a probe")
    group = nwbfile.create_electrode_group(name="shank", description="a shank", location="VISp", device=device)
    for x, y in locations:
        nwbfile.add_electrode(group=group, location="VISp", rel_x=float(x), rel_y=float(y))
    region = nwbfile.create_electrode_table_region(list(range(len(locations))), "all")
    return nwbfile, region


def _write(path, nwbfile, region, data, conversion):
    from hdmf.backends.hdf5 import H5DataIO
    from pynwb import NWBHDF5IO
    from pynwb.ecephys import ElectricalSeries

    chunks = (min(8192, len(data)), min(64, data.shape[1]))
    stored = H5DataIO(data, maxshape=(None, data.shape[1]), chunks=chunks, compression="gzip", compression_opts=1)
    nwbfile.add_acquisition(
        ElectricalSeries(
            name="ElectricalSeries",
            description="raw",
            data=stored,
            electrodes=region,
            rate=30_000.0,
            conversion=conversion,
        )
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path
