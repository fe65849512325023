"""Bind a run record by a digest, and find out whether it was changed since.

The digest is no signature: who wants to deceive computes a new one. It shows what other programs, scripts and people
change by mistake, or in good faith.
"""

from __future__ import annotations

from nwbpipe.errors import ParameterError
from nwbpipe.provenance._canonical import canonical_json, digest, parameters_hash
from nwbpipe.provenance._records import RunRecord

_FORMAT = 1
_UNBOUND = ("superseded", "superseded_by", "record_digest", "doubt")  # a later run marks the earlier one


def compute_record_digest(record: RunRecord) -> str:
    """Return the digest of a record: of all its values but `superseded_by`."""
    values = {name: value for name, value in record.list_values().items() if name not in _UNBOUND}
    return digest(canonical_json({"format": _FORMAT, **values}))


def find_record_fault(record: RunRecord) -> str:
    """Return what was changed in a record since it was written, in words; empty if nothing was.

    Records of nwbpipe 0.1 have no digest: of them, only the parameters can be compared with their hash.
    """
    if record.doubt:
        return record.doubt
    try:
        if parameters_hash(record.parameters) != record.parameters_hash:
            return "the parameters in its record were changed"
        if record.record_digest:
            if compute_record_digest(record) != record.record_digest:
                return "its record was changed: key, parameters, inputs or outputs"
        elif any(output.identity for output in record.outputs):
            return "its record has lost its digest"
    except ParameterError as error:  # a value that nwbpipe does not write
        return f"its record was changed: {error.problem.what}"
    return ""
