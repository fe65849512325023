"""What NeuroConv or neo write wrongly, put right: pixel masks, gains of EDF, units of analog inputs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters import load_spec
from nwbpipe.converters._build import build_nwbfile
from nwbpipe.converters.neuroconv_fixes._scales import mend_scales
from tests.converters import raw

HEIGHT, WIDTH, FRAMES = 30, 50, 12


def write_suite2p(folder: Path) -> list[dict[str, np.ndarray]]:
    """Write a suite2p result of two ROIs, the first off the diagonal."""
    plane = folder / "plane0"
    plane.mkdir(parents=True)
    rois = [
        {"ypix": np.array([3, 3, 4]), "xpix": np.array([40, 41, 40])},
        {"ypix": np.array([20, 21, 21]), "xpix": np.array([7, 7, 8])},
    ]
    for roi in rois:
        roi.update(lam=np.array([0.5, 0.3, 0.2], dtype=np.float32), med=[roi["ypix"][0], roi["xpix"][0]], npix=3)
    settings = {"fs": 10.0, "Ly": HEIGHT, "Lx": WIDTH, "nframes": FRAMES, "meanImg": np.zeros((HEIGHT, WIDTH))}
    np.save(plane / "ops.npy", {**settings, "nchannels": 1, "nplanes": 1}, allow_pickle=True)
    np.save(plane / "stat.npy", np.array(rois, dtype=object), allow_pickle=True)
    np.save(plane / "iscell.npy", np.ones((2, 2)))
    for name in ("F", "Fneu", "spks"):
        np.save(plane / f"{name}.npy", np.ones((2, FRAMES), dtype=np.float32))
    return rois


def test_x_and_y_of_pixel_masks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("roiextractors", reason="segmentations need roiextractors: pip install nwbpipe[imaging]")
    caplog.set_level(logging.INFO, logger="nwbpipe")
    rois = write_suite2p(tmp_path / "session" / "result")
    source = {"interface": "Suite2pSegmentationInterface", "args": {"folder_path": "result"}}
    built = build_nwbfile(load_spec(raw.write_spec(tmp_path / "session", {"cells": source})))
    table = built.nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation_cells"]
    for row, roi in enumerate(rois):
        pixels = [tuple(pixel) for pixel in table["pixel_mask"][row]]
        assert [int(x) for x, _, _ in pixels] == roi["xpix"].tolist()
        assert [int(y) for _, y, _ in pixels] == roi["ypix"].tolist()
    assert "put right" in caplog.text


class Recording:
    """As much of a SpikeInterface recording as has to do with scales."""

    def __init__(self, **properties: np.ndarray) -> None:
        self.properties = properties
        self.channel_ids = [f"C{number}" for number in range(len(next(iter(properties.values()))))]

    def get_property(self, name: str) -> np.ndarray | None:
        return self.properties.get(name)

    def set_property(self, name: str, value: np.ndarray) -> None:
        self.properties[name] = value


def interface(kind: str, recording: Recording) -> object:
    return type(kind, (), {"recording_extractor": recording})()


def edf(gain_divisor: int) -> Recording:
    """Make a recording of one EDF channel: -5 to 5 uV in 11 steps, divided as `gain_divisor` has it."""
    gain = np.array([10 / (10 + gain_divisor)])
    recording = Recording(gain_to_uV=gain, offset_to_uV=np.array([0.0]))
    recording.stream_id = "0"
    header = {"physical_min": -5.0, "physical_max": 5.0, "digital_min": 0, "digital_max": 10}
    channels = [{"id": "0", "name": "C0", "stream_id": "0"}]
    recording.neo_reader = type("Reader", (), {"signal_headers": [header], "header": {"signal_channels": channels}})()
    return recording


def test_edf_gain_is_that_of_the_format() -> None:
    recording = edf(gain_divisor=1)  # as neo 0.14
    assert mend_scales(interface("EDFRecordingInterface", recording))
    assert recording.properties["gain_to_uV"] == pytest.approx([1.0])
    assert recording.properties["offset_to_uV"] == pytest.approx([-5.0])


def test_edf_gain_that_is_right_is_left_alone() -> None:
    recording = edf(gain_divisor=0)
    assert mend_scales(interface("EDFRecordingInterface", recording)) == []
    assert recording.properties["gain_to_uV"] == pytest.approx([1.0])
    assert recording.properties["offset_to_uV"] == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("unit", "gain", "expected"),
    [("uV", 10 / 2**16, "volts"), ("uV", 0.195, "uV"), ("V", 10 / 2**16, "V")],
)
def test_unit_of_analog_inputs(unit: str, gain: float, expected: str) -> None:
    recording = Recording(physical_unit=np.array([unit] * 3), gain_to_physical_unit=np.full(3, gain))
    mend_scales(interface("OpenEphysBinaryAnalogInterface", recording))
    assert set(recording.properties["physical_unit"]) == {expected}


def test_other_recordings_are_left_alone() -> None:
    recording = Recording(physical_unit=np.array(["uV"]), gain_to_physical_unit=np.array([10 / 2**16]))
    assert mend_scales(interface("SpikeGLXRecordingInterface", recording)) == []
    assert mend_scales(object()) == []
