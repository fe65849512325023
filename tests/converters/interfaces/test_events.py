"""BehaviorEventsInterface: every form of a log, and what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from nwbpipe.converters.interfaces import _patterns, interface_class
from nwbpipe.converters.interfaces._event_tables import read_parquet
from nwbpipe.errors import ClockError, SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

TIMES = [0.5, 1.25, 2.0, 2.0]
NAMES = ["lick", "reward", "NA", "lick"]
DURATIONS = [0.1, np.nan, 0.3, 0.4]
VOLUMES = [1.5, np.nan, 2.5, 3.5]


def _text(separator=","):
    rows = zip(TIMES, NAMES, DURATIONS, VOLUMES, strict=True)
    cell = lambda value: "" if isinstance(value, float) and np.isnan(value) else str(value)  # noqa: E731
    lines = ["time,name,duration,volume".replace(",", separator)]
    return "\n".join(lines + [separator.join(cell(value) for value in row) for row in rows]) + "\n"


def _write_mat5(path):
    from scipy.io import savemat

    events = {"time": TIMES, "name": np.array(NAMES, object), "duration": DURATIONS, "volume": VOLUMES}
    savemat(path, {"session": {"events": events}, "other": np.arange(9)})


def _write_mat73(path):
    """As MATLAB's save -v7.3 does: (1, n) arrays, cell arrays of references to characters."""
    with h5py.File(path, "w") as file:
        group = file.create_group("session/events")
        for name, values in (("time", TIMES), ("duration", DURATIONS), ("volume", VOLUMES)):
            group[name] = np.array([values])
        references = []
        for i, name in enumerate(NAMES):
            item = file.create_dataset(f"#refs#/{i}", data=np.array([[ord(c)] for c in name], np.uint16))
            item.attrs["MATLAB_class"] = np.bytes_("char")
            references.append(item.ref)
        cells = group.create_dataset("name", data=np.array([references], h5py.ref_dtype), dtype=h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")


def _build(path, **arguments):
    return interface_class("BehaviorEventsInterface")(file_path=path, **arguments)


_FORMS = {
    "events.csv": (lambda path: path.write_text(_text()), {}),
    "bom.csv": (lambda path: path.write_text(_text(), encoding="utf-8-sig"), {}),
    "events.tsv": (lambda path: path.write_text(_text("\t")), {}),
    "semicolon.txt": (lambda path: path.write_text(_text(";")), {"delimiter": ";"}),
    "headless.csv": (
        lambda path: path.write_text(_text().split("\n", 1)[1]),
        {"header": False, "column_names": ["time", "name", "duration", "volume"]},
    ),
    "events.parquet": (
        lambda path: pd.DataFrame(
            {"time": TIMES, "name": NAMES, "duration": DURATIONS, "volume": VOLUMES}
        ).to_parquet(path),
        {},
    ),
    "v5.mat": (_write_mat5, {"variable": "session.events"}),
    "v73.mat": (_write_mat73, {"variable": "session.events"}),
}


@pytest.mark.parametrize("form", list(_FORMS))
def test_every_form_gives_the_same_table(tmp_path, form):
    write, arguments = _FORMS[form]
    write(tmp_path / form)
    interface = _build(
        tmp_path / form, name_column="name", duration_column="duration", metadata_key="Behavior", **arguments
    )
    np.testing.assert_array_equal(interface.get_original_timestamps(), TIMES)
    interface.set_aligned_starting_time(10.0)
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile, interface.get_metadata())
    with written(nwbfile, tmp_path / "a.nwb") as read:
        table = read.events["Behavior"]
        np.testing.assert_allclose(table["timestamp"].data[:], np.array(TIMES) + 10)
        assert list(table["event_type"].data[:]) == NAMES
        np.testing.assert_array_equal(table["duration"].data[:], DURATIONS)
        np.testing.assert_array_equal(table["volume"].data[:], VOLUMES)
        assert table.source_description == form
    np.testing.assert_allclose(interface.get_event_times("lick"), [10.5, 12.0])


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1e3), ("us", 1e6)])
def test_units(tmp_path, unit, factor):
    (tmp_path / "a.csv").write_text(f"time,length\n{0.125 * factor},{0.25 * factor}\n{0.5 * factor},\n")
    interface = _build(tmp_path / "a.csv", time_unit=unit, duration_column="length")
    np.testing.assert_array_equal(interface.get_timestamps(), [0.125, 0.5])
    np.testing.assert_array_equal(interface._durations, [0.25, np.nan])


