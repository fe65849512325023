"""The ScanImage movie against its truth: read by tifffile, and by NeuroConv."""

from __future__ import annotations

import gc
from datetime import datetime

import numpy as np
import pytest
import tifffile

from nwbpipe.simulate import SimulatedSession
from nwbpipe.simulate.scores import shift_error


@pytest.fixture(scope="module")
def movie(simulated: SimulatedSession) -> np.ndarray:
    return tifffile.imread(simulated.scan)


def _registered(movie: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Each frame with its content moved back, to the nearest pixel."""
    return np.stack(
        [np.roll(frame, (-round(y), -round(x)), axis=(0, 1)) for frame, (y, x) in zip(movie, shifts, strict=True)]
    )


def test_movie_is_int16_frames_of_the_truths_shape(simulated: SimulatedSession, movie: np.ndarray):
    truth = simulated.imaging
    assert movie.dtype == np.int16
    assert movie.shape == (len(truth.frame_times), *truth.masks.shape[1:])
    assert movie.min() > 0
    assert movie.max() < 32767


def test_tifffile_knows_it_as_scanimage(simulated: SimulatedSession):
    with tifffile.TiffFile(simulated.scan) as tif:
        assert tif.is_scanimage
        assert tif.is_bigtiff
        header = tif.scanimage_metadata["FrameData"]
        assert header["SI.hRoiManager.scanFrameRate"] == simulated.imaging.rate
        second = tif.pages[1].description
    assert f"frameTimestamps_sec = {1 / simulated.imaging.rate:.9f}" in second


def test_frame_times_are_the_files_plus_the_clocks_offset(simulated: SimulatedSession):
    with tifffile.TiffFile(simulated.scan) as tif:
        lines = [page.description.split("\n") for page in tif.pages]
    stamps = [float(line.split("=")[1]) for page in lines for line in page if line.startswith("frameTimestamps_sec")]
    np.testing.assert_allclose(
        np.array(stamps) + simulated.offsets_s["scope"], simulated.imaging.frame_times, atol=1e-9
    )


def test_cells_follow_their_traces(simulated: SimulatedSession, movie: np.ndarray):
    truth = simulated.imaging
    active = np.flatnonzero(truth.spike_counts.sum(axis=1) > 0)
    assert len(active) >= 2
    still = _registered(movie, truth.shifts)
    for cell in active:
        seen = still[:, truth.masks[cell]].mean(axis=1)
        assert np.corrcoef(seen, truth.traces[cell])[0, 1] > 0.9


def test_cells_are_apart(simulated: SimulatedSession):
    assert simulated.imaging.masks.any(axis=(1, 2)).all()
    assert simulated.imaging.masks.sum(axis=0).max() == 1


def test_traces_are_spikes_with_the_stated_decay(simulated: SimulatedSession):
    truth = simulated.imaging
    decay = np.exp(-1.0 / (truth.tau_s * truth.rate))
    for trace, counts in zip(truth.traces.astype(float), truth.spike_counts, strict=True):
        above = trace - trace[0]
        jumps = above[1:] - decay * above[:-1]
        assert (np.flatnonzero(jumps > 0.1) + 1).tolist() == np.flatnonzero(counts).tolist()


def test_motion_moves_the_image_content_by_the_shifts(simulated: SimulatedSession, movie: np.ndarray):
    truth = simulated.imaging
    template = np.fft.fft2(_registered(movie, truth.shifts).mean(axis=0) - movie.mean())
    found = []
    for frame in movie:
        surface = np.fft.ifft2(np.fft.fft2(frame - frame.mean()) * np.conj(template)).real
        peak = np.array(np.unravel_index(surface.argmax(), surface.shape))
        found.append(np.where(peak > np.array(surface.shape) // 2, peak - surface.shape, peak))
    assert np.abs(truth.shifts).max() <= 4.0
    assert truth.shifts.std() > 0.5
    # Whole pixels against subpixel truth: rounding alone is 0.29.
    assert shift_error(truth.shifts, np.array(found)) < 0.4


# roiextractors 0.10 opens the file once more than it closes it (ScanImageImagingExtractor.__init__).
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO.*scan_00001:pytest.PytestUnraisableExceptionWarning"
)
def test_neuroconv_opens_it(simulated: SimulatedSession, movie: np.ndarray):
    from neuroconv.datainterfaces import ScanImageImagingInterface

    interface = ScanImageImagingInterface(file_path=simulated.scan)
    extractor = interface.imaging_extractor
    assert extractor.get_sampling_frequency() == simulated.imaging.rate
    np.testing.assert_allclose(
        interface.get_timestamps(), simulated.imaging.frame_times - simulated.offsets_s["scope"], atol=1e-9
    )
    np.testing.assert_array_equal(extractor.get_series(0, 3), movie[:3])
    metadata = interface.get_metadata()
    plane = metadata["Ophys"]["ImagingPlanes"][interface.metadata_key]
    np.testing.assert_allclose(plane["grid_spacing"], [1.5e-6, 1.5e-6])
    # The scanner started 0.85 s after the probe.
    assert metadata["NWBFile"]["session_start_time"] == datetime(2024, 5, 1, 10, 0, 0, 850_000)
    del interface, extractor
    gc.collect()  # the leaked handle is reported here, not in a later test
