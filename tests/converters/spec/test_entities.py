"""Procedures, equipment, attributes and notes: from the spec into the file, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

import nwbpipe
from nwbpipe.errors import SpecError
from tests.converters import raw

INJECTION = {
    "substance": "AAV9-hSyn-dLight1.3b",
    "location": "nucleus accumbens core",
    "hemisphere": "left",
    "ap_in_mm": 1.3,
    "ml_in_mm": -1.2,
    "dv_in_mm": -4.1,
    "reference": "bregma",
    "dv_reference": "dura",
    "volume_in_nl": 300,
    "titer_in_vg_per_ml": 2e12,
    "date": "2024-03-01",
}
SPEC = {
    "nwbpipe": 1,
    "subject": {
        **raw.SUBJECT,
        "description": "A mouse.",
        "strain": "C57BL/6J",
        "genotype": "DAT-Cre/wt",
        "line": "DAT-IRES-Cre",
        "surgeries": [{"procedure": "craniotomy", "date": "2024-03-01", "anesthesia": "isoflurane"}],
        "injections": [
            INJECTION,
            {**INJECTION, "hemisphere": "right", "ml_in_mm": 1.2, "volume_in_nl": None, "yaw_in_deg": 10},
        ],
        "implants": [
            {
                **{key: INJECTION[key] for key in ("location", "hemisphere", "ap_in_mm", "ml_in_mm", "reference")},
                "dv_in_mm": -4.0,
                "name": "fiber_left",
                "kind": "optic fiber",
                "device": "fiber",
            }
        ],
    },
    "session": {
        **raw.SESSION,
        "experimenter": ["Doe, Jane"],
        "protocol": "IACUC 1234",
        "surgery": "By the lab's standard.",
        "attributes": {"box": "2", "weight_g": "22.10"},
        "notes": [{"text": "licks a lot", "time": "10:05", "author": "Doe, Jane"}, {"text": "calm"}],
    },
    "devices": {
        "fiber": {
            "description": "An optic fiber.",
            "manufacturer": "Doric",
            "model_name": "MFC_400",
            "serial_number": "007",
        },
        "box": {"description": "An operant box.", "manufacturer": "Med Associates"},
    },
    "sources": {"log": raw.events()},
}


def write(folder: Path, spec) -> Path:
    folder.mkdir(exist_ok=True)
    raw.write_events(folder / "events.csv")
    path = folder / "session.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entities")
    return nwbpipe.convert(write(folder / "raw", SPEC), folder / "out.nwb", progress=False)


def test_they_are_where_nwb_has_a_place(converted):
    with nwbpipe.read(converted) as nwbfile:
        subject = nwbfile.subject
        assert (subject.strain, subject.genotype) == ("C57BL/6J", "DAT-Cre/wt")
        assert subject.description == "A mouse. Line: DAT-IRES-Cre."
        assert nwbfile.protocol == "IACUC 1234"
        assert nwbfile.surgery == (
            "By the lab's standard.\n2024-03-01: craniotomy; anesthesia isoflurane\n"
            "optic fiber fiber_left in left nucleus accumbens core: AP +1.3, ML -1.2, DV -4 mm from bregma"
        )
        first, second = nwbfile.virus.splitlines()
        assert first == (
            "2024-03-01: AAV9-hSyn-dLight1.3b (2e+12 vg/mL) 300 nL into left nucleus accumbens core: "
            "AP +1.3, ML -1.2, DV -4.1 mm (dura) from bregma"
        )
        assert second.endswith("ML +1.2, DV -4.1 mm (dura) from bregma, yaw 10°")
        assert nwbfile.notes == "10:05 (Doe, Jane): licks a lot\ncalm\nbox: 2\nweight_g: 22.10"
        assert nwbfile.devices["fiber"].serial_number == "007"
        assert nwbfile.devices["fiber"].model.manufacturer == "Doric"
        assert "Manufacturer: Med Associates" in nwbfile.devices["box"].description


def test_they_can_be_queried(converted):
    with nwbpipe.read(converted) as nwbfile:
        details = nwbfile.lab_meta_data["nwbpipe_session"]
        assert details.subject_line == "DAT-IRES-Cre"
        injections = details.injections.to_dataframe()
        assert injections.query("ml_in_mm < 0").hemisphere.tolist() == ["left"]
        assert injections.volume_in_nl.isna().tolist() == [False, True]
        assert injections.dv_in_mm.tolist() == [-4.1, -4.1]
        assert details.implants["device"][0] == "fiber"
        assert details.implants["implant_name"][0] == "fiber_left"
        attributes = details.attributes.to_dataframe()
        assert dict(zip(attributes["attribute"], attributes["value"], strict=True)) == {
            "box": "2",
            "weight_g": "22.10",
        }
        assert list(details.notes["author"].data[:]) == ["Doe, Jane", ""]
        assert details.surgeries["procedure"][0] == "craniotomy"


def test_a_reader_without_nwbpipe_reads_them(converted):
    code = (
        "import sys; sys.modules['nwbpipe'] = None\n"
        "from pynwb import NWBHDF5IO\n"
        f"with NWBHDF5IO({str(converted)!r}, 'r') as io:\n"
        "    print(io.read().lab_meta_data['nwbpipe_session'].injections['ml_in_mm'][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "-1.2"


def test_the_inspector_finds_nothing(converted):
    from nwbinspector import Importance, inspect_nwbfile, load_config
    from pynwb import validate

    assert validate(path=str(converted)) == []
    messages = inspect_nwbfile(nwbfile_path=converted, config=load_config("dandi"))
    worst = [m for m in messages if m.importance.value >= Importance.BEST_PRACTICE_VIOLATION.value]
    assert [str(message) for message in worst] == []


@pytest.mark.long
def test_dandi_finds_nothing(converted, tmp_path):
    (tmp_path / "sub-M042").mkdir()
    (tmp_path / "dandiset.yaml").write_text("identifier: DANDI:000999\nname: Test\ndescription: A test.\n")
    os.link(converted, tmp_path / "sub-M042" / "sub-M042_ses-s1.nwb")
    command = [str(Path(sys.executable).with_name("dandi")), "validate", "--min-severity", "ERROR", str(tmp_path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "DANDI_NO_ET": "1", "NO_ET": "1", "DANDI_CACHE": "ignore"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def changed(path: str, value) -> dict:
    spec = deepcopy(SPEC)
    *parents, last = path.split(".")
    item = spec
    for part in parents:
        item = item[int(part) if part.isdigit() else part]
    item[last] = value
    return spec


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("subject.injections.0.ml_in_mm", 1.2, "below 0 in the left hemisphere (positive is right); found 1.2"),
        ("subject.injections.0.dv_in_mm", 4.1, "0 or below, a depth is negative; found 4.1"),
        ("subject.injections.0.reference", None, "what the coordinates are counted from"),
        ("subject.injections.0.reference", "nose", "'bregma'"),
        ("subject.injections.0.reference", "other", "a description that says what the reference is"),
        ("subject.injections.0.ap_in_mm", None, "all of ap_in_mm, ml_in_mm and dv_in_mm"),
        ("subject.injections.0.ap_in_mm", 1300, "less than or equal to 100"),
        ("subject.injections.0.date", "01.03.2024", "a date such as 2024-04-01"),
        ("subject.injections.0.date", "2024-02-31", "a date of the calendar"),
        ("subject.injections.1.volume_in_nl", -1, "greater than 0"),
        ("subject.injections.1.volume", 1, "the key 'volume' is unknown"),
        ("subject.surgeries.0.procedure", "", "not empty"),
        ("subject.implants.0.device", "no_such", "there is no device 'no_such'"),
        ("subject.implants.0.kind", None, "kind"),
        ("devices.fiber.manufacturer", None, "as a model is named"),
        ("devices.fiber.serial", "1", "the key 'serial' is unknown"),
        ("devices.box", "a box", "`key: value` lines"),
        ("devices", {"fiber": {"description": "d"}, ".": {"description": "d"}}, "'.' can't be the name of a device"),
    ],
)
def test_mistakes_are_refused_with_their_place(tmp_path, path, value, says):
    from nwbpipe.converters import load_spec

    with pytest.raises(SpecError) as caught:
        load_spec(write(tmp_path / "raw", changed(path, value)))
    text = str(caught.value)
    assert says in text
    assert path.rsplit(".", 1)[0].split(".")[0] in text
    assert len(caught.value.problems) == 1


def test_a_device_of_a_source_is_not_described_twice(tmp_path, convert_to):
    with pytest.raises(SpecError, match="a source has written the device 'Camera_body'"):
        convert_to({"body": raw.video()}, devices={"Camera_body": {"description": "Ours."}})
