"""The processor `extract` without EXTRACT: what goes in, and a stand-in for Octave that finds known cells."""

import json

import h5py
import numpy as np
import pytest
from pydantic import ValidationError
from pynwb import NWBHDF5IO, TimeSeries, validate

from nwbpipe.environments import find
from nwbpipe.errors import InputError, ToolFailedError, ToolMissingError
from nwbpipe.processors.imaging import Extract, ExtractParams
from nwbpipe.processors.imaging._settings import nest_settings, own_settings
from nwbpipe.processors.imaging.extract import _compute as compute
from nwbpipe.processors.imaging.extract._params import KNOWN
from nwbpipe.run import process
from tests.processors.imaging.session import write_session

OWN = own_settings(ExtractParams)
FRAMES, NX, NY = 40, 24, 18
DEFAULTS = "\n".join(
    [f"if ~isfield(config, '{name}'), x; end" for name in {*KNOWN, *OWN} if not name.startswith("thresholds.")]
    + [
        f"if ~isfield(thresholds, '{name.removeprefix('thresholds.')}'), x; end"
        for name in {*KNOWN, *OWN}
        if name.startswith("thresholds.")
    ]
    + [f"isfield(config, '{name}')" for name in ("use_gpu", "parallel_cpu", "multi_gpu", "visualize_cellfinding")]
    + [f"isfield(config, '{name}')" for name in ("plot_loss", "show_progress", "verbose")]
)
# Finds two cells, whatever the movie: by columns, as Octave would. It leaves the movie that it was given as well.
OCTAVE = """
import re
if "--version" in words: sys.exit()
folder = pathlib.Path(re.search(r"nwbpipe_run_extract\\('(.*?)'\\)", words[-1]).group(1))
import numpy as np
request = json.loads((folder / "request.json").read_text())
h, w, frames = request["size"]
movie = np.fromfile(folder / "movie.raw", "f4").reshape((h, w, frames), order="F")
(pathlib.Path(SEEN)).write_text(json.dumps({"pixel": float(movie[2, 20, 7]), "config": request["config"]}))
if request["config"]["avg_cell_radius"] == 13: print("error: no luck"); sys.exit(1)
if request["config"]["avg_cell_radius"] == 11:
    print("Zero cells, stopping.\\nerror: reshape: can't reshape 0x1 array to 88x120x1 array"); sys.exit(1)
count = 0 if request["config"]["avg_cell_radius"] == 12 else 2
spatial = np.zeros((h, w, count), "f4")
temporal = np.zeros((frames, count), "f4")
if count:
    spatial[2:4, 20:23, 0] = 0.5   # rows are y, columns are x
    spatial[10:15, 3:6, 1] = 1.0
    temporal[:, 1] = np.arange(frames)
print("Finding cells with component-wise EXTRACT...")
for name, values in (("spatial", spatial), ("temporal", temporal), ("summary", movie.max(2)), ("max", movie.max(2)),
                     ("baseline", movie.mean(2))):
    values.astype("f4").ravel(order="F").tofile(folder / (name + ".raw"))
(folder / "result.json").write_text(json.dumps(
    {"cells": count, "frames": frames if count else 0, "version": "1.3.0", "seconds": 1.5}))
"""


def movie():
    return np.random.default_rng(0).integers(0, 100, (FRAMES, NX, NY)).astype(np.int16)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"avg_cell_radius": 0}, "greater than 0"),
        ({"engine": "julia"}, "octave"),
        ({"partitions": (0, 1)}, "1 or more"),
        ({"settings": {"max_itr_S": 3}}, "did you mean 'max_iter_S'"),
        ({"settings": {"thresholds": {"eccent_tresh": 3}}}, "did you mean 'thresholds.eccent_thresh'"),
        ({"settings": {"thresholds": {"T_min_snr": 3}}}, "'T_min_snr' of this processor"),
        ({"settings": {"thresholds": 3}}, "group"),
        ({"settings": {"use_gpu": True}}, "no parameter 'use_gpu'"),
    ],
)
def test_a_wrong_parameter_is_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        ExtractParams(**params)


