"""A pickled .npy is read, and nothing in it runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from nwbpipe.errors import SourceError
from nwbpipe.foreign import load_array, load_pickled_dict, load_pickled_dicts
from tests.nwb_builders.facemap_proc import write_proc


class _Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class _Evaluates:
    def __reduce__(self):
        return eval, ("__import__('os').getpid()",)


def _write(path: Path, content: object, protocol: int | None = None) -> Path:
    if protocol is None:
        np.save(path, content, allow_pickle=True)
        return path
    with path.open("wb") as stream:
        np.save(stream, np.array(None, dtype=object), allow_pickle=True)  # for the header
        stream.seek(128)
        stream.truncate()
        stream.write(pickle.dumps(np.array(content, dtype=object), protocol=protocol))
    return path


def test_what_facemap_saves_is_read_unchanged(tmp_path):
    proc = write_proc(tmp_path / "a_proc.npy")
    found = load_pickled_dict(tmp_path / "a_proc.npy")
    assert list(found) == list(proc)
    np.testing.assert_array_equal(found["motSVD"][1], proc["motSVD"][1])
    assert found["LYbin"] == proc["LYbin"]
    assert found["rois"][0]["saturation"] == 60.0


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path, protocol):
    content = {
        "a": np.arange(5, dtype="<i4"),
        "b": [np.float32(1.5), "text", Path("x/y.avi")],
        "c": (True, None, b"z"),
    }
    found = load_pickled_dict(_write(tmp_path / "a.npy", content, protocol))
    np.testing.assert_array_equal(found["a"], content["a"])
    assert found["b"][:2] == [1.5, "text"]
    assert found["b"][2] == str(Path("x/y.avi"))
    assert found["c"] == content["c"]


@pytest.mark.parametrize("place", ["value", "key in list", "inside an array"])
def test_a_payload_is_refused_and_not_run(tmp_path, place):
    marker = tmp_path / "ran"
    payload = _Runs(marker)
    content = {
        "value": {"filenames": payload},
        "key in list": {"rois": [{"a": payload}]},
        "inside an array": {"a": np.array([payload, 1], dtype=object)},
    }[place]
    with pytest.raises(SourceError, match="holds more than data") as caught:
        load_pickled_dict(_write(tmp_path / "a_proc.npy", content))
    assert "system" in caught.value.problem.found
    assert not marker.exists()


def test_builtins_are_refused(tmp_path):
    with pytest.raises(SourceError, match="eval"):
        load_pickled_dict(_write(tmp_path / "a_proc.npy", {"x": _Evaluates()}))


def _changes(target: bytes, state: object) -> bytes:
    """Pickle of a dictionary, before which the attributes of `target` are set (BUILD) to those of `state`."""
    return b"\x80\x02" + target + pickle.dumps(state, 2)[2:-1] + b"b0" + pickle.dumps({"tau": 1.0}, 2)[2:]


@pytest.mark.parametrize(
    "target",
    [
        b"cpathlib\nPurePosixPath\n",
        b"cpathlib\nPureWindowsPath\n",
        b"c_codecs\nencode\n",
        b"cnumpy.core.numeric\n_frombuffer\n",
        b"cnumpy.core.multiarray\nscalar\n",
        b"cnumpy\nndarray\n",
        b"cdatetime\ndatetime\n",
        b"}",
    ],
)
@pytest.mark.parametrize("state", [(None, {"_str": "/x"}), {"_str": "/x"}], ids=["slots", "dict"])
def test_nothing_is_changed_but_arrays(tmp_path: Path, target: bytes, state: object) -> None:
    file = tmp_path / "a_proc.npy"
    np.save(file, np.array(None, dtype=object), allow_pickle=True)
    file.write_bytes(file.read_bytes()[:128] + _changes(target, state))
    with pytest.raises(SourceError, match=r"(?s)holds more than data.*(changes the attributes|it names)"):
        load_pickled_dict(file)
    assert str(Path("y")) == "y"


def test_truncated(tmp_path):
    file = tmp_path / "a_proc.npy"
    write_proc(file)
    whole = file.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(SourceError, match="damaged, truncated"):
            load_pickled_dict(file)


def test_other_content(tmp_path):
    np.save(tmp_path / "plain.npy", np.arange(3))
    with pytest.raises(SourceError, match="holds an array"):
        load_pickled_dict(tmp_path / "plain.npy")
    with pytest.raises(SourceError, match="no dictionary"):
        load_pickled_dict(_write(tmp_path / "list.npy", ["text"], 3))
    with pytest.raises(SourceError, match="can't be read"):
        load_pickled_dict(tmp_path / "missing.npy")


def test_a_row_of_dictionaries(tmp_path):
    rows = np.empty(2, dtype=object)
    rows[:] = [{"ypix": np.array([1, 2])}, {"ypix": np.array([3])}]
    np.save(tmp_path / "stat.npy", rows, allow_pickle=True)
    first, second = load_pickled_dicts(tmp_path / "stat.npy")
    assert first["ypix"].tolist() == [1, 2]
    assert second["ypix"].tolist() == [3]


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_numbers(tmp_path, order):
    values = np.asarray(np.arange(6, dtype=">f4").reshape(2, 3), order=order)
    np.save(tmp_path / "F.npy", values)
    np.testing.assert_array_equal(load_array(tmp_path / "F.npy"), values)


def test_an_array_that_states_more_than_it_holds(tmp_path):
    with (tmp_path / "F.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (2, 10**12)})
    with pytest.raises(SourceError, match="0 bytes follow"):
        load_array(tmp_path / "F.npy")


def test_an_array_of_objects_is_no_array_of_numbers(tmp_path):
    np.save(tmp_path / "F.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(SourceError, match="pickled objects"):
        load_array(tmp_path / "F.npy")
