"""A TIFF movie stays open while it is read, and gives the values that roiextractors' own way gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters import load_spec
from nwbpipe.converters._build import build_nwbfile
from nwbpipe.converters.neuroconv_fixes._tiff_reads import PageReader, keep_tiff_open
from tests.converters import raw
from tests.converters.neuroconv_fixes import UPSTREAM_IS_RIGHT

roiextractors = pytest.importorskip("roiextractors", reason="movies need roiextractors: pip install nwbpipe[imaging]")
tifffile = pytest.importorskip("tifffile")
FRAMES = np.random.default_rng(0).integers(0, 4000, (24, 16, 48)).astype(np.uint16)


class Interface:
    """As much of an interface as has to do with reading."""

    def __init__(self, paths: list[Path], **arguments: Any) -> None:
        self.imaging_extractor = roiextractors.MultiTIFFMultiPageExtractor(paths, 30.0, **arguments)


def write(path: Path, frames: np.ndarray, **options: Any) -> Path:
    with tifffile.TiffWriter(path, byteorder=options.pop("byteorder", "<")) as file:
        for frame in frames:
            file.write(frame, contiguous=False, **options)
    return path


def read_both(interface: Interface, *parts: tuple[int | None, int | None]) -> None:
    """Compare the parts of a movie as they are read by roiextractors and by us."""
    expected = [interface.imaging_extractor.get_series(*part) for part in parts]
    keep_tiff_open(interface)
    assert isinstance(interface.imaging_extractor.get_series.__self__, PageReader)
    for part, values in zip(parts, expected, strict=True):
        ours = interface.imaging_extractor.get_series(*part)
        assert ours.dtype == values.dtype
        np.testing.assert_array_equal(ours, values)


PARTS = (None, None), (0, 5), (5, 7), (20, 99), (3, 3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"rowsperstrip": 3},
        {"tile": (16, 16)},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": 2, "byteorder": ">"},
    ],
    ids=str,
)
def test_values(tmp_path: Path, options: dict[str, Any]) -> None:
    if options.get("predictor"):
        pytest.importorskip("imagecodecs")
    read_both(Interface([write(tmp_path / "movie.tif", FRAMES, **options)]), *PARTS)


def test_a_file_of_one_piece(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", FRAMES)
    read_both(Interface([tmp_path / "movie.tif"]), *PARTS)


@pytest.mark.parametrize("order", ["ZCT", "CZT", "TZC"])
def test_volumes_of_several_files(tmp_path: Path, order: str) -> None:
    paths = [write(tmp_path / f"part{number}.tif", FRAMES[8 * number :][:8]) for number in range(3)]
    arguments = {"num_planes": 3, "num_channels": 2, "channel_name": "1", "dimension_order": order}
    read_both(Interface(paths, **arguments), (None, None), (1, 3))


def test_a_page_of_another_type(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "movie.tif") as file:
        for number, frame in enumerate(FRAMES):
            file.write(frame.astype(np.uint8) if number == 3 else frame, contiguous=False)
    read_both(Interface([tmp_path / "movie.tif"]), (None, None), (2, 5))


def test_a_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interface = Interface([write(tmp_path / "movie.tif", FRAMES)])
    opened = []
    original = tifffile.TiffFile.__init__

    def count(self: Any, *args: Any, **kwargs: Any) -> None:
        opened.append(args)
        original(self, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffFile, "__init__", count)
    for start in range(0, 24, 4):
        interface.imaging_extractor.get_series(start, start + 4)
    assert len(opened) == 6, UPSTREAM_IS_RIGHT
    opened.clear()
    keep_tiff_open(interface)
    for start in range(0, 24, 4):
        interface.imaging_extractor.get_series(start, start + 4)
    assert len(opened) == 1


def test_the_file_is_closed_with_its_extractor(tmp_path: Path) -> None:
    interface = Interface([write(tmp_path / "movie.tif", FRAMES)])
    keep_tiff_open(interface)
    interface.imaging_extractor.get_series(0, 1)
    file = interface.imaging_extractor.get_series.__self__._file
    assert not file.filehandle.closed
    del interface
    assert file.filehandle.closed


def test_other_readers_are_left_alone() -> None:
    keep_tiff_open(object())
    numpy_movie = roiextractors.NumpyImagingExtractor(FRAMES, sampling_frequency=30.0)
    interface = type("Other", (), {"imaging_extractor": numpy_movie})()
    keep_tiff_open(interface)
    assert "get_series" not in vars(numpy_movie)


def test_a_conversion_reads_a_movie_so(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    write(folder / "movie.tif", FRAMES)
    source = {"interface": "TiffImagingInterface", "args": {"file_path": "movie.tif", "sampling_frequency": 30.0}}
    built = build_nwbfile(load_spec(raw.write_spec(folder, {"movie": source})))
    (read,) = built.sources
    assert isinstance(read.interface.imaging_extractor.get_series.__self__, PageReader)
