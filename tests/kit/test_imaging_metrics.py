"""Each metric on a case that can be worked out, and how it changes when the data are scaled, shifted or permuted."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe_kit import imaging_metrics as metrics

RATE = 10.0


def rng():
    return np.random.default_rng(0)


# The scan ----------------------------------------------------------------------------------------------------


def test_frames_are_measured():
    frames = np.arange(2 * 10 * 10).reshape(2, 10, 10)
    found = metrics.frame_metrics(frames)
    assert found["min"].tolist() == [0, 100]
    assert found["max"].tolist() == [99, 199]
    assert found["mean"].tolist() == [49.5, 149.5]
    np.testing.assert_allclose(
        found["contrast"], np.percentile(np.arange(100), 99) - np.percentile(np.arange(100), 1)
    )


def test_frames_scale_shift_and_don_t_mind_the_order_of_pixels():
    frames = rng().normal(100, 10, (5, 16, 12))
    found = metrics.frame_metrics(frames)
    changed = metrics.frame_metrics(3 * frames + 7)
    for name in ("min", "mean", "max"):
        np.testing.assert_allclose(changed[name], 3 * found[name] + 7)
    np.testing.assert_allclose(changed["contrast"], 3 * found["contrast"])
    shuffled = metrics.frame_metrics(frames.reshape(5, -1)[:, rng().permutation(16 * 12)])
    for name, values in found.items():
        np.testing.assert_allclose(shuffled[name], values)


def scan(mean, focus=(), **changes):
    frames = {"mean": np.asarray(mean, float)}
    given = {"dark": 0.0, "focus": np.asarray(focus), "saturated": 0.25, "constant": 3, "gaps": 2} | changes
    return metrics.scan_metrics(frames, np.arange(len(mean)) / RATE, *given.values())


def test_bleaching_is_the_slope_by_minute_over_the_start():
    minutes = np.arange(1200) / RATE / 60
    fading = 200 * (1 - 0.1 * minutes)
    assert scan(fading)["bleaching"] == pytest.approx(-0.1)
    assert scan(5 * fading)["bleaching"] == pytest.approx(-0.1)
    assert scan(fading + 50, dark=50.0)["bleaching"] == pytest.approx(-0.1)  # an offset of the digitiser
    assert scan(fading[::-1])["bleaching"] > 0
    assert np.isnan(scan(np.zeros(10))["bleaching"])


def test_counts_are_handed_on():
    found = scan(np.ones(10))
    assert (found["saturation_share"], found["constant_frames"], found["gaps"]) == (0.25, 3, 2)
    assert "saturation_share" not in scan(np.ones(10), saturated=None)


def test_jumps_of_brightness_are_counted():
    quiet = 100 + rng().normal(0, 0.5, 500)
    assert scan(quiet)["brightness_jumps"] == 0
    stepped = quiet + 20 * (np.arange(500) >= 200) - 20 * (np.arange(500) >= 300)
    assert metrics.jumps(stepped, 8, 0.02).tolist() == [200, 300]
    assert metrics.jumps(7 * stepped, 8, 0.02).tolist() == [200, 300]
    assert scan(quiet, focus=stepped)["focus_jumps"] == 0  # 20 % of the median is not reached
    assert scan(quiet, focus=np.r_[np.ones(20), 2 * np.ones(20)])["focus_jumps"] == 1


def test_sharpness_falls_with_blur_and_not_with_brightness():
    from scipy.ndimage import gaussian_filter

    image = rng().random((40, 30)) + 1
    sharp = metrics.sharpness(image)
    assert metrics.sharpness(9 * image) == pytest.approx(sharp)
    assert metrics.sharpness(gaussian_filter(image, 1.0)) < 0.2 * sharp
    assert metrics.sharpness(np.ones((8, 8))) == 0
    checkers = np.indices((8, 8)).sum(axis=0) % 2 + 1.0  # the Laplacian is 4 or -4
    assert metrics.sharpness(checkers) == pytest.approx(16 / 1.5**2)
    assert np.isnan(metrics.sharpness(np.zeros((8, 8))))


def test_motion_is_the_distance_from_the_median():
    shifts = np.zeros((100, 2))
    shifts[:10] = [3, 4]
    found = metrics.motion_metrics(shifts + 7)  # where the reference lies means nothing
    assert (found["motion_median"], found["motion_max"], found["motion_p95"]) == (0, 5, 5)
    volume = metrics.motion_metrics(np.stack([shifts, 2 * shifts], axis=1))
    assert volume["motion_max"] == 10


# Masks -------------------------------------------------------------------------------------------------------


def masks(*pixels, weight=None, shape=(40, 30), **more):
    index = np.cumsum([len(one) for one in pixels])
    x, y = np.concatenate(pixels).T
    weight = np.ones(len(x)) if weight is None else weight
    return metrics.mask_metrics(index, x, y, weight, shape, **more)


def block(x0, y0, nx, ny):
    return np.array([(x, y) for x in range(x0, x0 + nx) for y in range(y0, y0 + ny)])


def test_rectangles_are_measured():
    """A rectangle of n x m pixels has the variances n^2/12 and m^2/12, with each pixel a square."""
    found = masks(block(10, 5, 12, 4), block(3, 3, 5, 5), block(20, 20, 7, 1))
    assert found["area"].tolist() == [48, 25, 7]
    np.testing.assert_allclose(found["center_x"], [15.5, 5, 23])
    np.testing.assert_allclose(found["center_y"], [6.5, 5, 20])
    np.testing.assert_allclose(found["roundness"], [4 / 12, 1, 1 / 7])
    np.testing.assert_allclose(found["eccentricity"], np.sqrt(1 - np.array([1 / 9, 1, 1 / 49])), atol=1e-7)
    assert "area_um2" not in found
    assert masks(block(10, 5, 12, 4), pixel_area=2.25)["area_um2"].tolist() == [108]


def test_overlap_is_the_part_that_others_have_in_the_same_plane():
    pixels = (block(5, 5, 4, 4), block(7, 5, 4, 4), block(20, 20, 2, 2))
    assert masks(*pixels)["overlap"].tolist() == [0.5, 0.5, 0]
    assert masks(*pixels, plane=np.array([0, 1, 0]))["overlap"].tolist() == [0, 0, 0]
    twice = np.concatenate([block(5, 5, 2, 2), block(5, 5, 2, 2)])
    found = masks(twice)
    assert (found["area"].tolist(), found["overlap"].tolist()) == ([4], [0])


def test_the_border_is_touched():
    found = masks(block(0, 5, 4, 4), block(36, 26, 4, 4), block(10, 10, 4, 4))
    np.testing.assert_allclose(found["border_contact"], [0.25, 7 / 16, 0])


def test_masks_move_turn_and_change_places():
    pixels = [block(4, 5, 6, 3), block(8, 6, 5, 5), block(20, 11, 3, 9)]
    found = masks(*pixels)
    moved = masks(*(np.add(one, [3, 2]) for one in pixels))
    np.testing.assert_allclose(moved["center_x"], found["center_x"] + 3)
    np.testing.assert_allclose(moved["center_y"], found["center_y"] + 2)
    turned = masks(*(one[:, ::-1] for one in pixels), shape=(30, 40))
    swapped = masks(*pixels[::-1])
    for name in ("area", "roundness", "eccentricity", "overlap", "border_contact"):
        np.testing.assert_allclose(moved[name], found[name], atol=1e-7)
        np.testing.assert_allclose(turned[name], found[name], atol=1e-7)
        np.testing.assert_allclose(swapped[name][::-1], found[name], atol=1e-7)


def test_weights_count_by_their_ratio():
    pixels = block(4, 5, 2, 1)
    found = masks(pixels, weight=np.array([1.0, 3.0]))
    assert found["center_x"].tolist() == [4.75]
    np.testing.assert_allclose(masks(pixels, weight=np.array([10.0, 30.0]))["roundness"], found["roundness"])


def test_a_faint_skirt_is_no_part_of_a_mask():
    """Of two cells each has a skirt over the other, and one to the border, of less than a quarter of its weight."""
    cells, skirts = (block(5, 5, 4, 4), block(20, 5, 6, 4)), (block(0, 5, 5, 4), block(5, 5, 4, 4))
    both = [np.concatenate(two) for two in zip(cells, skirts, strict=True)]
    strength = [
        np.repeat([10.0, faint], [len(a), len(b)]) for a, b, faint in zip(cells, skirts, (2.4, 1.0), strict=True)
    ]
    found = masks(*both, weight=np.concatenate(strength))
    for name, values in masks(*cells).items():
        np.testing.assert_allclose(found[name], values, err_msg=name)
    strength[0][len(cells[0]) :] = 2.5  # a quarter counts
    found = masks(*both, weight=np.concatenate(strength))
    assert found["area"].tolist() == [36, 24]
    assert found["border_contact"].tolist() == [4 / 36, 0]


# Traces ------------------------------------------------------------------------------------------------------


def test_moments_are_scipys_and_the_variance_is_one():
    from scipy.stats import skew

    traces = 50 + rng().gamma(2.0, 3.0, (400, 3))
    found = metrics.trace_metrics(traces, RATE)
    np.testing.assert_allclose(found["skewness"], skew(traces, axis=0))
    np.testing.assert_allclose(found["variance"], traces.var(axis=0))


def test_snr_is_0_for_white_noise_and_1_for_a_smooth_trace():
    noise = 100 + rng().normal(0, 1, (20000, 1))
    wave = 100 + np.sin(np.arange(20000) / 200)[:, None]
    assert metrics.trace_metrics(noise, RATE)["snr"][0] == pytest.approx(0, abs=0.03)
    assert metrics.trace_metrics(wave, RATE)["snr"][0] == pytest.approx(1, abs=1e-3)


def test_noise_is_in_percent_by_root_hertz():
    """White noise of standard deviation s: the median of |difference| is 0.6745 sqrt(2) s."""
    level = 0.05
    noise = 100 * (1 + rng().normal(0, level, (50000, 1)))
    base = np.percentile(noise, 8) / 100
    found = metrics.trace_metrics(noise, 25.0)["noise_level"][0]
    assert found == pytest.approx(100 * 0.6745 * np.sqrt(2) * level / base / 5, rel=0.02)


def test_drift_is_of_the_baseline():
    drift = np.linspace(100, 150, 1000)[:, None]
    first, last = np.percentile(drift[:100], 8), np.percentile(drift[-100:], 8)
    assert metrics.trace_metrics(drift, RATE)["baseline_drift"][0] == pytest.approx(last / first - 1)


def test_events_are_counted_by_the_minute():
    trace = 100 + rng().normal(0, 0.5, 1200)
    for start in (100, 400, 700, 900):
        trace[start : start + 20] += 50 * np.exp(-np.arange(20) / 6)
    trace[1000] += 50  # a single frame is no event
    assert metrics.trace_metrics(trace[:, None], RATE)["event_rate"][0] == pytest.approx(4 / 2)


def test_the_neuropils_share_is_a_slope():
    neuropil = 30 + 5 * np.sin(np.arange(1000) / 40)[:, None]
    found = metrics.trace_metrics(200 + 0.6 * neuropil, RATE, neuropil)
    assert found["neuropil_coefficient"][0] == pytest.approx(0.6)
    corrected = metrics.trace_metrics(200 + 0.6 * neuropil, RATE, neuropil, coefficient=0.6)
    assert np.isnan(corrected["snr"][0])  # nothing is left


@pytest.mark.parametrize("factor", [0.01, 40.0])
def test_traces_scale(factor):
    traces = 100 + rng().gamma(1.0, 8.0, (800, 3))
    found, scaled = metrics.trace_metrics(traces, RATE), metrics.trace_metrics(factor * traces, RATE)
    for name, values in found.items():
        expected = values * factor**2 if name == "variance" else values
        np.testing.assert_allclose(scaled[name], expected, rtol=1e-9)


def test_a_level_moves_only_what_is_over_the_baseline():
    traces = 100 + rng().gamma(1.0, 8.0, (800, 3))
    found, lifted = metrics.trace_metrics(traces, RATE), metrics.trace_metrics(traces + 100, RATE)
    for name in ("skewness", "variance", "snr", "event_rate"):
        np.testing.assert_allclose(lifted[name], found[name])
    base = np.percentile(traces, 8, axis=0)
    np.testing.assert_allclose(lifted["noise_level"], found["noise_level"] * base / (base + 100))


def test_the_order_of_rois_and_the_direction_of_time():
    traces = 100 + rng().gamma(1.0, 8.0, (800, 3))
    found = metrics.trace_metrics(traces, RATE)
    for name, values in metrics.trace_metrics(traces[:, [2, 0, 1]], RATE).items():
        np.testing.assert_allclose(values, found[name][[2, 0, 1]])
    for name in ("skewness", "variance", "snr", "noise_level", "peak_dff"):
        np.testing.assert_allclose(metrics.trace_metrics(traces[::-1], RATE)[name], found[name])


def test_what_cannot_be_told_is_nan():
    found = metrics.trace_metrics(np.stack([np.full(100, 7.0), np.linspace(-5, 5, 100)], axis=1), RATE)
    assert np.isnan(found["snr"][0])
    assert np.isnan(found["skewness"][0])
    assert found["variance"][0] == 0
    assert np.isnan(found["noise_level"][1])
    assert np.isnan(found["event_rate"][1])


def test_every_metric_is_explained():
    for texts in (metrics.FRAME_METRICS, metrics.SCAN_METRICS, metrics.MASK_METRICS, metrics.TRACE_METRICS):
        assert all(len(text) > 15 for text in texts.values())
    traces = 100 + rng().normal(size=(50, 1))
    assert set(metrics.trace_metrics(traces, RATE, traces + rng().normal(size=(50, 1)))) == set(metrics.TRACE_METRICS)
    assert set(masks(block(3, 3, 2, 2), pixel_area=1.0)) == set(metrics.MASK_METRICS)
    assert {*scan(np.ones(5)), *metrics.motion_metrics(np.zeros((5, 2)))} == set(metrics.SCAN_METRICS)
