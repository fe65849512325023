"""Workaround for NeuroConv's choice of chunks and compression."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hdmf.build import BuildManager
from hdmf.common import VectorIndex
from neuroconv.tools.nwb_helpers import configure_backend, get_default_backend_configuration
from pynwb import H5DataIO, NWBFile, TimeSeries
from pynwb.core import DynamicTable, VectorData
from pynwb.image import GrayscaleImage, Images

from nwbpipe.converters.neuroconv_fixes import set_default_storage
from tests.converters.neuroconv_fixes import UPSTREAM_IS_RIGHT


def make_file() -> NWBFile:
    nwbfile = NWBFile("s", "i", datetime(2024, 1, 1, tzinfo=UTC))
    first = TimeSeries(name="first", data=np.arange(3000.0).reshape(-1, 3), unit="V", timestamps=np.arange(1000.0))
    nwbfile.add_acquisition(first)
    nwbfile.add_acquisition(TimeSeries(name="second", data=np.arange(1000), unit="V", timestamps=first))
    values = VectorData(name="values", description="d", data=np.arange(50.0))
    lists = VectorData(name="lists", description="d", data=np.arange(100))
    index = VectorIndex(name="lists_index", data=np.arange(2, 101, 2), target=lists)
    table = DynamicTable(name="table", description="d", columns=[values, lists, index])
    nwbfile.add_acquisition(table)
    nwbfile.add_acquisition(Images(name="images", images=[GrayscaleImage(name="mean", data=np.ones((20, 30)))]))
    return nwbfile


def list_storage(nwbfile: NWBFile) -> dict[str, Any]:
    storage: dict[str, Any] = {}
    for container in nwbfile.all_children():
        for name in ("data", "timestamps"):
            data = getattr(container, "fields", {}).get(name, getattr(container, name, None))
            if isinstance(data, H5DataIO):
                storage[f"{container.name}/{name}"] = data.io_settings
    return storage


def test_storage_is_that_of_neuroconv_without_its_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[object] = []
    build = BuildManager.build

    def count(self: BuildManager, container: object, **options: Any) -> Any:
        builds.extend([container] if isinstance(container, NWBFile) else [])
        return build(self, container, **options)

    monkeypatch.setattr(BuildManager, "build", count)
    theirs, ours = make_file(), make_file()
    configure_backend(theirs, get_default_backend_configuration(theirs, "hdf5"))
    assert len(builds) == 3, UPSTREAM_IS_RIGHT
    builds.clear()
    set_default_storage(ours)
    assert len(builds) == 1
    assert list_storage(ours) == list_storage(theirs)
    assert len(list_storage(ours)) == 7
