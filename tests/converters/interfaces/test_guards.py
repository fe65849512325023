"""Guards for truncated and incomplete raw files."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest

from nwbpipe.converters.interfaces import guard_source, interface_class
from nwbpipe.errors import ToolMissingError
from tests.converters.interfaces.test_deeplabcut import make_table, write_table, write_video


def _what(name, **arguments):
    return [problem.what for problem in guard_source(name, arguments)]


def _write_openephys(folder, channels=4, samples=100):
    recording = folder / "Record Node 101" / "experiment1" / "recording1"
    stream = recording / "continuous" / "Acquisition_Board-100.acq"
    stream.mkdir(parents=True)
    entry = {"folder_name": "Acquisition_Board-100.acq/", "num_channels": channels, "sample_rate": 30000}
    (recording / "structure.oebin").write_text(json.dumps({"continuous": [entry]}))
    np.zeros((samples, channels), "<i2").tofile(stream / "continuous.dat")
    np.save(stream / "sample_numbers.npy", np.arange(samples))
    return stream


def test_open_ephys_binary(tmp_path):
    stream = _write_openephys(tmp_path)
    for name in (
        "OpenEphysRecordingInterface",
        "OpenEphysBinaryRecordingInterface",
        "OpenEphysBinaryAnalogInterface",
    ):
        assert _what(name, folder_path=tmp_path) == []
    data = (stream / "continuous.dat").read_bytes()
    (stream / "continuous.dat").write_bytes(data[:-3])
    assert _what("OpenEphysBinaryRecordingInterface", folder_path=tmp_path) == ["continuous.dat is truncated"]
    (stream / "continuous.dat").write_bytes(data[:-80])
    assert "doesn't fit sample_numbers" in _what("OpenEphysBinaryRecordingInterface", folder_path=tmp_path)[0]
    (stream / "continuous.dat").unlink()
    arguments = {"folder_path": tmp_path, "stream_name": "Record Node 101#Acquisition_Board-100.acq"}
    assert _what("OpenEphysBinaryRecordingInterface", **arguments) == ["the recording lacks its samples"]
    arguments["stream_name"] = "Record Node 101#Other-102.acq"
    assert _what("OpenEphysBinaryRecordingInterface", **arguments) == []
    (stream.parents[1] / "structure.oebin").write_text("{")
    assert _what("OpenEphysBinaryRecordingInterface", folder_path=tmp_path) == ["structure.oebin can't be read"]


def test_open_ephys_without_a_recording(tmp_path):
    assert "no Open Ephys binary" in _what("OpenEphysBinaryRecordingInterface", folder_path=tmp_path)[0]
    # The interface that finds the format out itself reads the older ones too.
    assert _what("OpenEphysRecordingInterface", folder_path=tmp_path) == []


def test_spikeglx(tmp_path):
    run = tmp_path / "run_g0"
    run.mkdir()
    for stream, size in (("imec0.ap", 400), ("nidq", 40)):
        (run / f"run_g0_t0.{stream}.bin").write_bytes(bytes(size))
        (run / f"run_g0_t0.{stream}.meta").write_text(f"typeThis=imec\nfileSizeBytes={size}\n~snsChanMap=(1,2)\n")
    good = {"folder_path": run, "stream_id": "imec0.ap"}
    assert _what("SpikeGLXRecordingInterface", **good) == []
    assert _what("SpikeGLXSyncChannelInterface", folder_path=run, stream_id="imec0.ap-SYNC") == []
    assert _what("SpikeGLXNIDQInterface", folder_path=run) == []
    (run / "run_g0_t0.imec0.ap.bin").write_bytes(bytes(399))
    problem = guard_source("SpikeGLXRecordingInterface", good)[0]
    assert problem.what == "the .bin file has another size than stated"
    assert "400 bytes" in problem.expected
    assert problem.found == "399 bytes"
    assert _what("SpikeGLXNIDQInterface", folder_path=run) == []
    (run / "run_g0_t0.imec0.ap.bin").unlink()
    assert _what("SpikeGLXRecordingInterface", **good) == ["the recording lacks its samples"]
    problem = guard_source("SpikeGLXRecordingInterface", {"folder_path": run, "stream_id": "imec1.ap"})[0]
    assert problem.found == "imec0.ap, nidq"


def test_tdt(tmp_path):
    assert "no TDT block" in _what("TDTEventsInterface", folder_path=tmp_path)[0]
    (tmp_path / "a.tsq").write_bytes(b"")
    assert "lacks its .tev" in _what("TDTFiberPhotometryInterface", folder_path=tmp_path)[0]
    (tmp_path / "a.tev").write_bytes(b"")
    assert _what("TDTFiberPhotometryInterface", folder_path=tmp_path) == []


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"bigtiff": True}, {"compression": "zlib"}])
def test_tiff(tmp_path, options):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    frames = np.random.default_rng(0).integers(0, 4000, (20, 32, 48)).astype(np.uint16)
    with tifffile.TiffWriter(path, **{k: v for k, v in options.items() if k != "compression"}) as tiff:
        if "imagej" in options:
            tiff.write(frames)
        else:
            for frame in frames:
                tiff.write(frame, contiguous=False, **{k: v for k, v in options.items() if k == "compression"})
    assert _what("TiffImagingInterface", file_path=path, sampling_frequency=30) == []
    assert _what("TiffImagingInterface", file_path=path) == ["a TIFF does not say its frame rate"]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.7)])
    assert len(_what("TiffImagingInterface", file_path=path)) == 1
    assert len(_what("ScanImageImagingInterface", file_paths=[path])) == 1
    path.write_bytes(b"not a TIFF")
    assert _what("TiffImagingInterface", file_path=path) == ["the TIFF can't be read"]


def test_video(tmp_path):
    path = write_video(tmp_path / "a.avi", 60)
    assert _what("ExternalVideoInterface", file_paths=[path]) == []
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert len(_what("ExternalVideoInterface", file_paths=[path])) == 1
    path.write_bytes(b"not a video")
    assert _what("InternalVideoInterface", file_path=path) == ["the video doesn't open"]


def test_lightning_pose(tmp_path):
    path = write_table(tmp_path / "a.csv", make_table(30))
    for frames, expected in ((30, []), (15, ["more rows"]), (31, ["fewer rows"])):
        video = write_video(tmp_path / f"{frames}.avi", frames)
        found = _what("LightningPoseDataInterface", file_path=path, original_video_file_path=video)
        assert [text.split(" than")[0].removeprefix("the pose has ") for text in found] == expected


def test_sleap(tmp_path):
    path = tmp_path / "a.slp"
    with h5py.File(path, "w") as file:
        file["frames"] = np.array([(0,), (29,)], dtype=[("frame_idx", "<u8")])
    for frames, expected in ((30, []), (29, ["the pose has frames that the video lacks"])):
        video = write_video(tmp_path / f"{frames}.avi", frames)
        assert _what("SLEAPInterface", file_path=path, video_file_path=video) == expected
    assert _what("SLEAPInterface", file_path=path) == []
    with h5py.File(path, "w") as file:
        file["tracks"] = np.zeros(3)
    assert _what("SLEAPInterface", file_path=path) == ["not a file of SLEAP"]


def write_tracks(path, numbers, frames, names=("a", "b")):
    with h5py.File(path, "w") as file:
        file["frames"] = np.array([(number,) for number in frames], dtype=[("frame_idx", "<u8")])
        file["instances"] = np.array([(number,) for number in numbers], dtype=[("track", "<i4")])
        file["tracks_json"] = [json.dumps([0, name]) for name in names]


def test_tracks_of_sleap(tmp_path):
    path = tmp_path / "a.slp"
    write_tracks(path, [0, 1] * 5, range(5))
    assert _what("SLEAPInterface", file_path=path) == []  # all tracks in all frames: all are written
    write_tracks(path, [0, 1, 0, 1, 0], range(3))
    (problem,) = guard_source("SLEAPInterface", {"file_path": path})
    assert problem.expected == "track_name: a or b"
    assert problem.found == "a (3 instances), b (2 instances)"
    assert _what("SLEAPInterface", file_path=path, track_name="a") == []
    assert _what("SLEAPInterface", file_path=path, track_name="c") == ["no track is called 'c'"]
    write_tracks(path, [0, 1, 0, 1], [0, 9])  # frames are missing in between
    assert len(_what("SLEAPInterface", file_path=path)) == 1
    write_tracks(path, [0, 0], [0, 9])
    assert _what("SLEAPInterface", file_path=path) == []


def test_animals_of_deeplabcut(tmp_path):
    path = write_table(tmp_path / "two.h5", make_table(individuals=("m1", "m2")))
    (problem,) = guard_source("DeepLabCutInterface", {"file_path": path})
    assert problem.expected == "subject_name: m1 or m2"
    assert _what("DeepLabCutInterface", file_path=path, subject_name="m2") == []
    one = write_table(tmp_path / "one.h5", make_table(individuals=("m1",)))
    assert _what("DeepLabCutInterface", file_path=one) == []
    assert interface_class("DeepLabCutInterface")(file_path=one, sampling_frequency=30.0).subject_name == "m1"


@pytest.mark.parametrize(
    ("names", "hint"),
    [("SystemTimestamp,LedState", "SystemTimestamp"), ("ComputerTimestamp,G0", "milliseconds"), ("t,G0", "any name")],
)
def test_columns_of_neurophotometrics(tmp_path, names, hint):
    path = tmp_path / "fp.csv"
    path.write_text(f"FrameCounter,{names}\n0,1,2\n")
    (problem,) = guard_source("NPMFiberPhotometryInterface", {"file_path": path})
    assert hint in problem.hint
    column = names.split(",")[0]
    assert _what("NPMFiberPhotometryInterface", file_path=path, timestamps_column=column) == []


def test_events_without_a_name(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("time,name\n0.5,cue\n2.5,\n3.0,lick\n")
    columns = {"timestamps_column": "time", "event_type_column": "name"}
    (problem,) = guard_source("CSVEventsInterface", {"file_path": path, **columns})
    assert (problem.what, problem.found) == ("an event without a name", "1 of 3 without one, the first in row 2")
    assert _what("CSVEventsInterface", file_path=path, timestamps_column="t") == ["the table lacks the column 't'"]
    assert _what("CSVEventsInterface", file_path=path, timestamps_column="time") == []


def test_suite2p(tmp_path):
    plane = tmp_path / "plane0"
    plane.mkdir()
    np.save(plane / "F.npy", np.zeros((2, 9)))
    assert _what("Suite2pSegmentationInterface", folder_path=tmp_path) == []
    np.save(plane / "stat.npy", np.array([], dtype=object), allow_pickle=True)
    assert _what("Suite2pSegmentationInterface", folder_path=tmp_path) == ["suite2p found no ROI"]
    (plane / "ops.npy").write_bytes(b"")
    assert _what("Suite2pSegmentationInterface", folder_path=tmp_path) == ["ops.npy is empty"]


def test_missing_paths_are_left_to_the_spec(tmp_path):
    for name, key in (
        ("DeepLabCutInterface", "file_path"),
        ("LightningPoseDataInterface", "file_path"),
        ("SLEAPInterface", "file_path"),
        ("OpenEphysBinaryRecordingInterface", "folder_path"),
        ("SpikeGLXRecordingInterface", "folder_path"),
        ("TDTEventsInterface", "folder_path"),
        ("TiffImagingInterface", "file_path"),
        ("ExternalVideoInterface", "file_path"),
        ("AudioInterface", "file_path"),
    ):
        assert guard_source(name, {key: tmp_path / "missing"}) == []


def test_a_guard_without_its_reader(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ToolMissingError, match=r"nwbpipe\[imaging\]"):
        guard_source("TiffImagingInterface", {"file_path": path})


@pytest.mark.real_data
def test_real_bad_sources(shared_data):
    assert (
        len(_what("OpenEphysBinaryRecordingInterface", folder_path=shared_data / "ephys/open_ephys/v0.6.7_Binary"))
        == 2
    )
    tank = shared_data / "photometry/tdt_pmat_no_tev/Photometry-161823"
    assert "lacks its .tev" in _what("TDTEventsInterface", folder_path=tank)[0]
    mouse = shared_data / "pose/lightning_mirror_mouse"
    problem = guard_source(
        "LightningPoseDataInterface",
        {
            "file_path": mouse / "180607_004.train_frames=75.rng=0.csv",
            "original_video_file_path": mouse / "180607_004.mp4",
        },
    )[0]
    assert (problem.expected.split(" ")[0], problem.found) == ("1000", "2000 rows")


@pytest.mark.real_data
def test_real_good_sources_pass(shared_data):
    assert (
        _what("OpenEphysBinaryRecordingInterface", folder_path=shared_data / "ephys_behavior_session/jdb_to_nwb")
        == []
    )
    assert _what("OpenEphysRecordingInterface", folder_path=shared_data / "ephys/open_ephys/v0.6.7_OpenEphys") == []
    tiffs = sorted((shared_data / "imaging").rglob("*.tif"))
    assert len(tiffs) > 5
    for path in tiffs:
        assert _what("TiffImagingInterface", file_path=path, sampling_frequency=30) == []
    sleap = shared_data / "pose" / "sleap_analysis_example"
    video = sleap / "20190128_113421.120s.mp4"
    assert _what("SLEAPInterface", file_path=sleap / "predictions.slp", video_file_path=video) == []
    assert _what("SLEAPInterface", file_path=sleap / "predictions.analysis.h5") == ["not a file of SLEAP"]
    videos = [*(shared_data / "pose").rglob("*.mp4"), *(shared_data / "imaging").rglob("*.avi")]
    assert len(videos) > 4
    assert _what("ExternalVideoInterface", file_paths=videos) == []
