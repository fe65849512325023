"""What another program changes in converted data, or in the fields that name the session, is noticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from nwbpipe.converters import convert, load_spec, update_metadata
from nwbpipe.provenance import read_records
from nwbpipe.session import check, find_result_faults
from tests.converters import raw

TIMES = "/events/log/timestamp"


def change_sample(file: h5py.File) -> None:
    file[TIMES][0] += 1e-9


def change_type(file: h5py.File) -> None:
    values, attributes = file[TIMES][()], dict(file[TIMES].attrs)
    del file[TIMES]
    file.create_dataset(TIMES, data=values.astype(np.float32)).attrs.update(attributes)


def change_field(path: str, value: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = value

    return change


CHANGES = {
    "/events/log": (change_sample, change_type),
    "/session_start_time": (change_field("/session_start_time", "2020-05-01T10:00:00-04:00"),),
    "/general/subject/subject_id": (change_field("/general/subject/subject_id", "another"),),
    "/identifier": (change_field("/identifier", "another"),),
}


def test_a_change_of_converted_data_is_noticed(folder: Path) -> None:
    sources = {"log": raw.events()}
    path = convert(raw.write_spec(folder, sources), folder / "session.nwb", progress=False)
    spec = raw.write_spec(folder, sources, subject={**raw.SUBJECT, "strain": "new"})
    update_metadata(path, {**load_spec(spec).as_dict(), "stub": False})  # our own change is none
    report = check(path, deep=True)
    assert report.in_order
    assert not [finding for finding in report.findings if finding.kind == "result"]
    changed = Path(shutil.copy(path, folder / "changed.nwb"))
    for where, changes in CHANGES.items():
        for change in changes:
            shutil.copy(path, changed)
            with h5py.File(changed, "r+") as file:
                change(file)
                (record,) = [record for record in read_records(file) if not record.superseded]
                assert [fault.path for fault in find_result_faults(file, record)] == [where]
    report = check(changed)  # the fields are looked at each time, the data with --rehash and --deep
    (finding,) = [finding for finding in report.findings if finding.kind == "result"]
    assert (finding.where, finding.error) == ("/identifier", True)
    assert "--overwrite" in finding.hint
