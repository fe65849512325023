"""Real files that must be refused: of the wrong kind, at odds with each other, or cut short."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from nwbpipe.cli import main

pytestmark = pytest.mark.real_data

OPEN_EPHYS = "ephys_behavior_session/jdb_to_nwb/raw_ephys/2022-07-25_15-30-00"
DAT = "experiment1/recording1/continuous/Rhythm_FPGA-100.0/continuous.dat"
LIGHTNING = "pose/lightning_mirror_mouse"
GONE = -1e9  # `keep`: the file is removed
LABELS = "pose/dlc_openfield/labeled-data/m4s1/CollectedData_Pranav"


@dataclass(frozen=True)
class Bad:
    """What is given, what is done to it, and what the message must say.

    Parameters
    ----------
    interface, args
        The source; paths in `args` are below the raw store or, for a file that is cut, below ``cut/``.
    says : tuple of str
        Texts that the message holds, in lower case.
    cut : str, optional
        File or folder of the raw store that is copied to ``cut/``.
    file : str
        File in that folder which is cut; empty if `cut` is the file.
    keep : float or int
        Part of its bytes that is kept or, if negative, the number of bytes that are taken off its end.
    """

    interface: str
    args: dict[str, Any]
    says: tuple[str, ...]
    cut: str = ""
    file: str = ""
    keep: float = 0.5


def deeplabcut(path: str, *says: str) -> Bad:
    return Bad("DeepLabCutInterface", {"file_path": path, "sampling_frequency": 30}, says)


CAMERA = "behavior/ibl_bpod/session_ephys/raw_video_data/_iblrig_bodyCamera"
WHEEL = "behavior/ibl_bpod/wheel/lt5/_iblrig_encoder"
SSV = {"delimiter": " ", "header": False}
ENCODER = {**SSV, "column_names": ["kind", "time", "position", "date"], "time_unit": "us", "counts_per_turn": 1024}
ENCODER_EVENTS = {
    **SSV,
    "column_names": ["kind", "time", "from", "code", "date"],
    "time_unit": "us",
    "name_column": "code",
}

CASES = {
    "3d_pose": deeplabcut("raw://pose/dlc2kinematics/reachingDEMO_3D.h5", "3-d", "x, y, likelihood"),
    "labels_h5": deeplabcut(f"raw://{LABELS}.h5", "labels made by hand", "116 images"),
    "labels_csv": deeplabcut(f"raw://{LABELS}.csv", "labels made by hand", "116 images"),
    "more_rows_than_frames": Bad(
        "LightningPoseDataInterface",
        {
            "file_path": f"raw://{LIGHTNING}/180607_004.train_frames=75.rng=0.csv",
            "original_video_file_path": f"raw://{LIGHTNING}/180607_004.mp4",
        },
        ("1000", "2000"),
    ),
    "open_ephys_without_samples": Bad(
        "OpenEphysBinaryRecordingInterface",
        {"folder_path": "raw://ephys/open_ephys/v0.6.7_Binary/Record Node 101"},
        ("continuous.dat",),
    ),
    "tdt_without_tev": Bad(
        "TDTEventsInterface", {"folder_path": "raw://photometry/tdt_pmat_no_tev/Photometry-161823"}, (".tev",)
    ),
    "tdt_photometry_without_tev": Bad(
        "TDTFiberPhotometryInterface",
        {"folder_path": "raw://photometry/tdt_pmat_no_tev/Photometry-161823", "stream_names": "_465A"},
        (".tev",),
    ),
    "trials_in_a_pickle": Bad(
        "TrialsInterface", {"file_path": "raw://behavior/ibl_trials/trials_test.pickle"}, ("pickle", "parquet")
    ),
    "bpod_cut": Bad(
        "BpodInterface", {"file_path": "cut/_iblrig_taskData.raw.jsonable"},
        ("line 3", "not a trial of a bpod"),
        "behavior/ibl_bpod/session_biased_lt5/raw_behavior_data/_iblrig_taskData.raw.jsonable",
    ),
    "a_mat_of_something_else": Bad(
        "BpodInterface", {"file_path": "raw://segmentation/extract/2014_04_01_p203_m19_check01_extractAnalysis.mat"},
        ("no session of a bpod", "sessiondata"),
    ),
    "encoder_with_samples_left_over": Bad(
        "EncoderInterface", {"file_path": f"raw://{WHEEL}Positions.raw.2firstsamples.ssv", **ENCODER},
        ("go backwards", "1708.862576 s to 4.192349 s", "skip_first"),
    ),
    "encoder_with_a_broken_line": Bad(
        "EncoderInterface", {"file_path": f"raw://{WHEEL}Positions.raw.00.ssv", **ENCODER}, ("line 12, saw 6",)
    ),
    "encoder_events_cut_in_the_middle": Bad(
        "BehaviorEventsInterface", {"file_path": f"raw://{WHEEL}Events.raw.CorruptMiddle.ssv", **ENCODER_EVENTS},
        ("without a name", "1 of 13", "row 9"),
    ),
    "encoder_events_with_a_broken_time": Bad(
        "BehaviorEventsInterface",
        {"file_path": f"raw://{WHEEL}Events.raw.CorruptTimestamp.ssv", **ENCODER_EVENTS},
        ("not a number", "328965pshhhh", "row 5"),
    ),
    "frame_counter_of_another_recording": Bad(
        "CameraTimesInterface",
        {
            "file_path": f"raw://{CAMERA}.timestamps.ssv",
            "frame_counter_file_path": f"raw://{CAMERA}.frame_counter.bin",
            **SSV, "time_column": "1", "time_format": "flycapture",
        },
        ("510", "6001"),
    ),
    "movie_cut": Bad(
        "TiffImagingInterface", {"file_path": "cut/example.tif", "sampling_frequency": 15},
        ("example.tif",), "imaging/sima/example.tif",
    ),
    "movie_without_its_last_bytes": Bad(
        "TiffImagingInterface", {"file_path": "cut/example.tif", "sampling_frequency": 15},
        ("example.tif",), "imaging/sima/example.tif", keep=-1000,
    ),
    "dat_cut_within_a_sample": Bad(
        "OpenEphysBinaryRecordingInterface", {"folder_path": "cut/node", "stream_name": "Rhythm_FPGA-100.0"},
        ("continuous.dat",), OPEN_EPHYS, DAT, -101,
    ),
    "dat_cut_between_samples": Bad(
        "OpenEphysBinaryRecordingInterface", {"folder_path": "cut/node", "stream_name": "Rhythm_FPGA-100.0"},
        ("continuous.dat", "3000"), OPEN_EPHYS, DAT, -528 * 10,
    ),
    "video_cut": Bad(
        "ExternalVideoInterface", {"file_paths": ["cut/m3v1mp4.mp4"]},
        ("m3v1mp4.mp4",), "pose/dlc_openfield/videos/m3v1mp4.mp4",
    ),
    "traces_npy_cut": Bad(
        "Suite2pSegmentationInterface", {"folder_path": "cut/node"},
        ("suite2p",), "segmentation/suite2p_fissa", "plane0/F.npy",
    ),
    "rois_npy_cut": Bad(
        "Suite2pSegmentationInterface", {"folder_path": "cut/node"},
        ("suite2p",), "segmentation/suite2p_fissa", "plane0/stat.npy",
    ),
    "pose_h5_cut": Bad(
        "DeepLabCutInterface", {"file_path": "cut/reachingDEMO_2D.h5", "sampling_frequency": 30},
        ("reachingdemo_2d.h5",), "pose/dlc2kinematics/reachingDEMO_2D.h5",
    ),
    "slp_cut": Bad(
        "SLEAPInterface", {"file_path": "cut/predictions.slp", "frames_per_second": 25, "track_name": "track_0"},
        ("predictions.slp",), "pose/sleap_analysis_example/predictions.slp",
    ),
    "mda_cut": Bad(
        "MdaSortingInterface", {"file_path": "cut/firings.mda", "sampling_frequency": 30000},
        ("firings.mda",), "ephys_behavior_session/jdb_to_nwb/processed_ephys/firings.mda",
    ),
    "ppd_cut_within_a_sample": Bad(
        "PyPhotometryFiberPhotometryInterface",
        {"file_path": "cut/m17-R-2018-12-12-090409.ppd", "stream_name": "detector_1_excitation_1"},
        (".ppd",), "photometry/pyphotometry/m17-R-2018-12-12-090409.ppd", keep=-1,
    ),
    "edf_cut": Bad("EDFRecordingInterface", {"file_path": "cut/test.edf"}, ("test.edf",), "ephys/edf/test.edf"),
    "one_channel_cut": Bad(
        "OpenEphysLegacyRecordingInterface", {"folder_path": "cut/node"},
        ("record",), "ephys/open_ephys/v0.6.7_OpenEphys/Record Node 101", "100_example-data_CH3.continuous", -500,
    ),
    "one_channel_shorter_by_records": Bad(
        "OpenEphysLegacyRecordingInterface", {"folder_path": "cut/node"},
        ("",), "ephys/open_ephys/v0.6.7_OpenEphys/Record Node 101", "100_example-data_CH3.continuous", -2070 * 3,
    ),
    "clusters_fewer_than_spikes": Bad(
        "NeuroScopeSortingInterface", {"folder_path": "cut/node"},
        ("",), "sorting/neuroscope_A2929", "A2929-200711.clu.1", 0.4,
    ),
    "chunk_missing": Bad(
        "MinianSegmentationInterface", {"folder_path": "cut/node", "sampling_frequency": 20},
        ("c.zarr",), "miniscope_session/regression_2d/neural_data", "C.zarr/C/3.0", GONE,
    ),
    "chunk_cut": Bad(
        "MinianSegmentationInterface", {"folder_path": "cut/node", "sampling_frequency": 20},
        ("c.zarr",), "miniscope_session/regression_2d/neural_data", "C.zarr/C/3.0",
    ),
    "edf_without_its_last_bytes": Bad(
        "EDFRecordingInterface", {"file_path": "cut/test.edf"}, ("test.edf",), "ephys/edf/test.edf", keep=-100,
    ),
    "not_a_table_of_events": Bad(
        "BehaviorEventsInterface", {"file_path": "cut/barriers.txt", "time_column": "time"},
        ("barriers.txt", "columns"), "ephys_behavior_session/jdb_to_nwb/behavior/barriers.txt", keep=1.0,
    ),
}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Bad], Path]:
    """Prepare a case: the spec, and the damaged copy beside it."""
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(shared_data))
    folder = tmp_path / "session"
    folder.mkdir()

    def build(case: Bad) -> Path:
        if case.cut:
            source = shared_data / case.cut
            target = folder / "cut" / ("node" if source.is_dir() else source.name)
            target.parent.mkdir()
            shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
            damaged = target / case.file if case.file else target
            if case.keep == GONE:
                damaged.unlink()
                content = b""
            else:
                content = damaged.read_bytes()
            size = int(len(content) * case.keep) if case.keep >= 0 else len(content) + int(case.keep)
            if content:
                damaged.write_bytes(content[:size])
        spec = {
            "nwbpipe": 1,
            "subject": {"subject_id": "m1", "species": "Mus musculus", "sex": "U", "age": "P90D"},
            "session": {"session_id": "s1", "session_start_time": "2024-05-01T10:00:00-04:00"},
            "sources": {"bad": {"interface": case.interface, "args": case.args}},
        }
        path = folder / "session.yaml"
        path.write_text(yaml.safe_dump(spec))
        return path

    return build


def check_message(text: str, case: Bad) -> None:
    assert text.count("error NP2") == 1, text
    assert "Traceback" not in text
    for label in ("where:", "expected:", "found:", "next:"):
        assert label in text, f"the message does not say {label}\n{text}"
    for part in ("bad", *case.says):
        assert part in text.lower(), f"the message does not say {part!r}\n{text}"


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, make: Callable[[Bad], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    spec = make(case)
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(spec), "-o", str(output / "out.nwb")])
    assert ended.value.code == 1
    check_message(capfd.readouterr().err, case)
    assert [entry.name for entry in output.iterdir() if not entry.name.endswith(".lock")] == []


@pytest.mark.slow
def test_exit_code_of_the_command(make: Callable[[Bad], Path], tmp_path: Path) -> None:
    case = CASES["3d_pose"]
    command = Path(sys.executable).with_name("nwbpipe")
    done = subprocess.run(
        [str(command), "convert", str(make(case)), "-o", str(tmp_path / "out.nwb")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    check_message(done.stderr, case)
    assert not (tmp_path / "out.nwb").exists()
