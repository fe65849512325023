"""A reader without the lock streams on through commits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.files import transaction

_READER = """
    import hashlib, sys, h5py
    with h5py.File(sys.argv[1], "r", locking=False) as file:
        series = {name: file[name] for name in ("raw", "result")}
        print("open", flush=True)
        for line in sys.stdin:
            for name in line.split():
                digest = hashlib.sha256()
                data = series[name]
                for start in range(0, len(data), 1_000_000):
                    digest.update(data[start:start + 1_000_000].tobytes())
                print(name, digest.hexdigest(), flush=True)
"""


@pytest.mark.parametrize("kind", ["contiguous", "chunked", "pages"])
def test_identical_bytes_through_commits(tmp_path: Path, kind: str, long: bool) -> None:
    """The long form streams 1 GB."""
    path = tmp_path / "a.h5"
    size = 125_000_000 if long and kind == "contiguous" else 1_000_000
    pages = {"fs_strategy": "page", "fs_page_size": 65536} if kind == "pages" else {}
    raw, result = np.arange(size), np.random.default_rng(0).normal(size=20_000)
    with h5py.File(path, "w", **pages) as file:
        chunks = None if kind == "contiguous" else (10_000,)
        file.create_dataset("raw", data=raw, chunks=chunks, compression=None if chunks is None else "gzip")
        file["result"] = result
        file["after"] = np.arange(100)
    expected = {
        "raw": hashlib.sha256(raw.tobytes()).hexdigest(),
        "result": hashlib.sha256(result.tobytes()).hexdigest(),
    }
    command = [sys.executable, "-c", textwrap.dedent(_READER), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"

        def ask(*names: str) -> None:
            print(*names, file=reader.stdin, flush=True)

        def answer(*names: str) -> None:
            for name in names:
                assert reader.stdout.readline().split() == [name, expected[name]]

        ask("raw", "result")
        answer("raw", "result")
        for turn in range(20):
            ask("raw", "result")
            with transaction(path) as file:
                # `result` is removed in the first turn: nothing is put in its place while the reader has it.
                name = "result" if turn == 0 else f"result{turn - 1}"
                del file[name]
                file[f"result{turn}"] = np.full(20_000, turn)
                file.create_group(f"group{turn}").attrs["turn"] = turn
            answer("raw", "result")
        reader.stdin.close()
        assert reader.wait() == 0


def test_space_freed_in_a_transaction_is_not_used_again_by_it(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a/old"] = np.ones(10_000)
        file["last"] = 1
        old, size = file["a/old"].id.get_offset(), path.stat().st_size
    size = path.stat().st_size
    before = path.read_bytes()
    with transaction(path) as file:
        del file["a"]["old"]
        for number in range(5):
            file[f"new{number}"] = np.zeros(10_000)
            assert file[f"new{number}"].id.get_offset() >= size
    assert path.read_bytes()[old : old + 80_000] == before[old : old + 80_000]
