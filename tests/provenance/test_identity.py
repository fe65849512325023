"""Identity: what leaves it alone, every kind of value, streaming."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nwbpipe.provenance._dataset_streams as reading
import nwbpipe.provenance._hashing as hashing
from nwbpipe.errors import DamagedFileError, InputError, UnsafeFileError
from nwbpipe.provenance import identify_object
from nwbpipe.provenance._identity import find_identity
from nwbpipe.session import check
from tests.provenance.nwb import EPHYS, SPEED, TARGETS, TRACES, VIDEO, write_session


def identities(path: Path, folder: Path | None = None) -> dict[str, str]:
    with h5py.File(path, "r") as file:
        return {target: identify_object(file, target, folder=folder or path.parent) for target in TARGETS}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("session") / "session.nwb")


def memory() -> h5py.File:
    return h5py.File.in_memory()


def of(value: Any, **options: Any) -> str:
    """Identity of one dataset."""
    with memory() as file:
        file.create_dataset("x", data=value, **options)
        return identify_object(file, "x", folder=Path())


# What leaves it alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": True},
        {"chunks": True, "compression": "gzip"},
        {"chunks": True, "compression": "lzf", "shuffle": True, "fletcher32": True},
    ],
    ids=lambda storage: "+".join(storage),
)
@pytest.mark.filterwarnings("ignore:lzf compression may not be available:UserWarning")  # hdmf, of what is meant
def test_storage_and_object_ids(session: Path, tmp_path: Path, storage: dict[str, Any]) -> None:
    # Written anew: other object ids, another name of the file.
    write_session(tmp_path / "other.nwb", storage)
    assert identities(tmp_path / "other.nwb") == identities(session)


def test_gzip_to_zstd() -> None:
    plugins = pytest.importorskip("hdf5plugin", reason="zstd needs hdf5plugin")
    values = np.arange(60_000, dtype="int16").reshape(300, 200)
    gzip = of(values, chunks=(100, 200), compression="gzip", shuffle=True)
    assert of(values, chunks=(64, 50), **plugins.Zstd(clevel=5)) == gzip
    values[150, 100] += 1
    assert of(values, chunks=(64, 50), **plugins.Zstd(clevel=5)) != gzip


def test_repack_by_h5py(session: Path, tmp_path: Path) -> None:
    with h5py.File(session) as old, h5py.File(tmp_path / "new.nwb", "w", libver="latest") as new:
        new.attrs.update(old.attrs)
        for name in ("acquisition", "general", "processing"):
            old.copy(name, new)
        del new["acquisition/probe/data"]
        data = new.create_dataset("acquisition/probe/data", data=old[EPHYS]["data"][:], chunks=(7, 2), compression=9)
        data.attrs.update(old[EPHYS]["data"].attrs)
        # References point to where they did: into the copy.
        for path in (f"{EPHYS}/electrodes", f"{TRACES}/rois"):
            new[path].attrs["table"] = new[old[old[path].attrs["table"]].name].ref
        column = "general/extracellular_ephys/electrodes/group"
        new[column][...] = [new[old[ref].name].ref for ref in old[column]]
        for target in (EPHYS, SPEED, TRACES):
            expected = identify_object(old, target, folder=session.parent)
            assert identify_object(new, target, folder=tmp_path) == expected


def test_renaming_and_unrelated_additions(session: Path, tmp_path: Path) -> None:
    path = write_session(tmp_path / "a.nwb")
    before = identities(path)
    with h5py.File(path, "r+") as file:
        file.move(EPHYS, "/acquisition/renamed")
        file.move("/general/extracellular_ephys/CA1", "/general/extracellular_ephys/other")
        file.move("/general/devices/probe", "/general/devices/other")
        for holder in ("extracellular_ephys/other", "extracellular_ephys/CA3", "optophysiology/plane"):
            del file[f"general/{holder}/device"]
            file[f"general/{holder}/device"] = h5py.SoftLink("/general/devices/other")
        del file[f"{VIDEO}/device"]
        file[f"{VIDEO}/device"] = h5py.SoftLink("/general/devices/other")
        file.move(VIDEO, "/stimulus/presentation/v")
        file["acquisition/new/data"] = np.arange(5)
        file["acquisition/new"].attrs["neurodata_type"] = "TimeSeries"
        table = file["general/extracellular_ephys/electrodes"]
        table["note"] = np.arange(6)
        table.attrs["colnames"] = [*table.attrs["colnames"], "note"]
        for name, dataset in list(table.items()):  # one more electrode
            values = [*dataset[...], dataset[0]]
            attributes, dtype = dict(dataset.attrs), dataset.dtype
            del dataset, table[name]
            table.create_dataset(name, data=values, dtype=dtype).attrs.update(attributes)
        assert identify_object(file, "/acquisition/renamed", folder=tmp_path) == before[EPHYS]
        assert identify_object(file, "/stimulus/presentation/v", folder=tmp_path) == before[VIDEO]
        assert identify_object(file, SPEED, folder=tmp_path) == before[SPEED]


def test_a_video_that_was_moved_with_its_file(session: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/renamed.avi").write_bytes((session.parent / "media/body.avi").read_bytes())
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(session.read_bytes())
    with h5py.File(copy, "r+") as file:
        file[f"{VIDEO}/external_file"][0] = "clips/renamed.avi"
    assert identities(copy) == identities(session)


def test_check_names_a_video_outside_of_the_folder(session: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(session.read_bytes())
    with h5py.File(copy, "r+") as file:
        file[f"{VIDEO}/external_file"][0] = str(session.parent / "media/body.avi")
    (finding,) = [finding for finding in check(copy).findings if finding.kind == "unsafe"]
    assert finding.where == f"{VIDEO}/external_file"
    assert not finding.error  # other programs write such paths, and they harm nothing as long as nobody reads them


# Values ---------------------------------------------------------------------------------------------------


def test_byte_order_text_kinds_and_padding_are_of_no_account() -> None:
    assert of(np.arange(5, dtype="<i4")) == of(np.arange(5, dtype=">i4"))
    assert of(np.array([b"abc", b"de"])) == of(["abc", "de"], dtype=h5py.string_dtype())
    assert of(["µ".encode(), b"de"], dtype=h5py.string_dtype("utf-8", 9)) == of(
        ["µ", "de"], dtype=h5py.string_dtype()
    )
    assert of("text") == of(np.bytes_(b"text"))
    aligned = np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    aligned["b"] = 1.5
    assert of(aligned) == of(aligned.astype([("a", "i1"), ("b", ">f8")]))
    with memory() as file:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(6)
        kind.set_strpad(h5py.h5t.STR_SPACEPAD)
        space = h5py.h5s.create_simple((2,))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, space))
        dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([b"abc   ", b"d e   "], "S6"), kind)
        assert identify_object(file, "x", folder=Path()) == of(["abc", "d e"], dtype=h5py.string_dtype())


def test_every_other_difference_counts() -> None:
    reference = np.dtype([("a", "i4"), ("b", "i4")])
    values: list[Any] = [
        np.arange(4, dtype="i4"), np.arange(4, dtype="i8"), np.arange(4, dtype="u4"), np.arange(4, dtype="f4"),
        np.arange(4, dtype="i4").reshape(2, 2), np.arange(4, dtype="i4").reshape(4, 1), np.int32(0), [np.int32(0)],
        np.zeros(0, "i4"), np.zeros((0, 3), "i4"), np.zeros((3, 0), "i4"), h5py.Empty("i4"), h5py.Empty("f4"),
        np.array([True, False]), np.array([1, 0], "i1"), "ab", ["ab"], ["a", "b"], ["", "ab"], ["ab", ""], "",
        np.array([0.0]), np.array([-0.0]), np.array([np.nan]), np.array([1j]), np.void(b"ab"), np.zeros(2, reference),
        np.zeros(2, [("b", "i4"), ("a", "i4")]), np.zeros(2, [("a", "i4"), ("b", "f4")]), np.zeros(1, "f2"),
        np.zeros(2, [("a", "i4", (2,))]),
    ]  # fmt: skip
    found = [of(value) for value in values]
    enum = h5py.enum_dtype({"A": 1, "B": 2}, "i1")
    found += [of([1, 2], dtype=enum), of([1, 2], dtype=h5py.enum_dtype({"A": 2, "B": 1}, "i1"))]
    vlen = h5py.vlen_dtype("i4")
    for parts in ([[1], [2, 3]], [[1, 2], [3]], [[], [1, 2, 3]]):
        array = np.empty(2, object)
        array[:] = [np.array(part, "i4") for part in parts]
        found.append(of(array, dtype=vlen))
    assert len(set(found)) == len(found)


def test_compound_with_text_and_references() -> None:
    kind = np.dtype([("name", h5py.string_dtype()), ("target", h5py.ref_dtype), ("n", ">i2")])

    def one(name: str, target: str, n: int, value: float = 1.0) -> str:
        with memory() as file:
            file["a"], file["b"] = value, 2.0
            file.create_dataset("x", data=np.array([(name, file[target].ref, n)], kind))
            return identify_object(file, "x", folder=Path())

    base = one("t", "a", 1)
    assert base == one("t", "a", 1)
    assert len({base, one("u", "a", 1), one("t", "b", 1), one("t", "a", 2)}) == 4
    assert one("t", "a", 1, 2.0) == one("t", "b", 1)  # content, not the path


def test_region_and_null_references() -> None:
    with memory() as file:
        file["a"] = np.arange(10)
        found = []
        for selection in (slice(0, 3), slice(1, 4)):
            file.create_dataset("x", data=file["a"].regionref[selection], dtype=h5py.regionref_dtype)
            found.append(identify_object(file, "x", folder=Path()))
            del file["x"]
        file.create_dataset("x", (1,), dtype=h5py.ref_dtype)
        found.append(identify_object(file, "x", folder=Path()))
        assert len(set(found)) == 3


def test_cycles_end_and_their_content_counts() -> None:
    def one(value: int, entry: str = "a") -> str:
        with memory() as file:
            a, b = file.create_group("a"), file.create_group("b")
            a["to"], b["to"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
            a["self"] = h5py.SoftLink("/a")
            b["value"] = value
            b.attrs.create("back", a.ref, dtype=h5py.ref_dtype)
            return identify_object(file, entry, folder=Path())

    assert one(1) == one(1)
    assert one(1) != one(2)
    assert one(1, "b") != one(2, "b")


def test_dangling_links_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["soft/x"] = h5py.SoftLink("/nowhere")
        file["far/x"] = h5py.ExternalLink("gone.h5", "/y")
        file.create_dataset("raw", (4,), "i2", external=[("gone.bin", 0, 8)])
        layout = h5py.VirtualLayout((4,), "i2")
        layout[:] = h5py.VirtualSource("gone.h5", "y", (4,))
        file.create_virtual_dataset("virtual", layout)
        file["media/external_file"] = ["https://example.org/a.mp4"]
    with h5py.File(path) as file:
        for name, text in (
            ("soft", "nowhere"), ("far", r"gone\.h5"), ("raw", r"gone\.bin"), ("virtual", r"gone\.h5"),
            ("media", "https"), ("absent", "no object at this path"),
        ):  # fmt: skip
            with pytest.raises(InputError, match=text):
                identify_object(file, name, folder=tmp_path)


@pytest.mark.parametrize("name", ["../victim.bin", "/proc/self/environ", "link/victim.bin", r"C:\victim.bin"])
def test_an_external_file_outside_of_the_folder_is_not_opened(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    (tmp_path / "victim.bin").write_bytes(b"private")
    (folder / "link").symlink_to(tmp_path)
    with h5py.File(folder / "a.nwb", "w") as file:
        file["media/external_file"] = [name]
        opened: list[object] = []
        with pytest.raises(UnsafeFileError, match="outside the folder"):
            find_identity(file, "media", folder=folder, sha256=lambda path: str(opened.append(path)))
    assert not opened


def test_external_links_and_raw_storage(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["y"] = np.arange(4, dtype="i2")
    np.arange(4, dtype="i2").tofile(tmp_path / "raw.bin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["far/x"] = h5py.ExternalLink("b.h5", "/y")
        file["near/x"] = np.arange(4, dtype="i2")
        file.create_group("raw").create_dataset("x", (4,), "i2", external=[(str(tmp_path / "raw.bin"), 0, 8)])
        found = {identify_object(file, name, folder=tmp_path) for name in ("far", "near", "raw")}
    assert len(found) == 1


def test_damaged_chunks_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.random.default_rng(0).integers(0, 9, 1000), chunks=(1000,), compression=4)
        offset = file["x"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    with h5py.File(path) as file, pytest.raises(DamagedFileError, match="read to the end"):
        identify_object(file, "x", folder=tmp_path)


# Streaming ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    data=st.data(),
    slab=st.integers(1, 400),
    factor=st.integers(1, 4),
    block=st.integers(1, 64),
)
def test_however_it_is_read(shape: list[int], data: Any, slab: int, factor: int, block: int) -> None:
    """Any chunks, any limits of memory: the same blocks; another size of blocks: another digest."""
    values = np.arange(np.prod(shape), dtype="i2").reshape(shape)
    chunks = tuple(data.draw(st.integers(1, size)) for size in shape)
    whole = of(values)
    before = reading._SLAB_BYTES, reading._MAX_SLAB_BYTES, reading._CHUNK_CACHE_BYTES, hashing._PIECE
    try:
        reading._SLAB_BYTES, reading._MAX_SLAB_BYTES = slab, slab * factor
        reading._CHUNK_CACHE_BYTES = data.draw(st.sampled_from([1, 2**20]))
        hashing._PIECE = block
        assert of(values, chunks=chunks) == whole
        assert of(values) == whole
    finally:
        reading._SLAB_BYTES, reading._MAX_SLAB_BYTES, reading._CHUNK_CACHE_BYTES, hashing._PIECE = before


def test_blocks_do_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "BLOCK_BYTES", 10)
    digests = set()
    for size in (1, 3, 10, 11, 100):
        hasher = hashing.BlockHasher()
        for start in range(0, 100, size):
            hasher.update(bytes(range(start, min(start + size, 100))))
        digests.add(hasher.digest())
    assert len(digests) == 1


@settings(max_examples=20, deadline=None)
@given(row=st.integers(0, 399), channel=st.integers(0, 2), bit=st.integers(0, 15))
def test_any_bit_of_any_sample(session: Path, row: int, channel: int, bit: int) -> None:
    with h5py.File(session, "r+") as file:
        before = identify_object(file, EPHYS, folder=session.parent)
        samples = file[f"{EPHYS}/data"]
        value = samples[row, channel]
        samples[row, channel] = value ^ np.array(1 << bit, "u2").view("i2")
        assert identify_object(file, EPHYS, folder=session.parent) != before
        samples[row, channel] = value
        assert identify_object(file, EPHYS, folder=session.parent) == before


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [None, (1000, 384), (800_000, 8)], ids=str)
def test_memory_is_bounded(tmp_path: Path, chunks: tuple[int, int] | None) -> None:
    with h5py.File(tmp_path / "big.h5", "w") as file:  # 600 MB, sparse where it can be
        file.create_dataset("x", (800_000, 384), "i2", chunks=chunks)
        file["x"][400_000:401_000] = 1
    code = """
import resource
from pathlib import Path
import h5py
from nwbpipe.provenance import identify_object
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with h5py.File("big.h5") as file:
    identify_object(file, "x", folder=Path())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 256 * 2**20
