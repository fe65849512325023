"""Recording quality, LFP and binding, through the engine."""

import numpy as np
import pynwb
import pytest

from nwbpipe.errors import InputError
from nwbpipe.run import process
from nwbpipe.simulate import DenseProbeSettings, simulate_dense_probe
from tests.processors.ephys import recording as rec

pytest.importorskip("spikeinterface", reason="it runs with SpikeInterface: pip install nwbpipe[demo]")


@pytest.fixture(scope="module")
def truth():
    settings = DenseProbeSettings(
        n_channels=24, duration_s=4.0, n_units=4, dead=(3,), noisy=(11,), artifacts_s=(1.0,)
    )
    return simulate_dense_probe(settings, seed=2)


@pytest.fixture(scope="module")
def session(truth, tmp_path_factory):
    samples = truth.samples.copy()
    samples[60_000:60_600] = 32_767  # the amplifier saturates at 2 s, for 20 ms
    path = rec.write_session(
        tmp_path_factory.mktemp("quality") / "s.nwb",
        samples,
        places=truth.channel_locations,
        conversion=truth.gain_to_uv * 1e-6,
        rate=truth.rate,
        starting_time=10.0,
    )
    process(path, "recording_quality", step="quality")
    return path


def test_channels_are_labelled_and_artefacts_are_intervals(session):
    with rec.opened(session) as nwbfile:
        module = nwbfile.processing["ecephys"]
        table = module["ChannelQuality_quality"]
        bad = {row: label for row, label in enumerate(table["label"][:]) if label != "good"}
        assert bad == {3: "dead", 11: "noisy"}
        assert table["electrode"].table is nwbfile.electrodes
        noise = np.delete(table["noise_uv"][:], [3, 11])
        assert 6 < noise.min() < noise.max() < 14
        spectrum = module["ChannelSpectrum_quality"]
        power = np.asarray(spectrum["power"][:])
        assert power.shape == (len(spectrum), len(table))
        assert (power[:, 3] < np.median(power, axis=1)).all()  # the dead channel
        periods = module["Artifacts_quality"]
        kinds = list(periods["kind"][:])
        times = np.column_stack([periods["start_time"][:], periods["stop_time"][:]])
    saturated = times[[kind == "saturation" for kind in kinds]]
    np.testing.assert_allclose(saturated, [[12.0, 12.02]], atol=1e-3)
    spoiled = times[[kind == "artefact" for kind in kinds]]
    assert np.abs(spoiled[0] - [11.0, 11.02]).max() < 2e-3
    assert pynwb.validate(path=session) == []


def test_a_spectrum_has_the_power_of_tones_and_of_noise():
    from nwbpipe.processors.ephys._channel_measures import _measure_bands, choose_bands

    rate, rng = 20_000.0, np.random.default_rng(0)
    seconds = np.arange(6000) / rate
    values = rng.normal(0, 5.0, (6000, 2))
    values[:, 1] += 20.0 * np.sin(2 * np.pi * 1000.0 * seconds)
    bands = choose_bands(rate)
    np.testing.assert_array_equal(bands[1:, 0], bands[:-1, 1])
    assert (bands[0, 0], bands[-1, 1]) == (10.0, rate / 2)
    power = _measure_bands(values, rate, bands)
    np.testing.assert_allclose(np.median(power[0]), 25.0 / (rate / 2), rtol=0.2)
    (tone,) = np.flatnonzero((bands[:, 0] <= 1000) & (bands[:, 1] > 1000))
    assert power[1].argmax() == tone
    # A tone's power is half its amplitude's square; leakage puts some of it into the neighbours.
    near = slice(tone - 1, tone + 2)
    total = ((power[1] - power[0])[near] * np.diff(bands, axis=1)[near, 0]).sum()
    np.testing.assert_allclose(total, 200.0, rtol=0.1)


def test_the_next_steps_take_the_labels(session):
    bound = {"recording": "ElectricalSeries", "channels": "ChannelQuality_quality"}
    process(session, "lfp", step="field", inputs=bound, params={"every": 2})
    with rec.opened(session) as nwbfile:
        series = nwbfile.processing["ecephys"]["LFP_field"]["ElectricalSeries_field"]
        good = [channel for channel in range(24) if channel not in (3, 11)]
        np.testing.assert_array_equal(series.electrodes.data[:], good[::2])
        assert (series.rate, series.starting_time, series.conversion) == (pytest.approx(1000.0), 10.0, 1e-6)
        assert series.data.shape == (4000, 11)
        assert np.abs(series.data[:1000]).max() > 1
    assert pynwb.validate(path=session) == []


def test_what_can_not_be_sorted_is_no_candidate(session):
    """The LFP is an ElectricalSeries too: the recording need not be named."""
    from nwbpipe.processors import Context, processor, validate_params
    from nwbpipe.run._prepare import prepare_run
    from nwbpipe.session import SessionFile

    method = processor("spikesorting")
    params = validate_params(method, {})
    prepared = prepare_run(SessionFile.at(session), method, Context("sort", params, {}), {})
    assert prepared.context.inputs["recording"].path == rec.SERIES
    with pytest.raises(InputError, match="several objects could be the input"):
        process(session, "lfp", step="other", params={"rate": 500.0})


def test_a_table_of_another_kind_is_refused(session):
    with pytest.raises(InputError, match="does not label electrodes"):
        process(session, "lfp", inputs={"recording": "ElectricalSeries", "channels": "Artifacts_quality"})
