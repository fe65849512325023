"""dF/F against known activity, motion and bleaching; its error by the noise."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.processors.photometry import _dff_compute as computing
from nwbpipe.simulate import simulate_photometry
from tests.processors.photometry.recordings import run, series

RATE = 100.0
ONE = {"pairs": [{"signal": 0, "control": 1, "label": "left"}]}
ALONE = {"pairs": [{"signal": 0, "control": None, "label": "left"}]}


def recording(noise=0.001, seed=1, **options):
    rng = np.random.default_rng(seed)
    truth = simulate_photometry(rng, 300.0, RATE, fibers=("left",), noise=noise, **options)
    clean = np.stack([truth.signal[0], truth.control[0]], axis=1)
    return truth, clean + noise * rng.standard_normal(clean.shape)


def dff(folder, values, facts=ONE, **params):
    arrays, summary = run(computing, folder, {"signal": series(folder, "signal", values)}, facts, **params)
    return arrays, summary["fits"]


def scores(found, true):
    good = np.isfinite(found)
    return np.corrcoef(found[good], true[good])[0, 1], np.sqrt(np.mean((found - true)[good] ** 2))


# dF/F of the transients is 0.14 to 0.26, the motion's standard deviation 0.05, 30 % bleach. The noise is that of one
# sample at 100 Hz, relative to F0; with low-pass filtering at 5 Hz. `left`: correlation with the motion; noise in the
# control flattens the regression, so that some of it stays.
@pytest.mark.parametrize(
    ("noise", "correlation", "rms", "left"),
    [(0.001, 0.99, 0.018, 0.05), (0.01, 0.98, 0.02, 0.1), (0.05, 0.88, 0.04, 0.25)],
)
@pytest.mark.parametrize("bleaching", ["exponential", "double_exponential"])
def test_activity_is_recovered_from_motion_and_bleaching(tmp_path, noise, correlation, rms, left, bleaching):
    truth, values = recording(noise)
    arrays, _ = dff(tmp_path, values, bleaching=bleaching, lowpass_hz=5.0)
    r, error = scores(arrays["dff"][:, 0], truth.dff[0])
    assert r > correlation
    assert error < rms
    motion = np.isfinite(arrays["dff"][:, 0])
    assert abs(np.corrcoef(arrays["dff"][motion, 0], truth.motion[0][motion])[0, 1]) < left


def test_without_activity_the_control_explains_all(tmp_path):
    truth, values = recording(noise=1e-5, amplitude=0.0)
    arrays, (fit,) = dff(tmp_path, values)
    assert np.abs(arrays["dff"]).max() < 0.012
    assert fit["slope"] == pytest.approx(1 / 0.8, rel=0.01)
    assert fit["tau_s_signal"] == pytest.approx([truth.tau_s[0, 0]], rel=0.15)


def test_plain_regression_is_what_it_says(tmp_path):
    control = 1 + 0.1 * np.sin(np.arange(3000) / 50.0)
    values = np.stack([3 * control + 0.5, control], axis=1)
    values[500:560, 0] += 5  # transients have no weight
    arrays, (fit,) = dff(tmp_path, values, bleaching="none")
    assert (fit["slope"], fit["intercept"]) == (pytest.approx(3, rel=1e-6), pytest.approx(0.5, rel=1e-6))
    np.testing.assert_allclose(arrays["f_zero"][:, 0], 3 * control + 0.5, rtol=1e-6)
    np.testing.assert_allclose(arrays["dff"][530, 0], 5 / (3 * control[530] + 0.5), rtol=1e-6)


@pytest.mark.parametrize(("method", "terms"), [("exponential", 1), ("double_exponential", 2)])
def test_bleaching_alone_is_taken_for_f_zero(tmp_path, method, terms):
    t = np.arange(30_000) / RATE
    f = 2 + np.exp(-t / 90) + (terms - 1) * 0.8 * np.exp(-t / 8)
    arrays, (fit,) = dff(tmp_path, f[:, None], ALONE, method=method)
    assert np.abs(arrays["dff"]).max() < 1e-3
    assert max(fit["tau_s_signal"]) == pytest.approx(90, rel=0.02)


def test_a_running_percentile_is_the_level_below_the_transients(tmp_path):
    truth, values = recording(noise=1e-4, motion=0.0)
    arrays, _ = dff(tmp_path, values[:, :1], ALONE, method="percentile", percentile=10, window_s=30)
    assert scores(arrays["dff"][:, 0], truth.dff[0])[0] > 0.98
    f_zero = truth.signal[0] / (1 + truth.dff[0])
    assert np.median(np.abs(arrays["f_zero"][:, 0] / f_zero - 1)) < 0.02


def test_a_control_with_other_times_is_interpolated_and_gaps_stay_gaps(tmp_path):
    truth, values = recording(noise=1e-4)
    late = truth.times + 0.4 / RATE  # excitations that alternate
    control = np.interp(late, truth.times, values[:, 1])
    kept = (late < 100) | (late > 101)
    inputs = {
        "signal": series(tmp_path, "signal", values[:, :1], truth.times),
        "control": series(tmp_path, "control", control[kept], late[kept]),
    }
    facts = {"pairs": [{"signal": 0, "control": 0, "label": "left"}]}
    arrays, _ = run(computing, tmp_path, inputs, facts)
    assert scores(arrays["dff"][:, 0], truth.dff[0])[0] > 0.99
    lost = np.flatnonzero(~np.isfinite(arrays["dff"][:, 0])) / RATE
    assert lost.min() == 0  # before the control's first sample
    assert ((lost < 0.02) | ((lost > 99.9) & (lost < 101.1)) | (lost > 299.98)).all()
    assert len(lost) >= 100


@pytest.mark.parametrize("kind", ["whole", "robust", "baseline", "rolling"])
def test_z_scores(tmp_path, kind):
    rng = np.random.default_rng(3)
    f = 10 + rng.standard_normal((20_000, 1))
    more = {"zscore_baseline_s": (20.0, 60.0)} if kind == "baseline" else {}
    arrays, _ = dff(tmp_path, f, ALONE, method="percentile", percentile=50, window_s=1000, zscore=kind,
                    zscore_window_s=40.0, **more)  # fmt: skip
    z, d = arrays["zscore"][:, 0], arrays["dff"][:, 0]
    if kind == "rolling":
        assert np.flatnonzero(np.isfinite(z))[[0, -1]].tolist() == [2000, 17_999]  # half a window at each end
        assert not (z == 0).any()
        part = d[8000:12_001]
        assert z[10_000] == pytest.approx((d[10_000] - part.mean()) / part.std(ddof=1), rel=1e-9)
        return
    part = d[2000:6001] if kind == "baseline" else d
    centre, spread = part.mean(), part.std(ddof=1)
    if kind == "robust":
        centre = np.median(part)
        spread = 1.4826 * np.median(np.abs(part - centre))
    np.testing.assert_allclose(z, (d - centre) / spread, rtol=1e-9)


def test_edges_and_the_start_are_missing_and_not_zero(tmp_path):
    _, values = recording()
    values[:50] = np.nan  # as demodulation leaves them
    arrays, _ = dff(tmp_path, values, lowpass_hz=5.0, skip_start_s=3.0)
    missing = ~np.isfinite(arrays["dff"][:, 0])
    assert missing[:300].all()
    assert missing[-20:].all()
    assert not missing[300:-20].any()
    assert not (arrays["dff"] == 0).any()


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        (lambda v: v - [5, 0], {"bleaching": "none"}, "F0 is 0 or below in 30000 of 30000"),
        (lambda v: v * [1, 0] + [0, 1], {"bleaching": "none"}, "the control is constant"),
        (lambda v: v * [1, np.nan], {"bleaching": "none"}, "have 0 samples in common"),
        (lambda v: v, {"lowpass_hz": 60.0}, "lowpass_hz is 60 Hz; expected below the Nyquist frequency, 50 Hz"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path, change, params, message):
    _, values = recording()
    with pytest.raises(ValueError, match=message):
        dff(tmp_path, change(values), **params)


def test_times_that_go_back_are_refused(tmp_path):
    _, values = recording()
    times = np.arange(len(values)) / RATE
    times[100] = times[90]
    inputs = {"signal": series(tmp_path, "signal", values, times)}
    with pytest.raises(ValueError, match="the timestamps of /signal don't increase"):
        run(computing, tmp_path, inputs, ONE)