def test_frames_are_moved_back_by_their_shifts():
    x, y = np.meshgrid(np.arange(30.0), np.arange(20.0), indexing="ij")
    shifts = np.array([[0.0, 0.0], [2.0, -1.0], [0.25, 0.5], [-1.75, 3.5]])
    frames = np.stack([3 * (x - dx) + 5 * (y - dy) for dx, dy in shifts])  # a plane whose content moved
    moved = compute.shift_frames(frames, shifts)
    for frame in moved:
        np.testing.assert_allclose(frame[5:-5, 5:-5], moved[0][5:-5, 5:-5], rtol=1e-5)


def test_names_are_held_against_the_checkouts_own(tmp_path):
    (tmp_path / "EXTRACT").mkdir()
    (tmp_path / "EXTRACT" / "get_defaults.m").write_text(DEFAULTS.replace("'max_iter'", "'max_rounds'"))
    config = compute.extract_config(nest_settings(ExtractParams()), ExtractParams().model_dump(mode="json"))
    with pytest.raises(ValueError, match=r"config\.max_iter: did you mean 'max_iter_S'|config\.max_iter:"):
        compute.check_names(config, tmp_path)


def test_octave_gets_the_sources_with_its_own_disk(tmp_path):
    source = tmp_path / "checkout" / "EXTRACT" / "solvers"
    source.mkdir(parents=True)
    (source / "a.m").write_bytes(b"% caf\xe9\nse = strel('disk', radius);\nse = strel('disk',1);\n")
    copied = compute.copy_for_octave(tmp_path / "checkout", tmp_path / "copy")
    text = (copied / "solvers" / "a.m").read_bytes()
    assert text == b"% caf\xe9\nse = strel('disk', radius, 0);\nse = strel('disk', 1, 0);\n"
    assert b", 0)" not in (source / "a.m").read_bytes()


def test_each_engine_is_called_in_its_own_way(tmp_path):
    source = tmp_path / "it's here"
    octave = compute.make_command(tmp_path / "octave-cli", source, tmp_path)
    assert octave[:4] == [str(tmp_path / "octave-cli"), "--no-gui", "--no-init-file", "--quiet"]
    assert "it''s here" in octave[-1]
    assert octave[-1].index("_octave") > octave[-1].index("it''s here")  # ours are looked up first
    matlab = compute.make_command(tmp_path / "matlab", source, tmp_path)
    assert matlab[1] == "-batch"
    assert "_octave" not in matlab[-1]
    assert (tmp_path / "runner" / "nwbpipe_run_extract.m").is_file()


# With the stand-in -------------------------------------------------------------------------------------------------


