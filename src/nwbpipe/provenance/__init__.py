"""Run records: keys, identities of content, reading and writing."""

from __future__ import annotations

from nwbpipe.provenance._alignments import AlignmentRecord, add_alignment, read_alignments
from nwbpipe.provenance._cache import Identity, IdentityCache, default_cache_folder, identify_file
from nwbpipe.provenance._canonical import canonical_json, digest, parameters_hash, run_key
from nwbpipe.provenance._dataset_streams import iter_values
from nwbpipe.provenance._edit import rename_record, set_sources
from nwbpipe.provenance._fields import FIELDS, read_fields
from nwbpipe.provenance._files import FileIdentity, FileStat, RemoteStat, leads_outside
from nwbpipe.provenance._identity import IdentityResult, find_identity, identify_object
from nwbpipe.provenance._new_record import new_record, read_host_label
from nwbpipe.provenance._own_identity import find_own_identity, own_name
from nwbpipe.provenance._pace import ReadingPace
from nwbpipe.provenance._prov import build_prov, merge_prov
from nwbpipe.provenance._records import (
    LOCATION,
    REMOVED,
    ObjectRecord,
    RunRecord,
    find_current_record,
    format_now,
    read_current_record,
    read_records,
)
from nwbpipe.provenance._seal import find_record_fault
from nwbpipe.provenance._step_names import check_step_name
from nwbpipe.provenance._write_records import add_record, mark_superseded, seal_records, write_objects, write_record
from nwbpipe.provenance._written_values import WrittenValues

__all__ = [
    "FIELDS",
    "LOCATION",
    "REMOVED",
    "AlignmentRecord",
    "FileIdentity",
    "FileStat",
    "Identity",
    "IdentityCache",
    "IdentityResult",
    "ObjectRecord",
    "ReadingPace",
    "RemoteStat",
    "RunRecord",
    "WrittenValues",
    "add_alignment",
    "add_record",
    "build_prov",
    "canonical_json",
    "check_step_name",
    "default_cache_folder",
    "digest",
    "find_current_record",
    "find_identity",
    "find_own_identity",
    "find_record_fault",
    "format_now",
    "identify_file",
    "identify_object",
    "iter_values",
    "leads_outside",
    "mark_superseded",
    "merge_prov",
    "new_record",
    "own_name",
    "parameters_hash",
    "read_alignments",
    "read_current_record",
    "read_fields",
    "read_host_label",
    "read_records",
    "rename_record",
    "run_key",
    "seal_records",
    "set_sources",
    "write_objects",
    "write_record",
]