def test_types_of_values(tmp_path):
    (tmp_path / "a.csv").write_text("time,count,ratio,correct,side,id,empty\n1,3,0.5,True,L,7,\n2,4,NaN,False,,8,\n")
    interface = _build(tmp_path / "a.csv", metadata_key="Trials")
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        table = read.events["Trials"]
        assert table.colnames == ("timestamp", "count", "ratio", "correct", "side", "id_value", "empty")
        assert table["count"].data[:].tolist() == [3, 4]
        assert table["count"].data.dtype.kind == "i"
        np.testing.assert_array_equal(table["ratio"].data[:], [0.5, np.nan])
        assert table["correct"].data[:].tolist() == [True, False]
        assert list(table["side"].data[:]) == ["L", ""]
        assert table["id_value"].data[:].tolist() == [7, 8]


def test_chosen_values_and_meanings(tmp_path):
    (tmp_path / "a.csv").write_text(_text())
    interface = _build(
        tmp_path / "a.csv",
        name_column="name",
        value_columns=[],
        event_meanings={"lick": "the tongue touched the spout"},
        description="Spout events",
    )
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        table = read.events["BehaviorEvents"]
        assert table.colnames == ("timestamp", "event_type")
        assert table.description == "Spout events."
        meanings = table.meanings_tables["event_type_meanings"]
        assert list(meanings["value"].data[:]) == ["lick"]


def test_times_out_of_order_are_refused_or_sorted_stably_and_noted(tmp_path):
    (tmp_path / "a.csv").write_text("time,name\n3,c\n1,a\n3,d\n2,b\n")
    with pytest.raises(SourceError, match="go backwards") as caught:
        _build(tmp_path / "a.csv", name_column="name")
    assert caught.value.problem.found == "2 of 3 steps; the first from 3.000000 s to 1.000000 s (rows 1 and 2)"
    assert "unsorted: sort" in str(caught.value)
    interface = _build(tmp_path / "a.csv", name_column="name", unsorted="sort")
    assert interface.names == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(interface.get_timestamps(), [1, 2, 3, 3])
    assert "sorted stably" in interface._description()
    (tmp_path / "b.csv").write_text("time,name\n1,a\n2,b\n")
    assert "sorted" not in _build(tmp_path / "b.csv", name_column="name")._description()


def test_spellings(tmp_path):
    (tmp_path / "a.csv").write_text("Timestamp,event\n1,a\n")
    arguments = {"time_column": "time|timestamp|t", "name_column": "event|name"}
    assert _build(tmp_path / "a.csv", **arguments).names == ["a"]
    (tmp_path / "b.csv").write_text("t,Timestamp,event\n1,1,a\n")
    with pytest.raises(SourceError, match="several columns") as caught:
        _build(tmp_path / "b.csv", **arguments)
    assert caught.value.problem.found == "t, Timestamp"


def test_names_that_the_spec_lists(tmp_path):
    (tmp_path / "a.csv").write_text("time,name,v\n1,1,5\n2,9,6\n3,2,7\n4,9,8\n")
    arguments = {"name_column": "name", "event_names": {"1": "lick", "2": "reward"}}
    with pytest.raises(SourceError, match="2 of 4 events have a name") as caught:
        _build(tmp_path / "a.csv", **arguments)
    assert caught.value.problem.found == "'9' (2)"
    interface = _build(tmp_path / "a.csv", **arguments, unknown_events="skip")
    assert interface.names == ["lick", "reward"]
    assert interface._values[0].values.tolist() == [5, 7]
    np.testing.assert_array_equal(interface.get_timestamps(), [1, 3])
    assert "2 events of other names were left out" in interface._description()
    with pytest.raises(SourceError, match="no event has a name"):
        _build(tmp_path / "a.csv", name_column="name", event_names={"x": "y"}, unknown_events="skip")


def test_a_counter_that_overflows(tmp_path):
    (tmp_path / "a.csv").write_text("time\n4294967000\n4294967290\n704\n1704\n")
    interface = _build(tmp_path / "a.csv", time_unit="us", time_wrap=2**32)
    np.testing.assert_allclose(np.diff(interface.get_timestamps()), [290e-6, 710e-6, 1e-3], atol=1e-12)
    with pytest.raises(SourceError, match="go backwards"):
        _build(tmp_path / "a.csv", time_unit="us")


