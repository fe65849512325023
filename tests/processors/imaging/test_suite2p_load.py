"""Taking a finished suite2p folder: what is in the file then, where it came from, and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import InputError, RequestError, ResultExistsError, SourceError
from nwbpipe.nwb_builders import load_pickled_dict, load_pickled_dicts
from nwbpipe.processors import processor
from nwbpipe.processors.imaging.suite2p._params import Suite2pParams
from nwbpipe.run._load import _load_output
from tests.fixtures.processing import Scale
from tests.processors.imaging.session import write_session

FRAMES, NX, NY, ROIS = 30, 24, 18, 3


def write_folder(folder: Path, *, frames: int = FRAMES, version: str = "old", seed: int = 0) -> Path:
    """A folder as suite2p leaves it: flat settings in old versions, groups in 1.1."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    stat = np.array(
        [
            {"ypix": np.array([2, 3]), "xpix": np.array([20 - k, 21]), "lam": np.ones(2, "f4"), "med": [2, 20]}
            | {"npix": 2, "npix_soma": 2, "radius": 1.5, "aspect_ratio": 1.1, "compact": 1.0, "footprint": 1.0}
            | {"skew": np.float32(k), "std": np.float32(2)}
            for k in range(ROIS)
        ]
    )
    ops = {"Ly": NY, "Lx": NX, "yrange": [1, NY - 1], "xrange": [2, NX - 2], "tau": 0.7, "fs": 10.0}
    ops |= {"meanImg": rng.random((NY, NX)), "yoff": np.arange(frames), "xoff": -np.arange(frames)}
    ops |= {"corrXY": np.ones(frames), "badframes": np.zeros(frames, bool), "save_path": "/home/someone/data/plane0"}
    ops |= {"yoff1": np.zeros((frames, 2)), "xoff1": np.ones((frames, 2))}
    if version == "old":
        ops |= {"neucoeff": 0.6, "yblock": [np.array([0, 12])] * 2, "xblock": [np.array([0, 16]), np.array([8, 24])]}
    else:
        ops |= {"extraction": {"neuropil_coefficient": 0.6}, "registration": {"nonrigid": True}, "version": "1.1.0"}
    np.save(folder / "ops.npy", ops)
    np.save(folder / "stat.npy", stat)
    for name in ("F", "Fneu", "spks"):
        np.save(folder / f"{name}.npy", rng.random((ROIS, frames), dtype="f4"))
    np.save(folder / "iscell.npy", np.array([[1, 0.9], [1, 0.2], [0, 0.1]]))  # the second was edited by a person
    return folder


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.nwb", np.ones((FRAMES, NX, NY), np.int16), rate=10.0, starting_time=1.0)


@pytest.mark.usefixtures("own_places")
@pytest.mark.parametrize("version", ["old", "1.1"])
def test_a_folder_is_in_the_file_with_where_it_came_from(session, tmp_path, version):
    folder = write_folder(tmp_path / "lab" / "suite2p" / "plane0", version=version)
    run = nwbpipe.load(session, "suite2p", folder.parent, step="suite2p_2021")
    assert run.computed
    assert validate(path=str(session)) == []
    with NWBHDF5IO(session, "r") as io:
        ophys = io.read().processing["ophys"]
        fluorescence, neuropil = np.load(folder / "F.npy").T, np.load(folder / "Fneu.npy").T
        traces = ophys["Fluorescence_suite2p_2021"]
        np.testing.assert_array_equal(traces["RoiResponseSeries"].data[:], fluorescence)
        np.testing.assert_allclose(traces["NeuropilCorrected"].data[:], fluorescence - 0.6 * neuropil, rtol=1e-5)
        assert traces["RoiResponseSeries"].starting_time == 1.0
        table = ophys["ImageSegmentation_suite2p_2021"]["PlaneSegmentation_suite2p_2021"]
        assert [tuple(pixel) for pixel in table["pixel_mask"][1]] == [(19, 2, 1.0), (21, 3, 1.0)]
        assert table["iscell"].data[:].tolist() == [True, True, False]
        assert "edited" in table["iscell"].description
        assert "snr" not in table.colnames
        shifts = ophys["MotionCorrectionShifts_suite2p_2021"]
        assert ("Non-rigid shifts are not here" in shifts.description) == (version != "old")
        np.testing.assert_array_equal(shifts.data[:], np.stack([-np.arange(FRAMES), np.arange(FRAMES)], axis=1))
        assert ("MotionCorrectionBlockShifts_suite2p_2021" in ophys.data_interfaces) == (version == "old")
    (record,) = nwbpipe.read_records(session)
    assert record.parameters["loaded"] is True
    assert record.parameters["tau"] == 0.7
    assert record.tool_version == ("unknown" if version == "old" else "1.1.0")
    sources = {one["path"]: one["sha256"] for one in record.sources}
    assert set(sources) == {f"suite2p/plane0/{name}.npy" for name in ("ops", "stat", "F", "Fneu", "spks", "iscell")}
    assert sources["suite2p/plane0/F.npy"] == hashlib.sha256((folder / "F.npy").read_bytes()).hexdigest()
    assert "someone" not in str(record.as_dict())
    again = nwbpipe.load(session, "suite2p", folder.parent, step="suite2p_2021")
    assert not again.computed


