"""ClockAlignment: round trips, readers without nwbpipe, and files that a former version of the extension wrote."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import DamagedFileError
from nwbpipe.extensions import ClockAlignment
from nwbpipe.provenance import AlignmentRecord, ObjectRecord, add_alignment, add_record, read_alignments
from nwbpipe.provenance._records import OBJECT_FIELDS
from nwbpipe.session import read_records
from tests.fixtures.nwb import empty_session
from tests.provenance.records import make_record

FORMER = Path(__file__).parent / "ndx-nwbpipe-0.1.0"


def alignment(clock: str = "camera", **changes: object) -> AlignmentRecord:
    record = AlignmentRecord(
        clock=clock,
        reference="probe",
        method="pulses",
        verdict="accepted",
        anchor="intervals",
        pulses="file é.csv, column t",
        reference_pulses="source sync, bit 0",
        repair="",
        n_matched=100,
        n_missed=2,
        n_extra=3,
        offset_s=-312.25,
        drift_ppm=42.5,
        drift_error_ppm=0.25,
        residual_median_s=1e-5,
        residual_95_s=3e-5,
        residual_max_s=8e-5,
        tolerance_s=math.nan,
        knots=np.array([[0.0, 1.0], [10.0, 11.5], [20.0, 21.5]]),
        residuals=np.array([[1.0, 1e-5], [2.0, -1e-5]]),
    )
    return dataclasses.replace(record, **changes)


def assert_same(one: AlignmentRecord, two: AlignmentRecord) -> None:
    for field in dataclasses.fields(AlignmentRecord):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    nwbfile = empty_session("A mouse runs on a wheel.")
    add_record(nwbfile, make_record(step="convert", processor="convert"))
    add_alignment(nwbfile, alignment())
    add_alignment(nwbfile, alignment("rig", residuals=np.empty((0, 2)), tolerance_s=0.001))
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwbfile)
    return tmp_path / "a.nwb"


def test_round_trip(path: Path) -> None:
    with h5py.File(path) as file:
        first, second = read_alignments(file)
    assert_same(first, alignment())
    assert_same(second, alignment("rig", residuals=np.empty((0, 2)), tolerance_s=0.001))
    with NWBHDF5IO(path, "r") as io:
        container = io.read().lab_meta_data["nwbpipe"].get_clock_alignment("clock_camera")
        assert isinstance(container, ClockAlignment)
        assert container.n_matched == 100
        np.testing.assert_array_equal(container.knots[:], alignment().knots)
    assert validate(path=str(path)) == []


def test_nwbinspector_finds_nothing(path: Path) -> None:
    from nwbinspector import Importance, inspect_nwbfile

    importance = Importance.BEST_PRACTICE_SUGGESTION
    assert list(inspect_nwbfile(nwbfile_path=path, importance_threshold=importance)) == []


def test_a_damaged_alignment_is_named(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["general/nwbpipe/clock_camera"].attrs["drift_ppm"]
        with pytest.raises(DamagedFileError, match="alignment can't be read"):
            read_alignments(file)


def test_log_shows_it(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["nwbpipe", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    text = said("log", str(path))
    assert "clock camera: pulses, accepted; 100 matched, 2 missed, 3 extra" in text
    assert "drift +42.500 ± 0.250 ppm, 2 pieces" in text
    assert "(tolerance 1 ms)" in text
    (record,) = json.loads(said("log", str(path), "--json"))
    camera, rig = record["clocks"]
    assert camera["offset_s"] == -312.25
    assert camera["tolerance_s"] is None
    assert rig["tolerance_s"] == 0.001
    assert len(camera["knots"]) == 3


def test_a_figure_can_be_drawn(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from nwbpipe.converters import draw_alignments

    with h5py.File(path) as file:
        figure = draw_alignments(read_alignments(file))
    figure.savefig(tmp_path / "a.png")
    assert len(figure.axes) == 6
    assert "camera" in figure.axes[0].get_title()
    assert (tmp_path / "a.png").stat().st_size > 10_000


def write_former(path: Path) -> None:
    """Write a file with the extension's version 0.1.0, by a Python that can't import nwbpipe."""
    code = f"""
import sys
sys.modules["nwbpipe"] = None
import numpy as np
from datetime import UTC, datetime
from pynwb import NWBHDF5IO, NWBFile, get_class, load_namespaces
from pynwb.file import Subject
load_namespaces({str(FORMER / "ndx-nwbpipe.namespace.yaml")!r})
Provenance, Run = (get_class(name, "ndx-nwbpipe") for name in ("Provenance", "ProcessingRun"))
texts = "key run_id step processor tool tool_version parameters_hash host python exit_state compute_digest software"
values = {{name: name for name in texts.split()}}
time = "2024-05-01T10:00:00.000000+00:00"
run = Run(name="step_run_id", revision=np.int64(1), started=time, ended=time, superseded_by="", parameters="{{}}",
          packages="{{}}", resources="{{}}", sources="[]", **values,
          **{{f"input_{{field}}": [field] for field in ("name", "path", "object_id", "neurodata_type", "identity")}})
nwbfile = NWBFile("a session", "id", datetime(2024, 5, 1, 10, tzinfo=UTC), session_id="s1")
nwbfile.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")
container = Provenance()
container.add_processing_runs(run) if hasattr(container, "add_processing_runs") else container.add_processing_run(run)
nwbfile.add_lab_meta_data(container)
with NWBHDF5IO({str(path)!r}, "w") as io:
    io.write(nwbfile)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_file_of_the_former_version_opens_and_takes_new_records(tmp_path: Path) -> None:
    path = tmp_path / "former.nwb"
    write_former(path)
    with h5py.File(path) as file:
        assert list(file["specifications/ndx-nwbpipe"]) == ["0.1.0"]
        (record,) = read_records(file)
        assert (record.step, record.inputs) == ("step", (ObjectRecord(*OBJECT_FIELDS),))
        assert read_alignments(file) == []
    with nwbpipe.read(path) as nwbfile:
        assert nwbfile.lab_meta_data["nwbpipe"].processing_runs["step_run_id"].key == "key"
    with nwbpipe.transaction(path) as nwbfile:
        add_record(nwbfile, make_record())
        add_alignment(nwbfile, alignment())
    with h5py.File(path) as file:
        assert "0.5.0" in file["specifications/ndx-nwbpipe"]
        assert len(read_records(file)) == 2
        (found,) = read_alignments(file)
    assert_same(found, alignment())
    assert validate(path=str(path)) == []
    # And a reader without nwbpipe reads all of it by the specs in the file.
    code = f"""
import sys
sys.modules["nwbpipe"] = None
from pynwb import NWBHDF5IO
with NWBHDF5IO({str(path)!r}, "r") as io:
    container = io.read().lab_meta_data["nwbpipe"]
    print(len(container.processing_runs), container.clock_alignments["clock_camera"].n_matched)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "100"]
