"""A command and a project understand the names of inputs alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nwbpipe import Context, Input
from nwbpipe.errors import InputError
from nwbpipe.processors import BoundInput
from nwbpipe.project._spec import Step
from nwbpipe.project.plan._inputs import expand_runs
from nwbpipe.run._bind import bind
from nwbpipe.run._prepare import prepare_run
from nwbpipe.session import NwbObject, SessionFile
from tests.fixtures.processing import Scale, write_session

KIND = ("TimeSeries", frozenset({"TimeSeries"}))
PATHS = ("/units", "/processing/b/S_b", "/processing/a/S_a", "/processing/a/units", "/processing/a/S_b")
OBJECTS = [NwbObject(path, *KIND, path) for path in PATHS]


class All(Scale):
    """Takes all series that are meant, and further ones if they are named."""

    inputs: ClassVar[Mapping[str, Input]] = {
        "series": Input("TimeSeries", many=True),
        "more": Input("TimeSeries", many=True, optional=True),
    }

    def prepare(self, nwbfile: Any, context: Context) -> Mapping[str, Any]:
        return {}


def bind_twice(method: Scale, inputs: Mapping[str, str]) -> Mapping[str, BoundInput]:
    """Bind as `nwbpipe process` does; as a project plans it, it has to be the same."""
    bound = bind(OBJECTS, method, inputs, where="s.nwb")
    (run,) = expand_runs(Step("step", method, None, inputs), OBJECTS, {}, [])
    assert run.inputs == bound
    return bound


@pytest.mark.parametrize(
    ("binding", "paths"),
    [
        ("S_*", ["/processing/a/S_a", "/processing/a/S_b", "/processing/b/S_b"]),
        ("units", ["/processing/a/units", "/units"]),
        ("/units , a/S_b", ["/units", "/processing/a/S_b"]),
        ("b/S_b,S_b", ["/processing/b/S_b", "/processing/a/S_b"]),
        ("processing/a/*", ["/processing/a/S_a", "/processing/a/S_b", "/processing/a/units"]),
    ],
)
def test_many_objects_are_meant_alike(binding: str, paths: list[str]) -> None:
    bound = bind_twice(All(), {"series": binding})
    assert [(name, item.path) for name, item in bound.items()] == [
        (f"series:{number}", path) for number, path in enumerate(paths, start=1)
    ]


@pytest.mark.parametrize(("binding", "path"), [("/units", "/units"), ("S_a", "/processing/a/S_a")])
def test_a_single_object_is_meant_alike(binding: str, path: str) -> None:
    assert bind_twice(Scale(), {"series": binding})["series"].path == path


@pytest.mark.parametrize("binding", ["S_a,,S_b", "S_a,", ", S_a", "", " / "])
def test_a_pattern_that_is_empty_does_not_mean_everything(binding: str) -> None:
    with pytest.raises(InputError, match="'series' has an empty pattern"):
        bind(OBJECTS, All(), {"series": binding}, where="s.nwb")
    with pytest.raises(InputError, match="'series' has an empty pattern"):
        expand_runs(Step("step", All(), None, {"series": binding}), OBJECTS, {}, [])


def test_a_numbered_input_is_found_beside_one_with_its_whole_path(tmp_path: Path) -> None:
    path = write_session(tmp_path / "s.nwb", "lever", "paw")
    context = Context("step", Scale.Params(), {})
    bindings = {"series": "acquisition/lever", "more:1": "acquisition/paw"}
    prepared = prepare_run(SessionFile.at(path), All(), context, bindings)
    assert {name: item.path for name, item in prepared.context.inputs.items()} == {
        "series:1": "/acquisition/lever",
        "more:1": "/acquisition/paw",
    }
