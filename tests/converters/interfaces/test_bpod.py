"""BpodInterface: both forms of a session, against what was put in, and against plain JSON."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

STARTS, STOPS = [1.0, 5.0], [4.0, 9.0]
STATES = [
    {"Wait": [[0.0, 0.5], [0.75, 1.0]], "Reward": [[1.0, 3.0]], "Error": [[math.nan, math.nan]]},
    {"Wait": [[0.0, 2.0]], "Reward": [[math.nan, math.nan]], "Error": [[2.0, 4.0]]},
]
EVENTS = [{"Port1In": [0.5], "Tup": [1.0, 3.0]}, {"Port1In": [0.25, 0.5]}]


def bpod(path, **arguments):
    return interface_class("BpodInterface")(file_path=path, metadata_key="box", **arguments)


def write_json(path, starts=STARTS, stops=STOPS):
    lines = [
        json.dumps(
            {
                "trial_num": i + 1,
                "contrast": [0.5, 1.0][i],
                "data_file": "C:\\data\\somebody\\x",
                "set": [1, 2],
                "elapsed_time": "0:00:01",
                "response_time": 0.25 + i,
                "behavior_data": {
                    "Trial start timestamp": starts[i],
                    "Trial end timestamp": stops[i],
                    "States timestamps": STATES[i],
                    "Events timestamps": EVENTS[i],
                },
            }
        )
        for i in range(2)
    ]
    path.write_text("\n".join(lines) + "\n")


def session_data(**over):
    trials = [
        {"States": {k: np.array(v) for k, v in STATES[i].items()}, "Events": {k: np.array(v) for k, v in e.items()}}
        for i, e in enumerate(EVENTS)
    ]
    cells = np.empty(2, object)
    cells[:] = trials
    settings = np.empty(2, object)
    settings[:] = [{"GUI": {"RewardAmount": 3.0 + i}} for i in range(2)]
    return {
        "nTrials": 2,
        "RawEvents": {"Trial": cells},
        "TrialStartTimestamp": np.array(STARTS),
        "TrialEndTimestamp": np.array(STOPS),
        "TrialTypes": np.array([1, 2]),
        "TrialSettings": settings,
        "Info": {"SessionDate": "01-May-2024"},
        **over,
    }


def write_mat5(path, **over):
    from scipy.io import savemat

    savemat(path, {"SessionData": {k: v for k, v in session_data(**over).items() if v is not None}})


def write_mat73(path, **over):
    """As MATLAB's save -v7.3 does: transposed arrays, and cells of references that say that they are cells."""
    count = 0

    def put(file, group, name, value):
        nonlocal count
        if isinstance(value, dict):
            inner = group.create_group(name)
            for key, item in value.items():
                put(file, inner, key, item)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            references = []
            for item in value:
                count += 1
                put(file, file.require_group("#refs#"), f"r{count}", item)
                references.append(file[f"#refs#/r{count}"].ref)
            data = group.create_dataset(name, data=np.array([references], h5py.ref_dtype).T, dtype=h5py.ref_dtype)
            data.attrs["MATLAB_class"] = np.bytes_("cell")
        elif isinstance(value, str):
            data = group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))
            data.attrs["MATLAB_class"] = np.bytes_("char")
        else:
            group.create_dataset(name, data=np.atleast_2d(np.asarray(value, float)).T)

    with h5py.File(path, "w") as file:
        put(file, file, "SessionData", session_data(**over))


FORMS = {"a.jsonable": write_json, "v5.mat": write_mat5, "v73.mat": write_mat73}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_gives_the_same_session(tmp_path, form):
    FORMS[form](tmp_path / form)
    nwbfile = empty_nwbfile()
    bpod(tmp_path / form, skip_events=["Tup"]).add_to_nwbfile(nwbfile)
    if form == "v5.mat":
        with written(nwbfile, tmp_path / "a.nwb") as read:
            check(read)
    check(nwbfile)
    columns = nwbfile.trials.colnames[2:]
    if form == "a.jsonable":
        assert columns == ("trial_num", "contrast", "elapsed_time_text")
        assert "Not kept: data_file, set, response_time." in nwbfile.trials.description
    else:
        assert set(columns) == {"TrialTypes", "RewardAmount"}
        assert list(nwbfile.trials["RewardAmount"].data[:]) == [3.0, 4.0]


def check(nwbfile):
    assert list(nwbfile.trials["start_time"].data[:]) == STARTS
    assert list(nwbfile.trials["stop_time"].data[:]) == STOPS
    states = nwbfile.events["states_box"]
    assert list(states["event_type"].data[:]) == ["Wait", "Wait", "Reward", "Wait", "Error"]  # none at 0 to 0
    np.testing.assert_allclose(states["timestamp"].data[:], [1, 1.75, 2, 5, 7])
    np.testing.assert_allclose(states["duration"].data[:], [0.5, 0.25, 2, 2, 2])
    assert list(states["trial"].data[:]) == [0, 0, 0, 1, 1]
    events = nwbfile.events["events_box"]
    np.testing.assert_allclose(events["timestamp"].data[:], [1.5, 5.25, 5.5])
    assert list(events["event_type"].data[:]) == ["Port1In"] * 3
    assert list(events["trial"].data[:]) == [0, 1, 1]


