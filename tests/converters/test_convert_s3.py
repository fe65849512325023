"""Sessions whose raw files, spec or NWB file are in S3."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe import files
from nwbpipe.converters import _convert as convert_module
from nwbpipe.converters import convert, load_spec
from nwbpipe.errors import OverwriteError, RequestError, SpecError
from tests.converters import raw
from tests.fixtures.s3 import Bucket


def put_tree(bucket: Bucket, folder: Path, prefix: str) -> str:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            bucket.put(path, f"{prefix}/{path.relative_to(folder).as_posix()}")
    return f"s3://{bucket.name}/{prefix}"


def scratch_is_empty() -> bool:
    scratch = Path(os.environ["NWBPIPE_SCRATCH"])
    return not scratch.exists() or not [one for one in scratch.iterdir() if one.is_dir()]


SOURCES: dict[str, Any] = {
    "scope": raw.tiff("raw://m1/movie.tif"),
    "body": raw.video("raw://m1/body.avi", clock="scope"),
}


def test_raw_files_and_the_file_in_s3(
    bucket: Bucket, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: sources staged, built in scratch, media and file uploaded; everything cleaned up."""
    movie = raw.write_movie(folder / "movie.tif")
    monkeypatch.setenv("NWBPIPE_STORE_RAW", put_tree(bucket, folder, "raw/m1").removesuffix("/m1"))
    (tmp_path / "specs").mkdir()
    spec = raw.write_spec(tmp_path / "specs", SOURCES)
    url = f"s3://{bucket.name}/nwb/out.nwb"
    assert convert(spec, url) == url
    with files.open_remote(url) as file:
        assert np.array_equal(_movie(file), movie.transpose(0, 2, 1))
        name = file["acquisition/ImageSeries_body/external_file"].asstr()[0]
    assert name == "out/body.avi"
    assert bucket.data("nwb/out/body.avi") == (folder / "body.avi").read_bytes()
    assert scratch_is_empty()
    assert [one.name for one in (tmp_path / "specs").iterdir()] == ["session.yaml"]
    text = bucket.data("nwb/out.nwb")
    for private in (str(tmp_path), os.environ["NWBPIPE_SCRATCH"], os.environ["NWBPIPE_CACHE"]):
        assert private.encode() not in text
    with pytest.raises(OverwriteError, match="exists"):
        convert(spec, url)
    assert bucket.data("nwb/out.nwb") == text


def _movie(file: h5py.File) -> np.ndarray:
    (series,) = [one for name, one in file["acquisition"].items() if "Photon" in name]
    data: np.ndarray = series["data"][:]
    return data


@pytest.mark.long
def test_a_competitors_file_is_left_alone(bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = raw.write_spec(folder, {"scope": raw.tiff(), "body": raw.video(clock="scope")})
    url = f"s3://{bucket.name}/out.nwb"
    upload = convert_module.upload

    def upload_late(*arguments: Any) -> None:
        bucket.client.put_object(Bucket=bucket.name, Key="out.nwb", Body=b"another's")
        upload(*arguments)

    monkeypatch.setattr(convert_module, "upload", upload_late)
    with pytest.raises(OverwriteError, match="appeared"):
        convert(spec, url)
    assert bucket.data("out.nwb") == b"another's"
    with pytest.raises(OverwriteError):  # what is no session file may hold anything
        convert(spec, url, overwrite=True)
    keys = [one["Key"] for one in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]]
    assert keys == ["out.nwb"]  # the media went with the attempt
    monkeypatch.setattr(convert_module, "upload", upload)
    convert(spec, url, overwrite=True, discard_results=True)
    with files.open_remote(url) as file:
        assert "acquisition" in file
    convert(spec, url, overwrite=True)  # the same media may stay
    raw.write_video(folder / "body.avi", frames=41)
    before = bucket.data("out.nwb")
    with pytest.raises(OverwriteError, match="medium"):
        convert(spec, url, overwrite=True)
    assert bucket.data("out.nwb") == before


@pytest.mark.long
def test_a_spec_in_s3(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    (folder.parent / "lab").mkdir()
    (folder.parent / "lab" / "lab.yaml").write_text("session: {lab: Lab of M}\n")
    raw.write_spec(folder, {"scope": raw.tiff()}, extends=["../lab/lab.yaml"])
    root = put_tree(bucket, folder.parent, "raw")
    out = convert(f"{root}/{folder.name}/session.yaml", tmp_path / "out.nwb")
    with h5py.File(out, "r") as file:
        assert _movie(file).shape[0] == 30
        assert file["general/lab"].asstr()[()] == "Lab of M"
    with pytest.raises(RequestError, match="the output needs a name"):
        convert(f"{root}/{folder.name}/session.yaml")
    assert scratch_is_empty()


def test_what_is_missing_in_a_remote_store_is_a_mistake(
    bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(folder / "movie.tif", "raw/m1/movie.tif")
    monkeypatch.setenv("NWBPIPE_STORE_RAW", f"s3://{bucket.name}/raw")
    spec = raw.write_spec(
        folder,
        {
            "a": raw.tiff("raw://m1/movi.tif"),
            "b": raw.tiff("raw://m1"),
            "c": raw.tiff("raw://../secret.tif"),
            "d": raw.tiff("raw://m1/movie.tif"),
            "e": raw.tiff(f"s3://{bucket.name}/raw/m1/movie.tif"),
        },
    )
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    found = {(problem.where or "").rpartition(" ")[2]: problem.what for problem in caught.value.problems}
    assert found["sources.a.args.file_path"] == "file not found"
    assert found["sources.b.args.file_path"] == "the path is not a file"
    assert found["sources.c.args.file_path"] == "the path leads outside the root"
    assert found["sources.e.args.file_path"] == "the store is not known"
    assert "sources.d.args.file_path" not in found


def test_companions_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbpipe.stores import open_store

    store = open_store("memory://companions")
    for name in ("x.ap.bin", "x.ap.meta", "x.apple.txt", "y.ap.meta", "deep/x.ap.txt"):
        store.write_bytes(f"run/{name}", name.encode())
    monkeypatch.setenv("NWBPIPE_STORE_RAW", "memory://companions")
    (tmp_path / "s").mkdir()
    spec = raw.write_spec(
        tmp_path / "s", {"a": raw.tiff("raw://run/x.ap.bin"), "b": raw.tiff("raw://run/y.ap.meta", clock="a")}
    )
    session = load_spec(spec)
    path = session.sources["a"].args["file_path"]
    assert session.paths.display(path) == "raw://run/x.ap.bin"
    with session.paths.stage_remote():
        assert sorted(one.name for one in path.parent.iterdir()) == ["x.ap.bin", "x.ap.meta", "y.ap.meta"]
        assert path.read_bytes() == b"x.ap.bin"
    assert not path.exists()


def test_links_out_of_a_store_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "s").mkdir()
    raw.write_movie(tmp_path / "secret.tif", frames=5)
    (tmp_path / "root" / "movie.tif").symlink_to(tmp_path / "secret.tif")
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(tmp_path / "root"))
    with pytest.raises(SpecError, match="link"):
        load_spec(raw.write_spec(tmp_path / "s", {"a": raw.tiff("raw://movie.tif")}))


def test_other_clouds_take_no_conversion(folder: Path) -> None:
    with pytest.raises(RequestError, match="this kind of store"):
        convert(raw.write_spec(folder, {"scope": raw.tiff()}), "memory://x/out.nwb")
