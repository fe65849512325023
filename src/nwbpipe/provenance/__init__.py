"""Run records: keys, identities of content, reading and writing."""

from __future__ import annotations

from nwbpipe.provenance._alignments import AlignmentRecord, add_alignment, read_alignments
from nwbpipe.provenance._cache import Identity, IdentityCache, default_cache_folder, identify_file
from nwbpipe.provenance._canonical import canonical_json, digest, parameters_hash, run_key
from nwbpipe.provenance._edit import rename_record, set_sources
from nwbpipe.provenance._files import FileIdentity, FileStat, RemoteStat
from nwbpipe.provenance._identity import identify_object
from nwbpipe.provenance._new_record import new_record, read_host_label
from nwbpipe.provenance._prov import build_prov, merge_prov
from nwbpipe.provenance._records import (
    REMOVED,
    ObjectRecord,
    RunRecord,
    add_record,
    find_current_record,
    mark_superseded,
    read_records,
)
from nwbpipe.provenance._step_names import check_step_name

__all__ = [
    "REMOVED",
    "AlignmentRecord",
    "FileIdentity",
    "FileStat",
    "Identity",
    "IdentityCache",
    "ObjectRecord",
    "RemoteStat",
    "RunRecord",
    "add_alignment",
    "add_record",
    "build_prov",
    "canonical_json",
    "check_step_name",
    "default_cache_folder",
    "digest",
    "find_current_record",
    "identify_file",
    "identify_object",
    "mark_superseded",
    "merge_prov",
    "new_record",
    "parameters_hash",
    "read_alignments",
    "read_host_label",
    "read_records",
    "rename_record",
    "run_key",
    "set_sources",
]
