"""A probe for a recording whose raw files say nothing of its contacts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from nwbpipe.converters._probe import place_channels
from nwbpipe.converters._record import source_paths
from nwbpipe.converters.spec._load import load_spec
from nwbpipe.converters.spec._probe_spec import ProbeSpec
from nwbpipe.errors import SourceError, SpecError
from tests.converters.raw import SESSION, SUBJECT

core = pytest.importorskip("spikeinterface.core", reason="recordings need SpikeInterface: pip install nwbpipe[ephys]")
import probeinterface  # noqa: E402


def source(probe: dict[str, Any], channels: int = 8, **more: Any) -> Any:
    recording = core.generate_recording(num_channels=channels, durations=[0.01], set_probe=False)
    return SimpleNamespace(
        where="sources.probe",
        file_names="x.dat",
        notes=[],
        interface=SimpleNamespace(recording_extractor=recording),
        spec=SimpleNamespace(probe=ProbeSpec.model_validate(probe, context=more.get("context")), interface="X"),
    )


def in_folder(folder: Path) -> Any:
    return SimpleNamespace(resolve=lambda text, kind: folder / text)


def write_probe(path: Path, *, wiring: list[int] | None = None, units: str = "um", shanks: bool = True) -> np.ndarray:
    """Write a probe of 8 contacts on two shanks; return their positions in micrometers."""
    micrometers = np.column_stack([np.repeat([0.0, 200.0], 4), np.tile(np.arange(4) * 25.0, 2)])
    probe = probeinterface.Probe(ndim=2, si_units=units)
    ids = ["a"] * 4 + ["b"] * 4 if shanks else None
    scale = 1e-3 if units == "mm" else 1.0
    probe.set_contacts(micrometers * scale, shapes="circle", shape_params={"radius": 5 * scale}, shank_ids=ids)
    if wiring is not None:
        probe.set_device_channel_indices(wiring)
    probeinterface.write_probeinterface(path, probe)
    return micrometers


def placed(item: Any) -> tuple[np.ndarray, list[str]]:
    place_channels(item)
    recording = item.interface.recording_extractor
    return recording.get_channel_locations(), recording.get_property("group_name").tolist()


@pytest.mark.parametrize("units", ["um", "mm"])
def test_each_channel_lies_on_the_contact_that_it_is_wired_to(tmp_path: Path, units: str) -> None:
    wiring = [3, 1, 0, 2, 7, 6, 4, 5]
    positions = write_probe(tmp_path / "p.json", wiring=wiring, units=units)
    item = source({"file": "p.json", "group_by": "shank"}, context=in_folder(tmp_path))
    found, groups = placed(item)
    np.testing.assert_allclose(found[wiring], positions)
    assert groups == ["Shank0"] * 4 + ["Shank1"] * 4
    assert item.notes == ["8 channels were placed on p.json, in 2 electrode groups"]


def test_contacts_without_a_channel_are_left_out(tmp_path: Path) -> None:
    positions = write_probe(tmp_path / "p.json")
    wiring = ["-1", "1", "0", "2", "-1", "3", "4", "5"]  # as YAML has them
    found, groups = placed(
        source({"file": "p.json", "device_channel_indices": wiring}, channels=6, context=in_folder(tmp_path))
    )
    np.testing.assert_allclose(found, positions[[2, 1, 3, 5, 6, 7]])
    assert groups == ["Probe0"] * 6


def test_tetrodes_are_groups_of_four_channels() -> None:
    item = source({"tetrodes": 2})
    found, groups = placed(item)
    assert groups == ["Tetrode0"] * 4 + ["Tetrode1"] * 4
    assert len(np.unique(found.round(3), axis=0)) == 8
    assert "nominal" in item.notes[0]


def test_a_pathway_of_probeinterface_wires_a_probe(tmp_path: Path) -> None:
    probe = probeinterface.generate_linear_probe(num_elec=32)
    probeinterface.write_probeinterface(tmp_path / "p.json", probe)
    found, _ = placed(
        source({"file": "p.json", "device_channel_indices": "H32>RHD2132"}, channels=32, context=in_folder(tmp_path))
    )
    probe.wiring_to_device("H32>RHD2132")
    np.testing.assert_allclose(found[probe.device_channel_indices], probe.contact_positions)


@pytest.mark.parametrize(
    ("section", "channels", "text"),
    [
        ({"file": "p.json"}, 8, "wiring is not known.*in_order"),
        ({"file": "p.json", "device_channel_indices": "in_order"}, 9, "channels 0 to 8.*8 contacts.*9 channels"),
        ({"file": "p.json", "device_channel_indices": [0, 1, 2, 3, 4, 5, 6, 6]}, 8, r"wired twice: \[6\]"),
        ({"file": "p.json", "device_channel_indices": [1, 2, 3, 4, 5, 6, 7, 8]}, 8, "up to channel 8"),
        ({"file": "p.json", "device_channel_indices": [0, 1]}, 8, "each of the 8 contacts.*2 numbers"),
        ({"file": "p.json", "device_channel_indices": "H32>NOWHERE"}, 8, "'H32>NOWHERE' is not known"),
        ({"file": "flat.json", "device_channel_indices": "in_order", "group_by": "shank"}, 8, "not name the shanks"),
        ({"file": "bad.json", "device_channel_indices": "in_order"}, 8, "not JSON"),
        ({"file": "other.json", "device_channel_indices": "in_order"}, 8, "can't be read"),
        ({"tetrodes": 3}, 8, "12 contacts.*8 channels"),
    ],
)  # fmt: skip
def test_a_probe_that_does_not_fit_is_refused(tmp_path: Path, section: Any, channels: int, text: str) -> None:
    write_probe(tmp_path / "p.json")
    write_probe(tmp_path / "flat.json", shanks=False)
    (tmp_path / "bad.json").write_text("x")
    (tmp_path / "other.json").write_text('{"probes": 3}')
    item = source(section, channels, context=in_folder(tmp_path))
    with pytest.raises(SourceError, match=f"(?s){text}"):
        place_channels(item)
    assert not item.interface.recording_extractor.has_probe()


def test_raw_files_with_a_geometry_take_no_other() -> None:
    item = source({"tetrodes": 2})
    item.interface.recording_extractor = core.generate_recording(num_channels=8, durations=[0.01])
    with pytest.raises(SourceError, match="geometry of the probe already"):
        place_channels(item)
    item.interface = SimpleNamespace()
    with pytest.raises(SourceError, match="only a recording has a probe"):
        place_channels(item)


def write_spec(folder: Path, probe: Any) -> Path:
    table = {"interface": "CsvTimeIntervalsInterface", "args": {"file_path": "t.csv"}, "probe": probe}
    (folder / "t.csv").write_text("start_time,stop_time\n1,2\n")
    spec = {"nwbpipe": 1, "subject": SUBJECT, "session": SESSION, "sources": {"trials": table}}
    path = folder / "session.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def test_the_probes_file_belongs_to_the_conversion(tmp_path: Path) -> None:
    """Another wiring is another conversion: the file counts among the raw ones."""
    write_probe(tmp_path / "p.json")
    spec = load_spec(write_spec(tmp_path, "p.json"))
    assert ("trials", tmp_path / "p.json") in source_paths(spec)
    assert spec.as_dict()["sources"]["trials"]["probe"] == {"file": "p.json", "group_by": "probe"}
    named = load_spec(write_spec(tmp_path, "neuronexus/A1x32-Poly3"))
    assert named.sources["trials"].probe == ProbeSpec(library="neuronexus/A1x32-Poly3")


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("p.prb", "neither a file nor in the library"),
        ("../../x", "neither a file nor in the library"),
        ("missing.json", "file not found"),
        ({"tetrodes": 4, "library": "a/b"}, "one of `file: x.json`"),
        ({"group_by": "shank"}, "one of `file: x.json`"),
        ({"tetrodes": 0}, "greater than or equal to 1"),
        ({"tetrodes": 4, "device_channel_indices": ["a"]}, "not a list of channels"),
        ({"tetrodes": 4, "group": "shank"}, "'group' is unknown"),
    ],
)  # fmt: skip
def test_a_wrong_section_is_a_mistake_of_the_spec(tmp_path: Path, section: Any, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        load_spec(write_spec(tmp_path, section))
