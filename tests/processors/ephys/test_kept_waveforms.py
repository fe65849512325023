"""Waveforms of single spikes are kept where asked for, as NWB has them."""

import warnings
from functools import cache

import h5py
import numpy as np
import pynwb
import pytest

from nwbpipe.processors import Results
from nwbpipe.processors.ephys import SpikeSorting, SpikeSortingParams
from tests.processors.ephys import recording as rec
from tests.processors.ephys.simulated_units import GAIN_UV, simulate

pytest.importorskip("spikeinterface", reason="spike sorting needs SpikeInterface: pip install nwbpipe[demo]")


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    """A session, the request for it, and the true units as a sorter would have found them."""
    from nwbpipe.processors.ephys import _spikesorting_compute as compute

    folder = tmp_path_factory.mktemp("kept")
    truth = simulate(channels=4, units=2, seconds=4.0)
    places = truth.locations
    path = rec.write_session(folder / "s.nwb", truth.samples, places=places, conversion=GAIN_UV * 1e-6)
    with rec.opened(path) as nwbfile:
        facts = dict(SpikeSorting().prepare(nwbfile, rec.context_of(nwbfile)))
    request = rec.request(path, facts, folder)
    request["stages"] = {"preprocessed": str(folder / "cache"), "sorted": str(folder)}
    (folder / "cache").mkdir()
    compute.stage_preprocessed(request, request["stages"]["preprocessed"], lambda *_: None)
    units = np.repeat([0, 1], list(map(len, truth.spikes)))
    np.savez(folder / "sorting.npz", samples=np.concatenate(truth.spikes), units=units, groups=np.zeros(2, "int64"))
    return path, request


@pytest.fixture(scope="module")
def written(preprocessed, tmp_path_factory):
    """Compute with these parameters, write, and return the table of units as it is read back."""
    from nwbpipe.processors.ephys import _spikesorting_compute as compute

    path, request = preprocessed
    folder = tmp_path_factory.mktemp("written")
    opened = []

    @cache
    def write(**params):
        copy = folder / f"s{len(opened)}.nwb"
        copy.write_bytes(path.read_bytes())
        params = {"join_fragments": False, "min_spikes": 1, **params}  # the units are true ones
        request["params"] = SpikeSortingParams(**params).model_dump(mode="json")
        with h5py.File(folder / f"results{len(opened)}.h5", "w") as file:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SpikeInterface's, on metrics of so short a recording
                summary = compute.compute(request, file, lambda *_: None)
            with rec.opened(copy, "a") as nwbfile:
                SpikeSorting().write(nwbfile, Results(file, summary), rec.context_of(nwbfile, **params))
        assert pynwb.validate(path=copy) == []
        reader = pynwb.NWBHDF5IO(copy, "r")
        opened.append(reader)
        return reader.read().processing["ecephys"]["Units_sort"]

    yield write
    for reader in opened:
        reader.close()


def test_the_mean_of_all_kept_waveforms_is_the_mean_waveform(written):
    units = written(waveforms_per_unit=500)
    assert units["waveforms"].target.target.data.dtype == "float32"
    for unit in range(len(units)):
        kept = np.stack(units["waveforms"][unit])  # (spikes, electrodes, samples)
        assert kept.shape == (len(units["spike_times"][unit]), len(units["electrodes"][unit]), 75)
        np.testing.assert_allclose(kept.mean(axis=0).T, units["waveform_mean"][unit], atol=1e-9)
        np.testing.assert_array_equal(units["waveform_spikes"][unit], np.arange(len(kept)))
    assert units.waveform_rate == rec.RATE
    assert units.to_dataframe()["waveforms"].map(len).tolist() == list(map(len, units["spike_times"][:]))


def test_kept_waveforms_are_bounded_and_name_their_spikes(written):
    everything, units = written(waveforms_per_unit=500), written(waveforms_per_unit=7)
    description = units["waveforms"].target.target.description
    assert "up to 7 spikes of each unit" in description
    assert "in volts" in description
    for unit in range(len(units)):
        kept, spikes = np.stack(units["waveforms"][unit]), units["waveform_spikes"][unit]
        assert len(kept) == len(spikes) == 7
        assert spikes[0] == 0
        assert spikes[-1] == len(units["spike_times"][unit]) - 1
        np.testing.assert_array_equal(kept, np.stack(everything["waveforms"][unit])[spikes])


def test_none_are_kept_by_default_and_the_key_of_earlier_results_holds(written):
    units = written()
    assert not {"waveforms", "waveform_spikes"} & set(units.colnames)
    assert "waveforms_per_unit" not in SpikeSortingParams().model_dump(mode="json")
    assert SpikeSortingParams(waveforms_per_unit=3).model_dump(mode="json")["waveforms_per_unit"] == 3


def test_only_drawn_spikes_are_kept():
    from nwbpipe.processors.ephys._kept_waveforms import choose_spikes

    units = np.array([0, 1, 0, 0, 1, 0, 2, 0])
    kept, positions = choose_spikes(units, np.array([1, 2, 3, 5, 7]), 3, 3)
    assert [chosen.tolist() for chosen in kept] == [[2, 5, 7], [1], []]
    assert [chosen.tolist() for chosen in positions] == [[1, 3, 4], [0], []]
