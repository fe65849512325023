"""Typing texts by annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from nwbpipe.converters.spec._values import for_texts, infer_type
from nwbpipe.converters.spec._yaml import YamlScalar


class Paths:
    def resolve(self, text: str, kind: str) -> Path:
        return Path("/root") / text / kind


def coerce(value: Any, annotation: Any) -> Any:
    return TypeAdapter(for_texts(annotation)).validate_python(value, context=Paths())


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("30.0", float, 30.0),
        ("30", float, 30.0),
        ("042", str, "042"),
        ("042", str | None, "042"),
        ("042", str | int, "042"),
        ("2", str | int, 2),
        ("imec0.ap", str | int, "imec0.ap"),
        ("true", bool, True),
        ("False", bool, False),
        ("null", str | None, None),
        ("2024-05-01", str, "2024-05-01"),
        ("470", Literal[415, 470], 470),
        ("N", Any, "N"),
        ("042", Any, "042"),
        ("7", Any, 7),
        ("-1.5e-3", Any, -1.5e-3),
        ("true", Any, True),
        ("12:30", Any, "12:30"),
        ("a", Annotated[str, "x"], "a"),
        ("m.tif", Path, Path("/root/m.tif/path")),
    ],
)
def test_texts_take_the_type_that_is_asked_for(text, annotation, value):
    result = coerce(YamlScalar(text), annotation)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (YamlScalar("N"), bool),
        (YamlScalar("1"), bool),
        (YamlScalar("yes"), bool),
        (YamlScalar("fast"), float),
        (YamlScalar("nan"), float),
        (YamlScalar("inf"), float),
        (YamlScalar("1.5"), int),
        (YamlScalar("red"), Literal["green"]),
        (YamlScalar("a"), list[str]),
        ([YamlScalar("a")], str),
        ([YamlScalar("a")], dict[str, Any]),
        (None, float),
    ],
)
def test_what_does_not_fit_is_refused(value, annotation):
    with pytest.raises(ValidationError):
        coerce(value, annotation)


def test_lists_and_mappings_are_typed_inside():
    assert coerce([YamlScalar("0"), YamlScalar("1")], list[int]) == [0, 1]
    assert coerce([YamlScalar("0"), YamlScalar("1")], tuple[float, float]) == (0.0, 1.0)
    assert coerce({"a": YamlScalar("1")}, dict[str, float]) == {"a": 1.0}
    assert coerce([YamlScalar("0"), YamlScalar("b")], str | int | list[str | int]) == [0, "b"]


def test_quoted_numbers_stay_texts():
    assert coerce(YamlScalar("2", plain=False), str | int) == "2"
    assert infer_type(YamlScalar("7", plain=False)) == "7"


def test_fields_that_are_texts_in_nwb_stay_texts():
    assert infer_type({"serial_number": YamlScalar("42"), "rate": YamlScalar("42")}, {"serial_number"}) == {
        "serial_number": "42",
        "rate": 42,
    }