@pytest.mark.usefixtures("own_places")
def test_the_same_folder_is_loaded_once_and_another_needs_replace(session, tmp_path):
    folder = write_folder(tmp_path / "a" / "plane0")
    assert nwbpipe.load(session, "suite2p", folder).computed
    assert not nwbpipe.load(session, "suite2p", folder).computed
    other = write_folder(tmp_path / "b" / "plane0", seed=1)
    with pytest.raises(ResultExistsError):
        nwbpipe.load(session, "suite2p", other)
    assert nwbpipe.load(session, "suite2p", other, replace=True).computed
    with h5py.File(session) as file:
        written = file["processing/ophys/Fluorescence_suite2p/RoiResponseSeries/data"][:]
    np.testing.assert_array_equal(written, np.load(other / "F.npy").T)


@pytest.mark.usefixtures("own_places")
def test_the_command_loads_a_folder_once(session, tmp_path, capsys):
    folder = write_folder(tmp_path / "plane0")
    words = ["load", str(session), "suite2p", str(folder), "--step", "lab", "--input", "movie=TwoPhotonSeries"]
    for shown in ("lab: suite2p unknown, loaded; wrote", "lab: done, nothing to do"):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code in (0, None)
        assert shown in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([*words[:-1], "movie"])
    assert ended.value.code == 2
    assert "NAME=VALUE" in capsys.readouterr().err


@pytest.mark.usefixtures("own_places")
def test_what_a_folder_does_not_have_is_left_out(session, tmp_path):
    folder = write_folder(tmp_path / "plane0")
    for name in ("iscell", "spks"):
        (folder / f"{name}.npy").unlink()
    nwbpipe.load(session, "suite2p", folder)
    with h5py.File(session) as file:
        ophys = file["processing/ophys"]
        assert "Deconvolved_suite2p" not in ophys
        table = ophys["ImageSegmentation_suite2p/PlaneSegmentation_suite2p"]
        assert "iscell" not in table
        assert len(table["id"]) == ROIS


class Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def spoil(folder: Path, how: str) -> None:
    if how == "no ops":
        (folder / "ops.npy").unlink()
    elif how == "fewer ROIs":
        np.save(folder / "F.npy", np.load(folder / "F.npy")[:-1])
    elif how == "truncated":
        (folder / "stat.npy").write_bytes((folder / "stat.npy").read_bytes()[:-40])
    elif how == "NaN":
        values = np.load(folder / "Fneu.npy")
        values[1, 2] = np.nan
        np.save(folder / "Fneu.npy", values)
    elif how == "code":
        np.save(folder / "ops.npy", {"Ly": Runs(folder / "ran")})
    elif how in ("no weights", "few shifts"):
        name, key, value = ("stat", "lam", np.ones(1)) if how == "no weights" else ("ops", "yoff", np.zeros(3))
        content = np.load(folder / f"{name}.npy", allow_pickle=True)
        (content[1] if name == "stat" else content.item())[key] = value
        np.save(folder / f"{name}.npy", content)
    elif how == "outside":
        stat = np.load(folder / "stat.npy", allow_pickle=True)
        stat[0]["xpix"] = np.array([NX, 1])
        np.save(folder / "stat.npy", stat)


@pytest.mark.usefixtures("own_places")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no ops", "not a finished output"),
        ("fewer ROIs", "contradict each other"),
        ("truncated", "damaged"),
        ("NaN", "NaN"),
        ("code", "holds more than data"),
        ("outside", "outside of the frame"),
        ("no weights", "not one of suite2p's"),
        ("few shifts", "not of all frames"),
    ],
)
def test_a_bad_folder_is_refused_and_the_file_left_alone(session, tmp_path, how, message):
    folder = write_folder(tmp_path / "suite2p" / "plane0")
    spoil(folder, how)
    before = session.read_bytes()
    with pytest.raises(SourceError, match=message) as caught:
        nwbpipe.load(session, "suite2p", folder)
    assert "plane0" in str(caught.value)
    assert session.read_bytes() == before
    assert not (folder / "ran").exists()


