"""What holds for each of our processors, by the kit that other packages use."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nwbpipe.environments import find_source
from nwbpipe.processors import processor, processor_names
from nwbpipe.testing import ProcessorTests

# Parameters without a default.
REQUIRED = {"event_windows": {"alignment_event": "cue", "stop_shift_s": 1.0}}


@pytest.mark.parametrize("name", processor_names())
def test_every_parameter_is_documented(name: str) -> None:
    kit = SimpleNamespace(processor=processor(name), params=REQUIRED.get(name, {}))
    ProcessorTests.test_every_parameter_is_documented_and_has_a_default(kit)  # type: ignore[arg-type]
    for field, info in kit.processor.Params.model_fields.items():
        assert len(info.description) > 20, f"the description of {field} says too little"


@pytest.mark.parametrize("name", ["deeplabcut", "kinematics"])
def test_what_is_imported_for_longer_than_it_runs_is_imported_once(name: str) -> None:
    assert processor(name).tool.preload


@pytest.mark.parametrize("name", [name for name in processor_names() if processor(name).tool.preload])
def test_a_warm_python_imports_what_the_tool_is_called_by(name: str) -> None:
    """A name that is not there would be found at the first run alone, which then starts a Python of its own."""
    tool = processor(name).tool
    imported = "\n".join(path.read_text() for path in find_source(processor(name).compute).parent.glob("*.py"))
    for module in tool.preload or ():
        assert f"from {module} import" in imported or f"import {module}\n" in imported
