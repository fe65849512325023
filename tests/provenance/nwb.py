"""A session file of every kind of link that pynwb writes, for the tests of identity."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.image import ImageSeries
from pynwb.ophys import (
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
    PlaneSegmentation,
    RoiResponseSeries,
    TwoPhotonSeries,
)

from tests.fixtures.kept_files import write_once

EPHYS = "/acquisition/probe"
MOVIE = "/acquisition/movie"
SPEED = "/acquisition/speed"
CURRENT = "/acquisition/current"
VIDEO = "/acquisition/video"
MASKS = "/processing/ophys/ImageSegmentation/masks"
PIXELS = "/processing/ophys/ImageSegmentation/pixels"
TRACES = "/processing/ophys/Fluorescence/traces"
PIXEL_TRACES = "/processing/ophys/Fluorescence/pixel_traces"
TARGETS = (EPHYS, MOVIE, SPEED, CURRENT, VIDEO, MASKS, PIXELS, TRACES, PIXEL_TRACES)


def write_session(path: Path, storage: dict[str, Any] | None = None) -> Path:
    """Write the file and its video; `storage` gives chunks and filters of the large data."""
    media = path.parent / "media"
    media.mkdir(exist_ok=True)
    (media / "body.avi").write_bytes(np.random.default_rng(8).bytes(5000))
    return _write_file(path, storage or {})


@write_once
def _write_file(path: Path, storage: dict[str, Any]) -> Path:
    random = np.random.default_rng(7)
    nwb = NWBFile("Everything.", "x", datetime(2024, 5, 1, 10, tzinfo=UTC))

    device = nwb.create_device(name="probe", description="A probe.", serial_number="SN1")
    groups = [
        nwb.create_electrode_group(
            name=name, description="A shank.", location=name, device=device, position=(1.0, 2.0, depth)
        )
        for name, depth in (("CA1", 3.0), ("CA3", 4.0))
    ]
    nwb.add_electrode_column(name="rel_x", description="Across.")
    nwb.add_electrode_column(name="mood", description="A column that means nothing to a recording.")
    for row in range(6):
        nwb.add_electrode(
            x=float(row), y=0.5, z=0.25, imp=1.0, location="CA1", filtering="none",
            group=groups[row % 2], rel_x=row * 20.0, mood=f"m{row}",
        )  # fmt: skip
    nwb.add_acquisition(
        ElectricalSeries(
            name="probe",
            description="Volts.",
            comments="none",
            data=H5DataIO(random.integers(-500, 500, (400, 3), dtype="i2"), **storage),
            electrodes=nwb.create_electrode_table_region([0, 2, 5], "Three of six."),
            starting_time=1.5,
            rate=30_000.0,
            conversion=1e-6,
            offset=0.5,
            channel_conversion=[1.0, 1.1, 1.2],
            filtering="high-pass",
            resolution=0.1,
        )
    )

    channel = OpticalChannel(name="green", description="GFP.", emission_lambda=510.0)
    plane = nwb.create_imaging_plane(
        name="plane", description="A plane.", optical_channel=channel, device=device, excitation_lambda=920.0,
        indicator="GCaMP6f", location="V1", imaging_rate=30.0, origin_coords=[1.0, 2.0], grid_spacing=[0.5, 0.5],
    )  # fmt: skip
    movie = TwoPhotonSeries(
        name="movie",
        data=H5DataIO(random.integers(0, 900, (20, 8, 9), dtype="u2"), **storage),
        imaging_plane=plane,
        rate=30.0,
        unit="n.a.",
        pmt_gain=2.0,
        scan_line_rate=8000.0,
        field_of_view=[1.0, 2.0],
    )
    nwb.add_acquisition(movie)

    speed = TimeSeries(
        name="speed", data=random.normal(size=50), unit="m/s", timestamps=np.arange(50) / 10, continuity="continuous"
    )
    current = TimeSeries(name="current", data=random.normal(size=(50, 2)), unit="A", timestamps=speed)
    nwb.add_acquisition(speed)
    nwb.add_acquisition(current)

    nwb.add_acquisition(
        ImageSeries(
            name="video",
            format="external",
            external_file=["media/body.avi"],
            starting_frame=[0],
            unit="n.a.",
            dimension=[9, 8],
            num_samples=50,
            timestamps=speed,
            device=device,
        )
    )

    ophys = nwb.create_processing_module("ophys", "Results.")
    segmentation = ImageSegmentation()
    ophys.add(segmentation)
    masks = PlaneSegmentation(name="masks", description="Cells.", imaging_plane=plane, reference_images=movie)
    masks.add_column(name="quality", description="Of a cell.")
    pixels = PlaneSegmentation(name="pixels", description="Cells.", imaging_plane=plane)
    segmentation.add_plane_segmentation([masks, pixels])
    for row in range(4):
        masks.add_roi(image_mask=random.random((8, 9)), quality=row / 4)
        pixels.add_roi(pixel_mask=[(row, column, 1.0 + column) for column in range(row + 1)])
    fluorescence = Fluorescence()
    ophys.add(fluorescence)
    for name, table in (("traces", masks), ("pixel_traces", pixels)):
        fluorescence.add_roi_response_series(
            RoiResponseSeries(
                name=name,
                data=H5DataIO(random.random((20, 3)), **storage),
                rois=table.create_roi_table_region(region=[0, 1, 3], description="Three of four."),
                unit="n.a.",
                rate=30.0,
            )
        )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path
