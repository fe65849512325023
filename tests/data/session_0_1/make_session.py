"""Make a small session file with a result of each cheap processor; README.md says when it was run, and how.

python make_session.py FOLDER
"""

import lzma
import sys
from pathlib import Path

import numpy as np
from pynwb import TimeSeries
from pynwb.ophys import (
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
    RoiResponseSeries,
    TwoPhotonSeries,
)  # fmt: skip

import nwbpipe
from nwbpipe.simulate._photometry import rig_channels, simulate_photometry, write_rig

SPEC = """nwbpipe: 1
subject: {subject_id: M1, species: Mus musculus, sex: F, age: P90D, description: A simulated mouse.}
session:
  session_id: a
  session_start_time: 2024-05-01T10:00:00-04:00
  session_description: Simulated traces.
  experimenter: ["Doe, Jane"]
  lab: Lab
  institution: University
  experiment_description: A test.
  keywords: [test]
sources:
  rig:
    interface: MatlabFiberPhotometryInterface
    args: {file_path: data.mat, settings_file_path: meta.toml, unit: volts}
  trials: {interface: CsvTimeIntervalsInterface, args: {file_path: trials.csv}, clock: rig}
  events:
    interface: BehaviorEventsInterface
    args: {file_path: events.csv, name_column: name, unsorted: sort}
    clock: rig
"""
EVENTS = np.array([1.5, 3.5, 5.5])
STEPS = [
    ("demodulate", {}, {"rate_hz": 50, "bandwidth_hz": 10}),
    ("photometry_dff", {"signal": "ophys/DemodulatedLockIn_demodulate"}, {}),
    ("transients", {"trace": "ophys/DfOverFIsosbestic_photometry_dff"}, {"min_width_s": 0.2, "distance_s": 1.0}),
    (
        "event_aligned",
        {"trace": "ophys/DfOverFIsosbestic_photometry_dff", "events": "events/events"},
        {"kinds": ["cue"]},
    ),
    ("event_windows", {"events": "events/events"}, {"alignment_event": "cue", "stop_shift_s": 1.0}),
    ("trialize", {"series": "acquisition/wheel", "trials": "intervals/trials"}, {"before_s": 0.2, "after_s": 0.5}),
    (
        "wheel",
        {"position": "acquisition/wheel"},
        {"threshold": 0.012, "onset_threshold": 0.0023, "rate_hz": 50.0, "lowpass_hz": 10.0},
    ),
    ("dff", {"traces": "ophys/Fluorescence/RoiResponseSeries"}, {}),
    ("deconvolution", {"traces": "ophys/Fluorescence/RoiResponseSeries"}, {"tau": 0.5}),
    ("imaging_quality", {"movie": "acquisition/TwoPhotonSeries"}, {}),
]


def write_raw(folder: Path) -> None:
    """Write the raw files; values are rounded, so that they compress."""
    rng = np.random.default_rng(7)
    truth = simulate_photometry(rng, 8.0, 1000.0, fibers=("left",), event_times=EVENTS, motion=0.02, noise=0.0)
    write_rig(folder / "data.mat", folder / "meta.toml", rng, truth)
    from scipy.io import savemat

    savemat(folder / "data.mat", {"data": np.round(rig_channels(rng, truth) * 64).astype(np.float32) / 64})
    rows = [(time, "cue") for time in EVENTS] + [(time + 0.5, "lick") for time in EVENTS]
    (folder / "events.csv").write_text("time,name\n" + "".join(f"{time},{name}\n" for time, name in rows))
    (folder / "trials.csv").write_text(
        "start_time,stop_time\n" + "".join(f"{time - 0.5},{time + 1.5}\n" for time in EVENTS)
    )
    (folder / "session.yaml").write_text(SPEC)


def add_data(nwbfile: object) -> None:
    """Add a wheel, a movie and traces."""
    rng = np.random.default_rng(3)
    position = np.cumsum(np.repeat(rng.integers(-1, 2, 14), 50)).astype(np.int16)
    nwbfile.add_acquisition(TimeSeries(name="wheel", data=position, unit="radians", rate=50.0, conversion=0.01))
    device = nwbfile.create_device(name="Microscope", description="A microscope.")
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=OpticalChannel(name="green", description="The green channel.", emission_lambda=520.0),
        description="Layer 2/3.",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6f",
        location="Primary visual area",
    )
    movie = rng.integers(0, 4, (24, 16, 16)).astype(np.int16)
    nwbfile.add_acquisition(
        TwoPhotonSeries(name="TwoPhotonSeries", data=movie, imaging_plane=plane, unit="n.a.", rate=5.0)
    )
    module = (
        nwbfile.processing["ophys"]
        if "ophys" in nwbfile.processing
        else nwbfile.create_processing_module("ophys", "Calcium imaging")
    )
    table = ImageSegmentation().create_plane_segmentation(
        name="PlaneSegmentation", description="ROIs", imaging_plane=plane
    )
    for k in range(2):
        table.add_roi(pixel_mask=[(k + 1, k + 1, 1.0)])
    module.add(table.parent)
    region = table.create_roi_table_region(description="all", region=[0, 1])
    values = (50 + rng.integers(0, 9, (70, 2)) + 30 * (np.arange(70) % 20 < 3)[:, None]).astype(np.float32)
    module.add(
        Fluorescence(
            roi_response_series=RoiResponseSeries(
                name="RoiResponseSeries", data=values, unit="n.a.", rois=region, rate=5.0
            )
        )
    )


def main(folder: Path) -> None:
    """Make the file in `folder`."""
    write_raw(folder)
    path = nwbpipe.convert(folder / "session.yaml", folder / "session.nwb", progress=False)
    nwbpipe.update(path, add_data)
    for name, inputs, params in STEPS:
        assert nwbpipe.process(path, name, inputs=inputs, params=params).computed, name
    nwbpipe.repack(path)
    data = lzma.compress(Path(path).read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    (folder / "session.nwb.xz").write_bytes(data)
    print(len(data), "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
