"""Readers of other packages run nothing that a file holds."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.errors import SourceError
from nwbpipe.foreign import ReadScope, forbid_code, lend_folder, read_literals


class Evil:
    """What a stranger puts into a pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Path of a file that exists once foreign code has run."""
    return tmp_path / "RAN"


def test_numpy_reads_a_pickled_dictionary_as_data(tmp_path: Path) -> None:
    np.save(tmp_path / "ops.npy", np.array({"fs": 30.0, "image": np.ones((2, 2))}), allow_pickle=True)
    with forbid_code("here"):
        ops = np.load(tmp_path / "ops.npy", allow_pickle=True).item()
    assert ops["fs"] == 30.0
    assert ops["image"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_numpy_does_not_run_a_pickle(tmp_path: Path, mark: Path) -> None:
    np.save(tmp_path / "ops.npy", np.array(Evil(mark), dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match=r"nothing of it was run") as caught, forbid_code("ops.npy"):
        np.load(tmp_path / "ops.npy", allow_pickle=True)
    assert "system" in str(caught.value)
    assert not mark.exists()


def test_a_reader_that_swallows_the_refusal_is_still_refused(mark: Path) -> None:
    with pytest.raises(SourceError, match="nothing of it was run"), forbid_code("here"):  # noqa: SIM117
        with pytest.raises(Exception, match="pickle that names"):
            pickle.loads(pickle.dumps(Evil(mark)))
    assert not mark.exists()


@pytest.mark.parametrize("unpickler", [pickle.Unpickler, pickle._Unpickler])
def test_an_unpickler_of_its_own_looks_up_no_name(unpickler: Any, mark: Path) -> None:
    data = io.BytesIO(pickle.dumps(Evil(mark)))
    with pytest.raises(SourceError, match="nothing of it was run"), forbid_code("here"):
        unpickler(data).load()
    assert not mark.exists()


def test_pandas_reads_its_own_pickles_as_no_code(mark: Path, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(SourceError, match="nothing of it was run"), forbid_code("here"):
        pd.read_pickle(tmp_path / "a.pkl")
    assert not mark.exists()


def test_no_program_and_no_shell_is_started(mark: Path) -> None:
    for start in (
        lambda: os.system(f"touch {mark}"),
        lambda: subprocess.run(["touch", str(mark)], check=True),
        lambda: os.spawnlp(os.P_WAIT, "touch", "touch", str(mark)),
        lambda: os.posix_spawnp("touch", ["touch", str(mark)], {}),
    ):
        with pytest.raises(SourceError, match="a program"), forbid_code("here"):
            start()
    assert not mark.exists()


def test_no_connection_is_made() -> None:
    import socket
    import urllib.request

    with pytest.raises(SourceError, match="a connection to"), forbid_code("here"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    with pytest.raises(SourceError, match="connection"), forbid_code("here"):
        urllib.request.urlopen("http://127.0.0.1:9/plug-in.so", timeout=1)


def test_a_reader_compiles_no_text(mark: Path) -> None:
    reader = {"__name__": "probeinterface.io"}
    exec("def read(text): exec(text, {})", reader)
    with pytest.raises(SourceError, match=r"text that probeinterface\.io would run"), forbid_code("here"):
        reader["read"](f"open({str(mark)!r}, 'w')")
    assert not mark.exists()


def test_imports_dataclasses_and_named_tuples_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple
    from dataclasses import make_dataclass

    (tmp_path / "fresh_module_of_a_reader.py").write_text("value = eval('1 + 1')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with forbid_code("here"):
        assert namedtuple("Pair", "a b")(1, 2).a == 1
        assert make_dataclass("Row", ["a"])(3).a == 3
        assert __import__("fresh_module_of_a_reader").value == 2


def test_a_package_may_ask_for_its_version_while_it_is_imported(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = f"import subprocess; subprocess.run(['touch', {str(mark)!r}], check=True)"
    (tmp_path / "asks_git.py").write_text(f"{run}\ndef later():\n    {run}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with forbid_code("here"):
        asks_git = importlib.import_module("asks_git")
    assert mark.exists()
    with pytest.raises(SourceError, match="a program"), forbid_code("here"):
        asks_git.later()


def test_other_threads_go_on() -> None:
    """Dask unpickles in a thread beside the one that converts."""
    values: list[Any] = []
    with forbid_code("here"):
        thread = threading.Thread(target=lambda: values.append(pickle.loads(pickle.dumps(Path("a")))))
        thread.start()
        thread.join()
    assert values == [Path("a")]
    assert pickle.loads(pickle.dumps(Path("a"))) == Path("a")


@pytest.mark.skipif("tables" not in sys.modules and not pytest.importorskip("tables"), reason="no PyTables")
def test_pytables_reads_attributes_as_data(tmp_path: Path, mark: Path) -> None:
    h5py, tables = pytest.importorskip("h5py"), pytest.importorskip("tables")
    for name, value in (("good", {"levels": ["a", "b"]}), ("bad", Evil(mark))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.attrs["info"] = np.bytes_(pickle.dumps(value, 0))

    def read(name: str) -> Any:
        with tables.open_file(tmp_path / f"{name}.h5") as file:
            return file.root._v_attrs.info

    with forbid_code("here"):
        assert read("good") == {"levels": ["a", "b"]}
    with pytest.raises(SourceError, match="nothing of it was run"), forbid_code("here"):
        read("bad")
    assert not mark.exists()


# Settings in Python ----------------------------------------------------------------------------------------


def test_settings_are_read_as_literals(tmp_path: Path) -> None:
    (tmp_path / "params.py").write_text(
        '"""Phy."""\n\ndat_path = r"C:\\data\\x.dat"\nn_channels_dat = 385\ndtype = \'int16\'\noffset = 0\n'
        "sample_rate = 30000.0  # Hz\nhp_filtered = False\nFILES = ['a', 'b']\nshanks = range(2)\nshift = -1\n"
    )
    assert read_literals(tmp_path / "params.py") == {
        "dat_path": r"C:\data\x.dat",
        "n_channels_dat": 385,
        "dtype": "int16",
        "offset": 0,
        "sample_rate": 30000.0,
        "hp_filtered": False,
        "files": ["a", "b"],
        "shanks": [0, 1],
        "shift": -1,
    }


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = open('x')",
        "a = __import__('os').system('x')",
        "a = [i for i in ()]",
        "a, b = 1, 2",
        "a.b = 1",
        "a = f'{1}'",
        "a = range(10**9)",
        "def f(): pass",
        "a = 1; print(a)",
        "a = " + "-" * 100_000 + "1",
        "a =",
        "a = '\0'",
    ],
)
def test_settings_that_are_code_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.py").write_text(text)
    with pytest.raises(SourceError) as caught:
        read_literals(tmp_path / "params.py")
    assert "params.py" in str(caught.value)


# Files elsewhere -------------------------------------------------------------------------------------------


def test_a_reader_opens_the_files_of_its_source_alone(tmp_path: Path) -> None:
    """A raw file may name any other: OME-TIFF, Open Ephys, Bruker's XML."""
    run, home = tmp_path / "lab" / "raw" / "run", tmp_path / "home"
    for folder in (run / "deep", home, tmp_path / "lab" / "disk"):
        folder.mkdir(parents=True)
    for file in (
        run / "a.bin",
        run / "deep" / "b.bin",
        run.parent / "settings.xml",
        home / "key",
        tmp_path / "lab" / "disk" / "c",
    ):
        file.write_bytes(b"x")
    (run / "link").symlink_to(tmp_path / "lab" / "disk" / "c")
    (run / "leak").symlink_to(home / "key")
    scope = ReadScope([run], [tmp_path / "lab"])
    with forbid_code("here", scope=scope):
        for file in (
            run / "a.bin",
            run / "deep" / "b.bin",
            run.parent / "settings.xml",
            run / "link",
            Path(os.__file__),
        ):
            file.read_bytes()
        (home / "scratch").write_bytes(b"y")  # a reader's own file
        assert (home / "scratch").read_bytes() == b"y"
    for file in (home / "key", run / "leak", run / "../../../home/key", tmp_path / "lab" / "disk" / "c"):
        with pytest.raises(SourceError, match="not of the source; it was not read"), forbid_code("here", scope=scope):
            np.memmap(file, mode="r")
    with pytest.raises(SourceError, match="not of the source; it was not read"), forbid_code("here", scope=scope):
        np.memmap(home / "key")  # without a mode it opens for reading and writing
    with forbid_code("here", scope=scope):
        assert bytes(np.memmap(run / "a.bin")) == b"x"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
