"""Small sessions with a movie, and results as the compute module leaves them."""

import warnings
from pathlib import Path

import h5py
import numpy as np
from pynwb import NWBHDF5IO
from pynwb.ophys import OnePhotonSeries, OpticalChannel, TwoPhotonSeries

from tests.fixtures.kept_files import write_once
from tests.fixtures.nwb import empty_session

MOVIE = "/acquisition/TwoPhotonSeries"


@write_once
def write_session(
    path: Path, movie, *, rate=None, timestamps=None, starting_time=0.0, more=None, kind="TwoPhotonSeries", **series
) -> Path:
    """Write a session with the movie, and `more` series like it, by name."""
    nwbfile = empty_session("A simulated movie of cells that move.")
    device = nwbfile.create_device(name="Microscope", description="A microscope.")
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=OpticalChannel(name="green", description="The green channel.", emission_lambda=520.0),
        description="Layer 2/3.",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6f",
        location="Primary visual area",
    )
    times = {"rate": rate, "starting_time": starting_time} if rate else {"timestamps": timestamps}
    for name, data in {"TwoPhotonSeries": movie, **(more or {})}.items():
        nwbfile.add_acquisition(
            (OnePhotonSeries if kind == "OnePhotonSeries" else TwoPhotonSeries)(
                name=name,
                description="The movie.",
                imaging_plane=plane,
                unit="n.a.",
                **({"data": data} if data is not None else {}),
                **times,
                **series,
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBHDF5IO(path, "w") as io:
            io.write(nwbfile)
    return path


def bound_movie(nwbfile):
    from nwbpipe.processors import BoundInput

    series = nwbfile.acquisition["TwoPhotonSeries"]
    return {"movie": BoundInput("movie", MOVIE, "TwoPhotonSeries", series.object_id)}


def request(path: Path, params, facts, scratch: Path) -> dict:
    return {
        "inputs": {
            "movie": {
                "file": str(path),
                "path": MOVIE,
                "neurodata_type": "TwoPhotonSeries",
                "data": f"{MOVIE}/data",
                "timestamps": None,
                "rate": 15.0,
                "starting_time": 0.0,
                "external_files": [],
            }
        },
        "params": params,
        "facts": facts,
        "seed": 0,
        "threads": 2,
        "scratch": str(scratch),
    }


def results_of_two_rois(path: Path, frames: int, size=(24, 18)) -> tuple[h5py.File, dict]:
    """Hand-made results: the first ROI lies at large x and small y."""
    rng = np.random.default_rng(0)
    file = h5py.File(path, "w")
    file["shifts"] = np.stack([np.arange(frames), -np.arange(frames)], axis=1).astype("f4")
    file["correlation"] = np.linspace(0, 1, frames, dtype="f4")
    file["bad_frames"] = np.arange(frames) == 3
    file["blocks"] = np.array([[0, 16, 0, 18], [8, 24, 0, 18]], dtype="i4")
    file["block_shifts"] = rng.normal(size=(frames, 2, 2)).astype("f4")
    for name in ("mean", "reference", "max_projection", "correlation"):
        file[f"images/{name}"] = rng.random(size, dtype="f4")
    rois = file.create_group("rois")
    rois["index"] = np.array([3, 5])
    rois["x"] = np.array([20, 21, 22, 4, 5], dtype="u4")
    rois["y"] = np.array([2, 2, 3, 15, 16], dtype="u4")
    rois["weight"] = np.array([1, 2, 3, 4, 5], dtype="f4")
    rois["npix"] = np.array([3, 2], dtype="i4")
    rois["npix_soma"] = np.array([3, 2], dtype="i4")
    for name in ("radius", "aspect_ratio", "compact", "footprint", "skew", "std", "snr"):
        rois[name] = rng.random(2, dtype="f4")
    rois["center"] = np.array([[21, 2], [4, 15]], dtype="f4")
    rois["iscell"] = np.array([True, False])
    rois["iscell_probability"] = np.array([0.9, 0.2], dtype="f4")
    for name in ("fluorescence", "neuropil", "deconvolved"):
        file[f"traces/{name}"] = rng.random((frames, 2), dtype="f4")
    return file, {"rois": 2, "bad_frames": 1, "intensity_scale": 1.0, "valid_x": [2, 22], "valid_y": [1, 17]}