def test_without_ends_the_last_state_ends_the_trial(tmp_path):
    write_mat5(tmp_path / "a.mat", TrialEndTimestamp=None)
    assert [trial.stop for trial in bpod(tmp_path / "a.mat").trials] == [4.0, 9.0]


def test_chosen_values(tmp_path):
    write_json(tmp_path / "a.jsonable")
    interface = bpod(
        tmp_path / "a.jsonable", value_columns=["contrast"], value_names={"contrast": "stimulus_contrast"}
    )
    assert [column.name for column in interface._columns] == ["stimulus_contrast"]
    (column,) = bpod(
        tmp_path / "a.jsonable", value_columns=["response_time"], duration_columns=["response_time"]
    )._columns
    assert (column.kind, column.values.tolist()) == ("duration", [0.25, 1.25])
    with pytest.raises(SourceError, match="may be a time or a duration"):
        bpod(tmp_path / "a.jsonable", value_columns=["response_time"])
    with pytest.raises(SourceError, match="no value is called 'x'") as caught:
        bpod(tmp_path / "a.jsonable", value_columns=["x"])
    assert "contrast" in caught.value.problem.found
    with pytest.raises(SourceError, match="is not a single value for each trial"):
        bpod(tmp_path / "a.jsonable", value_columns=["set"])


def test_blocks(tmp_path):
    write_json(tmp_path / "a.jsonable")
    nwbfile = empty_nwbfile()
    bpod(tmp_path / "a.jsonable", block_column="contrast").add_to_nwbfile(nwbfile)
    assert nwbfile.epochs["contrast"].data[:].tolist() == [0.5, 1.0]
    assert nwbfile.epochs["stop_time"].data[:].tolist() == STOPS


def test_what_contradicts_itself_is_refused(tmp_path):
    write_mat5(tmp_path / "a.mat", TrialStartTimestamp=np.array([1.0, 5.0, 9.0]))
    with pytest.raises(SourceError, match="differ in length") as caught:
        bpod(tmp_path / "a.mat")
    assert "TrialStartTimestamp: 3" in caught.value.problem.found
    write_json(tmp_path / "b.jsonable", starts=[1.0, 3.5], stops=[4.0, 7.5])
    with pytest.raises(SourceError, match="1 of 2 trials overlap"):
        bpod(tmp_path / "b.jsonable")
    write_json(tmp_path / "c.jsonable", stops=[2.0, 9.0])
    with pytest.raises(SourceError, match="outside of their trial") as caught:
        bpod(tmp_path / "c.jsonable")
    assert "3.0000 s" in caught.value.problem.found


def test_other_files_are_refused(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"timeseries": np.arange(4.0)})
    with pytest.raises(SourceError, match="holds no session of a Bpod") as caught:
        bpod(tmp_path / "a.mat")
    assert caught.value.problem.found == "timeseries"
    write_json(tmp_path / "b.jsonable")
    text = (tmp_path / "b.jsonable").read_text()
    (tmp_path / "b.jsonable").write_text(text[: len(text) - 40])
    with pytest.raises(SourceError, match="not a trial of a Bpod") as caught:
        bpod(tmp_path / "b.jsonable")
    assert "line 2" in caught.value.problem.where
    (tmp_path / "c.jsonable").write_text("")
    with pytest.raises(SourceError, match="no trials"):
        bpod(tmp_path / "c.jsonable")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["biased_ge5", "biased_lt5", "training_ge5", "training_lt5"])
def test_ibl_sessions(shared_data, name):
    path = shared_data / f"behavior/ibl_bpod/session_{name}/raw_behavior_data/_iblrig_taskData.raw.jsonable"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    nwbfile = empty_nwbfile()
    # The training task keeps the contrast in a mapping.
    nested = isinstance(lines[0]["contrast"], dict)
    contrast = "contrast.value" if nested else "contrast"
    bpod(path, value_columns=[contrast, "trial_num"]).add_to_nwbfile(nwbfile)
    starts = [line["behavior_data"]["Trial start timestamp"] for line in lines]
    assert list(nwbfile.trials["start_time"].data[:]) == starts
    values = [line["contrast"]["value"] if nested else line["contrast"] for line in lines]
    assert list(nwbfile.trials[contrast].data[:]) == values
    expected = sorted(
        start + time
        for start, line in zip(starts, lines, strict=True)
        for time in line["behavior_data"]["Events timestamps"].get("BNC1High", [])
    )
    table = nwbfile.events["events_box"]
    found = [
        t for t, n in zip(table["timestamp"].data[:], table["event_type"].data[:], strict=True) if n == "BNC1High"
    ]
    np.testing.assert_array_equal(found, expected)
    entered = sum(
        not math.isnan(visit[0])
        for line in lines
        for visits in line["behavior_data"]["States timestamps"].values()
        for visit in visits
    )
    assert len(nwbfile.events["states_box"]) == entered