def test_ends_and_further_times(tmp_path):
    from nwbpipe.converters._added import collect_added
    from nwbpipe.converters.clocks._alignment import shift_times

    (tmp_path / "a.csv").write_text("on,off,peak_time,rt\n1000,1500,1250,80\n3000,,3100,90\n")
    arguments = {"time_column": "on", "time_unit": "ms", "stop_column": "off", "metadata_key": "licks"}
    with pytest.raises(SourceError, match="may hold times or durations"):
        _build(tmp_path / "a.csv", **arguments)
    interface = _build(tmp_path / "a.csv", **arguments, time_columns=["peak_time"], duration_columns=["rt"])
    nwbfile = empty_nwbfile()
    with collect_added(nwbfile) as added:
        interface.add_to_nwbfile(nwbfile)
    shift_times(added, 10.0)
    table = nwbfile.events["licks"]
    np.testing.assert_allclose(table["timestamp"].data[:], [11, 13])
    np.testing.assert_allclose(table["duration"].data[:], [0.5, np.nan])
    np.testing.assert_allclose(table["peak_time"].data[:], [11.25, 13.1])
    np.testing.assert_allclose(table["rt"].data[:], [0.08, 0.09])
    (tmp_path / "a.csv").write_text("on,off\n2,1\n")
    with pytest.raises(SourceError, match="1 of 1 events end before they start"):
        _build(tmp_path / "a.csv", time_column="on", stop_column="off")
    with pytest.raises(SourceError, match="both duration_column and stop_column"):
        _build(tmp_path / "a.csv", time_column="on", stop_column="off", duration_column="off")


def test_further_times_of_a_counter_that_overflows_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("time,peak\n1,2\n")
    with pytest.raises(SourceError, match="are ambiguous"):
        _build(tmp_path / "a.csv", time_wrap=100, time_columns=["peak"])


def test_dates(tmp_path):
    (tmp_path / "a.csv").write_text("time\n2024-05-01T10:00:00.5000000-04:00\n2024-05-01T14:00:01Z\n")
    zero = {"time_unit": "iso", "time_zero": "2024-05-01T16:00:00+02:00"}
    assert _build(tmp_path / "a.csv", **zero).get_timestamps().tolist() == [0.5, 1]
    with pytest.raises(SourceError, match="which moment is 0"):  # never seconds since 1970 in a session's file
        _build(tmp_path / "a.csv", time_unit="iso")
    with pytest.raises(SourceError, match="not a date with a time zone") as caught:
        _build(tmp_path / "a.csv", time_unit="iso", time_zero="today")
    assert "time_zero" in caught.value.problem.found
    (tmp_path / "a.csv").write_text("time\n2024-05-01T10:00:00\n")
    with pytest.raises(SourceError, match="not a date with a time zone"):
        _build(tmp_path / "a.csv", **zero)


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "a.pickle").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(SourceError, match="pickle is not read"):
        _build(tmp_path / "a.pickle")


def test_lines_of_text_by_a_pattern(tmp_path):
    (tmp_path / "log.txt").write_text(
        "Start: 350200\r\nbeam break at port B; 365689 trial 0\r\n\r\nrwd at port A; 365700\r\n"
    )
    pattern = r"(?P<event>beam break|rwd) at port (?P<port>\w); (?P<ms>\d+).*"
    arguments = {"pattern": pattern, "time_column": "ms", "time_unit": "ms", "name_column": "event"}
    with pytest.raises(SourceError, match="1 of 4 lines don't match") as caught:
        _build(tmp_path / "log.txt", **arguments)
    assert caught.value.problem.found == "Start: 350200"
    interface = _build(tmp_path / "log.txt", **arguments, unmatched_lines="skip")
    np.testing.assert_array_equal(interface.get_timestamps(), [365.689, 365.7])
    assert interface.names == ["beam break", "rwd"]
    assert interface._values[0].values.tolist() == ["B", "A"]
    assert "2 of 4 lines matched" in interface._description()


