"""Which parts are copied and which are sent, on paper; addresses; what messages show. No server is needed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nwbpipe
from nwbpipe.errors import FileAccessError, RequestError
from nwbpipe.files.s3 import is_remote, parse_address
from nwbpipe.files.s3._orphans import add_write, has_write
from nwbpipe.files.s3._plan import LARGEST, MOST, SENT, SMALLEST, plan_parts
from nwbpipe.session import SessionFile
from nwbpipe.stores.s3 import scrub_secrets

TB = 10**12


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]]]:
    """Sizes up to 5 TB, and changed pages below both ends: near each other, far apart, at the edges."""
    size = st.one_of(st.integers(1, 64 * 2**20), st.integers(1, 5 * TB))
    old_end, new_end = draw(size), draw(size)
    if draw(st.booleans()):
        new_end = min(old_end + draw(st.integers(0, 64 * 2**20)), 5 * TB)
    limit = min(old_end, new_end)
    numbers = draw(st.sets(st.one_of(st.integers(0, limit - 1), st.integers(0, min(limit, 2**26) - 1)), max_size=40))
    pages = sorted({number // 2**16 for number in numbers})
    return old_end, new_end, [(page * 2**16, min((page + 1) * 2**16, limit)) for page in pages]


def check(old_end: int, new_end: int, changed: list[tuple[int, int]]) -> None:
    parts = plan_parts(old_end, new_end, changed)
    assert parts[0].start == 0
    assert parts[-1].stop == new_end
    assert all(one.stop == following.start for one, following in pairwise(parts))
    assert all(SMALLEST <= one.size <= LARGEST for one in parts[:-1])
    assert 0 < parts[-1].size <= LARGEST
    assert len(parts) <= MOST < 10_000
    for one in parts:
        if one.copied:
            assert one.size >= SMALLEST
            assert one.stop <= old_end
            assert not any(start < one.stop and one.start < stop for start, stop in changed)


@given(changes())
def test_every_byte_is_in_one_part_and_the_limits_hold(case: tuple[int, int, list[tuple[int, int]]]) -> None:
    check(*case)


def test_changes_all_over_five_terabytes() -> None:
    step = 5 * TB // 30_000  # more places than there may be parts
    check(5 * TB, 5 * TB, [(page // 2**16 * 2**16, page // 2**16 * 2**16 + 2**16) for page in range(0, 5 * TB, step)])


def test_a_tail_of_five_terabytes() -> None:
    check(2**20, 5 * TB, [(0, 2**16)])


def test_an_append_sends_little() -> None:
    for size in (10**8, 10**10, TB, 5 * TB):
        parts = plan_parts(
            size, size + 50 * 10**6, [(0, 2**16), (size // 2, size // 2 + 2**16), (size - 2**16, size)]
        )
        assert sum(one.size for one in parts if not one.copied) <= 50 * 10**6 + 3 * SMALLEST
        assert max(one.size for one in parts if not one.copied) <= SENT


def test_what_no_object_can_be_is_refused() -> None:
    for size in (0, 60 * TB):
        with pytest.raises(ValueError, match="size"):
            plan_parts(10, size, [])


# Addresses ------------------------------------------------------------------------------------------------


def test_addresses() -> None:
    assert parse_address("s3://bucket/a/b.nwb").key == "a/b.nwb"
    assert str(parse_address(Path("s3://bucket/a/b.nwb"))) == "s3://bucket/a/b.nwb"  # pathlib drops a slash
    assert is_remote("s3://bucket/key")
    assert is_remote(Path("s3://bucket/key"))
    for path in ("session.nwb", "/data/s3/x.nwb", "C:\\data\\x.nwb", "C:/data/x.nwb", "./s3:/x", object()):
        assert not is_remote(path)


@pytest.mark.parametrize(
    "url",
    [
        "adl://b/x.nwb",
        "abfs://b/x.nwb",
        "https://127.0.0.1:9/x.nwb?X-Amz-Signature=sec/secret",
        "other://user:secret@h/x",
    ],
)
def test_other_schemes_are_not_changed(url: str) -> None:
    with pytest.raises(RequestError, match="not supported") as caught, nwbpipe.transaction(url):
        pytest.fail("it was opened")
    assert "secret" not in str(caught.value)
    for opening in (nwbpipe.read(url), SessionFile.at(url).open()):  # the packages that they need are missing
        with pytest.raises(FileAccessError) as denied, opening:
            pytest.fail("it was opened")
        assert "secret" not in str(denied.value)


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/folder/"])
def test_what_names_no_object_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="does not name an object"):
        parse_address(url)


# Marks and messages ---------------------------------------------------------------------------------------


def test_the_last_writes_are_remembered() -> None:
    metadata: dict[str, str] = {"lab": "x"}
    for number in range(20):
        metadata = add_write(metadata, f"write{number:02d}")
    assert metadata["lab"] == "x"
    assert [has_write(metadata, f"write{number:02d}") for number in (11, 12, 19)] == [False, True, True]


def test_secrets_are_taken_out_of_messages() -> None:
    credentials = SimpleNamespace(access_key="AK-OURS", secret_key="se/cret", token="tok+en")
    client = SimpleNamespace(_request_signer=SimpleNamespace(_credentials=credentials))
    text = scrub_secrets(
        "http://user:pass@host/x?X-Amz-Credential=abc&X-Amz-Signature=def AK-OURS se/cret tok+en "
        "AKIAIOSFODNN7EXAMPLE Authorization: AWS4",
        client,
    )
    for secret in ("pass", "abc", "def", "OURS", "se/cret", "tok+en", "AKIA", "AWS4"):
        assert secret not in text
    assert "host/x" in text
