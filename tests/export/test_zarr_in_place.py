"""NWB-Zarr folders are read where they are, as if they were session files; nothing of them is run or changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.catalog import Catalog
from nwbpipe.cli import main
from nwbpipe.errors import DamagedFileError, NwbpipeError, UnsafeFileError, UnsupportedFileError
from nwbpipe.export import to_pandas, to_xarray, write_zarr
from nwbpipe.nwb_zarr import _image
from nwbpipe.session import SessionFile
from nwbpipe.session import _zarr as session_zarr
from tests.export.sessions import copy_with, write_arrays_session
from tests.fixtures.processing import Scale

pytest.importorskip("hdmf_zarr")
MOVIE = "acquisition/movie/data"


@pytest.fixture(autouse=True, scope="module")
def _arrays_stay_in_the_folder() -> Iterator[None]:
    """Small ones, too."""
    from nwbpipe.nwb_zarr import _io

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_io, "_COPIED", 64)
        session_zarr._find_image.cache_clear()
        yield
    session_zarr._find_image.cache_clear()


def identify_all(location: Path) -> dict[str, str]:
    session = SessionFile.at(location)
    paths = [item.path for item in session.snapshot().objects if "/nwbpipe/" not in item.path]
    return {identity.path: identity.identity for identity in session.identify(paths)}


def test_all_objects_have_the_identities_of_the_file(processed: Path, zarr_folder: Path) -> None:
    expected = identify_all(processed)
    assert len(expected) > 15
    assert identify_all(zarr_folder) == expected
    assert nwbpipe.read_records(zarr_folder) == nwbpipe.read_records(processed)


def test_log_check_query_and_export_take_a_folder(
    processed: Path, zarr_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        assert not ended.value.code
        return capsys.readouterr().out

    assert ask("log", str(zarr_folder)) == ask("log", str(processed))
    report = json.loads(ask("check", str(zarr_folder), "--json"))
    assert report["verdict"] == "whole"
    assert report["in_order"]
    assert not [finding for finding in report["findings"] if finding["error"]]
    sql = "SELECT t.choice, s.location LIKE '%.zarr' AS zarr FROM trials t JOIN sessions s USING (session_id)"
    assert ask("query", sql, str(zarr_folder), "--csv").splitlines()[1:] == ["right,True", "left,True", "left,True"]
    ask("export", str(zarr_folder), str(tmp_path / "tables"), "--to", "parquet")
    assert (tmp_path / "tables" / "units.parquet").is_file()
    ask("export", str(zarr_folder), str(tmp_path / "again.zarr"), "--to", "zarr")
    assert (tmp_path / "again.zarr" / ".zmetadata").is_file()


def test_tables_and_arrays_are_those_of_the_file(processed: Path, zarr_folder: Path, tmp_path: Path) -> None:
    ours, theirs = to_xarray(zarr_folder), to_xarray(processed)
    assert ours["movie"]["movie"].identical(theirs["movie"]["movie"])
    np.testing.assert_array_equal(ours["movie"]["movie"][100:300:7, 2].values, theirs["movie"]["movie"][100:300:7, 2])
    assert to_pandas(zarr_folder)["units"].equals(to_pandas(processed)["units"])
    catalogs = [Catalog.of_files([location]) for location in (zarr_folder, processed)]
    for table in ("units", "electrodes", "series", "runs", "trials"):
        answers = [catalog.query(f"SELECT * FROM {table}") for catalog in catalogs]
        assert answers[0].num_rows
        assert answers[0].equals(answers[1])


def test_a_folder_as_hdmf_zarr_writes_it_runs_no_code(processed: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """As the Allen Institute's: pickled references, one file of consolidated metadata."""
    from hdmf_zarr.nwb import NWBZarrIO
    from numcodecs import pickles
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(processed, "r") as source, NWBZarrIO(str(tmp_path / "others.zarr"), mode="w") as target:
        target.export(src_io=source, write_args={"link_data": False})
    assert (tmp_path / "others.zarr" / ".zmetadata").is_file()
    assert "pickle" in (tmp_path / "others.zarr" / ".zmetadata").read_text()
    monkeypatch.setattr(pickles.pickle, "loads", lambda *_: pytest.fail("a pickle was loaded"))
    assert nwbpipe.check(tmp_path / "others.zarr").in_order
    assert identify_all(tmp_path / "others.zarr") == identify_all(processed)


