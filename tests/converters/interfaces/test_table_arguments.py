"""Arguments of the interfaces of one file: a model tells them; constructor, signature and docs follow from it."""

from __future__ import annotations

import inspect

import pytest

from nwbpipe.converters.interfaces import _registry, interface_class
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.spec._arguments import source_parameters
from nwbpipe.errors import SourceError

TABLES = [
    "BehaviorEventsInterface",
    "BlocksInterface",
    "CameraTimesInterface",
    "EncoderInterface",
    "TrialsInterface",
    "TtlEventsInterface",
]


@pytest.mark.parametrize("name", TABLES)
def test_a_spec_is_checked_by_the_models_arguments(name):
    cls = interface_class(name)
    parameters = inspect.signature(cls).parameters
    assert parameters["file_path"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments, open_ended = source_parameters(cls)
    assert not open_ended
    assert set(arguments) == set(parameters) - {"verbose"}
    assert {name for name, argument in arguments.items() if argument.required} == {
        name for name, parameter in parameters.items() if parameter.default is parameter.empty
    }
    assert {"file_path", "delimiter", "header", "column_names", "variable", "encoding"} <= set(arguments)


def test_the_docstring_describes_each_argument_before_the_errors():
    for name in _registry.our_modules():
        cls = interface_class(name)
        if issubclass(cls, FileInterface):
            doc = inspect.getdoc(cls)
            places = [doc.index(f"\n{argument} : ") for argument in inspect.signature(cls).parameters]
            assert doc.index("\nParameters\n") < places[0] < max(places) < doc.index("\nRaises\n")


def test_source_data_hold_every_argument_with_paths_as_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("start,stop\n1,2\n")
    interface = interface_class("TrialsInterface")(path, missing_value=-1)
    assert interface.source_data["file_path"] == str(path)
    assert (interface.source_data["missing_value"], interface.source_data["overlap"]) == (-1, "error")
    assert interface.args.file_path == path
    assert not interface.verbose


def test_wrong_arguments_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("start,stop\n1,2\n")
    build = interface_class("TrialsInterface")
    with pytest.raises(SourceError) as caught:
        build(tmp_path / "a.csv", time_unit="min", value_columns="side")
    problems = caught.value.problems
    assert {problem.what.partition("argument ")[2].split()[0] for problem in problems} == {
        "value_columns",
        "time_unit",
    }
    assert {problem.where for problem in problems} == {str(tmp_path / "a.csv")}
    with pytest.raises(SourceError, match="file_path has a wrong value") as caught:
        build(tmp_path / "b.csv")
    assert "b.csv" in caught.value.problem.found
    with pytest.raises(TypeError, match="colour"):
        build(tmp_path / "a.csv", colour="red")
    with pytest.raises(TypeError, match="file_path"):
        build()
