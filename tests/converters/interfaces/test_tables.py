"""Tables as programs and people write them: preambles, headers, marks, sessions in one file, cells of MATLAB."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError


def events(path, **arguments):
    return interface_class("BehaviorEventsInterface")(file_path=path, metadata_key="log", **arguments)


def trials(path, **arguments):
    return interface_class("TrialsInterface")(file_path=path, **arguments).intervals


def refusal(interface, path, **arguments):
    with pytest.raises(SourceError) as caught:
        interface(path, **arguments)
    return str(caught.value)


BORIS = (
    "Observation id,obs 1,,\n,,,\nMedia file(s),,,\nPlayer #1,v.mp4,,\n"
    "Time,Media file path,Behavior,Status\n3.300,v.mp4,s,START\n7.750,v.mp4,s,STOP\n"
)


def test_lines_above_the_header(tmp_path):
    path = tmp_path / "boris.csv"
    path.write_text(BORIS)
    columns = {"time_column": "Time", "name_column": "Status"}
    assert "line 5 of the file has it: say skip_rows: 4" in refusal(events, path, **columns)
    log = events(path, skip_rows=4, **columns)
    assert (log.get_timestamps().tolist(), log.names) == ([3.3, 7.75], ["START", "STOP"])


def test_a_preamble_with_fewer_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("made by X\nstart_time,stop_time,side\n1,2,L\n3,4,R\n")
    assert "skip_rows" in refusal(trials, path)
    assert trials(path, skip_rows=1).start.tolist() == [1, 3]


def test_several_lines_name_the_columns(tmp_path):
    path = tmp_path / "track.csv"
    path.write_text(",Track,Track,Track\n,LED,LED,LED\n,x,zone,time\n0,1.0,Arm_1,0.0\n1,1.0,Arm_2,0.05\n")
    assert "header_rows" in refusal(events, path, time_column="time", name_column="zone")
    log = events(path, header_rows=3, time_column="time", name_column="zone")
    assert (log.get_timestamps().tolist(), log.names) == ([0.0, 0.05], ["Arm_1", "Arm_2"])
    path.write_text("trial,trial,cue\nstart,stop,start\n1,2,1.5\n")
    log = events(path, header_rows=2, time_column="cue_start", event_name="cue")
    assert log.get_timestamps().tolist() == [1.5]
    assert "ends within its header" in refusal(events, path, header_rows=9, event_name="cue")


@pytest.mark.parametrize(
    "text", ["1.0,2.0,L\n3.0,4.0,R\n5.0,6.0,L\n", "2024-05-01T10:00:00Z,1\n2024-05-01T10:00:01Z,2\n"]
)
def test_a_first_line_of_values_is_no_header(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert "say `header: false`" in refusal(trials, path, start_column="1.0", stop_column="2.0")
    names = [f"c{i}" for i in range(text.splitlines()[0].count(",") + 1)]
    assert "say `header: false`" in refusal(trials, path, start_column="c0", stop_column="c1", column_names=names)
    if "L" in text:
        assert trials(path, header=False, start_column="0", stop_column="1").start.tolist() == [1, 3, 5]


@pytest.mark.parametrize("header", ["time,470,415", "0,1,2", "name,a,b", "t,2024-05-01,x"])
def test_headers_with_numbers_are_headers(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n1,2,3\n4,5,6\n")
    assert events(path, time_column=header.split(",")[0], event_name="x").get_timestamps().tolist() == [1, 4]


def test_decimal_commas_and_encodings(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("zeit;wo\n1,5;außen\n2,25;innen\n".encode("cp1252"))
    columns = {"time_column": "zeit", "name_column": "wo"}
    assert "encoding: cp1252" in refusal(events, path, **columns)
    assert "`delimiter`" in refusal(events, path, encoding="cp1252", time_column="time")
    assert "decimal" in refusal(events, path, encoding="cp1252", delimiter=";", **columns)
    log = events(path, encoding="cp1252", delimiter=";", decimal=",", **columns)
    assert (log.get_timestamps().tolist(), log.names) == ([1.5, 2.25], ["außen", "innen"])


def test_cells_beyond_the_header_are_not_lost(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,name\n1,cue,left\n2,lick,right\n")
    assert "can't be read" in refusal(events, path)


# One session of many ---------------------------------------------------------------------------------------


def write_scores(path):
    rows = [f"A.mp4;{10 * i}.5;{10 * i + 2}.5;dip" for i in range(5)]
    rows += [f"B.mp4;{10 * i + 3}.5;{10 * i + 4}.5;dip" for i in range(5)]
    path.write_text("file;from;to;type\n" + "\n".join(rows) + "\n")


@pytest.mark.parametrize("unsorted", ["error", "sort"])
def test_a_table_of_many_sessions(tmp_path, unsorted):
    path = tmp_path / "labels.csv"
    write_scores(path)
    columns = {"delimiter": ";", "time_column": "from", "stop_column": "to", "name_column": "type"}
    text = refusal(events, path, unsorted=unsorted, **columns)
    assert "the rows are of 2 recordings" in text
    assert "keep_rows: {file: A.mp4}" in text
    log = events(path, keep_rows={"file": "B.mp4"}, unsorted=unsorted, **columns)
    assert log.get_timestamps().tolist() == [3.5, 13.5, 23.5, 33.5, 43.5]
    assert "5 of 10 rows were chosen by file B.mp4" in log._description()
    both = events(path, keep_rows={"file": ["A.mp4", "B.mp4"]}, unsorted="sort", **columns)
    assert both.get_timestamps().size == 10
    bounds = {"delimiter": ";", "start_column": "from", "stop_column": "to", "unsorted": unsorted}
    assert "keep_rows" in refusal(trials, path, **bounds)
    assert trials(path, keep_rows={"file": "A.mp4", "type": "dip"}, **bounds).start.size == 5
    assert "no row has 'C.mp4'" in refusal(trials, path, keep_rows={"file": "C.mp4"}, **bounds)
    assert "lacks the column 'video'" in refusal(trials, path, keep_rows={"video": "A"}, **bounds)


def test_an_export_by_kind_of_event_is_one_session(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,name,by\n1,cue,x\n5,cue,x\n2,lick,x\n6,lick,x\n")
    log = events(path, name_column="name", unsorted="sort")
    assert log.names == ["cue", "lick", "cue", "lick"]


# MATLAB ----------------------------------------------------------------------------------------------------


def cell(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_a_cell_of_vectors(tmp_path):
    path = tmp_path / "stim.mat"
    scipy.io.savemat(path, {"stimTimes": cell(np.arange(5.0), np.arange(7.0))})
    text = refusal(events, path, time_column="stimTimes")
    assert "stimTimes is a cell array of 2 vectors" in text
    assert "vertcat(stimTimes{:})" in text


def test_a_cell_without_a_number_is_missing(tmp_path):
    path = tmp_path / "trials.mat"
    content = {"start": cell(1.0, 3.0, 5.0), "stop": cell(2.0, np.zeros((0, 0)), 6.0)}
    scipy.io.savemat(path, content)
    columns = {"start_column": "start", "stop_column": "stop"}
    text = refusal(trials, path, **columns)
    assert "1 of 3 trials have no start or no end" in text
    assert "row 2" in text
    assert "incomplete: drop" in text
    assert trials(path, incomplete="drop", **columns).start.tolist() == [1, 5]


# Order by design -------------------------------------------------------------------------------------------

HEAD = 'I Task name : t\n\nS {"a": 1}\n\nE {"rise": 3, "fall": 4}\n\n'


def pycontrol(path, **arguments):
    return interface_class("PyControlInterface")(file_path=path, metadata_key="box", **arguments)


def test_events_that_pycontrol_wrote_late(tmp_path):
    from tests.nwb_builders.nwb import empty_nwbfile

    path = tmp_path / "a.txt"
    path.write_text(HEAD + "D 0 1\nD 10 3\nP 11 x\nD 15 4\nD 12 3\nD 20 4\n! an error\n")
    nwbfile = empty_nwbfile()
    pycontrol(path).add_to_nwbfile(nwbfile)
    table = nwbfile.events["events_box"]
    assert table["timestamp"].data[:].tolist() == [0.01, 0.012, 0.015, 0.02]
    assert list(table["event_type"].data[:]) == ["rise", "rise", "fall", "fall"]
    assert "1 events were written late, by up to 3 ms, and were sorted" in table.description
    path.write_text(HEAD + "D 0 1\nD 1000 3\nD 12 3\n")
    assert "unsorted: sort" in refusal(pycontrol, path)
    pycontrol(path, unsorted="sort")


def write_bpod(path, overshoot, values=20):
    start = 10.0 * np.arange(20)
    end = start + 4
    end[7] -= overshoot
    trial = {"States": {"Wait": np.array([[0, 1.0]])}, "Events": {"Port1In": np.array([1.0]), "Tup": np.array([4.0])}}
    session = {"nTrials": 20, "TrialStartTimestamp": start, "TrialEndTimestamp": end}
    session |= {"RawEvents": {"Trial": cell(*[trial] * 20)}, "IsLight": np.arange(values) % 2}
    scipy.io.savemat(path, {"SessionData": session})


def bpod(path, **arguments):
    return interface_class("BpodInterface")(file_path=path, metadata_key="box", **arguments)


def test_an_event_just_after_its_trial(tmp_path):
    from tests.nwb_builders.nwb import empty_nwbfile

    path = tmp_path / "over.mat"
    write_bpod(path, 0.0011)
    nwbfile = empty_nwbfile()
    bpod(path).add_to_nwbfile(nwbfile)
    table = nwbfile.events["events_box"]
    late = np.flatnonzero((table["timestamp"].data[:] > 73.9985) & (table["timestamp"].data[:] < 75))
    assert table["trial"].data[late].tolist() == [7]
    assert "1 of 20 trials have events outside of their stamped start and end, by up to 1.1 ms" in (
        nwbfile.trials.description
    )
    assert "raise overshoot_s" in refusal(bpod, path, overshoot_s=0.0005)
    write_bpod(path, 0.5)
    assert "0.01 s beyond" in refusal(bpod, path)


def test_a_vector_of_another_length_is_named(tmp_path):
    from tests.nwb_builders.nwb import empty_nwbfile

    path = tmp_path / "short.mat"
    write_bpod(path, 0, values=15)
    nwbfile = empty_nwbfile()
    bpod(path).add_to_nwbfile(nwbfile)
    assert "Not one value a trial: IsLight (15 values)" in nwbfile.trials.description


def test_trials_that_touch_at_unix_times(tmp_path):
    path = tmp_path / "a.csv"
    zero, length = 1_714_557_600.0, 0.1
    rows = [f"{zero + i * length!r},{np.nextafter(zero + (i + 1) * length, np.inf)!r}" for i in range(9)]
    path.write_text("start_time,stop_time\n" + "\n".join(rows).replace("np.float64(", "").replace(")", "") + "\n")
    assert trials(path).start.size == 9
