"""The list of interfaces, the arguments of one, and the schema of session.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from nwbpipe.converters import describe_interface, describe_spec, list_interfaces
from nwbpipe.converters.interfaces import interface_names
from nwbpipe.errors import UnknownNameError
from tests.converters import raw

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/session.yaml"))


def arguments(name: str, kind: str = "arguments") -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in describe_interface(name)[kind]}


def test_all_interfaces_are_listed() -> None:
    entries = list_interfaces()
    assert [entry["name"] for entry in entries] == interface_names()
    assert {"nwbpipe", "neuroconv"} <= {entry["package"] for entry in entries}
    assert all(entry["summary"] for entry in entries)


def test_the_arguments_of_ours_and_of_neuroconvs() -> None:
    ours = arguments("TrialsInterface")
    assert ours["skip_rows"] == {
        "name": "skip_rows", "type": "int", "required": False, "default": 0,
        "doc": "Number of lines above the header (or above the first row, without one).",
    }  # fmt: skip
    assert next(iter(ours)) == "file_path"
    assert ours["file_path"]["required"]
    assert "default" not in ours["file_path"]
    theirs = arguments("SLEAPInterface")
    assert "Which tracked individual" in theirs["track_name"]["doc"]
    assert theirs["file_path"]["type"] == "Path"
    options = arguments("OpenEphysBinaryRecordingInterface", "options")
    assert options["stub_test"]["default"] is False
    assert options["stub_test"]["doc"]
    with pytest.raises(UnknownNameError, match="TrialInterface"):
        describe_interface("TrialInterface")


def test_the_schema_takes_the_examples_and_names_mistakes() -> None:
    schema = describe_spec()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert EXAMPLES
    for path in EXAMPLES:
        spec = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))  # dates as text
        assert [error.message for error in validator.iter_errors(spec)] == [], path
    spec = {"nwbpipe": 1, "subject": raw.SUBJECT, "session": raw.SESSION, "sources": {"t": raw.trials()}}
    assert validator.is_valid(spec)
    spec["sources"] = {"t": {"interface": "TrialsInterface", "args": {"file_path": "a.csv", "skip_row": 1}}}
    (error,) = validator.iter_errors(spec)
    assert "skip_row" in error.message
    spec["sources"] = {"t": {"interface": "TrailsInterface"}}
    assert not validator.is_valid(spec)
