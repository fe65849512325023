"""Where a store is: in the project file, or in the environment of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.converters import load_spec
from nwbpipe.errors import SpecError
from tests.converters import raw


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec whose movie is in the store ``raw``, which nothing declares yet."""
    (tmp_path / "session").mkdir()
    (tmp_path / "elsewhere").mkdir()
    raw.write_movie(tmp_path / "elsewhere" / "movie.tif", frames=5)
    return raw.write_spec(tmp_path / "session", {"movie": raw.tiff("raw://movie.tif")})


def test_environment_names_a_store(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = spec.parents[1] / "elsewhere"
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(folder))
    loaded = load_spec(spec)
    assert loaded.sources["movie"].args["file_path"] == folder / "movie.tif"
    assert loaded.as_dict()["sources"]["movie"]["args"]["file_path"] == "raw://movie.tif"


def test_environment_goes_before_the_project_file(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (spec.parent / "nwbpipe.toml").write_text('nwbpipe = 1\n[stores]\nraw = "nowhere"\n')
    with pytest.raises(SpecError, match="not found"):
        load_spec(spec)
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(spec.parents[1] / "elsewhere"))
    assert load_spec(spec).sources["movie"].args["file_path"].is_file()


def test_unknown_store_says_how_to_declare_it(spec: Path) -> None:
    with pytest.raises(SpecError, match="NWBPIPE_STORE_RAW"):
        load_spec(spec)


@pytest.mark.parametrize("path", ["raw://../secret.tif", "raw:///../secret.tif", "raw://a/../../secret.tif"])
def test_no_path_leads_out_of_a_store(spec: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw.write_movie(spec.parents[1] / "secret.tif", frames=5)
    monkeypatch.setenv("NWBPIPE_STORE_RAW", str(spec.parents[1] / "elsewhere"))
    raw.write_spec(spec.parent, {"movie": raw.tiff(path)})
    with pytest.raises(SpecError, match="outside the root"):
        load_spec(spec)
