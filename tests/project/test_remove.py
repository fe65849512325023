"""What no run wrote stays, whatever a run record says of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import TimeSeries

import nwbpipe
from nwbpipe import errors
from nwbpipe.converters._convert import list_results
from nwbpipe.provenance import ObjectRecord, RunRecord, add_record
from nwbpipe.session import SessionFile, carry_results
from nwbpipe.session._remove import remove_outputs
from tests.fixtures.processing import Scale, write_session
from tests.provenance.records import change_object

SCALED = "/processing/behavior/Scaled_scale"


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def object_id(path: Path, place: str) -> str:
    with h5py.File(path) as file:
        return str(file[place].attrs.get("object_id", ""))


@pytest.fixture
def processed(session_nwb: Path) -> Path:
    nwbpipe.process(session_nwb, Scale())
    return session_nwb


def exchange(path: Path, place: str = SCALED) -> str:
    """Put an object of a person in the place of a result; return its id."""
    module, name = place.split("/")[2:]
    with h5py.File(path, "r+") as file:
        del file[place]
    with nwbpipe.transaction(path) as nwbfile:
        own = TimeSeries(name=name, description="by hand", data=np.arange(5.0), unit="V", rate=1.0)
        nwbfile.processing[module].add(own)
    return str(own.object_id)


def forge(path: Path, place: str, identity: str) -> RunRecord:
    """Give the step's record another output."""
    with h5py.File(path, "r+") as file:
        (run,) = (run for name, run in file["general/nwbpipe"].items() if name.startswith("scale_"))
        change_object(run, "output", path=place, object_id=identity)
    (record,) = nwbpipe.read_records(path)
    return record


def test_an_object_of_a_person_in_the_place_of_a_result_stays(processed: Path) -> None:
    (record,) = nwbpipe.read_records(processed)
    own = exchange(processed)
    before = content(processed)
    with pytest.raises(errors.ResultExistsError, match="not a result that the step 'scale' wrote") as caught:
        nwbpipe.remove_step(processed, "scale")
    problem = caught.value.problem
    assert problem.where == f"{processed}:{SCALED}"
    assert record.outputs[0].object_id in str(problem.expected)
    assert own in str(problem.found)
    with pytest.raises(errors.ChangedResultError, match="another object stands in its place"):
        nwbpipe.process(processed, Scale(), params={"factor": 3.0}, replace=True)
    for refused in (
        lambda: nwbpipe.process(processed, Scale(), params={"factor": 3.0}, force=True),
        lambda: nwbpipe.rename_step(processed, "scale", "other"),
    ):
        with pytest.raises(errors.ResultExistsError, match="not a result that the step"):
            refused()
    assert content(processed) == before


@pytest.mark.parametrize(
    "place",
    [
        "/",
        "/acquisition",
        "/acquisition/lever",
        "/acquisition/lever/data",
        "/general",
        "/general/nwbpipe",
        "/general/subject",
        "/stimulus",
        "/processing",
        "/processing/behavior",
        "/processing/./behavior",
        "/processing/../acquisition/lever",
        "//acquisition/lever",
        "acquisition/lever",
        "/scratch/link/lever",
        "/scratch/link",
        "/scratch/alias/lever",
    ],
)
def test_what_is_no_place_of_results_stays_even_where_the_id_is_right(processed: Path, place: str) -> None:
    with h5py.File(processed, "r+") as file:
        scratch = file.require_group("scratch")
        scratch["link"] = h5py.SoftLink("/acquisition")
        scratch["alias"] = file["acquisition"]
        exists = place in file
    record = forge(processed, place, object_id(processed, place) if exists else "")
    with h5py.File(processed, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        if exists:
            with pytest.raises(errors.ResultExistsError, match="not a result"):
                remove_outputs(file, record)
        else:
            with pytest.raises(errors.ChangedResultError, match="its record was changed"):
                remove_outputs(file, record)
        left: list[str] = []
        file.visit(left.append)
        assert left == names


def test_what_the_conversion_wrote_stays(processed: Path) -> None:
    (record,) = nwbpipe.read_records(processed)
    conversion = replace(record, step="convert", processor="convert", run_id="c" * 32, inputs=())
    with nwbpipe.transaction(processed) as nwbfile:
        add_record(nwbfile, conversion)
    with pytest.raises(errors.ResultExistsError, match="from the conversion"):
        nwbpipe.remove_step(processed, "scale")
    assert object_id(processed, SCALED) == record.outputs[0].object_id


def test_results_that_were_renamed_repacked_or_carried_over_can_be_removed(processed: Path, tmp_path: Path) -> None:
    nwbpipe.rename_step(processed, "scale", "other")
    nwbpipe.repack(processed)
    (record,) = nwbpipe.read_records(processed)
    conversion = replace(record, step="convert", processor="convert", run_id="c" * 32, inputs=(), outputs=())
    new = write_session(tmp_path / "new.nwb", "lever")
    with nwbpipe.transaction(new) as nwbfile:
        add_record(nwbfile, conversion)
    assert carry_results(SessionFile.at(processed), new, conversion) == ["other"]
    for path in (processed, new):
        assert nwbpipe.process(path, Scale(), step="other", params={"factor": 3.0}, replace=True).computed
        assert nwbpipe.remove_step(path, "other").paths == ("/processing/behavior/Scaled_other",)


def test_a_new_conversion_takes_no_object_of_a_person_for_what_was_there_before(
    processed: Path, tmp_path: Path
) -> None:
    (record,) = nwbpipe.read_records(processed)
    with h5py.File(processed) as file:
        module = file["processing/behavior"].attrs["object_id"]
    converted = ObjectRecord("events: behavior", "/processing/behavior", module, "ProcessingModule")
    conversion = replace(
        record, step="convert", processor="convert", run_id="c" * 32, inputs=(), outputs=(converted,)
    )
    nwbpipe.remove_step(processed, "scale")
    with nwbpipe.transaction(processed) as nwbfile:
        nwbfile.create_processing_module("behavior", "d").add(
            TimeSeries(name="Scaled_scale", description="by hand", data=np.arange(5.0), unit="V", rate=1.0)
        )
        add_record(nwbfile, conversion)
    assert SCALED in list_results(processed)
    new = write_session(tmp_path / "new.nwb", "lever")
    with nwbpipe.transaction(new) as nwbfile:
        add_record(nwbfile, conversion)
    with pytest.raises(errors.OverwriteError, match=f"no run record names\n.*\n.*{SCALED}"):
        carry_results(SessionFile.at(processed), new, conversion)
