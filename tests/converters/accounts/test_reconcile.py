"""An account is compared with the objects that a reader made: differences are refused, times are put right."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import AddedObjects
from nwbpipe.converters._warnings import find_loss
from nwbpipe.converters.accounts import Account, Gap, Stream, account, read_account, reconcile
from nwbpipe.converters.accounts._registry import _load_probes
from nwbpipe.errors import AccountError, Problem
from nwbpipe.provenance import identify_file
from nwbpipe.stores import hide_junk, is_junk

WHERE = "sources.probe"


def series(count: int = 100, channels: int = 2, **fields: Any) -> Any:
    from pynwb import TimeSeries

    fields = {"rate": 10.0, "starting_time": 0.0, "unit": "volts", "conversion": 1e-6, **fields}
    return TimeSeries(name="signal", data=np.zeros((count, channels), np.int16), **fields)


def settle(stream: Stream, item: Any, **arguments: Any) -> list[str]:
    return reconcile(Account("test", streams=(stream,)), AddedObjects(objects=[item]), where=WHERE, **arguments)


@pytest.mark.parametrize(
    ("stream", "kind", "sides"),
    [
        (Stream(samples=300), "samples", ("300 samples", "100 samples")),
        (Stream(channels=4), "channels", ("4 channels", "2 channels")),
        (Stream(rate=12.0), "rate", ("12 Hz", "10 Hz")),
        (Stream(gain=0.195e-6, unit="volts"), "unit", ("1.95e-07 volts", "1e-06 volts")),
        (Stream(gain=1e-6, unit="g"), "unit", ("g", "volts")),
        (Stream(gaps=(Gap(40, 20, 4.0),), rate=10.0), "gap", ("without gaps", "20 samples (2 s)")),
    ],
)
def test_a_difference_says_both_sides_unless_it_is_accepted(
    stream: Stream, kind: str, sides: tuple[str, str]
) -> None:
    with pytest.raises(AccountError) as caught:
        settle(stream, series())
    problem = caught.value.problem
    assert sides[0] in str(problem.expected)
    assert sides[1] in str(problem.found)
    assert f"accept: [{kind}]" in str(problem.hint)
    assert caught.value.code == "NP208"
    (note,) = settle(stream, series(), accept=[kind])
    assert note.startswith(f"accepted ({kind})")


def test_several_differences_are_named_at_once() -> None:
    with pytest.raises(AccountError) as caught:
        settle(Stream(samples=7, channels=7), series())
    assert len(caught.value.problems) == 2


def test_a_stub_may_have_fewer_samples() -> None:
    assert settle(Stream(samples=300), series(), stub=True) == []


def test_the_first_sample_is_put_where_the_account_knows_it() -> None:
    item = series(starting_time=4983.6)
    assert settle(Stream(first_time=0.04), item) == []
    assert item.starting_time == pytest.approx(0.04, abs=1e-12)


def test_a_series_that_shares_the_times_of_another_moves_with_it() -> None:
    owner = series(rate=None, starting_time=None, timestamps=np.arange(100) / 10 + 3.0)
    sharing = series(rate=None, starting_time=None, timestamps=owner)
    stream = Stream(first_time=0.5)
    assert reconcile(Account("test", streams=(stream,)), AddedObjects(objects=[owner, sharing]), where=WHERE) == []
    np.testing.assert_allclose(owner.timestamps, np.arange(100) / 10 + 0.5, atol=1e-12)
    np.testing.assert_array_equal(sharing.timestamps, owner.timestamps)


def test_samples_after_a_gap_keep_their_times() -> None:
    from pynwb.epoch import TimeIntervals

    times = np.concatenate([np.arange(40) / 10, 6 + np.arange(60) / 10])
    item, table = series(), TimeIntervals(name="trials", description="beside it")
    table.add_interval(start_time=3.0, stop_time=5.0)
    stream = Stream(samples=100, rate=10.0, gaps=(Gap(40, 20, 4.0),), times=lambda: times)
    (note,) = reconcile(Account("test", streams=(stream,)), AddedObjects(objects=[item, table]), where=WHERE)
    assert "20 samples (2 s) are missing at 4 s" in note
    np.testing.assert_array_equal(item.timestamps, times)
    assert item.rate is None
    assert (table["start_time"][0], table["stop_time"][0]) == (3.0, 7.0)


def test_a_format_without_a_probe_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_account("NoSuchInterface", {}) == (None, "not accounted: the format has no probe")

    def fail(_: Any) -> Account | None:
        raise KeyError("nSavedChans")

    monkeypatch.setitem(_load_probes(), "FailingInterface", fail)
    assert "the probe failed (KeyError" in read_account("FailingInterface", {})[1]
    assert account("OtherInterface")(fail) is fail
    assert _load_probes().pop("OtherInterface") is fail


@pytest.mark.parametrize(
    ("warning", "kind"),
    [
        ("Splitted files detected 2 other .rhd files", "parts"),
        ("more than one plane is detected", "planes"),
        ("3 gaps in the timestamps of 12 samples", "gap"),
        ("12 samples were dropped", "gap"),
        ("the file seems truncated", "samples"),
        ("Cannot rescale to voltage, raw data will be returned.", "unit"),
    ],
)
def test_warnings_that_mean_a_loss_are_known(warning: str, kind: str) -> None:
    loss = find_loss(warning)
    assert loss is not None
    assert loss[0] == kind
    assert find_loss("Channel locations are not set") is None


@pytest.mark.parametrize(
    "name", [".DS_Store", "._run.meta", "Thumbs.db", "desktop.ini", "a.csv~", ".a.csv.swp", "#a#"]
)
def test_junk_is_neither_hashed_nor_shown_to_readers(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"data")
    before = identify_file(tmp_path)
    (tmp_path / name).write_bytes(b"junk")
    assert is_junk(name)
    assert not is_junk("a.bin")
    assert identify_file(tmp_path) == before
    with hide_junk(), hide_junk():
        assert os.listdir(tmp_path) == ["a.bin"]  # noqa: PTH208
        assert [path.name for path in tmp_path.rglob("*")] == ["a.bin"]
        assert [names for _, _, names in os.walk(tmp_path)] == [["a.bin"]]
    assert len(list(tmp_path.iterdir())) == 2
    with hide_junk():
        shutil.rmtree(tmp_path)
    assert not tmp_path.exists()


def test_problems_of_a_probe_are_refused() -> None:
    problem = Problem("3 animals are in the file", hint="choose one")
    with pytest.raises(AccountError, match="3 animals"):
        reconcile(Account("test", problems=(("fields", problem),)), AddedObjects(), where=WHERE)
