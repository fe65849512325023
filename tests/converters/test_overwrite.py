"""What a conversion never writes over: files, results, objects of the user's, raw data."""

from __future__ import annotations

import h5py
import pytest

import nwbpipe
from nwbpipe.converters import convert
from nwbpipe.errors import OverwriteError, RequestError
from tests.converters import raw
from tests.converters.neuroconv_fixes.test_readers import write_suite2p
from tests.converters.raw import SOURCES, pose_with_rate


def test_an_existing_file_is_kept_without_overwrite(folder):
    target = folder / "out.nwb"
    target.write_bytes(b"precious")
    with pytest.raises(OverwriteError) as caught:
        convert(raw.write_spec(folder, SOURCES), target)
    assert caught.value.exit_code == 2
    (folder / "link.nwb").symlink_to(target)
    for output in (target, folder / "link.nwb"):
        with pytest.raises(OverwriteError, match="not an NWB file"):
            convert(folder / "session.yaml", output, overwrite=True, discard_results=True)
    assert target.read_bytes() == b"precious"
    target.write_bytes(b"")
    convert(folder / "session.yaml", target, overwrite=True)
    convert(folder / "session.yaml", target, overwrite=True)
    assert h5py.is_hdf5(target)


def test_a_folder_is_no_output(folder):
    (folder / "out").mkdir()
    with pytest.raises(RequestError, match="the output is a folder"):
        convert(raw.write_spec(folder, SOURCES), folder / "out")
    assert not (folder / "out.nwb").exists()


def test_results_are_kept_without_discard(folder):
    from pynwb import NWBHDF5IO, TimeSeries

    path = convert(raw.write_spec(folder, {**SOURCES, "pose": pose_with_rate()}))
    convert(folder / "session.yaml", overwrite=True)  # its own pose is no result
    with NWBHDF5IO(str(path), "a") as io:
        nwbfile = io.read()
        series = TimeSeries(name="Result", data=[1.0, 2.0], unit="V", rate=1.0)
        nwbfile.create_processing_module("ecephys", "results").add(series)
        io.write(nwbfile)
    before = path.read_bytes()
    with pytest.raises(OverwriteError, match="results") as caught:
        convert(folder / "session.yaml", overwrite=True)
    assert "/processing/ecephys/Result" in str(caught.value)
    assert "TwoPhotonSeries_scope" not in str(caught.value)
    assert path.read_bytes() == before
    convert(folder / "session.yaml", overwrite=True, discard_results=True)
    with h5py.File(path) as file:
        assert "ecephys" not in file["processing"]


def test_objects_of_the_users_are_kept_without_discard(folder):
    from pynwb import TimeSeries

    laser = {"description": "a laser", "model_number": "X1", "manufacturer": "Lasers"}
    path = convert(raw.write_spec(folder, {"trials": raw.trials()}, devices={"laser": laser}))
    convert(folder / "session.yaml", overwrite=True)  # all of it comes from the spec and the raw files
    with nwbpipe.transaction(path) as nwbfile:
        for add in (nwbfile.add_acquisition, nwbfile.add_stimulus, nwbfile.add_scratch, nwbfile.add_analysis):
            add(TimeSeries(name="mine", description="d", data=[1.0, 2.0], unit="V", rate=1.0))
        nwbfile.create_device("mine", description="d")
        nwbfile.add_epoch(0.0, 1.0, ["mine"])
    before = path.read_bytes()
    with pytest.raises(OverwriteError, match="objects that would be lost") as caught:
        convert(folder / "session.yaml", overwrite=True)
    groups = ("acquisition", "analysis", "general/devices", "scratch", "stimulus/presentation")
    assert set(caught.value.problem.found.split(", ")) == {*(f"/{name}/mine" for name in groups), "/intervals/epochs"}
    assert path.read_bytes() == before
    convert(folder / "session.yaml", overwrite=True, discard_results=True)
    with h5py.File(path) as file:
        assert "acquisition/mine" not in file


def test_an_output_that_is_raw_data_is_refused(folder):
    source = folder / "trials.nwb"
    (folder / "trials.csv").rename(source)
    (folder / "link.nwb").symlink_to(source)
    trials = {"interface": "CsvTimeIntervalsInterface", "args": {"file_path": "trials.nwb"}}
    before = source.read_bytes()
    for output in (source, folder / "link.nwb"):
        with pytest.raises(OverwriteError, match="raw data of the source 'trials'") as caught:
            convert(raw.write_spec(folder, {"trials": trials}), output, overwrite=True, discard_results=True)
        assert caught.value.exit_code == 2
    assert source.read_bytes() == before


def test_an_output_in_a_raw_folder_replaces_only_a_conversion(folder):
    cells = folder / "cells"
    write_suite2p(cells)
    (cells / "other.nwb").write_bytes(b"raw")
    source = {"interface": "Suite2pSegmentationInterface", "args": {"folder_path": "cells"}}
    spec = raw.write_spec(folder, {"cells": source})
    with pytest.raises(OverwriteError, match="raw data of the source 'cells'"):
        convert(spec, cells / "other.nwb", overwrite=True)
    assert (cells / "other.nwb").read_bytes() == b"raw"
    convert(spec, cells / "session.nwb")
    convert(spec, cells / "session.nwb", overwrite=True)


def test_rows_that_a_person_added_are_kept_without_discard(folder):
    path = convert(raw.write_spec(folder, {"trials": raw.trials()}))
    convert(folder / "session.yaml", overwrite=True)
    with nwbpipe.read(path) as nwbfile:
        rows, columns = len(nwbfile.trials), nwbfile.trials[0].to_dict("records")[0]
    with nwbpipe.transaction(path) as nwbfile:
        nwbfile.trials.add_row(**columns)
    with pytest.raises(OverwriteError, match="would be lost") as caught:
        convert(folder / "session.yaml", overwrite=True)
    assert caught.value.problem.found == f"/intervals/trials[{rows}:{rows + 1}]"
    convert(folder / "session.yaml", overwrite=True, discard_results=True)
