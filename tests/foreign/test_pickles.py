"""Pickles are read as data: what `pickle` reads of plain values, and nothing of what else a pickle can do."""

from __future__ import annotations

import datetime
import pickle
import struct
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwbpipe.foreign import DamagedPickleError, ForbiddenPickleError, read_pickle

NUMBERS = ["b1", "i1", "<i2", ">i4", "<i8", "u1", "<u4", "<f2", "<f4", ">f8", "<c16", "<U3", "S4"]


def arrays() -> st.SearchStrategy:
    shapes = st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple)

    def fill(kind: str, shape: tuple[int, ...], order: str):
        size = int(np.prod(shape, dtype=int))
        values = np.arange(size).reshape(shape)
        return np.asarray(values.astype(kind), order=order)

    return st.builds(fill, st.sampled_from(NUMBERS), shapes, st.sampled_from("CF"))


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.datetimes()
    | arrays()
    | st.sampled_from([np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("ab")])
)
KEYS = st.text(max_size=5) | st.integers(-9, 9) | st.tuples(st.integers(0, 3), st.text(max_size=2))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)


def same(first: object, second: object) -> bool:
    if isinstance(first, np.ndarray):  # pickle gives some arrays in this machine's byte order
        return (
            isinstance(second, np.ndarray)
            and first.dtype.newbyteorder("=") == second.dtype.newbyteorder("=")
            and bool(np.array_equal(first, second))
        )
    if isinstance(first, list | tuple):
        pairs = zip(first, second, strict=True)
        return type(first) is type(second) and all(same(one, other) for one, other in pairs)
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    return type(first) is type(second) and first == second


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_as_pickle_reads_them(value, protocol):
    data = pickle.dumps(value, protocol)
    assert same(pickle.loads(data), read_pickle(data))


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL), st.data())
def test_a_mutated_pickle_is_read_or_refused(value, protocol, data):
    content = bytearray(pickle.dumps(value, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DamagedPickleError, ForbiddenPickleError):
        read_pickle(bytes(content))


def test_shared_values_stay_shared():
    shared = [1, 2]
    first, second = read_pickle(pickle.dumps([shared, shared]))
    assert first is second


def test_an_ordered_dictionary_is_a_dictionary():
    assert read_pickle(pickle.dumps(OrderedDict(a=1, b=[2]))) == {"a": 1, "b": [2]}


def test_a_table_of_rows():
    table = np.array([(1, 2.5, "x")], dtype=[("a", "<i2"), ("b", "<f8"), ("c", "<U2")])
    found = read_pickle(pickle.dumps(table))
    assert found.dtype == table.dtype
    assert found.tolist() == table.tolist()


def test_a_time_of_every_protocol():
    time = datetime.datetime(2024, 5, 1, 10, 0, 0, 123456)
    assert [read_pickle(pickle.dumps(time, protocol)) for protocol in range(6)] == [time] * 6


# What a pickle can do else ----------------------------------------------------------------------------------


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


NDARRAY, DTYPE, MAKE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n"
SCALAR = b"cnumpy.core.multiarray\nscalar\n"
POINTER = b"C\x08AAAAAAAA"


def kind(name: str) -> bytes:
    return DTYPE + text(name) + b"\x89\x88\x87R"


def row(column: bytes, offset: bytes) -> bytes:
    """Give a row of 8 bytes with one column; its flags say that it holds no objects."""
    state = b"(K\x03" + text("|") + b"N" + text("f") + b"\x85}" + text("f") + column + offset
    return kind("V8") + state + b"\x86sK\x08K\x01K\x00tb"


def array(dtype: bytes, content: bytes = POINTER, shape: bytes = b"K\x01\x85") -> bytes:
    return MAKE + b"(" + NDARRAY + b"K\x00\x85C\x01btR(K\x01" + shape + dtype + b"\x89" + content + b"tb"


def nest(depth: int) -> bytes:
    return pickle.dumps(None)[:2] + b"]" * depth + b"a" * (depth - 1) + b"."


def share(times: int) -> bytes:
    many: list[object] = [0] * 10
    for _ in range(times):
        many = [many] * 10
    return pickle.dumps(many, 2)


def in_itself() -> bytes:
    value: list[object] = []
    value.append(value)
    return pickle.dumps(value, 2)


FORBIDDEN = {
    "calls a function": b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R.",
    "names a class": b"\x80\x02cbuiltins\nobject\n.",
    "a class of numpy is made": b"\x80\x02" + NDARRAY + b"(K\x01\x85" + kind("O8") + POINTER + b"tR.",
    "objects over bytes": b"\x80\x02" + array(kind("O8")) + b".",
    "flags forged": b"\x80\x02" + array(row(kind("O8"), b"K\x00")) + b".",
    "scalar forged": b"\x80\x02" + SCALAR + row(kind("O8"), b"K\x00") + POINTER + b"\x86R.",
    "beyond its bytes": b"\x80\x02" + array(row(kind("f8"), b"J\x00\x00\x00\x40")) + b".",
    "before its bytes": b"\x80\x02" + array(row(kind("f4"), b"J\xf8\xff\xff\xff")) + b".",
    "more than its bytes": b"\x80\x02" + array(kind("f8"), shape=b"K\x02\x85") + b".",
    "characters that do not exist": b"\x80\x02" + array(kind("U2")) + b".",
    "a dtype of a class": b"\x80\x02" + DTYPE + b"cos\nsystem\n\x85R.",
    "a subclass of arrays": b"\x80\x02" + MAKE + b"(cnumpy\nmemmap\nK\x00\x85C\x01btR.",
    "persistent": b"\x80\x02" + text("x") + b"Q.",
    "extension": b"\x80\x02\x82\x01.",
    "an instance": b"(ios\nsystem\n.",
    "deep": nest(5000),
    "shared without end": share(9),
    "in itself": in_itself(),
    "a key that takes for ever": b"\x80\x02}" + b"K\x01\x85" + b"2\x86" * 60 + b"K\x01s.",
    "a codec": b"\x80\x02c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.",
    "a long number": b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\x01" * 10**6 + b".",
}


@pytest.mark.parametrize("data", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.timeout(20)
def test_more_than_data_is_refused(data):
    with pytest.raises(ForbiddenPickleError):
        read_pickle(data)


def test_a_truth_value_of_another_byte_is_true():
    found = read_pickle(b"\x80\x02" + array(kind("b1"), b"C\x01\x05") + b".")
    assert found.view(np.uint8).tolist() == [1]


@pytest.mark.parametrize("data", [b"", b"no pickle", b"\x80\x02", b"\x80\x02K", b"h\x05.", b"(.", b"t.", b"R."])
def test_a_damaged_pickle_is_said_to_be(data):
    with pytest.raises((DamagedPickleError, ForbiddenPickleError)):
        read_pickle(data)
