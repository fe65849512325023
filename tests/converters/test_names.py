"""Names that HDF5 or NWB refuses are found before anything is written."""

from __future__ import annotations

import pytest

from nwbpipe.converters._names import check_names
from nwbpipe.nwb_builders._behavior import safe_name


@pytest.mark.parametrize("name", ["", ".", "a/b", "a:b", "a\0b"])
def test_names_in_metadata_are_refused_with_their_key(name: str) -> None:
    metadata = {"Devices": {"x": {"name": name}}, "Ophys": {"ImagingPlanes": {"y": {"name": name}}}}
    keys = {"metadata.Devices.x.name", "metadata.Ophys.ImagingPlanes.y.name"}
    assert {problem.where for problem in check_names(metadata)} == keys
    assert check_names({"Devices": {"x": {"name": "..a b"}}}) == []


@pytest.mark.parametrize(
    ("name", "safe"), [(".", "column"), ("", "column"), ("a\0b", "a_b"), ("a/b:c", "a_b_c"), (".a", ".a")]
)
def test_columns_of_a_file_get_names_that_hdf5_takes(name: str, safe: str) -> None:
    assert safe_name(name, "TimeIntervals") == safe
