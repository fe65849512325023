"""Runs in a file with many results do no more work than the first ones."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from hdmf.backends.hdf5 import HDF5IO
from hdmf.common import DynamicTable, VectorData

import nwbpipe
from nwbpipe import Context, Results, errors
from nwbpipe.files import translate_damage
from nwbpipe.provenance import ObjectRecord, _records, read_records, write_objects
from nwbpipe.session import check
from tests.fixtures.processing import Scale, write_session

MODULE, RUNS = "processing/behavior", "general/nwbpipe"


def add_copies(path: Path, count: int) -> None:
    """Add copies of the result of the step "scale", and of its record, under other names and ids."""
    with h5py.File(path, "r+") as file:
        module, runs = file[MODULE], file[RUNS]
        record = next(name for name in runs if name.startswith("scale_"))
        for number in range(count):
            step, run_id, object_id = f"copy{number}", uuid.uuid4().hex, str(uuid.uuid4())
            file.copy(module["Scaled_scale"], module, name=f"Scaled_{step}")
            module[f"Scaled_{step}"].attrs["object_id"] = object_id
            file.copy(runs[record], runs, name=f"{step}_{run_id[:8]}")
            copy = runs[f"{step}_{run_id[:8]}"]
            copy.attrs.update({"object_id": str(uuid.uuid4()), "run_id": run_id, "step": step})
            write_objects(
                copy, "output", [ObjectRecord("Scaled", f"/{MODULE}/Scaled_{step}", object_id, "TimeSeries")]
            )


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = write_session(tmp_path / "session.nwb", "lever", "paw")
    nwbpipe.process(path, Scale(), inputs={"series": "lever"})
    add_copies(path, 40)
    return path


class Counting(Scale):
    """Counts the objects that pynwb reads before a result is added."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = 0

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        self.objects = len(list(nwbfile.all_children()))
        super().write(nwbfile, results, context)


def test_a_later_run_does_no_more_work(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    read_record, set_attributes = _records._read_record, HDF5IO.set_attributes

    def count_records(*arguments: Any) -> Any:
        counts["records"] += 1
        return read_record(*arguments)

    def count_attributes(self: Any, obj: Any, attributes: Any) -> None:
        counts[obj.name] += 1
        set_attributes(self, obj, attributes)

    monkeypatch.setattr(_records, "_read_record", count_records)
    monkeypatch.setattr(HDF5IO, "set_attributes", count_attributes)
    size = many.stat().st_size
    method = Counting()
    assert nwbpipe.process(many, method, step="later", inputs={"series": "paw"}).computed
    assert counts.pop("records", 0) == 0  # those of other steps are not read
    assert method.objects < 12  # the file, its subject, the module, and two series: not 41 results
    old = [name for name in counts if "Scaled_later" not in name and counts[name]]
    assert old in ([], ["/"]), old  # hdmf writes no attribute of what was there before
    assert many.stat().st_size - size < 18_000  # two heaps of 4 kB for texts, at worst
    assert nwbpipe.process(many, method, step="later", inputs={"series": "paw"}).computed is False
    assert check(many).in_order is False  # of the copies, only the ids were changed in their records
    with h5py.File(many) as file:
        assert len(read_records(file)) == 42


def test_a_result_that_is_an_input_is_there_with_all_that_it_leads_to(many: Path) -> None:
    with h5py.File(many, "r+") as file:  # a series whose data are those of another result
        module = file[MODULE]
        file.copy(module["Scaled_copy3"], module, name="Scaled_linked")
        module["Scaled_linked"].attrs["object_id"] = str(uuid.uuid4())
        del module["Scaled_linked/data"]
        module["Scaled_linked/data"] = h5py.SoftLink(f"/{MODULE}/Scaled_copy7/data")

    class Reading(Scale):
        objects: frozenset[str] = frozenset()

        def write(self, nwbfile: Any, results: Results, context: Context) -> None:
            Reading.objects = frozenset(nwbfile.processing["behavior"].data_interfaces)
            super().write(nwbfile, results, context)

    nwbpipe.process(many, Reading(), step="next", inputs={"series": f"{MODULE}/Scaled_linked"})
    assert {"Scaled_linked", "Scaled_copy7"} <= Reading.objects
    assert "Scaled_copy5" not in Reading.objects


def test_what_a_person_added_may_refer_to_a_result_that_is_not_read(many: Path) -> None:
    with nwbpipe.transaction(many) as nwbfile:
        results = nwbfile.processing["behavior"].data_interfaces
        column = VectorData(name="series", description="d", data=[results["Scaled_copy5"], results["Scaled_copy6"]])
        nwbfile.add_analysis(DynamicTable(name="notes", description="of a person", columns=[column]))
    nwbpipe.process(many, Scale(), step="later", inputs={"series": "paw"})
    with nwbpipe.read(many) as nwbfile:
        table = nwbfile.analysis["notes"]
        assert [series.name for series in table["series"].data[:]] == ["Scaled_copy5", "Scaled_copy6"]
        assert table["series"].data[0].parent.name == "behavior"
        assert "Scaled_later" in nwbfile.processing["behavior"].data_interfaces


def test_the_bytes_of_a_result_that_is_replaced_stay_for_a_reader_without_a_lock(many: Path) -> None:
    with h5py.File(many) as file:
        data = file[f"{MODULE}/Scaled_scale/data"]
        offset, size = data.id.get_offset() or data.id.get_chunk_info(0).byte_offset, data.id.get_storage_size()
    before = many.read_bytes()[offset : offset + size]
    nwbpipe.process(many, Scale(), inputs={"series": "lever"}, params={"factor": 9.0}, replace=True)
    assert many.read_bytes()[offset : offset + size] == before
    with h5py.File(many) as file:
        assert file[f"{MODULE}/Scaled_scale/data"][()].tobytes()[:16] not in before


class Copying(Scale):
    """Its result has the name of a result of another step."""

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        super().write(nwbfile, results, replace(context, step="copy3"))


def test_the_name_of_an_object_that_was_not_read_is_no_damage(many: Path) -> None:
    before = many.read_bytes()
    with pytest.raises(errors.ResultExistsError, match=r"(?s)name of a result already.*--step NAME"):
        nwbpipe.process(many, Copying(), step="later", inputs={"series": "paw"})
    assert many.read_bytes() == before


def test_what_a_caller_asks_of_hdf5_in_vain_is_no_damage(many: Path) -> None:
    with h5py.File(many, "r+") as file, pytest.raises(ValueError, match="already exists"), translate_damage(many):
        file.create_group(f"{MODULE}/Scaled_copy3")
    with h5py.File(many) as file, pytest.raises(ValueError, match="no write intent"), translate_damage(many):
        file.create_group("new")
