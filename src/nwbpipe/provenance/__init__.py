"""Run records: keys, identities of content, reading and writing."""

from __future__ import annotations

from nwbpipe.provenance._alignments import AlignmentRecord, add_alignment, read_alignments
from nwbpipe.provenance._cache import Identity, IdentityCache, default_cache_folder, file_identity
from nwbpipe.provenance._canonical import canonical_json, digest, parameters_hash, run_key
from nwbpipe.provenance._edit import rename_record, set_sources
from nwbpipe.provenance._files import FileIdentity, FileStat, RemoteStat
from nwbpipe.provenance._identity import object_identity
from nwbpipe.provenance._prov import merged_prov, prov_json
from nwbpipe.provenance._records import (
    REMOVED,
    ObjectRecord,
    RunRecord,
    add_record,
    current_record,
    host_label,
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
    "canonical_json",
    "check_step_name",
    "current_record",
    "default_cache_folder",
    "digest",
    "file_identity",
    "host_label",
    "mark_superseded",
    "merged_prov",
    "object_identity",
    "parameters_hash",
    "prov_json",
    "read_alignments",
    "read_records",
    "rename_record",
    "run_key",
    "set_sources",
]
