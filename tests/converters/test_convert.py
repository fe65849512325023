"""From session.yaml to a file: whole and valid, or not there at all."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.converters import _checks, conversion_key, convert
from nwbpipe.errors import (
    ClockError,
    FileAccessError,
    InvalidResultError,
    LockedFileError,
    NwbpipeError,
    SourceError,
    SpecError,
    ToolMissingError,
)
from nwbpipe.provenance import find_current_record
from nwbpipe.session import read_records
from tests.converters import raw
from tests.converters.raw import SOURCES, left_behind, pose_with_rate


def test_a_session_becomes_one_valid_file(folder):
    import tifffile
    from nwbinspector import Importance, inspect_nwbfile, load_config
    from pynwb import NWBHDF5IO, validate

    path = convert(raw.write_spec(folder, SOURCES), progress=False)
    assert path == folder / "sub-M042_ses-s1.nwb"
    assert validate(path=str(path)) == []
    messages = inspect_nwbfile(nwbfile_path=path, config=load_config("dandi"))
    assert [m for m in messages if m.importance.value >= Importance.CRITICAL.value] == []
    with NWBHDF5IO(str(path), "r") as io:
        nwbfile = io.read()
        assert nwbfile.subject.subject_id == "M042"
        assert nwbfile.session_start_time.isoformat() == "2024-05-01T10:00:00-04:00"
        movie = nwbfile.acquisition["TwoPhotonSeries_scope"]
        np.testing.assert_array_equal(movie.data[:].transpose(0, 2, 1), tifffile.imread(folder / "movie.tif"))
        assert movie.rate == raw.RATE
        assert list(nwbfile.trials["start_time"][:]) == [1.0, 3.0, 5.0]
        video = nwbfile.acquisition["ImageSeries_body"]
        (name,) = video.external_file[:]
        assert not Path(name).is_absolute()
        assert (folder / name).samefile(folder / "body.avi")
    assert left_behind(folder) == ["sub-M042_ses-s1", "sub-M042_ses-s1.nwb"]


def test_the_file_says_nothing_of_this_machine(folder):
    path = convert(raw.write_spec(folder, {**SOURCES, "pose": pose_with_rate()}))
    assert os.fsencode(folder) not in path.read_bytes()
    texts: list[str] = []

    def collect(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" and not name.startswith("specifications"):
            texts.extend(str(value) for value in np.atleast_1d(item.asstr()[()]).ravel())

    with h5py.File(path) as file:
        file.visititems(collect)
    assert len(texts) > 10
    assert not [text for text in texts if str(folder) in text or str(Path.home()) in text]


def test_the_conversion_is_recorded(folder):
    from nwbpipe.provenance import identify_file
    from nwbpipe.session import read_records

    path = convert(raw.write_spec(folder, SOURCES))
    (record,) = read_records(path)
    assert (record.step, record.tool, record.exit_state) == ("convert", "neuroconv", "done")
    assert record.parameters["sources"]["scope"]["args"]["file_path"] == "movie.tif"
    sources = {item["path"]: item for item in record.sources}
    assert sources["movie.tif"]["sha256"] == identify_file(folder / "movie.tif").sha256
    assert set(sources) == {"movie.tif", "body.avi", "trials.csv", "events.csv"}
    with h5py.File(path) as file:
        assert record.outputs
        for item in record.outputs:
            assert file[item.path].attrs["object_id"] == item.object_id
    again = convert(raw.write_spec(folder, SOURCES), folder / "again.nwb")
    assert read_records(again)[0].key == record.key
    raw.write_trials(folder / "trials.csv", (1.0, 3.0))
    other = convert(raw.write_spec(folder, SOURCES), folder / "other.nwb")
    assert read_records(other)[0].key != record.key


def test_a_failed_write_leaves_nothing(folder, monkeypatch):
    from pynwb import NWBHDF5IO

    def fail(self, *_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(NWBHDF5IO, "write", fail)
    with pytest.raises(FileAccessError, match="No space"):
        convert(raw.write_spec(folder, SOURCES))
    assert left_behind(folder) == []


def test_a_failed_write_leaves_the_old_file(folder, monkeypatch):
    from pynwb import NWBHDF5IO

    path = convert(raw.write_spec(folder, SOURCES))
    before = path.read_bytes()
    monkeypatch.setattr(NWBHDF5IO, "write", lambda *_args, **_kwargs: 1 / 0)
    with pytest.raises(NwbpipeError, match="writing"):
        convert(folder / "session.yaml", overwrite=True)
    assert path.read_bytes() == before
    assert (folder / "sub-M042_ses-s1" / "body_body.avi").exists() or (
        folder / "sub-M042_ses-s1" / "body.avi"
    ).exists()


def test_what_is_not_valid_is_not_moved_into_place(folder, monkeypatch):
    monkeypatch.setattr(_checks, "list_validation_errors", lambda _: ["wrong shape"])
    with pytest.raises(InvalidResultError, match="not valid NWB"):
        convert(raw.write_spec(folder, SOURCES))
    assert left_behind(folder) == []


@pytest.mark.slow
def test_a_killed_conversion_leaves_no_file_of_that_name(folder):
    raw.write_movie(folder / "movie.tif", frames=6000)
    spec = raw.write_spec(folder, {"scope": raw.tiff()})
    code = (
        "import os, sys, signal, h5py\n"
        "from pynwb import NWBHDF5IO\n"
        "old = NWBHDF5IO.write\n"
        "def write(self, *a, **k):\n"
        "    old(self, *a, **k)\n"
        "    self._file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "NWBHDF5IO.write = write\n"
        "from nwbpipe.converters import convert\n"
        f"convert({str(spec)!r}, progress=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9
    assert not (folder / "sub-M042_ses-s1.nwb").exists()
    partial = [name for name in left_behind(folder) if name.endswith(".partial")]
    assert len(partial) == 1
    convert(spec)
    assert left_behind(folder) == ["sub-M042_ses-s1.nwb"]


@pytest.mark.parametrize(
    ("break_it", "sources", "where"),
    [
        (lambda f: (f / "movie.tif").write_bytes(b"II*\0 this is no TIFF"), {"scope": raw.tiff()}, "movie.tif"),
        (
            lambda f: (f / "movie.tif").write_bytes((f / "movie.tif").read_bytes()[:5000]),
            {"scope": raw.tiff()},
            "movie.tif",
        ),
        (lambda f: (f / "body.avi").write_bytes(b"RIFF"), {"body": raw.video()}, "body.avi"),
        (lambda f: (f / "trials.csv").write_text("start_time,stop_time\n"), {"trials": raw.trials()}, "trials.csv"),
        (lambda f: (f / "trials.csv").write_text("a,b\n1,2\n"), {"trials": raw.trials()}, "trials.csv"),
        (lambda f: (f / "trials.csv").write_bytes(b"\x00\xff\xfe" * 50), {"trials": raw.trials()}, "trials.csv"),
        (lambda f: (f / "events.csv").write_text("t,kind\nsoon,lick\n"), {"log": raw.events()}, "events.csv"),
        (lambda f: (f / "poseDLC.csv").write_text("1,2\n"), {"pose": pose_with_rate()}, "poseDLC.csv"),
    ],
)
def test_a_broken_raw_file_is_one_clear_error(folder, break_it, sources, where):
    break_it(folder)
    sources = {name: {key: value for key, value in item.items() if key != "clock"} for name, item in sources.items()}
    with pytest.raises((SourceError, ClockError)) as caught:
        convert(raw.write_spec(folder, sources))
    assert caught.value.exit_code == 1
    assert where in str(caught.value)
    assert next(iter(sources)) in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert left_behind(folder) == []


def test_a_source_that_leaves_nothing_is_refused(folder, monkeypatch):
    from neuroconv.datainterfaces import CsvTimeIntervalsInterface

    monkeypatch.setattr(CsvTimeIntervalsInterface, "add_to_nwbfile", lambda self, nwbfile, metadata=None: None)
    with pytest.raises(SourceError, match="'trials' left nothing"):
        convert(raw.write_spec(folder, {"scope": raw.tiff(), "trials": raw.trials(clock="scope")}))
    assert left_behind(folder) == []


def test_a_missing_reader_names_the_extra(folder, monkeypatch):
    from neuroconv.datainterfaces import TiffImagingInterface

    def missing(*_args, **_kwargs):
        raise ModuleNotFoundError("No module named 'roiextractors'")

    monkeypatch.setattr(TiffImagingInterface, "__init__", missing)
    monkeypatch.setattr("nwbpipe.converters.spec._model.type_arguments", lambda texts, *_a: dict(texts))
    with pytest.raises(ToolMissingError, match="reader") as caught:
        convert(raw.write_spec(folder, {"scope": raw.tiff()}))
    assert "nwbpipe[imaging]" in str(caught.value)


def test_two_sources_that_write_one_name_are_refused(folder):
    spec = raw.write_spec(folder, {"one": raw.trials(), "two": raw.trials(clock="one")})
    with pytest.raises(SpecError, match="two sources write one name") as caught:
        convert(spec)
    assert "trials" in str(caught.value)
    assert "one" in caught.value.problem.found
    assert left_behind(folder) == []


def test_two_sources_of_one_class_stand_side_by_side(folder):
    raw.write_movie(folder / "other.tif", seed=5)
    raw.write_firings(folder / "firings.mda")
    sorting = {
        "interface": "MdaSortingInterface",
        "args": {"file_path": "firings.mda", "sampling_frequency": 1000},
        "clock": "a",
    }
    sources = {
        "a": raw.tiff(),
        "b": raw.tiff("other.tif", clock="a"),
        "cam1": raw.video(clock="a"),
        "cam2": raw.video(clock="a"),
        "s1": sorting,
        "s2": sorting,
    }
    path = convert(raw.write_spec(folder, sources))
    with h5py.File(path) as file:
        assert set(file["acquisition"]) == {
            "TwoPhotonSeries_a",
            "TwoPhotonSeries_b",
            "ImageSeries_cam1",
            "ImageSeries_cam2",
        }
        assert (file["acquisition/TwoPhotonSeries_a/data"][0] != file["acquisition/TwoPhotonSeries_b/data"][0]).any()
        assert len(file["units/id"]) == 4


def test_recordings_of_two_probes_keep_their_electrodes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "s" / name).mkdir(parents=True)
        raw.write_recording(tmp_path / "s" / name)
    file = next((tmp_path / "s" / "one").glob("*.bin")).name
    sources = {
        name: {
            "interface": "WhiteMatterRecordingInterface",
            "args": {"file_path": f"{name}/{file}", "sampling_frequency": 25000, "num_channels": 4},
            **({"clock": "one"} if name == "two" else {}),
        }
        for name in ("one", "two")
    }
    path = convert(raw.write_spec(tmp_path / "s", sources))
    with h5py.File(path) as nwb:
        assert len(nwb["general/extracellular_ephys/electrodes/id"]) == 8
        series = [nwb[f"acquisition/ElectricalSeries_{name}/electrodes"][:] for name in ("one", "two")]
        assert set(series[0]) & set(series[1]) == set()


def test_metadata_of_the_spec_win(folder):
    metadata = {
        "Devices": {"body_camera": {"name": "Basler", "serial_number": "0042"}},
        "NWBFile": {"keywords": ["mouse"]},
        "Ophys": {"MicroscopySeries": {"scope": {"name": "Movie", "description": "Zone 7"}}},
    }
    path = convert(raw.write_spec(folder, SOURCES, metadata=metadata))
    with h5py.File(path) as file:
        assert file["general/devices/Basler"].attrs["serial_number"] == "0042"
        assert file["acquisition/Movie"].attrs["description"] == "Zone 7"
        assert list(file["general/keywords"].asstr()) == ["mouse"]


def test_metadata_that_are_not_valid_are_refused_before_the_write(folder):
    metadata = {"Devices": {"body_camera": {"name": ["no", "text"]}}}
    with pytest.raises((InvalidResultError, SourceError)):
        convert(raw.write_spec(folder, SOURCES, metadata=metadata))
    assert left_behind(folder) == []


def test_what_dandi_refuses_is_said_before_the_write(folder):
    session = {**raw.SESSION, "session_start_time": "2124-05-01T10:00:00-04:00"}
    with pytest.raises(InvalidResultError, match="DANDI") as caught:
        convert(raw.write_spec(folder, SOURCES, session=session))
    assert "future" in str(caught.value)
    assert left_behind(folder) == []


def test_a_stub_holds_the_first_samples(folder):
    raw.write_movie(folder / "movie.tif", frames=400)
    path = convert(raw.write_spec(folder, {"scope": raw.tiff()}), stub=True)
    with h5py.File(path) as file:
        assert 0 < len(file["acquisition/TwoPhotonSeries_scope/data"]) < 400


def test_notes_of_libraries_reach_the_log_and_are_no_warnings(folder, caplog, recwarn):
    with caplog.at_level(logging.INFO, logger="nwbpipe"):
        convert(raw.write_spec(folder, SOURCES))
    assert any("ImagingPlane" in record.getMessage() for record in caplog.records)
    assert not [item for item in recwarn if issubclass(item.category, UserWarning)]


def test_the_folder_of_the_output_has_to_be_there(folder):
    with pytest.raises(FileAccessError, match="does not exist"):
        convert(raw.write_spec(folder, {"scope": raw.tiff()}), folder / "no" / "out.nwb")


@pytest.mark.slow
def test_dandi_validate_finds_no_error(folder, tmp_path):
    dandiset = tmp_path / "dandiset"
    (dandiset / "sub-M042").mkdir(parents=True)
    (dandiset / "dandiset.yaml").write_text("identifier: DANDI:000999\nname: Test\ndescription: A test.\n")
    convert(
        raw.write_spec(folder, {**SOURCES, "pose": pose_with_rate()}),
        dandiset / "sub-M042" / "sub-M042_ses-s1_image.nwb",
    )
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "DANDI_NO_ET": "1", "NO_ET": "1", "HOME": str(home), "DANDI_CACHE": "ignore"}
    command = [sys.executable, "-c", "from dandi.cli.command import main; main()", "validate", str(dandiset)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert "No errors found" in done.stdout, done.stdout + done.stderr[-3000:]
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


@pytest.mark.parametrize("error", [LockedFileError("the file changes"), FileAccessError("a bad sector")])
def test_a_raw_file_that_cannot_be_hashed_leaves_nothing(folder, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("nwbpipe.provenance.IdentityCache.identify_file", refuse)
    with pytest.raises(type(error), match=error.problem.what):
        convert(raw.write_spec(folder, {"scope": raw.tiff()}))
    assert left_behind(folder) == []


def test_what_is_hashed_beside_the_write_is_in_the_record(folder):
    record = find_current_record(read_records(convert(raw.write_spec(folder, {"scope": raw.tiff()}))), "convert")
    data = (folder / "movie.tif").read_bytes()
    (source,) = record.sources
    assert (source["sha256"], source["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert record.key == conversion_key(record.parameters, [source])
