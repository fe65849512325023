"""Sortings that SpikeInterface saved as sources: every spike in its unit, or an error."""

import json
import warnings

import numpy as np
import pytest

from nwbpipe import propose
from nwbpipe.converters import load_spec
from nwbpipe.converters._build import build_nwbfile
from nwbpipe.converters._record import describe_accounts
from nwbpipe.converters.interfaces._registry import guard_source
from nwbpipe.errors import NwbpipeError
from tests.converters import raw

si = pytest.importorskip("spikeinterface", reason="the test writes with it: pip install nwbpipe[demo]")
RATE = 25_000.0
TRAINS = {"7": [100, 300, 50_000], "a": [200], "silent": [], "9": [150, 160]}
NAME = "SpikeInterfaceSortingInterface"


def write_sorting(folder, format_):
    trains = {unit: np.array(train, dtype="int64") for unit, train in TRAINS.items()}
    sorting = si.NumpySorting.from_unit_dict([trains], sampling_frequency=RATE)
    sorting.set_property("quality", np.array(["good", "mua", "good", "noise"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if format_ == "analyzer":
            recording = si.NumpyRecording([np.zeros((60_000, 2), "int16")], RATE)
            recording.set_dummy_probe_from_locations(np.array([[0.0, 0.0], [0.0, 20.0]]))
            si.create_sorting_analyzer(sorting, recording, format="binary_folder", folder=folder, sparse=False)
        else:
            sorting.save(folder=folder, format=format_, **({"verbose": False} if format_ == "zarr" else {}))
    return folder


def convert(tmp_path, folder):
    sources = {"units": {"interface": NAME, "args": {"folder_path": folder.name}}}
    return build_nwbfile(load_spec(raw.write_spec(tmp_path, sources)))


@pytest.mark.parametrize("format_", ["numpy_folder", "zarr", "npz_folder", "analyzer"])
def test_each_spike_is_in_its_unit(tmp_path, format_):
    name = "saved.zarr" if format_ == "zarr" else "saved"
    built = convert(tmp_path, write_sorting(tmp_path / name, format_))
    units = built.nwbfile.units.to_dataframe()
    found = {row.unit_name: row.spike_times for row in units.itertuples()}
    assert list(found) == list(TRAINS)
    for unit, train in TRAINS.items():
        np.testing.assert_allclose(found[unit], np.array(train) / RATE)
    assert list(units.quality) == ["good", "mua", "good", "noise"]
    record = describe_accounts(built)["units"]
    assert (record["spikes"], record["units"]) == (6, 3)  # those with spikes


def test_a_spike_without_a_unit_is_an_error(tmp_path):
    folder = write_sorting(tmp_path / "saved", "numpy_folder")
    spikes = np.load(folder / "spikes.npy")
    spikes["unit_index"][2] = 9
    np.save(folder / "spikes.npy", spikes)
    (problem,) = guard_source(NAME, {"folder_path": folder})
    assert problem.what == "spikes belong to no unit"
    with pytest.raises(NwbpipeError, match="spikes belong to no unit"):
        convert(tmp_path, folder)


def test_other_folders_and_segments_are_problems(tmp_path):
    (tmp_path / "empty").mkdir()
    (problem,) = guard_source(NAME, {"folder_path": tmp_path / "empty"})
    assert problem.what == "this is not a sorting or an analyzer of SpikeInterface"
    folder = write_sorting(tmp_path / "saved", "numpy_folder")
    info = json.loads((folder / "numpysorting_info.json").read_text())
    (folder / "numpysorting_info.json").write_text(json.dumps({**info, "num_segments": 2}))
    (problem,) = guard_source(NAME, {"folder_path": folder})
    assert problem.what == "the sorting has several segments"


def test_it_is_proposed_once(tmp_path):
    write_sorting(tmp_path / "analyzer", "analyzer")
    write_sorting(tmp_path / "sorting", "numpy_folder")
    assert [source.interface for source in propose(tmp_path).sources] == [NAME, NAME]
