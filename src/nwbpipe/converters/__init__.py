"""Convert a session.yaml and its raw files into one NWB file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwbpipe.converters._catalogue import describe_interface, describe_spec, list_interfaces
    from nwbpipe.converters._convert import ConversionOptions, convert, convert_session, preview_conversion
    from nwbpipe.converters._hdf5 import Storage
    from nwbpipe.converters._record import conversion_key, identity_values, source_paths, watched_folders
    from nwbpipe.converters._screen import screen_raw_files
    from nwbpipe.converters._source_account import read_pose_columns, read_source_account
    from nwbpipe.converters._update import SpecChanges, compare_specs, update_metadata
    from nwbpipe.converters.accounts._account import Account
    from nwbpipe.converters.clocks._figure import draw_alignments
    from nwbpipe.converters.clocks.pulses import match_pulses
    from nwbpipe.converters.spec._load import (
        SpecSummary,
        SpecText,
        check_draft,
        load_spec,
        open_spec,
        read_spec_text,
        summarize_spec,
    )
    from nwbpipe.converters.spec._marks import FILL_IN
    from nwbpipe.converters.spec._model import SessionSpec, SourceSpec, SubjectSpec
    from nwbpipe.converters.spec._paths import find_spec_paths
    from nwbpipe.converters.spec._yaml import list_yaml_problems

_HOME = {
    "Account": "accounts._account",
    "FILL_IN": "spec._marks",
    "SpecChanges": "_update",
    "SessionSpec": "spec._model",
    "SourceSpec": "spec._model",
    "SpecSummary": "spec._load",
    "SpecText": "spec._load",
    "SubjectSpec": "spec._model",
    "conversion_key": "_record",
    "ConversionOptions": "_convert",
    "Storage": "_hdf5",
    "convert": "_convert",
    "describe_interface": "_catalogue",
    "describe_spec": "_catalogue",
    "convert_session": "_convert",
    "preview_conversion": "_convert",
    "draw_alignments": "clocks._figure",
    "identity_values": "_record",
    "find_spec_paths": "spec._paths",
    "list_interfaces": "_catalogue",
    "match_pulses": "clocks.pulses",
    "list_yaml_problems": "spec._yaml",
    "read_spec_text": "spec._load",
    "read_pose_columns": "_source_account",
    "read_source_account": "_source_account",
    "load_spec": "spec._load",
    "screen_raw_files": "_screen",
    "open_spec": "spec._load",
    "source_paths": "_record",
    "check_draft": "spec._load",
    "compare_specs": "_update",
    "summarize_spec": "spec._load",
    "update_metadata": "_update",
    "watched_folders": "_record",
}

__all__ = [
    "FILL_IN",
    "Account",
    "ConversionOptions",
    "SessionSpec",
    "SourceSpec",
    "SpecChanges",
    "SpecSummary",
    "SpecText",
    "Storage",
    "SubjectSpec",
    "check_draft",
    "compare_specs",
    "conversion_key",
    "convert",
    "convert_session",
    "describe_interface",
    "describe_spec",
    "draw_alignments",
    "find_spec_paths",
    "identity_values",
    "list_interfaces",
    "list_yaml_problems",
    "load_spec",
    "match_pulses",
    "open_spec",
    "preview_conversion",
    "read_pose_columns",
    "read_source_account",
    "read_spec_text",
    "screen_raw_files",
    "source_paths",
    "summarize_spec",
    "update_metadata",
    "watched_folders",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
