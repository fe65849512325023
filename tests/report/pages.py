"""A session file with something for each part of a report, written by hand, and looking into pages."""

from __future__ import annotations

import base64
import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
WIDTH, HEIGHT = 40, 24
CELL = (slice(5, 9), slice(28, 34))  # rows, columns


def write_rich_session(path: Path) -> Path:
    """Write imaging, ephys, pose, events, trials and signals; texts of it are hostile."""
    from ndx_pose import PoseEstimation, PoseEstimationSeries
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.file import Subject

    rng = np.random.default_rng(0)
    nwbfile = NWBFile(
        session_description=HOSTILE.replace("\x1b", "?"),
        identifier="id",
        session_start_time=datetime(2024, 5, 1, tzinfo=UTC),
        session_id="s<1>",
        related_publications=["doi:'><img src=x onerror=alert(1)>"],
    )
    nwbfile.subject = Subject(subject_id="m&1", species="Mus musculus", description="<b>bold</b>")
    _add_imaging(nwbfile, rng)
    _add_ephys(nwbfile, rng)
    for number in range(30):
        nwbfile.add_trial(start_time=2.0 * number, stop_time=2.0 * number + 1.5)
    nwbfile.add_trial_column(name="outcome", description="what came of it", data=["hit", "miss", "<i>late</i>"] * 10)
    nwbfile.add_trial_column(name="cue_time", description="when", data=2.0 * np.arange(30) + 0.5)
    behavior = nwbfile.create_processing_module("behavior", "b")
    behavior.add(TimeSeries(name="pupil_area", data=np.sin(np.arange(600) / 9), unit="px", rate=10.0))
    behavior.add(
        PoseEstimation(
            name="pose",
            pose_estimation_series=[
                PoseEstimationSeries(
                    name="nose", description="d", data=rng.normal(100, 5, (200, 2)), unit="pixels", rate=10.0,
                    reference_frame="upper left", confidence=np.r_[np.ones(150), np.full(50, 0.2)],
                )
            ],
            description="d", source_software="x",
        )
    )  # fmt: skip
    nwbfile.add_acquisition(TimeSeries(name="wheel", data=np.arange(500.0), unit="cm", timestamps=np.arange(500) / 8))
    with NWBHDF5IO(path, "w") as io_:
        io_.write(nwbfile)
    return path


def _add_imaging(nwbfile: Any, rng: np.random.Generator) -> None:
    from pynwb.base import Images
    from pynwb.image import GrayscaleImage
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, TwoPhotonSeries

    device = nwbfile.create_device("scope", description="d")
    channel = OpticalChannel(name="green", description="d", emission_lambda=520.0)
    plane = nwbfile.create_imaging_plane(
        name="plane", optical_channel=channel, description="d", device=device, excitation_lambda=920.0,
        indicator="GCaMP6s", location="V1", imaging_rate=10.0,
    )  # fmt: skip
    image = np.full((HEIGHT, WIDTH), 10.0)
    image[CELL] = 200.0
    movie = np.repeat(image.T[None].astype(np.uint8), 5, axis=0)  # NWB keeps x first
    nwbfile.add_acquisition(TwoPhotonSeries(name="movie", data=movie, imaging_plane=plane, rate=10.0, unit="n.a."))
    ophys = nwbfile.create_processing_module("ophys", "o")
    ophys.add(Images(name="SummaryImages", images=[GrayscaleImage(name="mean", data=image.T)]))
    segmentation = ImageSegmentation(name="rois")
    table = segmentation.create_plane_segmentation(description="d", imaging_plane=plane, name="cells")
    rows, columns = np.mgrid[CELL]
    table.add_roi(pixel_mask=[(x, y, 1.0) for x, y in zip(columns.ravel(), rows.ravel(), strict=True)])
    table.add_roi(pixel_mask=[(2, 3, 1.0), (3, 3, 1.0)])
    ophys.add(segmentation)
    fluorescence = Fluorescence(name="fluorescence")
    ophys.add(fluorescence)
    region = table.create_roi_table_region(description="all", region=[0, 1])
    data = rng.normal(size=(300, 2))
    fluorescence.create_roi_response_series(name="traces", data=data, unit="a.u.", rois=region, rate=10.0)


def _add_ephys(nwbfile: Any, rng: np.random.Generator) -> None:
    from pynwb.ecephys import ElectricalSeries

    device = nwbfile.create_device("probe", description="d")
    group = nwbfile.create_electrode_group(name="shank", description="d", location="V1", device=device)
    for row in range(8):
        nwbfile.add_electrode(group=group, location="V1", rel_x=float(row % 2) * 16, rel_y=20.0 * row)
    region = nwbfile.create_electrode_table_region(region=list(range(8)), description="all")
    data = rng.integers(-50, 50, (4000, 8)).astype(np.int16)
    nwbfile.add_acquisition(ElectricalSeries(name="ap", data=data, electrodes=region, rate=1000.0, conversion=1e-6))
    nwbfile.add_unit_column(name="isi_violations", description="ratio")
    for row in range(3):
        nwbfile.add_unit(
            spike_times=np.sort(rng.uniform(0, 60, 200)), isi_violations=0.1 * row, electrodes=[row, row + 1],
            waveform_mean=rng.normal(size=(30, 2)) * 1e-5, waveform_sd=np.full((30, 2), 1e-6),
        )  # fmt: skip


class Page(HTMLParser):
    """The tags of a page, its headings and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)
        if self._open and self._open[-1] in ("h1", "h2", "h3", "summary"):
            self.headings.append(data)

    @property
    def pictures(self) -> list[np.ndarray]:
        """Decoded pictures, in order."""
        links = [attrs["href"] for tag, attrs in self.tags if tag == "image"]
        return [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2])))) for link in links if link
        ]


def find_corners(path: str) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of an outline."""
    numbers = [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)", path)]
    steps = [float(length) for length in re.findall(r"[hv]([\d.]+)", path)]
    x, y = zip(*numbers, strict=True)
    widths = [float(length) for length in re.findall(r"h([\d.]+)", path)]
    assert steps
    return min(x), min(y), min(x) + max(widths), max(y)
