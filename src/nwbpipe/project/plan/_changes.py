"""Find what somebody changed in a recorded result, or in its record."""

from __future__ import annotations

from collections.abc import Callable

from nwbpipe.errors import NwbpipeError
from nwbpipe.processors import Processor
from nwbpipe.provenance import RunRecord, find_current_record, find_record_fault, own_name
from nwbpipe.session import Snapshot, explain_taken_names, find_taken_names, hint_for_changed_result


def describe_changes(record: RunRecord, snapshot: Snapshot, identify: Callable[[str], str | None]) -> str:
    """Return what is not as the run wrote it, in words; empty if nothing is known to be.

    Parameters
    ----------
    record : RunRecord
        Current record of a step.
    snapshot : Snapshot
        Of its file.
    identify : callable
        Returns the identity of an object by its path or own name; None if it is not known.
    """
    fault = find_record_fault(record)
    for output in record.outputs:
        if not fault and output.path in snapshot.replaced:
            fault = f"another object stands at {output.path}"
        if fault:
            break
        if not output.identity:  # of nwbpipe 0.1
            continue
        try:
            identity = identify(own_name(output.path))
        except NwbpipeError as error:
            return f"{error.problem.what}: {output.path}"
        if identity not in (None, output.identity):
            fault = f"another program changed {output.path}"
    return f"{fault}; {hint_for_changed_result(record.step)}" if fault else ""


def describe_taken_names(snapshot: Snapshot, method: Processor, run: str) -> str:
    """Return which objects stand in the place of a run's results, in words; empty if there are none."""
    results = [item.path for item in snapshot.objects if method.may_write(item.path, run)]
    paths = find_taken_names(results, find_current_record(snapshot.records, run))
    problem = explain_taken_names(run, paths, "").problem
    return f"{problem.what}: {problem.found}; {problem.hint}" if paths else ""
