"""Small sessions with an extracellular recording, and results as the compute module leaves them."""

from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from pynwb import NWBHDF5IO
from pynwb.ecephys import ElectricalSeries

from nwbpipe.processors import BoundInput, Context, Results
from nwbpipe.processors.ephys import SpikeSortingParams
from tests.fixtures.kept_files import write_once
from tests.fixtures.nwb import empty_session

SERIES = "/acquisition/ElectricalSeries"
RATE = 25_000.0


def column(channels: int, pitch: float = 20.0) -> np.ndarray:
    """Positions in two staggered columns, in micrometers."""
    return np.column_stack([16.0 * (np.arange(channels) % 2), pitch * (np.arange(channels) // 2)])


@write_once
def write_session(
    path: Path, data, *, places=None, names=("rel_x", "rel_y"), groups=None, order=None, columns=None, **series
) -> Path:
    """Write a session with one ElectricalSeries; `order` is the electrodes' rows of its columns."""
    nwbfile = empty_session("A simulated recording.")
    channels = 1 if np.ndim(data) == 1 else data.shape[1]
    groups = ["shank0"] * channels if groups is None else groups
    device = nwbfile.create_device(name="Probe", description="A probe.")
    made = {
        name: nwbfile.create_electrode_group(name=name, description="A shank.", location="CA1", device=device)
        for name in dict.fromkeys(groups)
    }
    rows = np.arange(channels) if order is None else np.asarray(order)
    place_of = dict(zip(rows.tolist(), [] if places is None else places, strict=False))
    group_of = dict(zip(rows.tolist(), groups, strict=True))
    for row in range(channels):
        position = dict(zip(names, map(float, place_of[row]), strict=True)) if places is not None else {}
        nwbfile.add_electrode(group=made[group_of[row]], location="CA1", **position)
    for name, values in (columns or {}).items():
        nwbfile.add_electrode_column(name, f"The column {name}.", data=list(values))
    region = nwbfile.create_electrode_table_region(region=rows.tolist(), description="the channels")
    times = {} if "timestamps" in series else {"rate": RATE, "starting_time": 0.0}
    values = {"conversion": 0.2e-6, **times, **series}
    nwbfile.add_acquisition(
        ElectricalSeries(
            name="ElectricalSeries", description="The recording.", data=data, electrodes=region, **values
        )
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


@contextmanager
def opened(path: Path, mode: str = "r"):
    with NWBHDF5IO(path, mode) as io:
        nwbfile = io.read()
        yield nwbfile
        if mode != "r":
            io.write(nwbfile)


def context_of(nwbfile, *, primary=False, **params) -> Context:
    bound = BoundInput("recording", SERIES, "ElectricalSeries", nwbfile.acquisition["ElectricalSeries"].object_id)
    return Context("sort", SpikeSortingParams(**params), {"recording": bound}, primary=primary)


def request(path: Path, facts=None, scratch=None, **over) -> dict:
    """What the engine hands to the compute module."""
    series = {
        "file": str(path),
        "path": SERIES,
        "neurodata_type": "ElectricalSeries",
        "data": f"{SERIES}/data",
        "timestamps": None,
        "rate": RATE,
        "starting_time": 0.0,
        "external_files": [],
        **over,
    }
    return {
        "inputs": {"recording": series},
        "params": SpikeSortingParams().model_dump(mode="json"),
        "facts": facts or {},
        "seed": 0,
        "threads": 1,
        "scratch": str(scratch),
    }


TIMES = [[0.5, 0.7, 1.25], [0.1], [0.2, 1.9]]


def fill(file: h5py.File, times=TIMES, channels=(0, 1, 2, 3), intervals=((0.0, 2.0),), seed=0) -> Results:
    """Results of a sorting with these spike times."""
    rng = np.random.default_rng(seed)
    units, shape = len(times), (len(times), 75, len(channels))
    file["spike_times"] = np.concatenate(times) if times else np.zeros(0)
    file["spike_times_index"] = np.cumsum([len(unit) for unit in times], dtype="int64")
    file["obs_intervals"] = np.asarray(intervals, float)
    file["unit_group"] = np.zeros(units, "int32")
    file["channel_indices"] = np.asarray(channels, "int64")
    file["template_mean"] = rng.normal(0, 50, shape).astype("float32")
    file["template_sd"] = rng.uniform(1, 5, shape).astype("float32")
    file["peak_channel"] = np.arange(units, dtype="int64") % len(channels)
    file["unit_locations"] = rng.uniform(0, 50, (units, 3))
    metrics = file.create_group("metrics")
    if units:
        metrics["snr"] = np.array([5.0, np.nan, 7.5])[:units]
        metrics["num_spikes"] = np.array([float(len(unit)) for unit in times])
        metrics["presence_ratio"] = np.full(units, np.nan)
        metrics["a_new_metric"] = np.arange(units) + 0.5
    summary = {"sorter": "spykingcircus2", "sorter_version": "2025.12", "rate": RATE, "ms_before": 1.0}
    return Results(file, summary)
