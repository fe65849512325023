"""Workarounds for readers: pixel masks, gains of EDF, units of analog inputs."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.converters import load_spec
from nwbpipe.converters._build import build_nwbfile
from nwbpipe.converters.neuroconv_fixes import correct_scales
from tests.converters import raw
from tests.converters.neuroconv_fixes import UPSTREAM_IS_RIGHT

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
    assert "put right" in caplog.text, UPSTREAM_IS_RIGHT


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


def test_edf_gain_is_that_of_the_format(tmp_path: Path) -> None:
    pyedflib = pytest.importorskip("pyedflib", reason="EDF needs pyedflib: pip install nwbpipe[ephys]")
    from neuroconv.datainterfaces import EDFRecordingInterface

    signal = {"label": "C0", "dimension": "uV", "sample_frequency": 100, "prefilter": "", "transducer": ""}
    extremes = {"physical_max": 5.0, "physical_min": -5.0, "digital_max": 10, "digital_min": 0}
    with pyedflib.EdfWriter(str(tmp_path / "x.edf"), 1, file_type=pyedflib.FILETYPE_EDF) as writer:
        writer.setSignalHeaders([{**signal, **extremes}])
        writer.writeSamples([np.arange(200, dtype=np.int32) % 11], digital=True)
    interface = EDFRecordingInterface(file_path=tmp_path / "x.edf")
    assert correct_scales(interface), UPSTREAM_IS_RIGHT
    assert interface.recording_extractor.get_property("gain_to_uV") == pytest.approx([1.0])
    assert interface.recording_extractor.get_property("offset_to_uV") == pytest.approx([-5.0])


@pytest.mark.parametrize(("gain_divisor", "changed"), [(1, True), (0, False)])
def test_an_edf_gain_that_is_right_is_left_alone(gain_divisor: int, changed: bool) -> None:
    recording = edf(gain_divisor)  # neo 0.14 divides by one more
    assert bool(correct_scales(interface("EDFRecordingInterface", recording))) == changed
    assert recording.properties["gain_to_uV"] == pytest.approx([1.0])
    assert recording.properties["offset_to_uV"] == pytest.approx([-5.0 if changed else 0.0])


def test_neo_hands_on_the_unit_of_analog_inputs(tmp_path: Path) -> None:
    from neo.rawio import OpenEphysBinaryRawIO

    folder = tmp_path / "Record Node 101" / "experiment1" / "recording1"
    data = folder / "continuous" / "Board-100.Data"
    data.mkdir(parents=True)
    channels = [{"channel_name": "ADC1", "bit_volts": 10 / 2**16, "units": "uV"}]
    stream = {
        **{"folder_name": "Board-100.Data/", "sample_rate": 1000, "num_channels": 1, "channels": channels},
        **{"source_processor_name": "Board", "source_processor_id": 100, "recorded_processor_id": 101},
    }
    layout = {"GUI version": "0.5.5", "continuous": [stream], "events": [], "spikes": []}
    (folder / "structure.oebin").write_text(json.dumps(layout))
    np.zeros(100, dtype="<i2").tofile(data / "continuous.dat")
    np.save(data / "timestamps.npy", np.arange(100))
    reader = OpenEphysBinaryRawIO(str(tmp_path))
    reader.parse_header()
    assert reader.header["signal_channels"]["units"].tolist() == ["uV"], UPSTREAM_IS_RIGHT


@pytest.mark.parametrize(
    ("unit", "gain", "expected"),
    [("uV", 10 / 2**16, "volts"), ("uV", 0.195, "uV"), ("V", 10 / 2**16, "V")],
)
def test_unit_of_analog_inputs(unit: str, gain: float, expected: str) -> None:
    recording = Recording(physical_unit=np.array([unit] * 3), gain_to_physical_unit=np.full(3, gain))
    correct_scales(interface("OpenEphysBinaryAnalogInterface", recording))
    assert set(recording.properties["physical_unit"]) == {expected}


def test_other_recordings_are_left_alone() -> None:
    recording = Recording(physical_unit=np.array(["uV"]), gain_to_physical_unit=np.array([10 / 2**16]))
    assert correct_scales(interface("SpikeGLXRecordingInterface", recording)) == []
    assert correct_scales(object()) == []
