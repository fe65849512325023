"""Sortings and analyzers of SpikeInterface become results: each spike, each measure, or an error."""

import json
import shutil
import warnings

import h5py
import numpy as np
import pynwb
import pytest

from nwbpipe.errors import InputError, SourceError
from nwbpipe.processors.ephys import SpikeSortingParams
from nwbpipe.processors.ephys._sorting_load import load_output, output_files
from nwbpipe.processors.ephys._sorting_load_si import match_channels
from nwbpipe.run import load
from tests.processors.ephys import recording as rec
from tests.processors.ephys.phy_folder import COUNTS, write_phy

si = pytest.importorskip("spikeinterface", reason="the test writes with it: pip install nwbpipe[demo]")
RATE, SAMPLES, CHANNELS = 25_000.0, 50_000, 4
FORMATS = ("sorting", "sorting.zarr", "npz", "analyzer", "analyzer.zarr")
UNITS = ("7", "a", "9")


def draw_trains():
    rng = np.random.default_rng(0)
    return {unit: np.sort(rng.choice(np.arange(50, 49_900), 40 + 10 * k)) for k, unit in enumerate(UNITS)}


@pytest.fixture(scope="module")
def traces():
    """A spike of -30 µV (150 steps) on the channel of its unit."""
    noise = np.random.default_rng(1).normal(0, 5, (SAMPLES, CHANNELS))
    for channel, train in enumerate(draw_trains().values()):
        noise[np.add.outer(train, np.arange(-3, 4)).ravel(), channel] -= 150
    return np.rint(noise).astype("int16")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, traces):
    top = tmp_path_factory.mktemp("si")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_folders(top, traces)
    return top


def write_folders(top, traces):
    sorting = si.NumpySorting.from_unit_dict([draw_trains()], sampling_frequency=RATE)
    sorting.set_property("quality", np.array(["good", "mua", "good"]))
    sorting.set_property("score", np.array([0.5, 0.25, 1.0]))
    recording = si.NumpyRecording([traces], RATE, channel_ids=["AP0", "AP1", "AP2", "AP3"])
    recording.set_channel_gains(0.2)
    recording.set_channel_offsets(0.0)
    recording.set_dummy_probe_from_locations(rec.column(CHANNELS))
    sorting.save(folder=top / "sorting")
    sorting.save(folder=top / "sorting.zarr", format="zarr", verbose=False)
    sorting.save(folder=top / "npz", format="npz_folder")
    folder = top / "analyzer"
    analyzer = si.create_sorting_analyzer(
        sorting, recording, format="binary_folder", folder=folder, sparse=False, n_jobs=1, progress_bar=False
    )
    analyzer.compute(
        ["random_spikes", "templates", "unit_locations", "spike_amplitudes"], n_jobs=1, progress_bar=False
    )
    (folder / "extensions/quality_metrics").mkdir()
    lines = [",snr,label,num_spikes", "9,3.5,x,60", "7,1.5,y,40", "a,,z,50"]
    (folder / "extensions/quality_metrics/metrics.csv").write_text("\n".join(lines) + "\n")
    analyzer.save_as(format="zarr", folder=top / "analyzer.zarr")


