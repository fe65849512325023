"""A result that somebody changed after its run is noticed, named, and kept until it is named with --force."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import errors
from nwbpipe.project.plan._changes import describe_changes, describe_taken_names
from nwbpipe.provenance import find_current_record, own_name, parameters_hash
from nwbpipe.provenance._write_records import write_text
from nwbpipe.run import verify_run
from nwbpipe.session import SessionFile, check, find_result_faults, remove_step, rename_step, repack
from nwbpipe.session._read_through import read_through
from tests.fixtures.processing import Scale, write_session
from tests.provenance.records import change_object

FIRST, SECOND = "/processing/behavior/Scaled_first", "/processing/behavior/Scaled_second"
Change = Callable[[h5py.File], object]


@pytest.fixture(scope="module")
def processed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processed")
    path = write_session(folder / "session.nwb", "lever", "paw")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(folder / name.lower()))
        nwbpipe.process(path, Scale(), step="first", inputs={"series": "lever"})
        nwbpipe.process(path, Scale(), step="second", inputs={"series": FIRST})
    return path


@pytest.fixture
def processed(processed_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(processed_once, tmp_path / "session.nwb"))


class Undeclared(Scale):
    """A processor that does not say what it writes: any name of a result may be one of its."""

    containers: ClassVar[tuple[str, ...] | None] = None


def list_faults(path: Path) -> Iterator[str]:
    with SessionFile.at(path).open() as reader:
        for record in reader.records:
            for fault in find_result_faults(reader.file, record) if not record.superseded else ():
                yield f"{record.step} {fault.path}: {fault.what}"


def record_group(file: h5py.File, step: str) -> h5py.Group:
    runs = file["general/nwbpipe"]
    return next(runs[name] for name in runs if name.startswith(f"{step}_"))


def change_sample(file: h5py.File) -> None:
    file[FIRST]["data"][7, 1] += 1e-9


def exchange_values(file: h5py.File) -> None:
    first, second = file[FIRST]["data"][()], file[SECOND]["data"][()]
    file[FIRST]["data"][...], file[SECOND]["data"][...] = second, first


def exchange_objects(file: h5py.File) -> None:
    file.move(FIRST, "/held")
    file.move(SECOND, FIRST)
    file.move("/held", SECOND)


def shorten(file: h5py.File) -> None:
    data = file[FIRST]["data"]
    values, attributes = data[:-1], dict(data.attrs)
    del file[FIRST]["data"]
    file[FIRST]["data"] = values
    file[FIRST]["data"].attrs.update(attributes)


def change_type(file: h5py.File) -> None:
    data = file[FIRST]["data"]
    values, attributes = data[()].astype("f4"), dict(data.attrs)
    del file[FIRST]["data"]
    file[FIRST]["data"] = values
    file[FIRST]["data"].attrs.update(attributes)


def link_elsewhere(file: h5py.File) -> None:
    del file[FIRST]["data"]
    file[FIRST]["data"] = h5py.SoftLink("/acquisition/lever/data")


def forge_parameter(file: h5py.File) -> None:
    group = record_group(file, "first")
    write_text(group, "parameters", json.dumps({**json.loads(group["parameters"][()]), "factor": 3.0}))


def forge_parameter_and_hash(file: h5py.File) -> None:
    forge_parameter(file)
    group = record_group(file, "first")
    group.attrs["parameters_hash"] = parameters_hash(json.loads(group["parameters"][()]))


def forge_input(file: h5py.File) -> None:
    change_object(record_group(file, "first"), "input", path="/acquisition/paw")


def forge_identity(file: h5py.File) -> None:
    change_sample(file)
    change_object(record_group(file, "first"), "output", identity="0" * 64)


def remove_digest(file: h5py.File) -> None:
    del record_group(file, "first").attrs["record_digest"]


CHANGES: dict[str, tuple[Change, str]] = {
    "a sample": (change_sample, "changed its content"),
    "zeroes": (lambda file: file[FIRST]["data"].write_direct(np.zeros((100, 3))), "changed its content"),
    "a rate": (lambda file: file[FIRST]["starting_time"].attrs.modify("rate", 20.0), "changed its content"),
    "a unit": (lambda file: file[FIRST]["data"].attrs.modify("unit", "mV"), "changed its content"),
    "values exchanged": (exchange_values, "changed its content"),
    "objects exchanged": (exchange_objects, "another object"),
    "a sample less": (shorten, "changed its content"),
    "another type": (change_type, "changed its content"),
    "a link instead of data": (link_elsewhere, "changed its content"),
    "a parameter": (forge_parameter, "the parameters in its record"),
    "a parameter and its hash": (forge_parameter_and_hash, "its record was changed: key, parameters"),
    "an input": (forge_input, "its record was changed"),
    "an identity": (forge_identity, "its record was changed"),
    "the digest removed": (remove_digest, "lost its digest"),
    "the key": (lambda file: record_group(file, "first").attrs.modify("key", "0" * 64), "its record was changed"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_noticed(processed: Path, name: str) -> None:
    change, expected = CHANGES[name]
    assert not list(list_faults(processed))
    with h5py.File(processed, "r+") as file:
        change(file)
    faults = list(list_faults(processed))
    assert faults
    assert any(fault.startswith("first ") and expected in fault for fault in faults), faults


def test_what_is_no_change_is_no_fault(processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        file["acquisition/lever"].attrs["comments"] = "elsewhere"
        file[FIRST].attrs["description"] = "another text"
        file["acquisition/paw/data"][...] = 0
    with nwbpipe.transaction(processed) as nwbfile:
        nwbfile.create_processing_module("ophys", "of a person")
    repack(processed)
    rename_step(processed, "first", "renamed")
    assert not list(list_faults(processed))


def test_a_rename_does_not_hide_a_change(processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        change_sample(file)
    rename_step(processed, "first", "renamed")
    assert [fault.partition(" ")[0] for fault in list_faults(processed)] == ["renamed"]


def test_check_names_what_was_changed(processed: Path) -> None:
    assert check(processed, rehash=True).in_order
    with h5py.File(processed, "r+") as file:
        change_sample(file)
        forge_parameter(file)
    report = check(processed)
    assert not report.in_order
    findings = {finding.where: finding for finding in report.findings if finding.kind == "result"}
    assert "changed its content" in findings[FIRST].what
    assert any("parameters" in finding.what and "nwbpipe/first_" in finding.where for finding in findings.values())
    assert all(finding.error and "--force" in finding.hint for finding in findings.values())


def test_process_names_it_and_replaces_it_by_force_alone(processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        change_sample(file)
    before = processed.read_bytes()
    for options in ({}, {"replace": True}, {"replace": True, "params": {"factor": 3.0}}):
        with pytest.raises(errors.ChangedResultError, match=f"(?s){FIRST}.*--force"):
            nwbpipe.process(processed, Scale(), step="first", inputs={"series": "lever"}, **options)
    with pytest.raises(errors.ChangedResultError, match="--force"):
        remove_step(processed, "first", cascade=True)
    assert processed.read_bytes() == before
    assert nwbpipe.process(processed, Scale(), step="first", inputs={"series": "lever"}, force=True).computed
    assert not list(list_faults(processed))


def test_removal_by_force_is_of_the_named_step_alone(processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        file[SECOND]["data"][0, 0] = 5
    with pytest.raises(errors.ChangedResultError, match="second"):
        remove_step(processed, "first", cascade=True, force=True)
    remove_step(processed, "second", force=True)
    assert remove_step(processed, "first").steps == ("first",)


def test_an_object_in_the_place_of_a_result_stays(processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        exchange_objects(file)
    with pytest.raises(errors.ChangedResultError, match="another object stands"):
        nwbpipe.process(processed, Scale(), step="first", inputs={"series": "lever"})
    with pytest.raises(errors.ResultExistsError, match="not a result that the step"):
        remove_step(processed, "first", cascade=True, force=True)


def test_the_plan_says_so_and_runs_nothing(processed: Path) -> None:
    def describe() -> list[str]:
        snapshot = SessionFile.at(processed).snapshot()

        def identify(name: str) -> str:
            return SessionFile.at(processed).identity(name).identity

        return [describe_changes(record, snapshot, identify) for record in snapshot.records]

    assert describe() == ["", ""]
    with h5py.File(processed, "r+") as file:
        change_sample(file)
        record_group(file, "second").attrs["key"] = "0"
    first, second = describe()
    assert "another program changed /processing/behavior/Scaled_first" in first
    assert "its record was changed" in second


@pytest.mark.parametrize("mark", ["0" * 32, "removed", "second"])
def test_a_false_mark_hides_no_result(processed: Path, mark: str) -> None:
    with h5py.File(processed, "r+") as file:
        by = record_group(file, "second").attrs["run_id"] if mark == "second" else mark
        record_group(file, "first").attrs["superseded_by"] = by
        change_sample(file)
    faults = list(list_faults(processed))
    assert [fault.partition(" ")[0] for fault in faults] == ["first", "first"]
    assert "marked as" in faults[0]
    assert not check(processed).in_order
    with pytest.raises(errors.ChangedResultError, match="marked as"):
        nwbpipe.process(processed, Scale(), step="first", inputs={"series": "lever"})
    assert nwbpipe.process(processed, Scale(), step="first", inputs={"series": "lever"}, force=True).computed
    assert check(processed).in_order


def test_an_object_with_the_name_of_a_result_is_refused_before_the_computation(
    processed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/processing/behavior/Scaled_third"
    with h5py.File(processed, "r+") as file:
        file.copy(FIRST, file["processing/behavior"], name="Scaled_third")
        file[path].attrs["object_id"] = "11111111-1111-4111-8111-111111111111"
    assert path in describe_taken_names(SessionFile.at(processed).snapshot(), Scale(), "third")
    assert not describe_taken_names(SessionFile.at(processed).snapshot(), Scale(), "first")
    before = processed.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("nwbpipe.run._pending_run.PendingRun.compute", None)
        with pytest.raises(errors.ResultExistsError, match=f"(?s)third.*{path}.*--step"):
            nwbpipe.process(processed, Scale(), step="third", inputs={"series": "paw"})
    with monkeypatch.context() as patch:  # a name that is known only as it is written
        patch.setattr("nwbpipe.run._prepare.find_taken_names", lambda *_: [])
        with pytest.raises(errors.ResultExistsError, match=r"(?s)Scaled_third.*--step"):
            nwbpipe.process(processed, Scale(), step="third", inputs={"series": "paw"})
    assert processed.read_bytes() == before
    assert nwbpipe.process(processed, Scale(), step="fourth", inputs={"series": "paw"}).computed


def test_an_object_that_only_ends_like_a_result_is_in_nobodys_way(processed: Path) -> None:
    with h5py.File(processed, "r+") as file:
        for number, name in enumerate(("Notes_first", "Notes_third")):
            file.copy(FIRST, file["processing/behavior"], name=name)
            file["processing/behavior"][name].attrs["object_id"] = f"{number}1111111-1111-4111-8111-111111111111"
    snapshot = SessionFile.at(processed).snapshot()
    assert [describe_taken_names(snapshot, Scale(), step) for step in ("first", "third")] == ["", ""]
    assert "Notes_third" in describe_taken_names(snapshot, Undeclared(), "third")
    with pytest.raises(errors.ResultExistsError, match="Notes_third"):
        nwbpipe.process(processed, Undeclared(), step="third", inputs={"series": "paw"})
    assert nwbpipe.process(processed, Scale(), step="third", inputs={"series": "paw"}).computed
    assert not nwbpipe.process(processed, Scale(), step="first", inputs={"series": "lever"}).computed


def test_a_result_of_a_moment_ago_is_not_read_again(processed: Path) -> None:
    nwbpipe.process(processed, Scale(), step="third", inputs={"series": "paw"})
    known = SessionFile.at(processed).look_up_identity(own_name("/processing/behavior/Scaled_third"))
    record = find_current_record(SessionFile.at(processed).snapshot().records, "third")
    assert known is not None
    assert record is not None
    assert known.identity == record.outputs[0].identity


def test_a_run_is_verified_with_its_own_threads(processed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    compute = nwbpipe.run._pending_run.PendingRun.compute  # type: ignore[attr-defined]

    def note(self: object, environment: object, threads: int, *rest: object) -> object:
        asked.append(threads)
        return compute(self, environment, threads, *rest)

    monkeypatch.setattr("nwbpipe.run._pending_run.PendingRun.compute", note)
    monkeypatch.setattr("nwbpipe.run._verify.processor", lambda _: Scale())
    nwbpipe.process(processed, Scale(), step="third", inputs={"series": "paw"}, threads=3)
    assert all(difference.ok for difference in verify_run(processed, "third"))
    verify_run(processed, "third", threads=1)
    assert asked == [3, 3, 1]


def test_records_of_the_first_version_stay_valid(tmp_path: Path) -> None:
    path = tmp_path / "session.nwb"
    data = Path(__file__).parents[1] / "data" / "session_0_1" / "session.nwb.xz"
    path.write_bytes(lzma.decompress(data.read_bytes()))
    assert not list(list_faults(path))
    with h5py.File(path, "r+") as file:
        group = next(iter(file["general/nwbpipe"].values()))
        step = group.attrs["step"]
        group["parameters"][()] = json.dumps({"other": 1})
    assert [fault.partition(" ")[0] for fault in list_faults(path)] == [step]


def flip_bit(path: Path, place: str, *, at: float = 0.5) -> None:
    """Flip a bit of a dataset's stored bytes, as a bad disk does: sizes and times of the file may stay."""
    with h5py.File(path) as file:
        dataset = file[place]
        if dataset.chunks:
            info = dataset.id.get_chunk_info(dataset.id.get_num_chunks() // 2)
            start, size = info.byte_offset, info.size
        else:
            start, size = dataset.id.get_offset(), dataset.id.get_storage_size()
    with path.open("r+b") as raw:
        raw.seek(start + int(size * at))
        byte = raw.read(1)[0]
        raw.seek(start + int(size * at))
        raw.write(bytes([byte ^ 0x10]))


def test_a_deep_check_names_the_datasets_that_a_flipped_bit_has_hit(processed: Path) -> None:
    lever, paw = "/acquisition/lever/data", "/acquisition/paw/data"
    with h5py.File(processed, "r+") as file:
        for place, options in ((lever, {"compression": "gzip"}), (paw, {"fletcher32": True})):
            values, attributes = file[place][()], dict(file[place].attrs)
            del file[place]
            file.create_dataset(place, data=values, chunks=(20, 3), **options).attrs.update(attributes)

    def read(path: Path) -> tuple[set[str], tuple[str, ...]]:
        with SessionFile.at(path).open() as reader:
            found = read_through(reader.file, [FIRST, SECOND])
            return set(found.damaged), found.unprotected

    damaged, unprotected = read(processed)
    assert not damaged
    assert "/acquisition/lever/starting_time" in unprotected
    assert not {lever, paw} & set(unprotected)
    assert f"{FIRST}/data" not in unprotected
    for place in (lever, paw, f"{FIRST}/data"):
        flip_bit(processed, place)
    assert read(processed)[0] == {lever, paw}
    report = check(processed, deep=True)
    assert {finding.where for finding in report.findings if finding.kind == "damage" and finding.error} == {
        lever,
        paw,
    }
    assert FIRST in {finding.where for finding in report.findings if finding.kind == "result"}
    assert any("have neither a checksum" in finding.what for finding in report.findings)
