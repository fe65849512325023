"""Editing a session file: nothing dangles, nothing is lost, and an edit that fails changes nothing."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import TimeSeries, validate
from pynwb.behavior import BehavioralTimeSeries

import nwbpipe
from nwbpipe import Context, Results, errors, files
from nwbpipe.files import _repack
from nwbpipe.provenance import identify_object
from nwbpipe.session import _edit
from tests.fixtures.processing import Scale, write_session


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dangling(path: Path) -> list[str]:
    with h5py.File(path) as file:
        return files.find_dangling(file)


def identity(path: Path, place: str) -> str:
    with h5py.File(path) as file:
        return identify_object(file, place, folder=path.parent)


class Many(Scale):
    """Writes units, and containers in a container, one of which links to the other."""

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        nwbfile.add_unit(spike_times=[1.0, 2.0])
        first = TimeSeries(name="Inner_one", description="d", data=[1.0, 2.0], unit="V", rate=1.0)
        second = TimeSeries(name="Other_one", description="d", data=first, unit="V", rate=1.0)
        outer = BehavioralTimeSeries(name=context.name("Outer"), time_series=[first, second])
        context.module(nwbfile, self.module).add(outer)


@pytest.fixture(scope="module")
def two_steps_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two_steps")
    path = write_session(folder / "session.nwb", "lever")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(folder / name.lower()))
        nwbpipe.process(path, Scale(), step="first")
        nwbpipe.process(path, Scale(), step="second", inputs={"series": "processing/behavior/Scaled_first"})
    return path


@pytest.fixture
def two_steps(two_steps_once: Path, tmp_path: Path) -> Path:
    """`second` was computed from what `first` wrote."""
    return shutil.copy(two_steps_once, tmp_path / "session.nwb")


def linked(path: Path, *, processed: str | None = None) -> None:
    """Add a series whose data are a link to those of `first`."""
    with nwbpipe.transaction(path) as nwbfile:
        series = TimeSeries(
            name="linked", description="d", data=nwbfile.processing["behavior"]["Scaled_first"], unit="V", rate=10.0
        )
        (nwbfile.processing["behavior"].add if processed else nwbfile.add_acquisition)(series)


# remove -----------------------------------------------------------------------------------------------------


def test_remove_takes_the_containers_and_marks_the_record(session_nwb: Path) -> None:
    nwbpipe.process(session_nwb, Scale())
    done = nwbpipe.remove_step(session_nwb, "scale")
    assert done == _edit.RemovalReport(("scale",), ("/processing/behavior/Scaled_scale",))
    with h5py.File(session_nwb) as file:
        assert "processing/behavior" not in file
    (record,) = nwbpipe.read_records(session_nwb)
    assert record.superseded_by == "removed"
    assert validate(path=str(session_nwb)) == []
    assert nwbpipe.process(session_nwb, Scale()).computed


def test_what_others_were_computed_from_goes_only_with_them(two_steps: Path) -> None:
    before = content(two_steps)
    with pytest.raises(errors.ResultExistsError, match=r"second\n.*--cascade") as caught:
        nwbpipe.remove_step(two_steps, "first")
    assert caught.value.exit_code == 2
    assert content(two_steps) == before
    assert nwbpipe.remove_step(two_steps, "first", cascade=True).steps == ("first", "second")
    assert [one.superseded_by for one in nwbpipe.read_records(two_steps)] == ["removed", "removed"]
    with h5py.File(two_steps) as file:
        assert "processing/behavior" not in file
    assert dangling(two_steps) == []


def test_the_last_of_a_chain_goes_by_itself(two_steps: Path) -> None:
    assert nwbpipe.remove_step(two_steps, "second").steps == ("second",)
    with h5py.File(two_steps) as file:
        assert list(file["processing/behavior"]) == ["Scaled_first"]


def test_what_no_step_wrote_is_never_removed(two_steps: Path) -> None:
    linked(two_steps)
    before = content(two_steps)
    with pytest.raises(errors.ResultExistsError, match="/acquisition/linked"):
        nwbpipe.remove_step(two_steps, "first", cascade=True)
    assert content(two_steps) == before


def test_twice_or_under_another_name_is_refused(two_steps: Path) -> None:
    with pytest.raises(errors.UnknownNameError, match="did you mean 'second'"):
        nwbpipe.remove_step(two_steps, "secnod")
    nwbpipe.remove_step(two_steps, "second")
    with pytest.raises(errors.UnknownNameError, match="it was removed or replaced"):
        nwbpipe.remove_step(two_steps, "second")
    with pytest.raises(errors.RequestError, match="the file itself"):
        nwbpipe.remove_step(two_steps, "convert")


def test_a_file_without_results(session_nwb: Path) -> None:
    with pytest.raises(errors.UnknownNameError, match="no results"):
        nwbpipe.remove_step(session_nwb, "scale")
    with pytest.raises(errors.RequestError, match="not supported"):
        nwbpipe.remove_step("abfs://bucket/a.nwb", "scale")


def test_an_edit_that_would_leave_something_dangling_changes_nothing(
    two_steps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked(two_steps)
    monkeypatch.setattr(files, "find_users", lambda *_: [])  # a mistake in the search for users
    before = content(two_steps)
    with pytest.raises(errors.InvalidResultError, match="/acquisition/linked"):
        nwbpipe.remove_step(two_steps, "first", cascade=True)
    assert content(two_steps) == before


# rename -----------------------------------------------------------------------------------------------------


def test_rename_moves_containers_links_and_record(two_steps: Path) -> None:
    linked(two_steps)
    old = nwbpipe.read_records(two_steps)
    before = identity(two_steps, "/processing/behavior/Scaled_first"), identity(two_steps, "/acquisition/linked")
    moved = nwbpipe.rename_step(two_steps, "first", "better")
    assert moved == (("/processing/behavior/Scaled_first", "/processing/behavior/Scaled_better"),)
    first, second = nwbpipe.read_records(two_steps)
    assert (first.step, first.run_id, first.key) == ("better", old[0].run_id, old[0].key)
    assert (first.outputs[0].name, first.outputs[0].path) == ("Scaled_better", moved[0][1])
    assert (second.step, second.inputs[0].name, second.inputs[0].path) == ("second", "series", moved[0][1])
    assert (identity(two_steps, moved[0][1]), identity(two_steps, "/acquisition/linked")) == before
    assert dangling(two_steps) == []
    assert validate(path=str(two_steps)) == []
    again = nwbpipe.process(two_steps, Scale(), step="better", inputs={"series": "acquisition/lever"})
    assert not again.computed


def test_a_rename_leaves_the_bytes_of_records_to_a_reader_without_a_lock(two_steps: Path) -> None:
    nwbpipe.process(two_steps, Scale(), step="third", inputs={"series": "acquisition/lever"})
    with h5py.File(two_steps) as file:
        runs = file["general/nwbpipe"]
        texts = {runs[run][name].name: runs[run][name].id for run in runs for name in ("inputs", "outputs")}
        spans = {name: (text.get_offset(), text.get_storage_size()) for name, text in texts.items()}
    before = two_steps.read_bytes()
    nwbpipe.rename_step(two_steps, "first", "better")
    after = two_steps.read_bytes()
    for name, (offset, size) in spans.items():
        assert after[offset : offset + size] == before[offset : offset + size], name
    with h5py.File(two_steps) as file:  # what does not name the step is not written anew
        third = {name: offset for name, (offset, _) in spans.items() if "third" in name}
        assert {name: file[name].id.get_offset() for name in third} == third


def test_inner_names_that_carry_the_step_are_changed_too(session_nwb: Path) -> None:
    nwbpipe.process(session_nwb, Scale(), step="one")
    with h5py.File(session_nwb, "r+") as file:
        group = file["processing/behavior/Scaled_one"]
        inner = group.create_group("Inner_one")
        inner.attrs["neurodata_type"] = "Thing"
        inner["data_one"] = [1.0]  # no object of its own: a role
        file["other"] = h5py.SoftLink("/processing/behavior/Scaled_one/Inner_one/data_one")
        with_record = nwbpipe.read_records(file)[0]
        moves = _edit._plan_moves(file, with_record, "two")
    assert moves == [
        ("/processing/behavior/Scaled_one/Inner_one", "/processing/behavior/Scaled_one/Inner_two"),
        ("/processing/behavior/Scaled_one", "/processing/behavior/Scaled_two"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Units_a", "Units_b"), ("Units_a_probe", "Units_b_probe"), ("units", "units"), ("Units_aa", "Units_aa")],
)
def test_only_the_steps_part_of_a_name_changes(name: str, expected: str) -> None:
    assert _edit._rename_object(name, "a", "b") == expected


@pytest.mark.parametrize(
    ("new", "error"),
    [("second", errors.ResultExistsError), ("first", errors.RequestError), ("Bad name", errors.RequestError)],
)
def test_a_name_that_is_taken_or_is_none_is_refused(two_steps: Path, new: str, error: type[Exception]) -> None:
    before = content(two_steps)
    with pytest.raises(error):
        nwbpipe.rename_step(two_steps, "first", new)
    assert content(two_steps) == before


def test_links_between_renamed_containers_and_primary_units(session_nwb: Path) -> None:
    nwbpipe.process(session_nwb, Many(), step="one")
    outer = "/processing/behavior/Outer"
    assert nwbpipe.rename_step(session_nwb, "one", "two") == ((f"{outer}_one", f"{outer}_two"),)
    with h5py.File(session_nwb) as file:
        assert list(files.soft_links(file)) == [(f"{outer}_two/Other_two/data", f"{outer}_two/Inner_two/data")]
    assert dangling(session_nwb) == []
    assert nwbpipe.remove_step(session_nwb, "two").paths == (f"{outer}_two", "/units")
    with h5py.File(session_nwb) as file:
        assert "units" not in file
        assert "processing/behavior" not in file


# repack -----------------------------------------------------------------------------------------------------


def test_repack_gives_the_space_back_and_changes_nothing_else(two_steps: Path) -> None:
    with nwbpipe.transaction(two_steps) as nwbfile:
        noise = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, (2_500, 1_000))  # does not compress
        nwbfile.add_acquisition(TimeSeries(name="big", description="d", data=noise, unit="V", rate=10.0))
        nwbfile.add_trial_column("which", "a reference to a stretch of a series")
        nwbfile.add_trial(start_time=2.0, stop_time=3.0, which="x", timeseries=nwbfile.acquisition["lever"])
    linked(two_steps)  # lies behind it: what ends the file would be cut off with the removal
    with files.transaction(two_steps) as file:
        del file["acquisition/big"]
    places = ["/acquisition/lever", "/acquisition/linked", "/intervals/trials", "/processing/behavior"]
    before = [identity(two_steps, place) for place in places]
    report = nwbpipe.check(two_steps)
    assert 20e6 <= (report.file.reclaimable or 0) <= 20.2e6
    size, smaller = nwbpipe.repack(two_steps)
    assert size - smaller >= 20e6
    assert smaller == two_steps.stat().st_size
    assert [identity(two_steps, place) for place in places] == before
    assert dangling(two_steps) == []
    assert nwbpipe.check(two_steps).in_order
    with nwbpipe.read(two_steps) as nwbfile:
        (reference,) = nwbfile.trials["timeseries"][0]
        assert reference.timeseries is nwbfile.acquisition["lever"]
    assert not nwbpipe.process(two_steps, Scale(), step="first", inputs={"series": "acquisition/lever"}).computed


@pytest.mark.parametrize("wrong", ["a reference", "a value", "an attribute", "a link", "an object"])
def test_a_new_file_that_differs_is_refused(two_steps: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    right = _repack.copy_file

    def copy(old: h5py.File, path: Path) -> None:
        right(old, path)
        with h5py.File(path, "r+") as new:
            if wrong == "a reference":
                new.attrs.modify(".specloc", new["acquisition"].ref)
            elif wrong == "a value":
                new["acquisition/lever/data"][5, 1] += 1
            elif wrong == "an attribute":
                new["acquisition/lever/data"].attrs["unit"] = "A"
            elif wrong == "a link":
                new["acquisition/more"] = h5py.SoftLink("/acquisition/lever")
            else:
                del new["processing/behavior/Scaled_second"]

    monkeypatch.setattr(_repack, "copy_file", copy)
    before = content(two_steps)
    with pytest.raises(errors.DamagedFileError, match="not as the old one"):
        nwbpipe.repack(two_steps)
    assert content(two_steps) == before
    assert [one.name for one in two_steps.parent.glob(".*.partial")] == []


@pytest.mark.parametrize("options", [{"fs_strategy": "page", "fs_page_size": 65536}, {"userblock_size": 512}])
def test_repack_keeps_references_and_the_files_layout(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "paged.h5"
    with h5py.File(path, "w", **options) as file:
        file["a"] = np.arange(10)
        file["twice"] = file["a"]
        file["compound"] = np.array([(1, file["a"].ref)], dtype=[("n", int), ("r", h5py.ref_dtype)])
        file.attrs["all"] = np.array([file["a"].ref, file["/"].ref], dtype=h5py.ref_dtype)
        file.create_dataset("nothing", (3,), dtype=h5py.ref_dtype)
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/x")
    files.repack(path)
    with h5py.File(path) as file:
        assert (file.id.get_create_plist().get_file_space_strategy()[0] == 1) == ("fs_strategy" in options)
        assert file.userblock_size == options.get("userblock_size", 0)
        assert file["twice"] == file["a"]
        assert file[file["compound"][0]["r"]] == file["a"]
        assert file[file.attrs["all"][1]].name == "/"
        assert not file["nothing"][0]
        assert file.get("elsewhere", getlink=True).filename == "other.h5"


def test_repack_is_refused_while_another_program_writes(two_steps: Path) -> None:
    with files.hold_lock(two_steps), pytest.raises(errors.LockedFileError):
        nwbpipe.repack(two_steps, lock_timeout=0.1)


def test_repack_that_stops_in_the_middle_leaves_the_old_file(
    two_steps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_repack, "require_same", stop)
    before = content(two_steps)
    with pytest.raises(KeyboardInterrupt):
        nwbpipe.repack(two_steps)
    assert content(two_steps) == before
    assert [one.name for one in two_steps.parent.glob(".*.partial")] == []
