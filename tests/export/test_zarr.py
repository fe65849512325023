"""A session file as NWB-Zarr, and back: nothing is lost, and nothing of a stranger's folder is run or followed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import NwbpipeError, OverwriteError, RequestError, UnsafeFileError, UnsupportedFileError
from nwbpipe.export import write_hdf5, write_zarr
from nwbpipe.nwb_zarr._io import iter_blocks
from nwbpipe.testing import assert_same_content
from tests.export.sessions import copy_with, write_arrays_session
from tests.fixtures.processing import Scale

zarr = pytest.importorskip("zarr")
RECORDS = "general/nwbpipe"
REFERENCES = "general/extracellular_ephys/electrodes/group"


def test_all_of_a_session_comes_back(processed: Path, zarr_folder: Path, tmp_path: Path) -> None:
    write_hdf5(zarr_folder, tmp_path / "back.nwb")
    assert_same_content(
        processed, tmp_path / "back.nwb", ignore={RECORDS}
    )  # texts of a fixed length become plain ones
    assert nwbpipe.read_records(tmp_path / "back.nwb") == nwbpipe.read_records(processed)
    with h5py.File(tmp_path / "back.nwb") as file:
        assert file["acquisition/movie/data"].chunks == (25, 4, 3)
    records = nwbpipe.read_records(tmp_path / "back.nwb")
    assert [record.step for record in records] == ["twice"]
    run = nwbpipe.process(tmp_path / "back.nwb", Scale(), step="twice", inputs={"series": "acquisition/wheel"})
    assert run.record.key == records[0].key  # the content is the same: there is nothing to do
    assert len(nwbpipe.read_records(tmp_path / "back.nwb")) == 1


def test_the_folder_is_what_others_read(zarr_folder: Path) -> None:
    from hdmf_zarr.nwb import NWBZarrIO

    root = zarr.open_consolidated(str(zarr_folder), mode="r")
    movie = root["acquisition/movie/data"]
    assert movie.chunks == (25, 4, 3)
    assert movie.compressor is None  # the filters of the HDF5 file, and no others
    codecs = {
        entry["id"]
        for text in zarr_folder.rglob(".zarray")
        for entry in json.loads(text.read_text())["filters"] or ()
    }
    assert "pickle" not in codecs
    with NWBZarrIO(str(zarr_folder), mode="r") as io:
        nwbfile = io.read()
        assert nwbfile.acquisition["movie"].data[399].tolist() == np.arange(4788, 4800).reshape(4, 3).tolist()
        assert nwbfile.trials["choice"][:].tolist() == ["right", "left", "left"]
        assert [group.name for group in nwbfile.electrodes["group"][:]] == ["shank"] * 3


def test_a_stranger_s_pickles_are_read_as_data(processed: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from hdmf_zarr.nwb import NWBZarrIO
    from numcodecs import pickles
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(processed, "r") as source, NWBZarrIO(str(tmp_path / "others.zarr"), mode="w") as target:
        target.export(src_io=source, write_args={"link_data": False})
    settings = json.loads((tmp_path / "others.zarr" / REFERENCES / ".zarray").read_text())
    assert settings["filters"][0]["id"] == "pickle"
    monkeypatch.setattr(pickles.pickle, "loads", lambda *_: pytest.fail("a pickle was loaded"))
    write_hdf5(tmp_path / "others.zarr", tmp_path / "back.nwb")
    assert_same_content(processed, tmp_path / "back.nwb", ignore={"specifications", ".specloc", RECORDS})


def test_chunks_larger_than_the_array_come_back(tmp_path: Path) -> None:
    path = write_arrays_session(tmp_path / "session.nwb")
    with h5py.File(path, "r+") as file:
        wheel = file["acquisition/wheel"]
        attributes = dict(wheel["data"].attrs)
        del wheel["data"]
        wheel.create_dataset("data", data=np.arange(20_000.0), chunks=(50_000,), maxshape=(None,))
        wheel["data"].attrs.update(attributes)
    write_zarr(path, tmp_path / "session.zarr")
    write_hdf5(tmp_path / "session.zarr", tmp_path / "back.nwb")
    with h5py.File(tmp_path / "back.nwb") as file:
        data = file["acquisition/wheel/data"]
        assert data.chunks == (20_000,)
        assert np.array_equal(data, np.arange(20_000.0))


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('"source": "."', '"source": "../other.zarr"', UnsafeFileError, "leads out of the NWB-Zarr folder"),
        ('"nwb_version": "2.', '"nwb_version": "1.', UnsupportedFileError, "not NWB 2"),
    ],
)
def test_what_is_not_safe_or_not_nwb_is_refused(
    zarr_folder: Path, tmp_path: Path, old: str, new: str, error: type[NwbpipeError], message: str
) -> None:
    assert old in (zarr_folder / ".zmetadata").read_text()
    hostile = copy_with(zarr_folder, tmp_path / "hostile.zarr", lambda text: text.replace(old, new))
    with pytest.raises(error, match=message):
        write_hdf5(hostile, tmp_path / "back.nwb")
    assert {path.name for path in tmp_path.iterdir()} == {"hostile.zarr"}


def test_a_symbolic_link_in_the_folder_is_refused(zarr_folder: Path, tmp_path: Path) -> None:
    hostile = copy_with(zarr_folder, tmp_path / "hostile.zarr", str)
    (hostile / "acquisition" / "more").symlink_to("/etc")
    with pytest.raises(UnsafeFileError, match="a symbolic link"):
        write_hdf5(hostile, tmp_path / "back.nwb")


def test_wrong_places_are_refused(processed: Path, zarr_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsupportedFileError, match="not an NWB-Zarr folder"):
        write_hdf5(tmp_path / "empty", tmp_path / "back.nwb")
    with pytest.raises(RequestError, match="does not exist"):
        write_hdf5(tmp_path / "nothing", tmp_path / "back.nwb")
    with pytest.raises(OverwriteError):
        write_zarr(processed, zarr_folder)
    with pytest.raises(OverwriteError):
        write_hdf5(zarr_folder, processed)


def test_a_folder_in_a_store_and_back(session_nwb: Path, tmp_path: Path) -> None:
    address = f"memory://{tmp_path.name}-zarr/session.zarr"
    write_zarr(session_nwb, address)
    with pytest.raises(OverwriteError):
        write_zarr(session_nwb, address)
    with contextlib.suppress(SystemExit):
        main(["export", address, str(tmp_path / "back.nwb"), "--to", "hdf5"])
    assert_same_content(session_nwb, tmp_path / "back.nwb")


def test_blocks_are_whole_chunks_and_bounded() -> None:
    blocks = list(iter_blocks((10_000_000, 8), np.dtype(np.int16), (60_000, 8)))
    assert blocks[0] == slice(0, 4_140_000)  # 69 chunks, 64 MB
    assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
    assert blocks[-1].stop == 10_000_000


@pytest.mark.real_data
def test_an_older_file_has_the_version_and_the_schemas_that_are_written(shared_data: Path, tmp_path: Path) -> None:
    old = next((shared_data / "nwb").rglob("A8604-211122.nwb"))  # NWB 2.4.0
    write_zarr(old, tmp_path / "old.zarr")
    root = zarr.open_consolidated(str(tmp_path / "old.zarr"), mode="r")
    assert root.attrs["nwb_version"] != "2.4.0"
    assert list(root["specifications/core"]) == [root.attrs["nwb_version"]]
    write_hdf5(tmp_path / "old.zarr", tmp_path / "new.nwb")
    with h5py.File(tmp_path / "new.nwb") as new, h5py.File(old) as file:
        assert list(new["specifications/core"]) == [new.attrs["nwb_version"]]
        assert np.array_equal(new["units/spike_times"], file["units/spike_times"])