def test_a_chunk_is_read_when_it_is_asked_for(zarr_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged.zarr"
    shutil.copytree(zarr_folder, folder)
    with h5py.File(zarr_folder.parent / "session.nwb") as file:
        expected = file[MOVIE][30:50]
    for chunk in (folder / MOVIE).glob("[0-9]*"):
        if chunk.name not in ("0.0.0", "1.0.0"):  # hdmf looks at the first value of each array
            chunk.write_bytes(b"no gzip")
    session = SessionFile.at(folder)
    np.testing.assert_array_equal(session.read(lambda reader: reader.file[MOVIE][30:50]), expected)
    with pytest.raises(DamagedFileError, match="a chunk of the NWB-Zarr folder can't be read") as caught:
        session.read(lambda reader: reader.file[MOVIE][70])
    assert str(folder) in str(caught.value)
    assert "damage" in {finding.kind for finding in nwbpipe.check(folder, deep=True).findings if finding.error}


def test_values_of_any_kind_and_layout_arrive(tmp_path: Path) -> None:
    values = {
        "big": np.arange(1000, dtype=">i2").reshape(100, 10),
        "half": np.linspace(0, 1, 777).astype(np.float16),
        "yes": np.arange(300) % 3 == 0,
        "cube": np.arange(7 * 11 * 13, dtype=np.uint32).reshape(7, 11, 13),
    }
    path = write_arrays_session(tmp_path / "session.nwb")
    with h5py.File(path, "r+") as file:
        for name, array in values.items():
            file.copy("acquisition/wheel", f"acquisition/{name}")
            file[f"acquisition/{name}"].attrs["object_id"] = f"0000-{name}"
            attributes = dict(file[f"acquisition/{name}/data"].attrs)
            del file[f"acquisition/{name}/data"]
            chunks = tuple(-(-size // 3) for size in array.shape)
            data = file.create_dataset(f"acquisition/{name}/data", data=array, chunks=chunks)
            data.attrs.update(attributes)
    write_zarr(path, tmp_path / "session.zarr")
    with SessionFile.at(tmp_path / "session.zarr").open() as reader:
        for name, array in values.items():
            data = reader.file[f"acquisition/{name}/data"]
            assert data.dtype == array.dtype
            np.testing.assert_array_equal(data[()], array)
            np.testing.assert_array_equal(data[5:7], array[5:7])


def test_the_bytes_that_are_kept_are_bounded(zarr_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_image, "_CACHED", 1000)
    kept, read_chunk = [], _image.ImageReader._read_chunk

    def read_and_count(self: _image.ImageReader, row: int) -> bytes:
        chunk = read_chunk(self, row)
        kept.append(sum(map(len, self._chunks.values())))
        return chunk

    monkeypatch.setattr(_image.ImageReader, "_read_chunk", read_and_count)
    with SessionFile.at(zarr_folder).open() as reader, h5py.File(zarr_folder.parent / "session.nwb") as file:
        np.testing.assert_array_equal(reader.file[MOVIE][()], file[MOVIE][()])
        assert len(kept) > 100
        assert max(kept) <= 1000


def test_a_change_of_the_folder_is_seen(zarr_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session.zarr"
    shutil.copytree(zarr_folder, folder)
    session = SessionFile.at(folder)
    before = session.version(), session.read(lambda reader: reader.file["session_description"].asstr()[()])
    for name in (folder / "session_description").glob("[0-9]*"):
        text = name.read_bytes()
        name.unlink()
        shutil.copy(next((folder / "identifier").glob("[0-9]*")), name)
        assert name.read_bytes() != text
    after = session.version(), session.read(lambda reader: reader.file["session_description"].asstr()[()])
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_would_change_it_is_refused_with_the_way_out(zarr_folder: Path) -> None:
    calls = {
        "process": lambda: nwbpipe.process(zarr_folder, Scale(), step="x", inputs={"series": "acquisition/wheel"}),
        "update": lambda: nwbpipe.update(zarr_folder, lambda nwbfile: None),
        "repack": lambda: nwbpipe.repack(zarr_folder),
    }
    version = SessionFile.at(zarr_folder).version()
    for call in calls.values():
        with pytest.raises(UnsupportedFileError, match="can be read, but not processed or changed") as caught:
            call()
        assert "--to hdf5" in str(caught.value.problem.hint)
    assert SessionFile.at(zarr_folder).version() == version


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('"source": "."', '"source": "../other.zarr"', UnsafeFileError, "leads out of the NWB-Zarr folder"),
        ('"nwb_version": "2.', '"nwb_version": "1.', UnsupportedFileError, "not NWB 2"),
    ],
)
def test_a_hostile_folder_is_refused(
    zarr_folder: Path, tmp_path: Path, old: str, new: str, error: type[NwbpipeError], message: str
) -> None:
    hostile = copy_with(zarr_folder, tmp_path / "hostile.zarr", lambda text: text.replace(old, new))
    for function in (nwbpipe.read_records, nwbpipe.check):
        with pytest.raises(error, match=message):
            function(hostile)


def test_links_and_zarr_3_are_refused(zarr_folder: Path, tmp_path: Path) -> None:
    hostile = copy_with(zarr_folder, tmp_path / "hostile.zarr", str)
    (hostile / "acquisition" / "more").symlink_to("/etc")
    newer = tmp_path / "newer.zarr"
    newer.mkdir()
    (newer / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    pipe = copy_with(zarr_folder, tmp_path / "pipe.zarr", str)
    os.mkfifo(pipe / "0")
    for function in (nwbpipe.read_records, nwbpipe.check):
        with pytest.raises(UnsafeFileError, match="a symbolic link"):
            function(hostile)
        with pytest.raises(UnsafeFileError, match="a pipe"):
            function(pipe)
        with pytest.raises(UnsupportedFileError, match="not an NWB-Zarr folder") as caught:
            function(newer)
        assert "version 3" in str(caught.value.problem.hint)
