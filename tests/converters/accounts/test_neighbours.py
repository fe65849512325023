"""Files beside those that a movie's source names: hashed if they are read, hidden if a system made them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.converters._added import load_array
from nwbpipe.converters.accounts import read_account
from tests.converters import raw
from tests.converters.accounts import raw_imaging
from tests.converters.neuroconv_fixes.test_readers import write_suite2p

tifffile = pytest.importorskip("tifffile", reason="movies need tifffile: pip install nwbpipe[imaging]")
pytest.importorskip("roiextractors", reason="movies need roiextractors: pip install nwbpipe[imaging]")


def test_files_that_are_read_belong_to_the_source(tmp_path: Path) -> None:
    raw_imaging.write_thor(tmp_path / "thor", 3)
    raw_imaging.write_scanbox(tmp_path / "scan.sbx", [(0, 0), (1, 0)])
    raw_imaging.write_miniscope(tmp_path / "mini", [4], np.arange(4) / 20)
    first, videos = tmp_path / "thor" / "ChanA_001_001_001_001.tif", [tmp_path / "mini" / "0.avi"]
    for interface, arguments, names in (
        ("ThorImagingInterface", {"file_path": first}, {"Experiment.xml", "ChanA_001_001_001_003.tif"}),
        ("SbxImagingInterface", {"file_path": tmp_path / "scan.sbx"}, {"scan.mat"}),
        ("MiniscopeImagingInterface", {"file_paths": videos}, {"timeStamps.csv"}),
    ):
        account, reason = read_account(interface, arguments)
        assert account is not None, reason
        assert names <= {path.name for path in account.files}


@pytest.mark.parametrize("kind", ["bruker", "miniscope", "suite2p"])
def test_shadow_files_of_macos_are_no_parts(folder: Path, convert_to: Callable[..., Any], kind: str) -> None:
    if kind == "bruker":
        raw_imaging.write_bruker(folder / "TSeries-1", [(np.arange(4) / 30).tolist()])
        shadow, source = folder / "TSeries-1" / "._TSeries-1_Cycle00001_Ch1_000001.ome.tif", raw_imaging.bruker()
    elif kind == "miniscope":
        raw_imaging.write_miniscope(folder / "mini", [4], np.arange(4) / 20)
        shadow = folder / "mini" / "._0.avi"
        source = {"interface": "MiniscopeImagingInterface", "args": {"folder_path": "mini"}}
    else:
        write_suite2p(folder / "result")
        shadow = folder / "result" / "._plane1"
        source = {"interface": "Suite2pSegmentationInterface", "args": {"folder_path": "result"}}
    shadow.write_bytes(b"\0\5\x16\7")
    (shadow.parent / ".DS_Store").write_bytes(b"\0")
    series = raw.added_series(convert_to({"scope": source}), "scope")[0]
    assert len(load_array(series.data)) == (12 if kind == "suite2p" else 4)


def test_a_file_of_an_ome_recording(tmp_path: Path) -> None:
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeT="2" SizeC="1" SizeZ="1" '
    )
    text += 'SizeX="8" SizeY="6" Type="uint16" DimensionOrder="XYCZT">'
    for number, name in enumerate(("left.ome.tif", "right.ome.tif")):
        text += f'<TiffData FirstT="{number}" IFD="0"><UUID FileName="{name}">urn:uuid:{number}</UUID></TiffData>'
    text += "</Pixels></Image></OME>"
    for number, name in enumerate(("left.ome.tif", "right.ome.tif")):
        tifffile.imwrite(tmp_path / name, raw_imaging.page(number), description=text, metadata=None)
    account, reason = read_account("TiffImagingInterface", {"file_path": tmp_path / "left.ome.tif"})
    assert account is not None, reason
    assert [(kind, problem.found) for kind, problem in account.problems] == [("parts", "right.ome.tif")]
    paths = [tmp_path / "left.ome.tif", tmp_path / "right.ome.tif"]
    account, reason = read_account("TiffImagingInterface", {"file_paths": paths})
    assert account is not None, reason
    assert (account.problems, account.streams[0].samples) == ((), 2)
