"""What a reader fails on, or reads nothing of, is said before it is called, or in words that help."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from nwbpipe.converters._reader_faults import hint_at_fault, refuse_empty
from nwbpipe.converters._screen import screen_raw_files
from nwbpipe.converters.interfaces import guard_source, interface_class, missing_reader_error
from nwbpipe.errors import SourceError, UnsupportedFileError
from nwbpipe.files import inspect_file
from nwbpipe.session import SessionFile

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5000000\n"


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "scan.tif"
    path.parent.mkdir()
    path.write_text(POINTER)
    with pytest.raises(SourceError, match="git lfs pull"):
        screen_raw_files([path.parent])
    with pytest.raises(UnsupportedFileError, match="git lfs pull"), SessionFile.at(path).open():
        pytest.fail("it was read")
    assert "git lfs pull" in inspect_file(path).reason


@pytest.mark.parametrize(
    ("error", "interface", "part"),
    [
        (IndexError("list index out of range"), "SpikeGLXRecordingInterface", "the probe NP1110"),
        (KeyError("nSavedChans"), "IntanRecordingInterface", "check that the file is whole"),
        (AttributeError("no name"), "AudioInterface", "a fault of AudioInterface itself (NeuroConv"),
    ],
)
def test_a_reader_that_fails(error: Exception, interface: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "run_t0.imec0.ap.meta").write_text("imDatPrb_pn=NP1110\nnSavedChans=385\n")
    assert part in hint_at_fault(error, interface, [tmp_path])


def test_a_recording_without_samples() -> None:
    def make_interface(*counts: int) -> Any:
        recording = SimpleNamespace(
            get_num_segments=lambda: len(counts), get_num_samples=lambda number: counts[number]
        )
        return SimpleNamespace(recording_extractor=recording)

    refuse_empty(make_interface(0, 5), "probe")
    with pytest.raises(SourceError, match="the recording holds no samples"):
        refuse_empty(make_interface(0), "probe")


def test_a_filter_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.raw.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("sig", data=np.zeros((4, 100), "u2"), compression="gzip")
    assert guard_source("MaxOneRecordingInterface", {"file_path": path}) == []
    monkeypatch.setattr("h5py.h5z.filter_avail", lambda _code: False)
    (problem,) = guard_source("MaxOneRecordingInterface", {"file_path": path})
    assert "HDF5_PLUGIN_PATH" in str(problem.hint)
    assert problem.expected == "filter 1"


@pytest.mark.parametrize(
    ("name", "module", "hint"),
    [
        ("MoseqKeyPointsInterface", "ndx_ethogram", "pip install 'neuroconv[moseq]'"),
        ("SLEAPInterface", "sleap_io", "pip install 'nwbpipe[behavior]'"),
        ("IntanRecordingInterface", "neo.rawio", "pip install 'nwbpipe[ephys]'"),
    ],
)
def test_the_extra_that_has_the_reader(name: str, module: str, hint: str) -> None:
    error = ImportError(f"No module named {module!r}", name=module)
    assert missing_reader_error(name, error, interface_class(name)).problem.hint == hint


def test_the_start_that_pycontrol_gives(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('I Start date : 2022/03/15 10:04:46\n\nS {"a": 1}\n\nE {"rise": 3}\n\nD 0 1\nD 10 3\n')
    metadata = interface_class("PyControlInterface")(file_path=path).get_metadata()
    assert metadata["NWBFile"]["session_start_time"] == datetime(2022, 3, 15, 10, 4, 46)


def test_the_start_that_bpod_gives(tmp_path: Path) -> None:
    info = {"SessionDate": "15-Oct-2018", "SessionStartTime_UTC": "13:10:27"}
    trial = {"States": {"Wait": np.array([[0, 1.0]])}, "Events": {"Tup": np.array([1.0])}}
    trials = np.empty(2, dtype=object)
    trials[:] = [trial, trial]
    session = {"nTrials": 2, "TrialStartTimestamp": [0.0, 5.0], "TrialEndTimestamp": [1.0, 6.0], "Info": info}
    scipy.io.savemat(tmp_path / "a.mat", {"SessionData": {**session, "RawEvents": {"Trial": trials}}})
    metadata = interface_class("BpodInterface")(file_path=tmp_path / "a.mat").get_metadata()
    assert metadata["NWBFile"]["session_start_time"] == datetime(2018, 10, 15, 13, 10, 27)
