"""Find out whether a recorded result is still what its run wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import h5py

from nwbpipe.errors import ChangedResultError, NwbpipeError
from nwbpipe.provenance import FIELDS, LOCATION, RunRecord, find_own_identity, find_record_fault, read_fields

CONVERT = "convert"  # the step of a conversion

Identify = Callable[[str], str | None]
"""Returns the own identity of the object at a path; None if it is not known, and would take long to compute."""


@dataclass(frozen=True)
class ResultFault:
    """A result, or its record, that is not as its run wrote it.

    Attributes
    ----------
    path : str
        HDF5 path of the object, or of the record.
    what : str
        What is wrong, in words.
    verified : bool
        False if the content was not compared with its identity, and nothing else is wrong.
    """

    path: str
    what: str
    verified: bool = True


def find_result_faults(file: h5py.File, record: RunRecord, identify: Identify | None = None) -> list[ResultFault]:
    """Compare a result with its record: the record's digest, the objects' ids, and their content.

    Objects that are gone are no fault here: the step has no result then.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    record : RunRecord
        A current record of that file.
    identify : callable, optional
        Returns the own identity of an object; the content is hashed by default.
    """
    faults = []
    fault = find_record_fault(record)
    if fault:
        faults.append(ResultFault(f"{LOCATION}/{record.name}", fault))
    faults += _find_changed_fields(file, record)
    for output in record.outputs:
        if output.path not in file:
            continue
        if output.object_id and not output.is_in(file):
            faults.append(ResultFault(output.path, "another object stands in its place"))
            continue
        if not output.identity:  # of nwbpipe 0.1
            continue
        try:
            identity = identify(output.path) if identify else find_own_identity(file, output.path).identity
        except NwbpipeError as error:
            faults.append(ResultFault(output.path, error.problem.what))
            continue
        if identity is None:
            faults.append(ResultFault(output.path, "its content was not read since the file changed", False))
        else:
            faults += compare_outputs(record, {output.path: identity})
    return faults


def _find_changed_fields(file: h5py.File, record: RunRecord) -> Iterator[ResultFault]:
    """Yield the fields of the session that are not as its conversion wrote them."""
    recorded = record.resources.get(FIELDS) if record.step == CONVERT else None
    if not isinstance(recorded, dict):  # of no conversion, or of an earlier nwbpipe
        return
    current = read_fields(file)
    for path in sorted({*recorded, *current}):
        if recorded.get(path) != current.get(path):
            old, new = (str(fields.get(path, "nothing"))[:60] for fields in (recorded, current))
            yield ResultFault(path, f"another program changed {old} to {new}")


def compare_outputs(record: RunRecord, identities: Mapping[str, str]) -> list[ResultFault]:
    """Compare the own identities of a run's outputs, by path, with those in its record."""
    return [
        ResultFault(output.path, "another program changed its content")
        for output in record.outputs
        if output.identity and identities.get(output.path, output.identity) != output.identity
    ]


def explain_changed_result(step: str, faults: Sequence[ResultFault], where: str) -> ChangedResultError:
    """Return the error for a result that another program or a person changed."""
    msg = f"the result of the step {step!r} is not as its run wrote it"
    return ChangedResultError(
        msg,
        where=where,
        found="; ".join(f"{fault.path}: {fault.what}" for fault in faults),
        hint=hint_for_changed_result(step),
    )


def hint_for_changed_result(step: str) -> str:
    """Return the ways out for a result that is not as its run wrote it."""
    if step == CONVERT:
        return "restore the file from a copy, or convert the session again with --overwrite"
    return (
        f"`nwbpipe process … --step {step} --force` computes it again and replaces it, "
        f"`nwbpipe edit remove FILE.nwb {step} --force` removes it: copy first what is to be kept"
    )
