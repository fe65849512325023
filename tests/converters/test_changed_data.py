"""What another program changes in converted data, or in the fields that name the session, is noticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from nwbpipe.converters import convert, load_spec, update_metadata
from nwbpipe.session import check, find_result_faults, read_records
from tests.converters import raw

Change = Callable[[h5py.File, str], None]


def change_sample(file: h5py.File, path: str) -> None:
    file[path]["timestamp"][0] += 1e-9


def change_type(file: h5py.File, path: str) -> None:
    values, attributes = file[path]["timestamp"][()], dict(file[path]["timestamp"].attrs)
    del file[path]["timestamp"]
    file[path].create_dataset("timestamp", data=values.astype(np.float32)).attrs.update(attributes)


def change_field(file: h5py.File, path: str) -> None:
    old = file[path].asstr()[()]
    del file[path]
    file[path] = f"2020{old[4:]}"


def test_a_change_of_converted_data_is_noticed(folder: Path) -> None:
    sources = {"log": raw.events()}
    path = convert(raw.write_spec(folder, sources), folder / "session.nwb", progress=False)
    spec = raw.write_spec(folder, sources, subject={**raw.SUBJECT, "strain": "new"})
    update_metadata(path, {**load_spec(spec).as_dict(), "stub": False})  # our own change is none
    report = check(path, deep=True)
    assert report.in_order
    assert not [finding for finding in report.findings if finding.kind == "result"]
    changed = Path(shutil.copy(path, folder / "changed.nwb"))
    ((output,),) = [record.outputs for record in read_records(path) if not record.superseded]
    changes: list[tuple[str, Change]] = [(output.path, change_sample), (output.path, change_type)]
    fields = ("/session_start_time", "/general/subject/subject_id", "/identifier")
    changes += [(field, change_field) for field in fields]
    for where, change in changes:
        shutil.copy(path, changed)
        with h5py.File(changed, "r+") as file:
            change(file, where)
            (record,) = [record for record in read_records(file) if not record.superseded]
            assert [fault.path for fault in find_result_faults(file, record)] == [where]
    report = check(changed)  # the fields are looked at each time, the data with --rehash and --deep
    (finding,) = [finding for finding in report.findings if finding.kind == "result"]
    assert (finding.where, finding.error) == ("/identifier", True)
    assert "--overwrite" in finding.hint