@pytest.mark.parametrize("name", ["/proc/self/root{home}/key", "/proc/self/cwd/key", "/proc/self/environ"])
def test_proc_leads_to_no_other_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, home = tmp_path / "run", tmp_path / "home"
    for folder in (run, home):
        folder.mkdir()
    (home / "key").write_bytes(b"x")
    monkeypatch.chdir(home)
    file = Path(name.format(home=home))
    with (
        pytest.raises(SourceError, match="not of the source; it was not read"),
        forbid_code("here", scope=ReadScope([run], [run])),
    ):
        file.read_bytes()
    with forbid_code("here", scope=ReadScope([run], [run])):
        assert Path("/proc/self/status").read_bytes()


def test_a_lent_folder_is_read_and_removed_from_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, home = tmp_path / "run", tmp_path / "home"
    for folder in (run, home):
        folder.mkdir()
    (run / "a.bin").write_bytes(b"x")
    (home / "key").write_bytes(b"y")
    monkeypatch.chdir(home)
    scope = ReadScope([run], [run])
    with forbid_code("here", scope=scope), lend_folder() as lent:
        (lent / "block").mkdir()
        (lent / "block" / "a.bin").symlink_to(run / "a.bin")
        assert (lent / "block" / "a.bin").read_bytes() == b"x"
    assert not lent.exists()
    with (
        pytest.raises(SourceError, match="not of the source; it was not read"),
        forbid_code("here", scope=scope),
        lend_folder() as lent,
    ):
        _follow(lent / "key", home / "key")
    assert not lent.exists()
    (other := tmp_path / "nwbpipe-other").mkdir()
    (other / "b.bin").write_bytes(b"z")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SourceError, match="it was not read"), forbid_code("here", scope=scope):
        (other / "b.bin").read_bytes()


def _follow(link: Path, target: Path) -> bytes:
    link.symlink_to(target)
    return link.read_bytes()
