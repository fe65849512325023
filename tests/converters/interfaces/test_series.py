"""SeriesInterface: each form of a file against the numbers that were put in."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from tests.nwb_builders.nwb import empty_nwbfile

TIMES = np.cumsum(np.random.default_rng(0).uniform(0.005, 0.015, 200)).round(6)
SPEED = np.arange(200) % 60 - 30


def series(path, **arguments):
    values = {"unit": "cm/s", "metadata_key": "speed", **arguments}
    interface = interface_class("SeriesInterface")(file_path=path, **values)
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    if arguments.get("module") == "behavior":
        return nwbfile.processing["behavior"]["speed"]
    return nwbfile.acquisition["speed"]


def refusal(path, **arguments):
    with pytest.raises(SourceError) as caught:
        series(path, **arguments)
    return str(caught.value)


def test_pycontrol_pairs(tmp_path):
    pairs = np.stack([np.arange(0, 2000, 10), SPEED], axis=1).astype("<i4")
    pairs.tofile(tmp_path / "run.pca")
    made = series(tmp_path / "run.pca", conversion=0.5)
    assert (made.rate, made.starting_time, made.unit, made.conversion) == (100.0, 0.0, "cm/s", 0.5)
    np.testing.assert_array_equal(made.data, SPEED)
    assert made.data.dtype == np.int32
    (tmp_path / "cut.pca").write_bytes(pairs.tobytes()[:-3])
    assert "ends within a sample" in refusal(tmp_path / "cut.pca")


def test_floats_with_a_column_of_times(tmp_path):
    np.stack([SPEED, TIMES, SPEED * 2], axis=1).astype("<f8").tofile(tmp_path / "a.bin")
    made = series(tmp_path / "a.bin", dtype="<f8", number_of_columns=3, time_column="1")
    np.testing.assert_array_equal(made.timestamps, TIMES)
    np.testing.assert_array_equal(made.data, np.stack([SPEED, SPEED * 2], axis=1))
    assert "nothing says what the numbers of the file are" in refusal(tmp_path / "a.bin", sampling_frequency=1.0)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_tables(tmp_path, form):
    import pandas

    table = pandas.DataFrame({"time": TIMES * 1000, "note": "x", "speed": SPEED, "turn": SPEED / 7})
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if form == "tsv" else ",", index=False)
    made = series(path, time_unit="ms")
    np.testing.assert_allclose(made.timestamps, TIMES, atol=1e-9)
    np.testing.assert_allclose(made.data, np.stack([SPEED, SPEED / 7], axis=1))
    assert "columns: speed, turn" in made.description
    assert "left out: note" in made.description
    one = series(path, time_unit="ms", data_columns=["speed"])
    assert one.data.dtype == np.int64
    assert one.data.tolist() == SPEED.tolist()


def test_arrays_of_any_shape(tmp_path):
    values = np.random.default_rng(1).normal(size=(200, 3, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "times.npy", TIMES)
    (tmp_path / "times.txt").write_text("".join(f"{time}\n" for time in TIMES))
    for name in ("times.npy", "times.txt"):
        made = series(tmp_path / "a.npy", times_file_path=tmp_path / name)
        np.testing.assert_array_equal(made.data, values)
        np.testing.assert_allclose(made.timestamps, TIMES)
    assert series(tmp_path / "a.npy", sampling_frequency=50.0, starting_time=2.0).starting_time == 2.0
    np.save(tmp_path / "times.npy", TIMES[:-1])
    text = refusal(tmp_path / "a.npy", times_file_path=tmp_path / "times.npy")
    assert "199 times" in text
    assert "200 times, one for each sample" in text


def test_matrices_of_matlab(tmp_path):
    content = {"rig": {"speed": np.stack([SPEED, SPEED], axis=1), "t": TIMES}}
    scipy.io.savemat(tmp_path / "a.mat", content)
    made = series(tmp_path / "a.mat", variable="rig.speed", times_variable="rig.t")
    np.testing.assert_array_equal(made.data[:, 1], SPEED)
    np.testing.assert_allclose(made.timestamps, TIMES)
    assert "lacks the variable rig.sped" in refusal(tmp_path / "a.mat", variable="rig.sped", times_variable="rig.t")


def test_a_position_among_processed_data(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((9, 2)))
    where = "(0, 0) is the top left corner"
    more = {"sampling_frequency": 30.0, "module": "behavior", "type": "SpatialSeries", "unit": "meters"}
    made = series(tmp_path / "a.npy", reference_frame=where, **more)
    assert (type(made).__name__, made.reference_frame) == ("SpatialSeries", where)
    assert "reference_frame" in refusal(tmp_path / "a.npy", **more)


def test_times_that_are_not_sound(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,v\n1,1\n,2\n3,3\n2,4\n2,5\n")
    assert "samples without a time" in refusal(path)
    assert "go backwards" in refusal(path, bad_rows="drop")
    assert "or repeat" in refusal(path, bad_rows="drop", unsorted="sort")
    made = series(path, bad_rows="drop", unsorted="sort", repeats="drop")
    assert (made.starting_time, made.rate, made.data.tolist()) == (1.0, 1.0, [1, 5, 3])
    for note in ("1 samples without a time", "1 samples were out of order", "1 samples with the time of the next"):
        assert note in made.description


def test_times_from_one_place(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert "nothing says when the samples were taken" in refusal(tmp_path / "a.npy")
    assert "several things say" in refusal(
        tmp_path / "a.npy", sampling_frequency=1.0, times_file_path=tmp_path / "a.npy"
    )
