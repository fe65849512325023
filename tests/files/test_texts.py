from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.files import iter_texts, read_texts


@pytest.fixture
def file(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as made:
        made["text"] = "größer"
        made.create_dataset("ascii", data="plain", dtype=h5py.string_dtype("ascii"))
        made["several"] = ["one", "two"]
        made["fixed"] = np.array([b"abc", b"d"])
        made["numbers"] = [1, 2]
        made["null"] = h5py.Empty(h5py.string_dtype())
        made["group/deep/text"] = "deep"
        yield made


@pytest.mark.parametrize("name", ["text", "ascii", "several", "fixed"])
def test_texts_are_as_h5py_reads_them(file: h5py.File, name: str) -> None:
    found, expected = read_texts(file, name), file[name][()]
    assert np.array_equal(found, np.asarray(expected, dtype=found.dtype))


@pytest.mark.parametrize("name", ["numbers", "group", "null"])
def test_what_is_no_text_is_refused(file: h5py.File, name: str) -> None:
    with pytest.raises(TypeError):
        read_texts(file, name)


def test_what_is_missing_is_a_key_error(file: h5py.File) -> None:
    with pytest.raises(KeyError):
        read_texts(file, "none")


def test_all_texts_below_a_group(file: h5py.File) -> None:
    assert list(iter_texts(file["group"])) == [("deep/text", b"deep")]