@pytest.fixture
def read(tmp_path):
    facts = {
        "rate": RATE,
        "samples": SAMPLES,
        "groups": [0] * CHANNELS,
        "channel_names": ["AP0", "AP1", "AP2", "AP3"],
        "locations": rec.column(CHANNELS).tolist(),
    }

    def run(folder, **over):
        assert output_files(folder)
        with h5py.File(tmp_path / "results.h5", "w") as results:
            loaded = load_output(folder, results, facts | over, SpikeSortingParams())
            flat = {}
            results.visititems(lambda name, item: flat.update({name: item[()]}) if hasattr(item, "dtype") else None)
        return loaded, flat

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_each_spike_is_in_its_unit(folders, read, name):
    loaded, arrays = read(folders / name)
    ids = [unit.decode() for unit in arrays["unit_name"]]
    assert ids == list(UNITS)
    trains = np.split(arrays["spike_samples"], arrays["spike_times_index"][:-1])
    for train, true in zip(trains, draw_trains().values(), strict=True):
        np.testing.assert_array_equal(train, true)
    assert [label.decode() for label in arrays["quality_label"]] == ["good", "mua", "good"]
    np.testing.assert_array_equal(arrays["properties/score"], [0.5, 0.25, 1.0])
    assert loaded.summary["labels"] == {"good": 2, "mua": 1}
    assert (loaded.tool_version == si.__version__) or name == "npz"
    if not name.startswith("analyzer"):
        assert (arrays["peak_channel"] == -1).all()
        return
    assert arrays["peak_channel"].tolist() == [0, 1, 2]
    middle = round(RATE * 1e-3)
    for unit in range(3):
        nearest = arrays["template_channels"][unit].tolist()
        assert nearest[0] == unit
        waveforms = arrays["template_mean"][unit, middle]
        assert waveforms[0] == pytest.approx(-30, abs=2.0)  # microvolts
        assert np.abs(waveforms[1:]).max() < 2.0
    np.testing.assert_allclose(np.median(arrays["spike_amplitudes"]), -30, atol=2.0)
    assert (arrays["unit_locations"].shape, arrays["spike_amplitudes"].shape) == ((3, 3), (150,))
    if name == "analyzer":
        np.testing.assert_array_equal(arrays["metrics/snr"], [1.5, np.nan, 3.5])
        assert "metrics/label" not in arrays


def test_an_analyzer_becomes_units_of_a_session(folders, tmp_path, traces):
    path = rec.write_session(
        tmp_path / "s.nwb",
        traces,
        places=rec.column(CHANNELS),
        starting_time=5.0,
        order=[3, 2, 1, 0],
        columns={"channel_name": ["AP3", "AP2", "AP1", "AP0"]},
    )
    run = load(path, "spikesorting", folders / "analyzer.zarr", step="theirs")
    assert pynwb.validate(path=path) == []
    with rec.opened(path) as nwbfile:
        units = nwbfile.processing["ecephys"]["Units_theirs"]
        assert list(units["unit_name"][:]) == list(UNITS)
        np.testing.assert_allclose(units["spike_times"][1], 5.0 + draw_trains()["a"] / RATE)
        # Channels are matched by their names, whatever their order.
        assert units["peak_electrode"].data[:].tolist() == [3, 2, 1]
        assert units["waveform_mean"].data[:].min() == pytest.approx(-30e-6, rel=0.1)
        assert "that the loaded analyzer drew" in units["waveform_mean"].description  # not by parameters of ours
        assert units["score"].data[:].tolist() == [0.5, 0.25, 1.0]
    assert run.record.tool_version == si.__version__
    assert run.record.parameters["extensions"]["templates"]["ms_before"] == 1.0
    assert {source["path"].split("/")[0] for source in run.record.sources} == {"analyzer.zarr"}
    assert not load(path, "spikesorting", folders / "analyzer.zarr", step="theirs").computed


def test_a_folder_of_our_export_is_taken(folders, tmp_path, read):
    shutil.copytree(folders / "sorting", tmp_path / "exported/analyzer")
    (tmp_path / "exported/nwbpipe_export.json").write_text("{}")
    assert read(tmp_path / "exported")[0].summary["spikes"] == 150


def test_channels_are_matched_by_what_is_known():
    facts = {"groups": [0] * 4, "channel_names": ["c", "b", "a", "d"]}
    assert match_channels(("a", "b"), facts).tolist() == [2, 1]
    assert match_channels(("0", "2"), facts).tolist() == [0, 2]
    assert match_channels(("1", "2"), facts) is None  # numbers from 0 or from 1?
    assert match_channels(("w", "x", "y", "z"), facts).tolist() == [0, 1, 2, 3]
    assert match_channels(("w", "x"), facts) is None
    assert match_channels((), facts) is None


