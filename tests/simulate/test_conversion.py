"""The session converted: each stream's times in the file against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwbpipe.simulate import SimulatedSession
from nwbpipe.simulate.scores import event_error_ms


# roiextractors 0.10 opens the movie once more than it closes it (ScanImageImagingExtractor.__init__).
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_all_streams_are_in_the_reference_clock(simulated: SimulatedSession, tmp_path: Path):
    from pynwb import NWBHDF5IO

    import nwbpipe

    path = nwbpipe.convert(simulated.spec, tmp_path / "session.nwb")
    face, behavior, imaging = simulated.face, simulated.behavior, simulated.imaging
    with NWBHDF5IO(path, "r") as io:
        file = io.read()
        movie = file.acquisition["TwoPhotonSeries_scope"]
        assert (movie.starting_time, movie.rate) == (imaging.frame_times[0], imaging.rate)
        assert movie.data.shape[0] == len(imaging.frame_times)
        raw = file.acquisition["ElectricalSeriesAP_probe"]
        assert (raw.starting_time, raw.rate) == (0.0, simulated.ephys.rate)
        np.testing.assert_allclose(raw.conversion, simulated.ephys.gain_to_uv * 1e-6)
        contacts = file.electrodes.to_dataframe()[["rel_x", "rel_y"]].to_numpy()
        np.testing.assert_allclose(contacts, simulated.ephys.channel_locations)
        assert event_error_ms(face.frame_times, file.acquisition["ImageSeries_face"].timestamps[:]) < 0.02
        pose = file.processing["behavior"]["PoseEstimationDeepLabCut_pose"].pose_estimation_series
        assert len(pose) == len(simulated.keypoints.bodyparts)
        for series in pose.values():
            assert event_error_ms(face.frame_times, np.asarray(series.timestamps)) < 0.02
        light = file.acquisition["FiberPhotometryResponseSeries_photometry"]
        own = light.starting_time + np.arange(len(light.data)) / light.rate
        assert event_error_ms(simulated.photometry.times, own) < 0.01
        trials, events = file.trials.to_dataframe(), file.events["events"].to_dataframe()
    assert event_error_ms(behavior.trial_start, trials["start_time"]) < 0.15
    assert event_error_ms(behavior.trial_stop, trials["stop_time"]) < 0.15
    assert event_error_ms(behavior.event_times, events["timestamp"]) < 0.15
    assert tuple(events["event_type"]) == behavior.event_names
