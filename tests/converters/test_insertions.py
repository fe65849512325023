"""Where probes were inserted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

from nwbpipe.converters._dates import check_dates
from nwbpipe.converters._entities_nwb import add_entities
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


def test_channels_get_their_place_from_a_table_or_from_ibl(tmp_path: Path) -> None:
    lines = [
        "channel,acronym,ap_in_mm,ml_in_mm,dv_in_mm",
        "1,VISp5,-2.5,2,-1.5",
        "0,VISp6a,-2.5,2,-2",
        "2,VISp4,-2.5,2,-1",
    ]
    (tmp_path / "pinpoint.csv").write_text("\n".join(lines) + "\n")
    content: dict[str, Any] = {
        f"channel_{k}": {"x": 2000.0, "y": -2500.0, "z": -1000.0 - 100 * k, "axial": 0, "brain_region": f"CA{k}"}
        for k in range(3)
    }
    (tmp_path / "channel_locations.json").write_text(json.dumps(content | {"origin": {"bregma": [5739, 5400, 332]}}))
    nwbfile = session()
    add(nwbfile, imec0=insertion(tmp_path, regions="pinpoint.csv"))
    table = nwbfile.electrodes
    assert [list(table[axis].data[::2]) for axis in "xyz"] == [[2500.0] * 3, [2000.0, 1500.0, 1000.0], [2000.0] * 3]
    assert np.isnan(table["x"].data[1::2]).all()
    add(nwbfile, imec1=insertion(tmp_path, regions="channel_locations.json"))
    assert list(table["location"].data[:]) == ["VISp6a", "CA0", "VISp5", "CA1", "VISp4", "CA2"]
    assert [list(table[axis].data[1::2]) for axis in "xyz"] == [[2500.0] * 3, [1000.0, 1100.0, 1200.0], [2000.0] * 3]
    content["channel_2"] |= dict.fromkeys("xyz")  # a channel above the brain keeps its region alone
    (tmp_path / "surface.json").write_text(json.dumps(content))
    nwbfile = session()
    add(nwbfile, imec1=insertion(tmp_path, regions="surface.json"))
    np.testing.assert_array_equal(nwbfile.electrodes["y"].data[1::2], [1000.0, 1100.0, np.nan])
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(SourceError, match="does not hold the regions"):
        add(session(), imec0=insertion(tmp_path, regions="other.json"))


def test_channels_that_ibl_numbers_as_its_sorter_are_refused(tmp_path: Path) -> None:
    """IBL sorts channels by depth; those of a recording can have another order. Zeros of the two may differ."""

    def write(*axial: float) -> Insertion:
        content = {f"channel_{k}": {"axial": place, "brain_region": f"CA{k}"} for k, place in enumerate(axial)}
        (tmp_path / "channel_locations.json").write_text(json.dumps(content))
        return insertion(tmp_path, regions="channel_locations.json")

    nwbfile = session()
    nwbfile.add_electrode_column("rel_y", "Along the probe.", data=[0.0, 0.0, 700.0, 7.0, 20.0, 7.0])
    add(nwbfile, imec0=write(20, 720, 40))
    assert list(nwbfile.electrodes["location"].data[::2]) == ["CA0", "CA1", "CA2"]
    with pytest.raises(SourceError, match=r"(?s)in another order.*0, 700, 20.*20, 40, 720.*a CSV"):
        add(nwbfile, imec0=write(20, 40, 720))
    assert list(nwbfile.electrodes["location"].data[::2]) == ["CA0", "CA1", "CA2"]


def test_insertions_are_a_table_that_can_be_queried(tmp_path: Path) -> None:
    path = write_spec(tmp_path, None)
    text = "{location: VISp, ap_in_mm: -2.5, ml_in_mm: 2, dv_in_mm: -1, reference: bregma, pitch_in_deg: 15"
    path.write_text(
        path.read_text() + f"insertions: {{imec0: {text}, depth_in_um: 3800}}, imec1: {{location: CA1}}}}\n"
    )
    nwbfile = session()
    add_entities(load_spec(path), nwbfile)
    with NWBHDF5IO(tmp_path / "s.nwb", "w") as io:
        io.write(nwbfile)
    assert validate(path=str(tmp_path / "s.nwb")) == []
    with NWBHDF5IO(tmp_path / "s.nwb", "r") as io:
        table = io.read().lab_meta_data["nwbpipe_session"].insertions
        assert table["probe"][:].tolist() == ["imec0", "imec1"]
        assert table["location"][:].tolist() == ["VISp", "CA1"]
        np.testing.assert_array_equal(table["ap_in_mm"][:], [-2.5, np.nan])
        assert (table["pitch_in_deg"][0], table["depth_in_um"][0]) == (15.0, 3800.0)
        assert "regions" not in table.colnames
    late = {"imec1": insertion(date="2099-01-01")}
    (problem,) = check_dates(load_spec(path).subject, datetime(2024, 5, 1, tzinfo=UTC), late)
    assert (problem.what, problem.where) == ("it was done after the session", "insertions.imec1.date")


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
        ("channel,name\n0,a\n", "lacks a column"),
        ("channel,region,ap_in_mm,ml_in_mm,dv_in_mm\n0,a,1,2,\n", r"(?s)three coordinates.*line 2"),
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
