"""Small sessions with a video, and results as the compute module leaves them."""

from pathlib import Path

import h5py
import numpy as np
from pynwb import NWBHDF5IO
from pynwb.image import ImageSeries

from nwbpipe.processors import BoundInput
from tests.fixtures.kept_files import write_once
from tests.fixtures.nwb import empty_session


@write_once
def write_session(path: Path, files, frames, *, rate=None, timestamps=None, starting_frame=None, **series) -> Path:
    nwbfile = empty_session("A simulated video of a face.")
    times = (
        {"timestamps": timestamps} if rate is None else {"rate": rate, "starting_time": 0.5, "num_samples": frames}
    )
    if files is not None:
        series |= {"external_file": list(files), "format": "external", "starting_frame": starting_frame or [0]}
    device = nwbfile.create_device(name="Camera", description="A camera.")
    nwbfile.add_acquisition(
        ImageSeries(name="VideoFace", description="The face.", unit="n.a.", device=device, **times, **series)
    )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def bound_video(nwbfile):
    series = nwbfile.acquisition["VideoFace"]
    return {"video": BoundInput("video", "/acquisition/VideoFace", "ImageSeries", series.object_id)}


def results_of_everything(path: Path, frames: int) -> tuple[h5py.File, dict]:
    rng = np.random.default_rng(0)
    file = h5py.File(path, "w")
    for kind in ("motion_svd", "movie_svd"):
        for region, size in (("0", (22, 30)), ("1", (7, 10))):
            file[f"{kind}/{region}/projections"] = rng.random((frames, 4), dtype="f4")
            file[f"{kind}/{region}/masks"] = rng.random((*size, 4), dtype="f4")
    file["motion_svd/1/singular_values"] = np.array([4, 3, 2, 1], dtype="f4")
    file["motion_energy/0"] = rng.random(frames)
    file["motion_energy/1"] = rng.random(frames)
    for name, shape in (
        ("area", ()),
        ("area_smooth", ()),
        ("center", (2,)),
        ("center_smooth", (2,)),
        ("squared_semiaxes", (2,)),
        ("axis_directions", (2, 2)),
    ):
        file[f"pupils/0/{name}"] = rng.random((frames, *shape))
    file["blinks/0"] = rng.random(frames)
    file["running/0"] = rng.random((frames, 2))
    file["avgframe"] = rng.random((22, 30), dtype="f4")
    file["avgmotion"] = rng.random((22, 30), dtype="f4")
    summary = {
        "frames": frames,
        "sbin": 4,
        "regions": ["full frame", "motion ROI 1"],
        "files": ["face.avi"],
        "tool_version": "1.0.8",
    }
    return file, summary
