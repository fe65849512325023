"""The packages of a Python, read from their names and versions alone."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.environments._probe import list_packages, read_name


def test_names_and_versions_are_those_that_importlib_tells() -> None:
    packages = list(distributions(path=sys.path))
    assert len(packages) > 50
    assert [read_name(package) for package in packages] == [
        (package.metadata["Name"], package.version) for package in packages
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Metadata-Version: 2.1\r\nName: Odd.Name\r\nVersion: 1.0\r\n\r\nName: of the text\r\n",
        "Metadata-Version: 2.1\nname: Odd.Name\nversion: 1.0\n\nName: Text\nVersion: 9\n",
        "Version: 1.0\nSummary: a\n  Name: Summary\nName:  Odd.Name  \n",
    ],
)
def test_metadata_of_an_odd_form_are_read_right(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd-1.0.dist-info").mkdir()
    (tmp_path / "odd-1.0.dist-info/METADATA").write_bytes(text.encode())
    assert list_packages([str(tmp_path)]) == {"odd-name": "1.0"}


def test_a_package_without_metadata_has_no_name() -> None:
    """Where importlib_metadata is imported, its distributions are listed, which raise; Python's own are empty."""

    class Bare(Distribution):
        def read_text(self, filename: str) -> None:
            return None

        def locate_file(self, path: Any) -> Any:
            return path

        @property
        def metadata(self) -> Any:
            raise FileNotFoundError("No package metadata was found.")

    assert read_name(Bare()) == ("", "")


def test_an_old_egg_is_listed_and_a_folder_without_metadata_is_not(tmp_path: Path) -> None:
    (tmp_path / "old-2.0.egg-info").mkdir()
    (tmp_path / "old-2.0.egg-info/PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 2.0\n")
    (tmp_path / "nothing-3.0.dist-info").mkdir()
    assert list_packages([str(tmp_path)]) == {"old": "2.0"}
