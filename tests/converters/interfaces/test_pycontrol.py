"""PyControlInterface: the files of both versions, as pyControl writes them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nwbpipe.converters.interfaces import interface_class
from nwbpipe.errors import SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

ROWS = [
    (0, "variable", "run_start", '{"p": 0.5}'),
    (0, "state", "", "init"),
    (1500, "event", "input", "poke"),
    (1500, "state", "", "reward"),
    (1750, "print", "task", "rewarded 1"),
    (4000, "state", "", "init"),
    (5250, "event", "timer", "timeout"),
    (6000, "state", "", "reward"),
]


def session(path, **arguments):
    return interface_class("PyControlInterface")(file_path=path, metadata_key="box", **arguments)


def write_tsv(path, rows=ROWS, end=8000):
    lines = ["time\ttype\tsubtype\tcontent", "0.000\tinfo\ttask_name\ttwo_step", "0.000\tinfo\tsubject_id\tm1"]
    lines += [f"{time / 1000:.3f}\t{kind}\t{subtype}\t{content}" for time, kind, subtype, content in rows]
    lines += [f"{end / 1000:.3f}\tinfo\tend_time\t2024-05-01T10:00:08.000"] if end else []
    path.write_text("\n".join(lines) + "\n")
    return path


def write_txt(path, rows=ROWS):
    states, events = {"init": 1, "reward": 2}, {"poke": 3, "timeout": 4}
    lines = ["I Experiment name  : exp", "I Task name : two_step", "I Subject ID : m1", ""]
    lines += ["S " + json.dumps(states), "", "E " + repr(events), ""]
    for time, kind, _, content in rows:
        if kind in ("state", "event"):
            lines.append(f"D {time} {(states if kind == 'state' else events)[content]}")
        else:
            lines.append(f"{'V' if kind == 'variable' else 'P'} {time} {content}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions(tmp_path, version):
    path = write_tsv(tmp_path / "a.tsv") if version == 2 else write_txt(tmp_path / "a.txt")
    nwbfile = empty_nwbfile()
    session(path).add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        events, states = read.events["events_box"], read.events["states_box"]
        assert list(events["event_type"].data[:]) == ["poke", "timeout"]
        assert list(events["timestamp"].data[:]) == [1.5, 5.25]
        assert list(states["event_type"].data[:]) == ["init", "reward", "init", "reward"]
        assert list(states["timestamp"].data[:]) == [0, 1.5, 4, 6]
        # Version 1 does not say when the session ended.
        np.testing.assert_allclose(states["duration"].data[:], [1.5, 2.5, 2, 2 if version == 2 else np.nan])
        assert list(read.events["prints_box"]["content"].data[:]) == ["rewarded 1"]
        assert list(read.events["variables_box"]["content"].data[:]) == ['{"p": 0.5}']
        assert "two_step" in events.description
        assert "m1" not in events.description
        if version == 2:
            assert list(events["subtype"].data[:]) == ["input", "timer"]


def test_trials(tmp_path):
    path = write_tsv(tmp_path / "a.tsv")
    starts, stops = session(path, trial_start="init").trials
    assert (starts.tolist(), stops.tolist()) == ([0, 4], [4, 8])
    starts, stops = session(path, trial_start="init", trial_stop="reward").trials
    assert (starts.tolist(), stops.tolist()) == ([0, 4], [1.5, 6])
    path = write_tsv(tmp_path / "b.tsv", end=None)
    nwbfile = empty_nwbfile()
    session(path, trial_start="init").add_to_nwbfile(nwbfile)
    assert nwbfile.trials["stop_time"].data[:].tolist() == [4]
    assert "1 of 2 trials have no end and were left out" in nwbfile.trials.description
    with pytest.raises(SourceError, match="no state or event is called 'go'") as caught:
        session(path, trial_start="go")
    assert caught.value.problem.found == "init, poke, reward, timeout"


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(SourceError, match="not as pyControl writes it") as caught:
        session(tmp_path / "a.txt")
    assert caught.value.problem.found == "hello"
    write_txt(tmp_path / "b.txt")
    (tmp_path / "b.txt").write_text((tmp_path / "b.txt").read_text() + "D 7000 9\n")
    with pytest.raises(SourceError, match="not as pyControl writes it") as caught:
        session(tmp_path / "b.txt")
    assert caught.value.problem.found == "D 7000 9"
    write_tsv(tmp_path / "c.tsv", ROWS[::-1])
    with pytest.raises(SourceError, match="go backwards"):
        session(tmp_path / "c.tsv")
    text = write_tsv(tmp_path / "d.tsv").read_text()
    (tmp_path / "d.tsv").write_text(text[:-30] + "\nx")
    with pytest.raises(SourceError, match="not as pyControl writes it"):
        session(tmp_path / "d.tsv")
    (tmp_path / "d.tsv").write_text(text.replace("1.500\tevent", "\tevent"))
    with pytest.raises(SourceError, match="not as pyControl writes it") as caught:
        session(tmp_path / "d.tsv")
    assert "line 6" in caught.value.problem.where
    write_tsv(tmp_path / "e.tsv", [])
    with pytest.raises(SourceError, match="no events and no states"):
        session(tmp_path / "e.tsv")


def test_the_names_of_a_file_are_data_and_no_program(tmp_path):
    (tmp_path / "a.txt").write_text("S __import__('os').system('true')\n")
    with pytest.raises(SourceError, match="not as pyControl writes it"):
        session(tmp_path / "a.txt")