def test_times_from_a_file_beside(tmp_path):
    (tmp_path / "log.txt").write_text("skip me\nlick\nreward\n")
    (tmp_path / "stamps.csv").write_text("100 \n200 \n350 \n")
    arguments = {
        "pattern": "(?P<event>lick|reward)",
        "name_column": "event",
        "unmatched_lines": "skip",
        "times_file_path": tmp_path / "stamps.csv",
        "time_unit": "ms",
    }
    np.testing.assert_array_equal(_build(tmp_path / "log.txt", **arguments).get_timestamps(), [0.2, 0.35])
    (tmp_path / "stamps.csv").write_text("100\n200\n")
    with pytest.raises(SourceError, match="doesn't fit the log"):
        _build(tmp_path / "log.txt", **arguments)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("time,name\n1,a\n,b\n", {"name_column": "name"}, "without a time"),
        ("time,name\n1,a\ninf,b\n", {"name_column": "name"}, "without a time"),
        ("time,name\n1,a\nNaN,b\n", {"name_column": "name"}, "without a time"),
        ("time,name\n1,a\n12:30,b\n", {"name_column": "name"}, "not a number"),
        ("time,name\n1,a\n2,\n", {"name_column": "name"}, "without a name"),
        ("time,name\n1,a\n2\n", {"name_column": "name"}, "without a name"),
        ("time,name\n1,a\n", {"name_column": "nme"}, "lacks the column 'nme'"),
        ("time,name\n1,a\n", {"value_columns": ["x"]}, "lacks the column 'x'"),
        ("time,name\n", {"name_column": "name"}, "no events"),
        ("", {}, "can't be read"),
        ("1,a\n", {"header": False, "column_names": ["time"]}, "column_names don't fit"),
        ("time,name\n1,a\n", {"name_column": "name", "event_name": "b"}, "both"),
        ("a\n", {"pattern": "("}, "not a regular expression"),
        ("a\n", {"pattern": "a"}, "has no named group"),
        ("time\n1\n", {"time_unit": "min"}, "time_unit has a wrong value"),
    ],
)
def test_bad_logs_are_refused(tmp_path, text, arguments, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        _build(tmp_path / "a.csv", **arguments)


def test_a_pattern_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(_patterns, "TIMEOUT", 1.0)
    with pytest.raises(SourceError, match="does not come to an end"):
        _patterns.match_lines(tmp_path / "log", "(?P<t>[0-9]+) (?P<what>(a+)+)", ["2 " + "a" * 60 + "!"])


def test_a_parquet_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    rows = pyarrow.table({"time": pyarrow.array(np.zeros(2**20))})
    with pyarrow.parquet.ParquetWriter(tmp_path / "a.parquet", rows.schema, compression="zstd") as writer:
        for _ in range(70):
            writer.write_table(rows)
    with pytest.raises(SourceError, match=r"unpack to 0\.59 GB"):
        read_parquet(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.mat"])
def test_binary_rubbish_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(range(256)) * 4)
    with pytest.raises(SourceError, match="can't be read"):
        _build(tmp_path / name)


def test_mat_without_the_variable(tmp_path):
    _write_mat5(tmp_path / "a.mat")
    with pytest.raises(SourceError, match=r"lacks the variable session\.trials"):
        _build(tmp_path / "a.mat", variable="session.trials")


def test_aligned_times(tmp_path):
    (tmp_path / "a.csv").write_text(_text())
    interface = _build(tmp_path / "a.csv", name_column="name")
    interface.set_aligned_timestamps([1, 2, 3, 3.5])
    np.testing.assert_array_equal(interface.get_timestamps(), [1, 2, 3, 3.5])
    np.testing.assert_array_equal(interface.get_original_timestamps(), TIMES)
    for bad in ([1, 2, 3], [1, 2, 3, np.nan], [1, 3, 2, 4]):
        with pytest.raises(ClockError):
            interface.set_aligned_timestamps(bad)
    with pytest.raises(SourceError, match="no event is called"):
        interface.get_event_times("nose poke")


@pytest.mark.real_data
def test_the_arduino_log(shared_data, tmp_path):
    folder = shared_data / "ephys_behavior_session" / "jdb_to_nwb" / "behavior"
    interface = _build(
        folder / "arduinoraw0.txt",
        pattern=r"(?P<event>beam break|rwd delivered|no Reward) (at )?port (?P<port>[ABC]);.*",
        unmatched_lines="skip",
        times_file_path=folder / "ArduinoStamps0.csv",
        name_column="event",
        time_unit="ms",
        metadata_key="ArduinoEvents",
    )
    stamps = np.loadtxt(folder / "ArduinoStamps0.csv") / 1e3
    lines = (folder / "arduinoraw0.txt").read_text().splitlines()
    for name in ("beam break", "rwd delivered", "no Reward"):
        expected = stamps[[line.startswith(f"{name} ") for line in lines]]
        np.testing.assert_array_equal(interface.get_event_times(name), np.sort(expected, kind="stable"))
    assert len(interface.get_timestamps()) == 24019
    interface.set_aligned_starting_time(-stamps[0])
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        assert len(read.events["ArduinoEvents"]) == 24019
