"""TrialsInterface and BlocksInterface: every form, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

TRIALS = pd.DataFrame(
    {
        "trial": [1, 2, 3],
        "trial_start": [1.0, 3.0, 5.0],
        "trial_end": [2.5, 4.0, 7.5],
        "go_cue_time": [1.5, np.nan, 6.0],
        "reaction_time": [0.25, np.nan, 0.5],
        "side": ["L", "R", "NA"],
        "correct": [True, False, True],
        "block": [1, 1, 2],
    }
)
KINDS = {"time_columns": ["go_cue_time"], "duration_columns": ["reaction_time"]}


def trials(path, **arguments):
    return interface_class("TrialsInterface")(file_path=path, **arguments)


def blocks(path, **arguments):
    return interface_class("BlocksInterface")(file_path=path, **arguments)


def write_csv(path):
    TRIALS.to_csv(path, index=False)


def write_mat(path):
    from scipy.io import savemat

    columns = {name: column.to_numpy() for name, column in TRIALS.items()}
    savemat(path, {"session": {"trials": {**columns, "side": TRIALS.side.to_numpy(object)}}, "other": np.arange(9)})


FORMS = {
    "trials.csv": (write_csv, {}),
    "trials.tsv": (lambda path: TRIALS.to_csv(path, sep="\t", index=False), {}),
    "trials.parquet": (TRIALS.to_parquet, {}),
    "trials.mat": (write_mat, {"variable": "session.trials"}),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_gives_the_same_table(tmp_path, form):
    write, arguments = FORMS[form]
    write(tmp_path / form)
    interface = trials(
        tmp_path / form,
        id_column="trial",
        block_column="block",
        names={"side": "choice"},
        column_descriptions={"choice": "the port that was poked"},
        **KINDS,
        **arguments,
    )
    nwbfile = empty_nwbfile()
    interface.add_to_nwbfile(nwbfile)
    if form != "trials.csv":
        check_trials(nwbfile)
        return
    with written(nwbfile, tmp_path / "a.nwb") as read:
        check_trials(read)
        assert read.trials["choice"].description == "the port that was poked"
        assert type(read.trials["go_cue_time"]).__name__ == "TimestampVectorData"
        assert type(read.trials["reaction_time"]).__name__ == "DurationVectorData"


def check_trials(nwbfile):
    table = nwbfile.trials
    assert list(table.id[:]) == [1, 2, 3]
    np.testing.assert_array_equal(table["start_time"].data[:], TRIALS.trial_start)
    np.testing.assert_array_equal(table["stop_time"].data[:], TRIALS.trial_end)
    for name in ("go_cue_time", "reaction_time", "correct", "block"):
        np.testing.assert_array_equal(np.asarray(table[name].data[:], float), np.asarray(TRIALS[name], float))
    assert list(table["choice"].data[:]) == ["L", "R", "NA"]
    epochs = nwbfile.epochs
    assert list(epochs["block"].data[:]) == [1, 2]
    assert list(epochs["start_time"].data[:]) == [1.0, 5.0]
    assert list(epochs["stop_time"].data[:]) == [4.0, 7.5]
    assert list(epochs["first_trial"].data[:]) == [1, 3]
    assert list(epochs["num_trials"].data[:]) == [2, 1]


def test_times_and_durations_are_told_apart(tmp_path):
    write_csv(tmp_path / "a.csv")
    with pytest.raises(SourceError, match="may hold times or durations") as caught:
        trials(tmp_path / "a.csv", time_columns=["go_cue_time"])
    assert "reaction_time" in str(caught.value)
    trials(tmp_path / "a.csv", value_columns=["side"])  # what isn't kept need not be told


def test_milliseconds_lists_and_a_shifted_clock(tmp_path):
    from nwbpipe.converters._added import collect_added
    from nwbpipe.converters.clocks._alignment import shift_times

    table = pd.DataFrame(
        {"start": [1000, 3000], "duration": [500, 250], "lick_times": [[1100.0, 1200.0], []], "rt": [80, 90]}
    )
    table.to_parquet(tmp_path / "a.parquet")
    interface = trials(
        tmp_path / "a.parquet",
        duration_column="duration",
        time_unit="ms",
        time_columns=["lick_times"],
        duration_columns=["rt"],
    )
    nwbfile = empty_nwbfile()
    with collect_added(nwbfile) as added:
        interface.add_to_nwbfile(nwbfile)
    shift_times(added, 10.0)
    assert nwbfile.trials["stop_time"].data[:].tolist() == [11.5, 13.25]
    np.testing.assert_allclose(nwbfile.trials["lick_times"][0], [11.1, 11.2])
    assert len(nwbfile.trials["lick_times"][1]) == 0
    np.testing.assert_allclose(nwbfile.trials["rt"].data[:], [0.08, 0.09])


def test_a_file_of_times_moves_all_times_of_a_row(tmp_path):
    """`align: timestamps` gives each trial its start; what else happened in it keeps its distance."""
    from nwbpipe.converters.clocks._alignment import set_row_times

    table = pd.DataFrame(
        {
            "start": [1.0, 3.0],
            "stop": [2.0, 4.5],
            "cue": [1.25, np.nan],
            "lick_times": [[1.5, 1.75], [3.5]],
            "rt": [0.1, 0.2],
        }
    )
    table.to_parquet(tmp_path / "a.parquet")
    nwbfile = empty_nwbfile()
    kinds = {"time_columns": ["cue", "lick_times"], "duration_columns": ["rt"]}
    trials(tmp_path / "a.parquet", **kinds).add_to_nwbfile(nwbfile)
    set_row_times(nwbfile.trials, np.array([11.0, 33.0]))
    assert nwbfile.trials["start_time"].data[:].tolist() == [11, 33]
    assert nwbfile.trials["stop_time"].data[:].tolist() == [12, 34.5]
    np.testing.assert_array_equal(nwbfile.trials["cue"].data[:], [11.25, np.nan])
    np.testing.assert_array_equal(nwbfile.trials["lick_times"].target.data[:], [11.5, 11.75, 33.5])
    assert nwbfile.trials["rt"].data[:].tolist() == [0.1, 0.2]


def test_a_duration_that_lies_within_its_trial_does_not_move(tmp_path):
    """The first trials of a session last longer than the times since its start: by value alone they look alike."""
    from nwbpipe.converters._added import collect_added
    from nwbpipe.converters.clocks._alignment import shift_times

    (tmp_path / "a.csv").write_text("start,stop,reaction_time\n0.0,2.0,0.4\n")
    nwbfile = empty_nwbfile()
    with collect_added(nwbfile) as added:
        trials(tmp_path / "a.csv", duration_columns=["reaction_time"]).add_to_nwbfile(nwbfile)
    shift_times(added, 100.0)
    assert nwbfile.trials["start_time"].data[:].tolist() == [100.0]
    assert nwbfile.trials["reaction_time"].data[:].tolist() == [0.4]


def test_a_trial_without_times_has_none(tmp_path):
    (tmp_path / "a.csv").write_text("start,stop,kind\n0,0,a\n1,2,b\n0,0,c\n3,4,d\n")
    with pytest.raises(SourceError, match="last no time") as caught:
        trials(tmp_path / "a.csv")
    assert "2 are 0 to 0" in str(caught.value)
    assert "missing_value: 0" in str(caught.value)
    with pytest.raises(SourceError, match="2 of 4 trials have no start or no end"):
        trials(tmp_path / "a.csv", missing_value=0)
    interface = trials(tmp_path / "a.csv", missing_value=0, incomplete="drop")
    assert interface.intervals.start.tolist() == [1, 3]
    assert interface.intervals.columns[0].values.tolist() == ["b", "d"]
    assert interface.intervals.notes == ["2 of 4 trials without a start or an end were left out (rows 1, 3)"]


def test_dates(tmp_path):
    day = "2024-05-01T10:00:0"
    (tmp_path / "a.csv").write_text(f"start,stop,cue,rt\n{day}0Z,{day}2Z,{day}1Z,0.5\n{day}4Z,{day}5Z,,0.25\n")
    found = trials(
        tmp_path / "a.csv", time_unit="iso", time_zero=f"{day}0+00:00", time_columns=["cue"], duration_columns=["rt"]
    ).intervals
    assert found.start.tolist() == [0, 4]
    np.testing.assert_array_equal(found.columns[0].values, [1, np.nan])
    assert found.columns[1].values.tolist() == [0.5, 0.25]


def test_until_the_next_one_starts(tmp_path):
    (tmp_path / "a.csv").write_text("start\n1\n2\n4\n")
    interface = trials(tmp_path / "a.csv", stop="next_start", last_stop=9)
    assert interface.intervals.stop.tolist() == [2, 4, 9]
    interface = trials(tmp_path / "a.csv", stop="next_start")
    assert interface.intervals.stop.tolist() == [2, 4]
    assert "1 of 3 trials" in interface.intervals.notes[0]


@pytest.mark.parametrize(
    ("text", "arguments", "message", "figures"),
    [
        ("start,stop\n1,3\n2,4\n", {}, "1 of 2 trials overlap", "rows 1 and 2: 1.000000 to 3.000000 s"),
        ("start,stop\n5,6\n1,2\n", {}, "go backwards", "1 of 1 steps; the first from 5.000000 s to 1.000000 s"),
        ("start,stop\n2,1\n", {}, "end before they start", "2.000000 s to 1.000000 s"),
        ("start,stop\n1,\n", {}, "have no start or no end", "row 1"),
        ("start,stop\n,\n", {"incomplete": "drop"}, "no trial has a start and an end", "1 rows"),
        ("start\n1\n", {}, "nothing says when the trials end", "start"),
        ("a,stop\n1,2\n", {}, "lacks the column", "a, stop"),
        ("start,trial_start,stop\n1,1,2\n", {}, "several columns", "start, trial_start"),
        ("start,stop\n1,x\n", {}, "not a number", "'x' in row 1"),
        ("start,stop,n\n1,2,1\n3,4,1\n", {"id_column": "n"}, "does not number", "[1. 1.]"),
        ("start,stop\n1,2\n", {"block_column": "b"}, "tells the blocks", ""),
        ("start,stop\n1,2\n", {"time_columns": ["cue"]}, "lacks the column 'cue'", "start, stop"),
        ("start,stop,cue\n1,2,x\n", {"time_columns": ["cue"]}, "does not hold numbers", "x"),
        ("start,stop\n", {}, "holds no trials", None),
        ("start,stop\n1,2\n", {"time_unit": "min"}, "time_unit has a wrong value", "min"),
    ],
)
def test_unsound_trials_are_refused_with_figures(tmp_path, text, arguments, message, figures):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        trials(tmp_path / "a.csv", **arguments)
    assert str(tmp_path / "a.csv") in str(caught.value.problem.where)
    assert figures is None or figures in str(caught.value.problem.found)


def test_lists_of_text_are_refused(tmp_path):
    pd.DataFrame({"start": [1.0], "stop": [2.0], "said": [["a", "b"]]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="lists of the column said do not hold numbers"):
        trials(tmp_path / "a.parquet")
    assert trials(tmp_path / "a.parquet", value_columns=[]).intervals.columns == []


def test_repaired_by_a_named_rule(tmp_path):
    (tmp_path / "a.csv").write_text("start,stop,n\n5,6,b\n1,5.5,a\n")
    interface = trials(tmp_path / "a.csv", unsorted="sort", overlap="allow")
    assert interface.intervals.columns[0].values.tolist() == ["a", "b"]
    assert interface.intervals.start.tolist() == [1, 5]


def test_a_mat_that_is_not_what_it_says(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"start": np.arange(3.0), "stop": np.arange(4.0) + 0.5})
    with pytest.raises(SourceError, match="differ in length") as caught:
        trials(tmp_path / "a.mat")
    assert caught.value.problem.found == "start: 3, stop: 4"
    (tmp_path / "b.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(SourceError, match="can't be read"):
        trials(tmp_path / "b.mat")


def test_blocks_by_their_times(tmp_path):
    (tmp_path / "b.csv").write_text("block_start,block_end,probability\n0,10,0.2\n10,25,0.8\n")
    nwbfile = empty_nwbfile()
    blocks(tmp_path / "b.csv").add_to_nwbfile(nwbfile)
    assert nwbfile.epochs["stop_time"].data[:].tolist() == [10, 25]
    assert nwbfile.epochs["probability"].data[:].tolist() == [0.2, 0.8]
    with pytest.raises(ValueError, match="already exists"):
        blocks(tmp_path / "b.csv").add_to_nwbfile(nwbfile)


def test_blocks_by_their_trials(tmp_path):
    (tmp_path / "t.csv").write_text("number,start,stop\n1,0,0\n2,3,4\n3,5,6\n4,7,8\n")
    (tmp_path / "b.csv").write_text("firstTrial,lastTrial\n1,2\n3,4\n")
    arguments = {"trials_file_path": tmp_path / "t.csv", "trial_missing_value": 0}
    for more in ({}, {"trial_column": "number"}):
        interface = blocks(tmp_path / "b.csv", **arguments, **more)
        assert interface.intervals.start.tolist() == [3, 5]  # trial 1 has no times, and bounds nothing
        assert interface.intervals.stop.tolist() == [4, 8]
    with pytest.raises(SourceError, match="name a trial that the table of trials lacks") as caught:
        blocks(tmp_path / "b.csv", **arguments, first_trial=0)
    assert caught.value.problem.found == "4"
    assert caught.value.problem.expected == "trials 0 to 3 of t.csv"
