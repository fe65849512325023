"""Where probes were inserted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pynwb import NWBHDF5IO

from nwbpipe.converters._insertions import add_insertions
from nwbpipe.converters._record import source_paths
from nwbpipe.converters.spec._entities import Insertion
from nwbpipe.converters.spec._load import load_spec
from nwbpipe.errors import SourceError, SpecError
from tests.converters.test_probe import write_spec
from tests.fixtures.nwb import empty_session

SITE = {"location": "VISp", "ap_in_mm": -2.5, "ml_in_mm": 2.0, "dv_in_mm": -1.25, "reference": "bregma"}


def session() -> Any:
    nwbfile = empty_session("A recording.")
    for name in ("imec0", "imec1"):
        device = nwbfile.create_device(name=f"Probe_{name}", description="A probe.")
        nwbfile.create_electrode_group(name=name, description="no description", location="unknown", device=device)
    for row in range(6):
        group = nwbfile.electrode_groups["imec1" if row % 2 else "imec0"]
        nwbfile.add_electrode(group=group, location="unknown")
    return nwbfile


def add(nwbfile: Any, **insertions: Any) -> None:
    spec: Any = SimpleNamespace(path="session.yaml", insertions=insertions)
    add_insertions(spec, nwbfile)


def insertion(folder: Path | None = None, **values: Any) -> Insertion:
    context = SimpleNamespace(resolve=lambda text, kind: (folder or Path()) / text)
    return Insertion.model_validate({**SITE, **values}, context=context)


def test_groups_and_electrodes_lie_where_the_probe_was_put(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("channel,region\n2,CA1\n0,VISp6a\n1,cc\n")
    nwbfile = session()
    first = insertion(pitch_in_deg=15, depth_in_um=3800)
    add(nwbfile, imec0=first, Probe_imec1=insertion(tmp_path, regions="r.csv", location="HPF"))
    with NWBHDF5IO(tmp_path / "s.nwb", "w") as io:
        io.write(nwbfile)
    with NWBHDF5IO(tmp_path / "s.nwb", "r") as io:
        found = io.read()
        group = found.electrode_groups["imec0"]
        assert group.location == "VISp"
        # NWB counts posterior, inferior and right as positive, in micrometers.
        assert [float(group.position[axis]) for axis in "xyz"] == [2500.0, 1250.0, 2000.0]
        assert "AP -2.5, ML +2, DV -1.25 mm from bregma, pitch 15°, 3800 µm deep" in group.description
        assert found.electrodes["location"][:].tolist() == ["VISp", "VISp6a", "VISp", "cc", "VISp", "CA1"]


def test_an_insertion_of_another_probe_is_refused() -> None:
    with pytest.raises(SpecError, match=r"(?s)no electrode group or probe is called 'imec2'.*Probe_imec0"):
        add(session(), imec2=insertion())
    with pytest.raises(SpecError, match=r"(?s)'imec0' has two insertions.*imec0, Probe_imec0"):
        add(session(), imec0=insertion(), Probe_imec0=insertion())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channel,region\n0,a\n1,b\n", r"(?s)channels 0 to 2.*2 channels"),
        ("channel,region\n0,a\n1,b\n7,c\n", r"also \[7\]"),
        ("channel,region\n0,a\n0,b\n1,c\n", "line 3"),
        ("channel,region\n0,\n", "line 2"),
        ("channel,acronym\n0,a\n", "lacks a column"),
    ],
)
def test_a_table_of_regions_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        add(session(), imec0=insertion(tmp_path, regions="r.csv"))


def test_insertions_are_checked_with_the_spec(tmp_path: Path) -> None:
    path = write_spec(tmp_path, None)
    (tmp_path / "r.csv").write_text("channel,region\n")
    content = path.read_text()
    path.write_text(content + "insertions: {imec0: {location: VISp, depth_in_um: 3800, regions: r.csv}}\n")
    spec = load_spec(path)
    assert ("insertions", tmp_path / "r.csv") in source_paths(spec)
    path.write_text(content + "insertions: {imec0: {location: VISp, ap_in_mm: 1, ml_in_mm: 1, dv_in_mm: 2}}\n")
    with pytest.raises(SpecError, match="reference"):
        load_spec(path)
