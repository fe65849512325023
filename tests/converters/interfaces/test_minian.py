"""MinianSegmentationInterface: separate zarr stores, as Minian writes them."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import ClockError, SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

UNITS = [0, 22, 45]


def _write(folder, frames=50, trace_units=UNITS, traces=("C",), first_frame=0, transposed=False):
    zarr = pytest.importorskip("zarr")
    rng = np.random.default_rng(3)
    truth = {"A": rng.random((3, 20, 30)), "max_proj": rng.random((20, 30))}
    truth |= {name: rng.random((3, frames)) for name in traces}

    def store(name, dimensions, data, **coordinates):
        group = zarr.open_group(str(folder / f"{name}.zarr"), mode="w")
        for key, values in {name: data, **coordinates}.items():
            group[key] = values
            group[key].attrs["_ARRAY_DIMENSIONS"] = dimensions if key == name else [key][: np.ndim(values)]

    store("A", ["unit_id", "height", "width"], truth["A"], unit_id=np.array(UNITS), session=np.array("day1"))
    store("max_proj", ["height", "width"], truth["max_proj"])
    for name in traces:
        data, dimensions = truth[name], ["unit_id", "frame"]
        if transposed:
            data, dimensions = data.T, dimensions[::-1]
        frame = np.arange(first_frame, first_frame + frames)
        store(name, dimensions, data, unit_id=np.array(trace_units), frame=frame)
    return truth


def _build(folder, **arguments):
    return interface_class("MinianSegmentationInterface")(folder_path=folder, **arguments)


@pytest.mark.parametrize("transposed", [False, True])
def test_written(tmp_path, transposed):
    (tmp_path / "minian").mkdir()
    # The traces' units are in another order than the masks'.
    truth = _write(tmp_path / "minian", trace_units=[45, 0, 22], traces=("C", "S"), transposed=transposed)
    interface = _build(tmp_path / "minian", sampling_frequency=20.0)
    interface.set_aligned_starting_time(0.97)
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    with written(nwbfile, tmp_path / "a.nwb") as read:
        ophys = read.processing["ophys"]
        table = ophys["ImageSegmentation"].plane_segmentations["PlaneSegmentation"]
        assert [int(name) for name in table["roi_name"].data[:]] == UNITS
        masks = np.asarray(table["image_mask"].data[:])
        np.testing.assert_array_equal(masks, truth["A"].transpose(0, 2, 1))  # NWB's image_mask is (roi, x, y)
        for series, name in (("Denoised", "C"), ("Deconvolved", "S")):
            found = ophys["Fluorescence"].roi_response_series[series]
            np.testing.assert_array_equal(found.data[:], truth[name][[1, 2, 0]].T)
            np.testing.assert_allclose(found.get_timestamps(), np.arange(50) / 20 + 0.97, atol=1e-9)
    assert interface.get_metadata()["NWBFile"]["session_id"] == "day1"


@pytest.mark.parametrize(
    ("header", "scale", "arguments"),
    [
        ("Frame Number,Time Stamp (ms),Buffer Index", 1e3, {}),
        ("frame,timestamp_first,timestamp_last", 1.0, {"timestamps_column": "timestamp_first"}),
        ("frame_index,t,u", 1e3, {"timestamps_column": "t", "timestamps_unit": "ms"}),
    ],
)
def test_timestamps_are_taken_by_frame_number(tmp_path, header, scale, arguments):
    _write(tmp_path, first_frame=10)
    stamps = np.cumsum(np.linspace(0.04, 0.06, 100))
    rows = [f"{i},{stamp * scale!r},0" for i, stamp in enumerate(stamps.tolist())]
    (tmp_path / "timeStamps.csv").write_text("\n".join([header, *rows]) + "\n")
    interface = _build(tmp_path, **arguments)
    np.testing.assert_allclose(interface.get_original_timestamps(), stamps[10:60], rtol=0, atol=1e-9)
    np.testing.assert_allclose(interface.get_timestamps(5, 8), stamps[15:18], rtol=0, atol=1e-9)
    (tmp_path / "timeStamps.csv").write_text("\n".join([header, *rows[:55]]) + "\n")
    with pytest.raises(SourceError, match="frames without a timestamp"):
        _build(tmp_path, **arguments)


def test_no_times_are_refused(tmp_path):
    _write(tmp_path)
    nwbfile = empty_nwbfile()
    with pytest.raises(ClockError, match="the frames have no times"):
        _build(tmp_path).add_to_nwbfile(nwbfile)
    assert "ophys" not in nwbfile.processing


def test_what_is_no_result(tmp_path):
    with pytest.raises(SourceError, match="no result of Minian"):
        _build(tmp_path, sampling_frequency=20.0)
    _write(tmp_path, traces=())
    with pytest.raises(SourceError, match="no traces"):
        _build(tmp_path, sampling_frequency=20.0)
    _write(tmp_path, trace_units=[0, 22, 46])
    with pytest.raises(SourceError, match="other units"):
        _build(tmp_path, sampling_frequency=20.0)
    _write(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="lacks a column"):
        _build(tmp_path, timestamps_path=tmp_path / "t.csv")
    (tmp_path / "C.zarr" / "C" / ".zarray").write_text("{")
    with pytest.raises(SourceError, match="can't be read"):
        _build(tmp_path, sampling_frequency=20.0)


@pytest.mark.real_data
def test_the_miniscope_session(shared_data, tmp_path):
    zarr = pytest.importorskip("zarr")
    session = shared_data / "miniscope_session" / "regression_2d"
    interface = interface_class("MinianSegmentationInterface")(
        session / "neural_data",
        timestamps_path=session / "neural_timestamp.csv",
        timestamps_column="timestamp_first",
    )
    stamps = np.genfromtxt(session / "neural_timestamp.csv", delimiter=",", skip_header=1)[:, 1]
    np.testing.assert_array_equal(interface.get_original_timestamps(), stamps)
    interface.set_aligned_timestamps(stamps - stamps[0])
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    traces = zarr.open_array(str(session / "neural_data" / "C.zarr" / "C"), mode="r")[:]
    masks = zarr.open_array(str(session / "neural_data" / "A.zarr" / "A"), mode="r")[:]
    with written(nwbfile, tmp_path / "a.nwb") as read:
        ophys = read.processing["ophys"]
        series = ophys["Fluorescence"].roi_response_series["Denoised"]
        np.testing.assert_array_equal(series.data[:], traces.T)
        np.testing.assert_array_equal(series.timestamps[:], stamps - stamps[0])
        table = ophys["ImageSegmentation"].plane_segmentations["PlaneSegmentation"]
        np.testing.assert_array_equal(np.asarray(table["image_mask"].data[:]), masks.transpose(0, 2, 1))