@pytest.mark.usefixtures("own_places")
def test_an_output_of_another_movie_is_refused(session, tmp_path):
    folder = write_folder(tmp_path / "suite2p" / "plane0", frames=FRAMES + 1)
    with pytest.raises(InputError, match="another movie") as caught:
        nwbpipe.load(session, "suite2p", folder)
    assert "31 frames" in str(caught.value)
    write_folder(tmp_path / "two" / "plane0")
    write_folder(tmp_path / "two" / "plane1")
    with pytest.raises(InputError, match="number of planes"):
        nwbpipe.load(session, "suite2p", tmp_path / "two")


@pytest.mark.usefixtures("own_places")
def test_planes_of_a_volume_are_loaded_together(tmp_path):
    path = write_session(tmp_path / "volume.nwb", np.ones((FRAMES, NX, NY, 2), np.int16), rate=10.0)
    folders = [write_folder(tmp_path / "suite2p" / f"plane{k}", seed=k) for k in range(2)]
    nwbpipe.load(path, "suite2p", tmp_path)
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        assert ophys["ImageSegmentation_suite2p/PlaneSegmentation_suite2p/plane"][:].tolist() == [0, 0, 0, 1, 1, 1]
        expected = np.concatenate([np.load(folder / "F.npy").T for folder in folders], axis=1)
        np.testing.assert_array_equal(ophys["Fluorescence_suite2p/RoiResponseSeries/data"][:], expected)


def test_a_processor_that_loads_nothing_says_so(session_nwb, tmp_path):
    with pytest.raises(RequestError, match="takes no finished output"):
        nwbpipe.load(session_nwb, Scale(), tmp_path)


def _change_ops(folder: Path, **values: object) -> None:
    np.save(folder / "ops.npy", load_pickled_dict(folder / "ops.npy") | values)


def _change_first_roi(folder: Path, **values: object) -> None:
    first, *others = load_pickled_dicts(folder / "stat.npy")
    np.save(folder / "stat.npy", np.array([first | values, *others]))


def _declare(folder: Path, shape: tuple[int, int]) -> None:
    with (folder / "F.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


ODD = {
    "tau": lambda folder: _change_ops(folder, tau="fast"),
    "tau of NaN": lambda folder: _change_ops(folder, tau=float("nan")),
    "neucoeff": lambda folder: _change_ops(folder, neucoeff=[0.7, 0.7]),
    "Ly": lambda folder: _change_ops(folder, Ly="many"),
    "meanImg of NaN": lambda folder: _change_ops(folder, meanImg=np.full((NY, NX), np.nan)),
    "meanImg of another shape": lambda folder: _change_ops(folder, meanImg=np.zeros((3, 3))),
    "yoff": lambda folder: _change_ops(folder, yoff=["a"] * FRAMES),
    "yrange": lambda folder: _change_ops(folder, yrange="all"),
    "med": lambda folder: _change_first_roi(folder, med="middle"),
    "lam": lambda folder: _change_first_roi(folder, lam=["a", "b"]),
    "lam of NaN": lambda folder: _change_first_roi(folder, lam=np.array([np.nan, 1.0])),
    "skew": lambda folder: _change_first_roi(folder, skew="much"),
    "ypix": lambda folder: _change_first_roi(folder, ypix={"a": 1, "b": 2}),
    "a header of 10^12 columns": lambda folder: _declare(folder, (ROIS, 10**12)),
    "a header below zero": lambda folder: _declare(folder, (-1, 10**12)),
}


@pytest.mark.parametrize("spoil_folder", ODD.values(), ids=ODD)
def test_values_of_odd_types_are_an_error_that_names_the_folder(tmp_path, spoil_folder):
    folder = write_folder(tmp_path / "suite2p" / "plane0")
    spoil_folder(folder)
    context = SimpleNamespace(facts={"shape": (FRAMES, NX, NY)}, params=Suite2pParams())
    with h5py.File(tmp_path / "results.h5", "w") as arrays, pytest.raises(SourceError, match="plane0"):
        _load_output(processor("suite2p"), folder, arrays, context)