@pytest.fixture
def seen(tmp_path, monkeypatch, stand_in):
    checkout = tmp_path / "checkout"
    (checkout / "EXTRACT" / "modules").mkdir(parents=True)
    (checkout / "EXTRACT" / "modules" / "extractor.m").write_text("info.version = '1.3.0';\n")
    (checkout / "EXTRACT" / "get_defaults.m").write_text(DEFAULTS)
    monkeypatch.setenv("NWBPIPE_TOOL_EXTRACT_CHECKOUT", str(checkout))
    for name in ("CACHE", "LOGS", "SCRATCH"):
        monkeypatch.setenv(f"NWBPIPE_{name}", str(tmp_path / name.lower()))
    stand_in("octave-cli", f"SEEN = {str(tmp_path / 'seen.json')!r}\n{OCTAVE}")
    return tmp_path / "seen.json"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program on the PATH, which holds nothing else; it is a Python script."""
    import sys

    def make(name, body):
        folder = tmp_path / "programs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!{sys.executable} -I\nimport json, pathlib, sys\nwords = sys.argv[1:]\n{body}")
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


def test_cells_come_back_where_they_are(tmp_path, seen):
    values = movie()
    path = write_session(tmp_path / "session.nwb", values, rate=10.0, starting_time=0.5)
    run = process(path, "extract", params={"avg_cell_radius": 5, "settings": {"thresholds": {"eccent_thresh": 4}}})
    assert run.record.tool_version.startswith("1.3.0+")
    told = json.loads(seen.read_text())
    assert told["pixel"] == values[7, 20, 2]
    assert told["config"]["thresholds"]["eccent_thresh"] == 4
    assert told["config"]["use_gpu"] == 0
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation_extract"]["PlaneSegmentation_extract"]
        pixels = [{(int(x), int(y)) for x, y, _ in table["pixel_mask"][number]} for number in range(2)]
        assert pixels[0] == {(x, y) for x in range(20, 23) for y in range(2, 4)}
        assert pixels[1] == {(x, y) for x in range(3, 6) for y in range(10, 15)}
        raw = ophys["Fluorescence_extract"]["RoiResponseSeries"]
        np.testing.assert_allclose(raw.data[:, 0], values[:, 20:23, 2:4].mean(axis=(1, 2)), rtol=1e-5)
        assert raw.starting_time == 0.5
        np.testing.assert_array_equal(ophys["DfOverF_extract"]["DfOverF"].data[:, 1], np.arange(FRAMES))
        mean = ophys["SummaryImages_extract"]["mean"].data[:]
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-5)


def add_shifts(path, shifts, unit="pixels"):
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        nwbfile.add_acquisition(TimeSeries(name="Shifts", data=shifts, unit=unit, rate=10.0))
        io.write(nwbfile)


def test_shifts_of_another_step_are_taken_off(tmp_path, seen):
    values = movie()
    path = write_session(tmp_path / "session.nwb", values, rate=10.0)
    add_shifts(path, np.tile([1.0, -1.0], (FRAMES, 1)))
    process(path, "extract", inputs={"shifts": "acquisition/Shifts"})
    assert json.loads(seen.read_text())["pixel"] == values[7, 21, 1]
    with h5py.File(path) as file:
        table = file["processing/ophys/ImageSegmentation_extract/PlaneSegmentation_extract"]
        assert "moved back" in table.attrs["description"]


@pytest.mark.parametrize(("shape", "unit"), [((FRAMES, 2), "meters"), ((FRAMES - 1, 2), "pixels")])
def test_other_series_are_no_shifts(tmp_path, seen, shape, unit):
    path = write_session(tmp_path / "session.nwb", movie(), rate=10.0)
    add_shifts(path, np.zeros(shape), unit)
    with pytest.raises(InputError, match="not those of this movie"):
        process(path, "extract", inputs={"shifts": "acquisition/Shifts"})


@pytest.mark.parametrize("radius", [12, 11], ids=["none found", "all removed, where EXTRACT itself fails"])
def test_nothing_found_is_a_valid_result(tmp_path, seen, radius):
    path = write_session(tmp_path / "session.nwb", movie(), rate=10.0)
    process(path, "extract", params={"avg_cell_radius": radius})
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        assert list(file["processing/ophys"]) == ["SummaryImages_extract"]


def test_without_cells_in_one_part_of_the_frame_it_fails(tmp_path, seen):
    path = write_session(tmp_path / "session.nwb", movie(), rate=10.0)
    with pytest.raises(ToolFailedError, match="reshape"):
        process(path, "extract", params={"avg_cell_radius": 11, "partitions": (2, 1)})


def test_a_failure_says_what_octave_said(tmp_path, seen):
    path = write_session(tmp_path / "session.nwb", movie(), rate=10.0)
    before = path.read_bytes()
    with pytest.raises(ToolFailedError, match=r"exit code 1: error: no luck"):
        process(path, "extract", params={"avg_cell_radius": 13})
    assert path.read_bytes() == before


def test_an_engine_that_is_not_there_is_named(seen):
    with pytest.raises(ToolMissingError, match=r"MATLAB \(matlab on the PATH\)"):
        find(Extract().tool_for(ExtractParams(engine="matlab")))
