"""One run on a session file: its computation, and the commit of its result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.errors import ConflictError, InputError, NwbpipeError, ResultExistsError
from nwbpipe.processors import BoundInput, Results
from nwbpipe.provenance import (
    REMOVED,
    ObjectRecord,
    RunRecord,
    find_own_identity,
    mark_superseded,
    own_name,
    read_current_record,
    read_records,
)
from nwbpipe.run._bind import identify_inputs
from nwbpipe.run._computation import Computation, ComputedResult, record_input
from nwbpipe.run._medium import PlacedMedium, add_media, place_run_medium, remove_unused_media
from nwbpipe.run._serve import serve_inputs
from nwbpipe.session import (
    SessionChange,
    SessionFile,
    Version,
    commit_result,
    find_dependents,
    find_result,
    is_irreplaceable,
    remove_outputs,
    retry_after_conflicts,
)

_VERIFICATIONS = 3  # of large inputs, while others wait for nothing; then they wait for one more


class _DuplicateRunError(Exception):
    """Another process committed this very result meanwhile."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        super().__init__(record.key)


class _UnverifiedInputsError(ConflictError):
    """The file has changed, and its inputs take too long to be hashed within the transaction."""

    def __init__(self, session: SessionFile) -> None:
        msg = "the file keeps changing while its inputs are being hashed"
        super().__init__(msg, where=str(session), hint="run it again when no other program writes to the file")


@dataclass(frozen=True, kw_only=True)
class PendingRun(Computation):
    """One run on a session file that is to be computed and committed."""

    session: SessionFile
    descriptions: Mapping[str, Mapping[str, Any]]  # of the inputs, by `describe_input`
    may_replace: bool
    renew: bool = False
    outdated: Callable[[RunRecord], bool] | None = None
    cascade: bool = False

    @property
    def log_name(self) -> str:
        """See `Computation`: the session file's name."""
        return Path(self.session.name).stem

    @contextmanager
    def serve_inputs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """See `Computation`."""
        streams = self.method.streams_media
        with serve_inputs(self.session, self.descriptions, self.scratch, streams_media=streams) as (inputs, served):
            yield {"inputs": inputs, "facts": dict(self.context.facts)}, served

    def record_inputs(self) -> tuple[ObjectRecord, ...]:
        """See `Computation`."""
        return tuple(record_input(bound) for bound in self.context.inputs.values())

    def read_existing(self) -> RunRecord | None:
        """Return the step's current record, if all its outputs are in the file."""
        return self.session.read(lambda reader: reader.find_result(self.context.step))

    def is_done_by(self, existing: RunRecord) -> bool:
        """Return True if an existing result has the same key, and is not to be computed again."""
        return existing.key == self.key and not self._must_recompute(existing)

    def _must_recompute(self, existing: RunRecord) -> bool:
        return self.renew or (self.outdated is not None and self.outdated(existing))

    def commit(
        self, finished: ComputedResult, lock_timeout: float, *, unsafe_no_cas: bool = False
    ) -> tuple[RunRecord, bool]:
        """Write the results and their record in one transaction; in S3, again on a newer state after a conflict.

        Returns
        -------
        RunRecord
            The record in the file.
        bool
            False if another process had committed the same run meanwhile.
        """
        verified: set[Version] = set()

        def once() -> RunRecord:
            try:
                return self._commit(finished, lock_timeout, unsafe_no_cas, verified, medium)
            except _UnverifiedInputsError:
                verified.add(self._verify_inputs())  # hashed while nobody waits for the lock; then again
                raise

        placing = place_run_medium(self.session, self.method, self.context, self.scratch, finished)
        try:
            with placing as medium:
                record = retry_after_conflicts(once)
        except _DuplicateRunError as duplicate:
            return duplicate.record, False
        if medium.path:
            with suppress(NwbpipeError, OSError):  # the result is in the file; the next clean-up tries again
                remove_unused_media(self.session, self.context.step)
        return record, True

    def _commit(
        self,
        finished: ComputedResult,
        lock_timeout: float,
        unsafe_no_cas: bool,
        verified: set[Version],
        medium: PlacedMedium,
    ) -> RunRecord:
        artefacts = {name: bound for name, bound in self.context.inputs.items() if bound.folder}
        self._compare_inputs(identify_inputs(self.session, artefacts))

        def make_room(change: SessionChange) -> list[str]:
            self._refuse_changed_inputs(change, verified)
            return self.remove_replaced(change.file, finished.run_id, lambda path: self._look_up_own(change, path))

        context = replace(self.context, medium=medium.path)
        with h5py.File(self.scratch / "results.h5", "r") as arrays:
            return commit_result(
                self.session,
                make_room,
                lambda nwbfile: self.method.write(nwbfile, Results(arrays, finished.summary), context),
                lambda outputs: add_media(self.build_record(finished, outputs), medium),
                inputs=[bound.path for bound in self.context.inputs.values() if not bound.folder],
                lock_timeout=lock_timeout,
                unsafe_no_cas=unsafe_no_cas,
            )

    def _refuse_changed_inputs(self, change: SessionChange, verified: Collection[Version]) -> None:
        """Within the transaction: identify the inputs again, in the very state that the result is added to."""
        if change.version in verified:
            return
        inputs = {}
        for name, bound in self.context.inputs.items():
            if bound.folder:
                continue
            identity = self.session.identify_in_change(
                change, bound.path, however_large=len(verified) >= _VERIFICATIONS
            )
            if identity is None:
                raise _UnverifiedInputsError(self.session)
            inputs[name] = replace(bound, identity=identity)
        self._compare_inputs(inputs)

    def _verify_inputs(self) -> Version:
        """Identify the inputs again, outside of a transaction; return the state of the file that they are of."""
        version = self.session.version()
        self._compare_inputs(identify_inputs(self.session, self.context.inputs, version=version))
        return version

    def _compare_inputs(self, inputs: Mapping[str, BoundInput]) -> None:
        for name, bound in inputs.items():
            if bound.identity != self.context.inputs[name].identity:
                msg = f"the input {name!r} changed while the tool ran"
                raise InputError(msg, where=f"{self.session}:{bound.path}", hint="nothing was written: run it again")

    def _look_up_own(self, change: SessionChange, path: str) -> str | None:
        identity = self.session.look_up_identity(own_name(path), version=change.version)
        return identity.identity if identity else find_own_identity(change.file, path).identity

    def remove_replaced(
        self, file: h5py.File, run_id: str, identify: Callable[[str], str | None] | None = None
    ) -> list[str]:
        """Within the transaction: read the step's record again, and remove its result if it is to be replaced.

        Returns the paths that were removed.
        """
        step = self.context.step
        current = read_current_record(file, step)  # a record whose outputs are partly gone counts too
        if current is None:
            return []
        existing = find_result([current], step, file)
        if existing is not None and self.is_done_by(existing):
            raise _DuplicateRunError(existing)
        if existing is not None and not self.may_replace:
            msg = f"the step {step!r} got another result meanwhile"
            raise ResultExistsError(msg, where=str(self.session), hint="choose another name, or pass --replace")
        removed = [current]
        if self.cascade:
            # A result that can't be computed again stays: it refuses the replacement, below.
            linked = find_dependents(file, current, read_records(file), links_only=True)
            removed += [record for record in linked if not is_irreplaceable(record)]
        remove_outputs(file, *removed, force=[step] if self.renew else (), identify=identify)
        for record in removed:
            mark_superseded(file, record.step, run_id if record is current else REMOVED)
        return [output.path for record in removed for output in record.outputs]
