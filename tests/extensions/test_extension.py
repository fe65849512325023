"""The extension ndx-nwbpipe: round trips, readers without nwbpipe, validity."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries, validate

from nwbpipe.extensions import ProcessingRun, Provenance
from nwbpipe.provenance import add_record
from nwbpipe.session import read_records
from tests.fixtures.nwb import empty_session
from tests.provenance.records import make_record


def session() -> NWBFile:
    nwbfile = empty_session("A mouse runs on a wheel.")
    nwbfile.add_acquisition(
        TimeSeries(name="speed", description="Speed.", data=np.arange(100.0), unit="m/s", rate=10.0)
    )
    return nwbfile


def write(path: Path, nwbfile: NWBFile) -> Path:
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def append(path: Path, *records: object) -> None:
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        for record in records:
            add_record(nwbfile, record)
        io.write(nwbfile)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "session.nwb", session())


def test_round_trip_through_pynwb(tmp_path: Path) -> None:
    nwbfile = session()
    record = make_record()
    add_record(nwbfile, record)
    path = write(tmp_path / "new.nwb", nwbfile)
    with NWBHDF5IO(path, "r") as io:
        container = io.read().lab_meta_data["nwbpipe"]
        assert isinstance(container, Provenance)
        run = container.get_processing_run(record.name)
        assert isinstance(run, ProcessingRun)
        assert run.key == record.key
        assert run.revision == 2
        assert run.seed == 2**40
        assert run.superseded_by == ""
        assert run.started == "2024-05-01T10:00:00.000000+00:00"
        assert json.loads(run.parameters) == record.parameters
        assert [item["path"] for item in json.loads(run.inputs)] == ["/acquisition/é", "/acquisition/b"]
        assert [item["identity"] for item in json.loads(run.outputs)] == ["ef" * 32]
    with h5py.File(path) as file:
        assert f"/general/nwbpipe/{record.name}" in file
        assert file["specifications/ndx-nwbpipe"]  # cached


def test_append_to_a_file_with_and_without_a_container(path: Path) -> None:
    first, second, third = (make_record(minute=minute) for minute in range(3))
    append(path, first)
    append(path, second)
    append(path, third)
    assert read_records(path) == [first, second, third]
    assert validate(path=str(path)) == []


def image(group: h5py.Group) -> dict[str, object]:
    """Every byte of a group's attributes and datasets."""
    found: dict[str, object] = {
        f"{group.name}@{name}": (group.attrs.get_id(name).dtype, repr(value)) for name, value in group.attrs.items()
    }
    for name, child in group.items():
        if isinstance(child, h5py.Group):
            found |= image(child)
        else:
            found[child.name] = (child.dtype, child.shape, repr(child[()]), child.id.get_offset())
            found |= {f"{child.name}@{key}": repr(value) for key, value in child.attrs.items()}
        found[f"{group.name}/{name} at"] = h5py.h5o.get_info(child.id).addr
    return found


def test_a_later_record_leaves_the_earlier_ones_as_they_are(path: Path) -> None:
    records = [make_record(minute=minute) for minute in range(3)]
    append(path, records[0])
    append(path, records[1])
    with h5py.File(path) as file:
        before = image(file["general/nwbpipe"])
    append(path, records[2])
    with h5py.File(path) as file:
        after = image(file["general/nwbpipe"])
    assert len(after) > len(before) > 60
    assert {name: after[name] for name in before} == before


def test_a_reader_without_nwbpipe_opens_it(path: Path) -> None:
    record = make_record()
    append(path, record)
    # -I and a blocked import: neither the checkout nor an installed nwbpipe can help.
    code = f"""
import sys, warnings
sys.modules["nwbpipe"] = None
warnings.simplefilter("error")
from pynwb import NWBHDF5IO
try:
    import nwbpipe
except ImportError:
    pass
else:
    raise SystemExit("nwbpipe was importable")
with NWBHDF5IO({str(path)!r}, "r") as io:
    run = io.read().lab_meta_data["nwbpipe"].processing_runs[{record.name!r}]
    print(run.key, type(run).__name__, run.inputs[:9], run.seed)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=2) == [record.key, "ProcessingRun", f'[{{"identi {2**40}\n']


def test_pynwb_and_nwbinspector_find_nothing(path: Path) -> None:
    from nwbinspector import Importance, inspect_nwbfile

    append(path, make_record())
    append(path, make_record(minute=1, inputs=(), outputs=(), seed=None, sources=(), superseded_by="removed"))
    assert validate(path=str(path)) == []
    found = list(inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.BEST_PRACTICE_SUGGESTION))
    assert found == []


def test_a_megabyte_of_parameters(path: Path) -> None:
    record = make_record(parameters={"mask": list(range(150_000)), "text": "é" * 100_000})
    append(path, record)
    (read,) = read_records(path)
    assert read == record
    with h5py.File(path) as file:
        assert len(file[f"general/nwbpipe/{record.name}/parameters"][()]) > 1_000_000
    with NWBHDF5IO(path, "r") as io:
        run = io.read().lab_meta_data["nwbpipe"].processing_runs[record.name]
        assert json.loads(run.parameters) == record.parameters


def test_the_container_has_one_name() -> None:
    with pytest.raises(ValueError, match="named 'nwbpipe'"):
        Provenance(name="other")


def test_our_schema_is_read_as_by_hdmf() -> None:
    """YAML 1.1 and 1.2 take some words for different values."""
    from importlib.resources import files

    from hdmf.spec.namespace import YAMLSpecReader

    from nwbpipe.extensions import _SpecReader

    folder = str(files("nwbpipe.extensions") / "spec")
    ours, theirs = _SpecReader(indir=folder), YAMLSpecReader(indir=folder)
    assert ours.read_namespace(f"{folder}/ndx-nwbpipe.namespace.yaml") == theirs.read_namespace(
        f"{folder}/ndx-nwbpipe.namespace.yaml"
    )
    for name in ("ndx-nwbpipe.extensions.yaml", "ndx-nwbpipe.session.yaml"):
        assert ours.read_spec(name) == theirs.read_spec(name)
