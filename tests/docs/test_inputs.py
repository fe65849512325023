"""The page on processors shows the inputs of a compute module as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import pytest

from nwbpipe.processors import BoundInput
from nwbpipe.run._bind import describe_input, locate_input

PAGE = Path(__file__).parents[2] / "docs" / "how-do-i-write-a-processor.md"
SHOWN = {
    kind: json.loads(text) for kind, text in re.findall(r"```json input=(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
}


def kinds(values: dict[str, Any]) -> dict[str, str]:
    return {name: f"{type(value).__name__} {bool(value) or value == 0}" for name, value in values.items()}


@pytest.mark.parametrize("kind", ["series", "table", "video", "artefact"])
def test_the_inputs_are_what_the_page_shows(kind: str, tmp_path: Path) -> None:
    shown = SHOWN[kind]
    bound = BoundInput(
        "x", shown.get("path", ""), shown.get("neurodata_type", ""), "id", folder=shown.get("folder", "")
    )
    with h5py.File(tmp_path / "m042.nwb", "w") as file:
        series = file.create_group("acquisition/ElectricalSeries")
        series["data"], series["starting_time"] = [1, 2], 0.0
        series["starting_time"].attrs["rate"] = 30000.0
        file["intervals/trials/start_time"] = [1.0]
        file["acquisition/VideoFace/data"], file["acquisition/VideoFace/timestamps"] = [], [0.0]
        file["acquisition/VideoFace/external_file"] = ["m042/face.avi"]
        description = describe_input(file, bound)
    found = locate_input(description, str(tmp_path / "m042.nwb"), lambda name, path: tmp_path / name)
    assert kinds(found) == kinds(shown)
    for name in ("path", "data", "timestamps", "rate", "starting_time", "folder"):
        assert found.get(name) == shown.get(name)
