"""Records as ndx-nwbpipe had them until 0.3.0: a dataset for each field of inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from nwbpipe.provenance import LOCATION, RunRecord, find_record_fault, read_records, rename_record, write_record
from nwbpipe.provenance._records import OBJECT_FIELDS
from tests.provenance.records import make_record


def write_columns(file: h5py.File, record: RunRecord) -> None:
    """Give a record's group the columns that it had before."""
    group = file[f"{LOCATION}/{record.name}"]
    for kind, objects in (("input", record.inputs), ("output", record.outputs)):
        del group[f"{kind}s"]
        for field in OBJECT_FIELDS:
            texts = [getattr(item, field) for item in objects]
            group.create_dataset(f"{kind}_{field}", data=texts, dtype=h5py.string_dtype())


@pytest.mark.parametrize("former", [(), (0,), (0, 1)])
def test_records_with_columns_are_read_and_renamed_as_others(tmp_path: Path, former: tuple[int, ...]) -> None:
    records = [make_record("first"), make_record("second", minute=1)]
    with h5py.File(tmp_path / "records.h5", "w") as file:
        for record in records:
            write_record(file, record)
        for number in former:
            write_columns(file, records[number])
        assert read_records(file) == records
        paths = {"/processing/ophys/x": "/processing/ophys/a/longer/name"}
        rename_record(
            file, records[1], "third", lambda path: paths.get(path, path), {paths["/processing/ophys/x"]: "77"}
        )
        first, third = read_records(file)
        assert third.step == "third"
        assert [output.path for output in first.outputs + third.outputs] == [*paths.values()] * 2
        assert [output.name for output in third.outputs] == ["name"]
        assert (first.outputs[0].identity, third.outputs[0].identity) == ("ef" * 32, "77")
        assert first.inputs == records[0].inputs
        assert not find_record_fault(first)
        assert not find_record_fault(third)


def test_a_record_takes_four_kilobytes(tmp_path: Path) -> None:
    """Each dataset takes 272 bytes, each group with a table of its own 1.9 kB, each heap of texts 4 kB."""
    with h5py.File(tmp_path / "records.h5", "w") as file:
        write_record(file, make_record("first"))
        file.flush()
        before = file.id.get_filesize()
        for minute in range(1, 21):
            write_record(file, make_record(f"step_{minute}", minute=minute))
        file.flush()
        assert file.id.get_filesize() - before < 20 * 6_000
