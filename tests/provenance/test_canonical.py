"""Canonical JSON, hashes of parameters, keys of runs."""

from __future__ import annotations

import json
import math
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nwbpipe.errors import ParameterError
from nwbpipe.provenance import canonical_json, digest, parameters_hash, run_key

TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type: 1, 1.0 and True differ, 0.0 and -0.0 too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a machine under load
@given(JSON)
def test_round_trip(value: Any) -> None:
    text = canonical_json(value)
    assert same(json.loads(text), value)
    assert text.isascii()
    assert canonical_json(json.loads(text)) == text


@given(JSON, JSON)
def test_one_text_for_one_value(a: Any, b: Any) -> None:
    assert (canonical_json(a) == canonical_json(b)) == same(a, b)


@given(st.dictionaries(TEXT, JSON), st.randoms())
def test_the_order_of_keys_is_of_no_account(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)


def test_values_that_look_alike_differ() -> None:
    values = [1, 1.0, "1", True, "true", "True", None, "null", [1], {"1": 1}, 0.0, -0.0, "", [], {}, "1.0", 0, False]
    assert len({canonical_json(value) for value in values}) == len(values)


def test_unicode_is_not_normalised() -> None:
    assert canonical_json("\u00e9") != canonical_json("e\u0301")
    assert json.loads(canonical_json("e\u0301")) == "e\u0301"


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Kind(StrEnum):
    A = "a"


class Loud(float):
    def __repr__(self) -> str:
        return "LOUD"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2), "[1,2]"),
        (Colour.RED, '"red"'),
        (Size.BIG, "3"),
        ({Kind.A: Kind.A}, '{"a":"a"}'),
        (PurePosixPath("a/b"), '"a/b"'),
        (PureWindowsPath("a\\b"), '"a/b"'),
        (np.float64(0.1), "0.1"),
        (np.int16(3), "3"),
        (np.bool_(True), "true"),
        (np.array([[1, 2]], "u1"), "[[1,2]]"),
        (np.array([1.0]), "[1.0]"),
        (np.str_("x"), '"x"'),
        (Loud(1.5), "1.5"),
        ({"b": 1, "a": {"d": 1, "c": 2}}, '{"a":{"c":2,"d":1},"b":1}'),
        (2**70, str(2**70)),
        (1e22, "1e+22"),
    ],
)
def test_what_is_normalised(value: Any, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    "value",
    [
        math.nan, math.inf, -math.inf, np.float32("nan"), np.array([1, np.inf]), {1, 2}, b"bytes", object(), {1: 2},
        {None: 1}, 1j, np.longdouble(1), np.datetime64("2024-01-01"),
    ],
    ids=lambda value: type(value).__name__ + str(value)[:4] if type(value) is not object else "object",
)  # fmt: skip
def test_what_is_refused_is_named(value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        canonical_json({"outer": [0, value]})
    assert str(caught.value.problem.where).startswith("$.outer[1]")


def test_a_key_that_is_there_twice() -> None:
    with pytest.raises(ParameterError, match="same text"):
        canonical_json({"a": 1, Colour.RED: 1, "red": 2})


def test_known_hashes() -> None:
    # Frozen: files hold them. A change here makes every run of every file stale.
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest("a") == digest(b"a")
    assert parameters_hash({"tau": 0.7, "n": 1}) == digest('{"n":1,"tau":0.7}')
    assert run_key("dff", 1, {"p": 8.0}, None, {"traces": "ab"}) == digest(
        '{"format":1,"inputs":{"traces":["ab"]},"parameters":{"p":8.0},"processor":"dff","revision":1,"seed":null}'
    )


def test_every_part_of_a_key_counts() -> None:
    def key(**changes: Any) -> str:
        parts = {"processor": "p", "revision": 1, "params": {"a": 1}, "seed": 0, "inputs": {"x": ["i", "j"]}}
        return run_key(**(parts | changes))

    others = [
        key(processor="q"), key(revision=2), key(params={"a": 2}), key(params={"a": 1.0}), key(params={}),
        key(seed=1), key(seed=None), key(inputs={"x": ["j", "i"]}), key(inputs={"x": ["i"]}),
        key(inputs={"y": ["i", "j"]}), key(inputs={}), key(inputs={"x": ["i"], "y": ["j"]}),
    ]  # fmt: skip
    assert len({key(), *others}) == len(others) + 1
    assert key(inputs={"x": "i"}) == key(inputs={"x": ("i",)})


@given(st.lists(TEXT, min_size=4, max_size=4), st.lists(TEXT, min_size=4, max_size=4))
def test_parts_are_never_run_together(a: list[str], b: list[str]) -> None:
    """As they are where names and values are joined before hashing: {"ab": "c"} and {"a": "bc"}."""

    def key(parts: list[str]) -> str:
        processor, name, value, identity = parts
        return run_key(processor, 1, {name: value}, None, {"x": identity})

    assert (key(a) == key(b)) == (a == b)


def test_pairs_that_joining_would_confuse() -> None:
    assert parameters_hash({"ab": "c"}) != parameters_hash({"a": "bc"})
    assert parameters_hash({"a": "1", "b": "2"}) != parameters_hash({"a": "1b2"})
    assert parameters_hash({"a": '1","b":"2'}) != parameters_hash({"a": "1", "b": "2"})
    assert run_key("p1", 1, {}, None, {}) != run_key("p", 11, {}, None, {})
    assert run_key("p", 1, {}, None, {"x": ["a", "b"]}) != run_key("p", 1, {}, None, {"x": ["ab"]})
