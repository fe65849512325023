"""A movie that was stopped within a volume keeps its whole volumes, in their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.converters.accounts._tiff import probe_tiff
from tests.converters import raw
from tests.converters.accounts.raw_imaging import expected, page
from tests.converters.neuroconv_fixes import UPSTREAM_IS_RIGHT

tifffile = pytest.importorskip("tifffile", reason="TIFF movies need tifffile: pip install nwbpipe[imaging]")


def test_pages_after_the_last_whole_volume(folder: Path, convert_to: Callable[..., Any]) -> None:
    pages = [page(frame, 0, plane) for frame in range(5) for plane in range(3)][:-1]
    tifffile.imwrite(folder / "volumes.tif", np.stack(pages), metadata=None)
    source = raw.tiff("volumes.tif")
    source["args"] |= {"num_planes": 3, "dimension_order": "ZCT"}
    built = convert_to({"scope": source})
    data = load_array(raw.added_series(built, "scope")[0].data)
    np.testing.assert_array_equal(data[:, 0, 1], expected(4, planes=3))
    assert any("not finished: its 2 pages are left out" in note for note in built.sources[0].notes)


def test_the_reader_alone_takes_them_for_the_first_volume(tmp_path: Path) -> None:
    roiextractors = pytest.importorskip("roiextractors", reason="movies need roiextractors")
    pages = np.stack([page(frame, 0, plane) for frame in range(5) for plane in range(3)][:-1])
    tifffile.imwrite(tmp_path / "volumes.tif", pages, metadata=None)
    with pytest.warns(UserWarning, match="not divisible"):
        reader = roiextractors.MultiTIFFMultiPageExtractor(
            [tmp_path / "volumes.tif"], 10.0, dimension_order="ZCT", num_planes=3
        )
    assert not np.array_equal(reader.get_series()[:4, 1, 0], expected(4, planes=3)), UPSTREAM_IS_RIGHT


def test_pages_of_another_order_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "volumes.tif", np.stack([page(i) for i in range(14)]), metadata=None)
    arguments = {"file_path": tmp_path / "volumes.tif", "num_planes": 3, "dimension_order": "TZC"}
    account = probe_tiff(arguments)
    assert account is not None
    assert [kind for kind, _ in account.problems] == ["samples"]
    account = probe_tiff({**arguments, "dimension_order": "CZT"})
    assert account is not None
    assert account.problems == ()
