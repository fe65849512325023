"""Session files whose values are known, with series of several clocks and tables that link to each other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.fixtures.nwb import empty_session

SPIKES = [np.array([0.105, 1.005, 1.015, 2.5]), np.array([0.2, 3.0])]
GO = [1.0, 2.0, 9.9]  # the last one is too late for any series
RATE = 100.0


def write_arrays_session(path: Path, *, session_id: str = "a", spikes: list[Any] = SPIKES) -> Path:
    """Write a recording (1 kHz, 5 s), traces of two ROIs (100 Hz), a pupil with times of its own, units and trials.

    Value of each is what the name says: the wheel is the time itself, ROI ``n`` is ``n * 1000 + sample``.
    """
    from pynwb import NWBHDF5IO, TimeSeries

    nwbfile = empty_session(f"arrays {session_id}")
    nwbfile.fields["session_id"] = session_id
    _add_recording(nwbfile)
    _add_imaging(nwbfile)
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 4.0])
    pupil = TimeSeries(name="pupil", description="area", data=times * 2, unit="pixels", timestamps=times)
    copied = TimeSeries(name="blink", description="d", data=times > 2, unit="n.a.", timestamps=times.copy())
    module = nwbfile.create_processing_module("behavior", "d")
    module.add(pupil)
    module.add(copied)
    wheel = TimeSeries(
        name="wheel", description="time", data=np.arange(500) / RATE, unit="seconds", rate=RATE, starting_time=0.0
    )
    nwbfile.add_acquisition(wheel)
    nwbfile.add_trial_column("go_cue", "when it began")
    nwbfile.add_trial_column("choice", "d")
    for number, go in enumerate(GO):
        nwbfile.add_trial(start_time=go - 0.5, stop_time=go + 0.25, go_cue=go, choice="left" if number else "right")
    nwbfile.add_epoch(0.0, 2.0, tags=["first"])
    nwbfile.add_epoch(2.0, 4.0, tags=["second"])
    _add_events(nwbfile)
    nwbfile.add_unit_column("depth", "µm")
    for number, unit in enumerate(spikes):
        nwbfile.add_unit(spike_times=unit, depth=100.0 * number, obs_intervals=[[0.0, 4.0]], id=number + 7)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def _add_recording(nwbfile: Any) -> None:
    from pynwb.ecephys import ElectricalSeries

    device = nwbfile.create_device(name="probe", description="d")
    group = nwbfile.create_electrode_group(name="shank", description="d", location="CA1", device=device)
    for number in range(3):
        nwbfile.add_electrode(rel_x=0.0, rel_y=20.0 * number, location="CA1", group=group, id=number + 10)
    region = nwbfile.create_electrode_table_region([2, 1], "two of three")
    data = np.stack([np.arange(5000), -np.arange(5000)], axis=1).astype(np.int16)
    nwbfile.add_acquisition(
        ElectricalSeries(
            name="raw",
            data=data,
            electrodes=region,
            rate=1000.0,
            starting_time=0.0,
            conversion=2e-6,
            channel_conversion=[1.0, 3.0],
        )
    )


def _add_imaging(nwbfile: Any) -> None:
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries, TwoPhotonSeries

    device = nwbfile.create_device(name="scope", description="d")
    channel = OpticalChannel(name="green", description="d", emission_lambda=520.0)
    plane = nwbfile.create_imaging_plane(
        name="plane",
        optical_channel=channel,
        description="d",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP",
        location="V1",
    )
    movie = np.arange(400 * 4 * 3, dtype=np.int16).reshape(400, 4, 3)
    nwbfile.add_acquisition(
        TwoPhotonSeries(name="movie", data=movie, imaging_plane=plane, unit="n.a.", rate=RATE, starting_time=0.5)
    )
    segmentation = ImageSegmentation()
    rois = segmentation.create_plane_segmentation(name="rois", description="d", imaging_plane=plane)
    for number in range(3):
        rois.add_roi(pixel_mask=[(number, number, 1.0)], id=number + 20)
    ophys = nwbfile.create_processing_module("ophys", "d")
    ophys.add(segmentation)
    region = rois.create_roi_table_region("two of three", region=[0, 2])
    traces = np.stack([np.arange(400.0), 1000 + np.arange(400.0)], axis=1)
    fluorescence = Fluorescence()
    ophys.add(fluorescence)
    fluorescence.add_roi_response_series(
        RoiResponseSeries(name="dff", data=traces, rois=region, unit="n.a.", rate=RATE, starting_time=0.5)
    )


def _add_events(nwbfile: Any) -> None:
    from pynwb.event import EventsTable

    events = EventsTable(name="events", description="d")
    events.add_column(name="event_type", description="d")
    for time, kind in ((1.2, "lick"), (0.4, "reward"), (2.2, "lick")):
        events.add_row(timestamp=time, event_type=kind)
    nwbfile.add_events_table(events)


def copy_with(folder: Path, target: Path, change: Any) -> Path:
    """Copy a folder by links, but for its metadata, which are changed."""
    shutil.copytree(folder, target, copy_function=os.link)
    for name in (".zmetadata", ".zattrs"):
        text = change((target / name).read_text())
        (target / name).unlink()
        (target / name).write_text(text)
    return target
