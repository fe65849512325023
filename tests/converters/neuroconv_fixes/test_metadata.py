"""Workarounds for trees of metadata, and for interfaces that insist on a frame rate."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from neuroconv import ConverterPipe
from neuroconv.datainterfaces import DeepLabCutInterface, ExternalVideoInterface
from neuroconv.utils import dict_deep_update
from pynwb import NWBFile

from nwbpipe.converters.neuroconv_fixes import (
    allow_missing_rate,
    merge_metadata,
    read_frame_numbers,
    rename_devices,
)
from tests.converters import raw
from tests.converters.neuroconv_fixes import UPSTREAM_IS_RIGHT


def test_a_list_is_replaced_as_a_whole() -> None:
    base, over = {"grid_spacing": [0.5, 1.0]}, {"grid_spacing": [0.5, 0.5]}
    assert dict_deep_update(base, over) != over, UPSTREAM_IS_RIGHT
    assert merge_metadata(base, over) == over


def test_named_things_in_lists_are_merged_by_name() -> None:
    base = {"Electrodes": [{"name": "x", "description": "a"}, {"name": "y", "description": "b"}]}
    over = {"Electrodes": [{"name": "y", "description": "c"}, {"name": "z"}]}
    assert merge_metadata(base, over)["Electrodes"] == [
        {"name": "x", "description": "a"},
        {"name": "y", "description": "c"},
        {"name": "z"},
    ]


def test_devices_of_one_name_are_renamed() -> None:
    session = {"Devices": {"a": {"name": "Microscope"}}}
    metadata = {"Devices": {"b": {"name": "Microscope"}, "a": {"name": "Microscope"}, "c": {"name": "Laser"}}}
    with pytest.raises(ValueError, match="Microscope"):  # else: upstream merges or renames, see the workaround
        ConverterPipe(data_interfaces={}).validate_metadata(
            {**merge_metadata(session, metadata), "NWBFile": {"session_start_time": "2024-01-01T00:00:00Z"}}
        )
    rename_devices(metadata, session, "scope")
    assert [entry["name"] for entry in metadata["Devices"].values()] == ["Microscope_scope", "Microscope", "Laser"]


def test_a_pose_needs_no_frame_rate(tmp_path: Path) -> None:
    raw.write_pose(tmp_path / "poseDLC.csv", first=7)

    def write() -> None:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        interface.add_to_nwbfile(NWBFile(session_description="s", identifier="i", session_start_time=start))

    interface: Any = DeepLabCutInterface(file_path=tmp_path / "poseDLC.csv")
    with pytest.raises(ValueError, match="No timing information"):  # else: upstream is right now
        write()
    allow_missing_rate(interface)
    write()
    frames = read_frame_numbers(interface)
    assert frames is not None
    assert frames.tolist() == list(range(7, 47))


def test_several_videos_need_no_start(tmp_path: Path) -> None:
    files = [tmp_path / "a.avi", tmp_path / "b.avi"]
    for file in files:
        raw.write_video(file)
    interface: Any = ExternalVideoInterface(file_paths=files)
    assert interface._starting_time is None, UPSTREAM_IS_RIGHT
    allow_missing_rate(interface)
    assert interface._starting_time == 0.0


def test_an_interface_with_a_rate_keeps_it() -> None:
    interface = SimpleNamespace(sampling_frequency=30.0, video_sample_rate=25.0, video_file_path=None)
    allow_missing_rate(interface)
    assert (interface.sampling_frequency, interface.video_sample_rate) == (30.0, 25.0)
    assert read_frame_numbers(interface) is None
