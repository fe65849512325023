"""assert_same_content: the same however it is stored; the first difference is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.testing import assert_same_content


def write(path: Path, **storage: object) -> Path:
    with h5py.File(path, "w") as file:
        values = file.create_dataset("a/values", data=np.arange(100.0), **storage)
        values.attrs["unit"] = "V"
        values.attrs["object_id"] = path.name
        file["b/texts"] = ["one", "two"]
        file["b/link"] = h5py.SoftLink("/a/values")
        file["b/reference"] = values.ref
        file["b/nothing"] = np.nan
    return path


def test_storage_makes_no_difference(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.h5"), write(tmp_path / "2.h5", chunks=(10,), compression="gzip")
    assert_same_content(first, second, ignore=["object_id"])
    with h5py.File(first) as one, h5py.File(second) as two:
        assert_same_content(one["b"], two["b"])
    with pytest.raises(AssertionError, match=r"a/values: attribute object_id differs: '1\.h5' and '2\.h5'"):
        assert_same_content(first, second)


CHANGES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "value": (lambda file: file["a/values"].__setitem__(3, -1.0), "a/values: values differs"),
    "attribute": (lambda file: file["a/values"].attrs.__setitem__("unit", "mV"), "attribute unit differs"),
    "text": (lambda file: file["b/texts"].__setitem__(0, "uno"), "b/texts: values differs"),
    "link": (lambda file: (file.__delitem__("b/link"), file["b"].__setitem__("link", h5py.SoftLink("/b"))), "b/link"),
    "reference": (lambda file: file["b/reference"].__setitem__((), file["b"].ref), "b/reference: values"),
    "more": (lambda file: file.create_group("c"), "c is only in the second"),
    "less": (lambda file: file.__delitem__("b/texts"), "b/texts is only in the first"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_difference_is_named(tmp_path: Path, name: str) -> None:
    change, message = CHANGES[name]
    first, second = write(tmp_path / "1.h5"), write(tmp_path / "2.h5")
    with h5py.File(second, "r+") as file:
        change(file)
    with pytest.raises(AssertionError, match=message):
        assert_same_content(first, second, ignore=["object_id"])


def test_a_path_may_be_left_out(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.h5"), write(tmp_path / "2.h5")
    with h5py.File(second, "r+") as file:
        del file["b/texts"]
        file["b2"] = 1
    assert_same_content(first, second, ignore=["object_id", "b/texts", "b2"])
    with pytest.raises(AssertionError, match="b2 is only"):
        assert_same_content(first, second, ignore=["object_id", "b"])