def test_an_analyzer_of_unknown_channels_says_so(folders, read):
    loaded, arrays = read(folders / "analyzer", groups=[0] * 6, channel_names=[])
    assert "waveforms were left out" in loaded.summary["notes"][0]
    assert "template_mean" not in arrays


def test_an_analyzer_can_lack_some_measures(folders, tmp_path, read):
    copy = shutil.copytree(folders / "analyzer", tmp_path / "analyzer")
    np.save(copy / "extensions/unit_locations/unit_locations.npy", np.arange(12.0).reshape(3, 4))  # with alpha
    loaded, arrays = read(copy)
    np.testing.assert_array_equal(arrays["unit_locations"], np.arange(12.0).reshape(3, 4)[:, :3])
    assert loaded.summary["notes"] == []
    settings = json.loads((copy / "settings.json").read_text())
    edit_json(copy / "settings.json", **dict.fromkeys(settings.keys() & {"return_in_uV", "return_scaled"}, False))
    loaded, arrays = read(copy)
    assert loaded.summary["notes"] == ["it is not in microvolts, so waveforms and amplitudes were left out"]
    assert not {"template_mean", "spike_amplitudes"} & set(arrays)
    shutil.copytree(folders / "analyzer", copy, dirs_exist_ok=True)
    shutil.rmtree(copy / "extensions/templates")
    assert read(copy)[0].summary["notes"] == []  # its channels are known


def test_a_folder_of_phy_is_read_as_such_whatever_lies_in_it(folders, tmp_path, read):
    phy = write_phy(tmp_path / "phy")
    shutil.copytree(folders / "analyzer", phy / "analyzer")
    loaded, _ = read(phy)
    assert loaded.summary["spikes"] == sum(COUNTS.values())


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"rate": 30_000.0}, "sampling rates differ"),
        ({"samples": 60_000}, "lengths differ"),
        ({"samples": 20_000}, "lengths differ.*spikes lie after the recording: .* spikes, to"),
    ],
)
def test_another_recording_is_refused(folders, read, over, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        read(folders / "analyzer", **over)


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_damaged_folders_are_refused(folders, tmp_path, read):
    copy = tmp_path / "copy"
    for name in FORMATS:
        shutil.copytree(folders / name, copy / name)
    edit_json(copy / "sorting/numpysorting_info.json", num_segments=2)
    with pytest.raises(SourceError, match="several segments"):
        read(copy / "sorting")
    edit_json(copy / "sorting/numpysorting_info.json", num_segments=1, unit_ids=["7", "a"])
    with pytest.raises(SourceError, match=r"(?s)spikes belong to no unit.*units 0 to 2"):
        read(copy / "sorting")
    np.save(copy / "sorting/spikes.npy", np.array([{"sample_index": 1}]), allow_pickle=True)
    with pytest.raises(SourceError, match="pickled objects"):
        read(copy / "sorting")
    next((copy / "sorting.zarr/spikes/unit_index").glob("[0-9]*")).unlink()
    with pytest.raises(SourceError, match="1 of 1 chunks are missing"):
        read(copy / "sorting.zarr")
    edit_json(copy / "analyzer.zarr/sorting/unit_ids/.zarray", filters=[{"id": "pickle"}])
    with pytest.raises(SourceError, match=r"(?s)not one of numbers or text.*codecs pickle"):
        read(copy / "analyzer.zarr")
    (copy / "analyzer/sorting/properties/quality.npy").unlink()
    (copy / "analyzer/sorting/properties/quality.npy").symlink_to(folders / "sorting/spikes.npy")
    with pytest.raises(SourceError, match="link to somewhere else"):
        read(copy / "analyzer")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="Phy or Kilosort"):
        output_files(tmp_path / "empty")
