"""Commits to be broken: small HDF5 files of several kinds, and changes to them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from nwbpipe.files._view import View


@dataclass(frozen=True)
class Scenario:
    """A file and its change, as a view hands it to the commit (see `nwbpipe.files._commit.PendingChange`)."""

    name: str
    old: bytes
    new: bytes
    pages: tuple[tuple[int, bytes], ...]
    tails: tuple[tuple[int, bytes], ...]

    @property
    def old_end(self) -> int:
        return len(self.old)

    @property
    def new_end(self) -> int:
        return len(self.new)

    def changed_pages(self) -> Iterable[tuple[int, bytes]]:
        return self.pages

    def tail(self) -> Iterable[tuple[int, bytes]]:
        return self.tails

    def read_new(self, offset: int, size: int) -> bytes:
        return self.new[offset : offset + size]


def content(path: Path) -> str:
    """Digest of all that an HDF5 file says."""
    parts: list[str] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        value = hashlib.sha256(item[()].tobytes()).hexdigest() if isinstance(item, h5py.Dataset) else "group"
        parts.append(f"{name} {value} {sorted((key, str(one)) for key, one in item.attrs.items())}")

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
        parts.append(str(sorted(file.attrs.items())))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def fill(file: h5py.File) -> None:
    """What all the files hold at first."""
    rng = np.random.default_rng(1)
    file["raw"] = rng.integers(0, 255, 900, dtype=np.uint8)
    for number in range(4):
        group = file.create_group(f"group{number}")
        group.attrs["number"] = number
        group["data"] = rng.integers(0, 255, 300, dtype=np.uint8)
    file["last"] = rng.integers(0, 255, 1500, dtype=np.uint8)


def append(file: h5py.File) -> None:
    rng = np.random.default_rng(2)
    file["group1/more"] = rng.integers(0, 255, 2500, dtype=np.uint8)
    file.create_dataset("group3/packed", data=np.arange(800), chunks=(200,), compression="gzip")
    file.attrs["runs"] = 1


def replace(file: h5py.File) -> None:
    rng = np.random.default_rng(3)
    held = file["group2/data"].id
    del file["group2/data"]
    file["group2/data"] = rng.integers(0, 255, 700, dtype=np.uint8)
    file["raw"][100:200] = 0
    del held


def remove(file: h5py.File) -> None:
    del file["last"]
    file.attrs["removed"] = 1


def edit(file: h5py.File) -> None:
    """No byte past the old end."""
    file["raw"][:] = 7
    file["group0"].attrs["number"] = 100


KINDS: dict[str, tuple[Callable[[h5py.File], None], dict[str, object], int]] = {
    "append": (append, {}, 512),
    "append, HDF5's latest format": (append, {"libver": "latest"}, 1024),
    "append, pages": (append, {"fs_strategy": "page", "fs_page_size": 4096}, 4096),
    "append after a user block": (append, {"userblock_size": 512}, 512),
    "replace": (replace, {}, 512),
    "remove": (remove, {}, 512),
    "edit": (edit, {}, 1024),
}


def build(name: str, folder: Path) -> Scenario:
    """Make the file, change it through a view, and keep what the view would commit."""
    change, arguments, page = KINDS[name]
    path = folder / "scenario.h5"
    with h5py.File(path, "w", **arguments) as file:  # type: ignore[arg-type]
        fill(file)
    descriptor = os.open(path, os.O_RDONLY)
    view = View(descriptor, folder, page=page, memory=4 * page)
    with h5py.File(path, "r+", driver="fileobj", fileobj=view) as file:
        change(file)
    old = path.read_bytes()
    scenario = Scenario(
        name,
        old,
        view.read_new(0, view.new_end),
        tuple(view.changed_pages()),
        tuple((start, bytes(data)) for start, data in view.tail()),
    )
    view.close()
    os.close(descriptor)
    path.unlink()
    return scenario
