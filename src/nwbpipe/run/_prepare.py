"""Check a request against a session file, in one open of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py

from nwbpipe.errors import InputError
from nwbpipe.files import is_below
from nwbpipe.processors import Context, Input, Processor
from nwbpipe.provenance import RunRecord
from nwbpipe.run._bind import bind, describe_input, identify_inputs_and_outputs, serves
from nwbpipe.run._medium import list_media_outputs
from nwbpipe.session import (
    NwbObject,
    ResultFault,
    SessionFile,
    SessionReader,
    Version,
    compare_outputs,
    explain_taken_names,
    find_nwb_object,
    find_result,
    find_result_faults,
    find_taken_names,
)


@dataclass(frozen=True)
class PreparedRun:
    """A request that the session file can serve.

    Attributes
    ----------
    context : Context
        With bound and identified inputs, completed parameters, and the facts of `Processor.prepare`.
    descriptions : mapping of str to mapping
        Where the inputs' data are, for the compute module (see `describe_input`).
    existing : RunRecord or None
        Current result of the step, if all its outputs are in the file.
    version : FileStat or RemoteStat
        State of the file that all this was read from.
    faults : sequence of ResultFault
        What somebody changed in that result, or in its record.
    """

    context: Context
    descriptions: Mapping[str, Mapping[str, Any]]
    existing: RunRecord | None
    version: Version
    faults: Sequence[ResultFault] = ()

    @property
    def identities(self) -> dict[str, str]:
        """Identities of the inputs, by name."""
        return {name: bound.identity for name, bound in self.context.inputs.items()}


def prepare_run(
    session: SessionFile, method: Processor, context: Context, bindings: Mapping[str, str], *, writes: bool = False
) -> PreparedRun:
    """Bind, check and identify the inputs of a run.

    Parameters
    ----------
    session : SessionFile
        The session file.
    method : Processor
        The processor.
    context : Context
        The step and its parameters, without inputs.
    bindings : mapping of str to str
        See `bind`.
    writes : bool
        Whether the result will be written into the file, where its names have to be free.

    Raises
    ------
    InputError
        If an input can't be bound, or can't be used.
    ResultExistsError
        If an object that no run of the step wrote has the name of a result.
    """

    def read(reader: SessionReader) -> PreparedRun:
        current = reader.find_current(context.step)
        objects = _list_candidates(reader, method, bindings)
        taken = find_taken_names(_list_result_paths(reader, method, context.step), current) if writes else []
        if taken:
            raise explain_taken_names(context.step, taken, str(session))
        results = [output.path for output in current.outputs] if current else []
        chosen = choose_bindings(reader, method, context, bindings, results, where=str(session))
        inputs = bind(objects, method, chosen, results, where=str(session))
        params = method.complete_params(context.params, reader.file, inputs)
        bound = replace(context, params=params, inputs=inputs)
        descriptions = {name: describe_input(reader.file, item) for name, item in bound.inputs.items()}
        if type(method).prepare is not Processor.prepare:  # else nothing needs pynwb
            bound = replace(bound, facts=method.prepare(reader.nwbfile, bound))
        existing = current if current and find_result([current], context.step, reader.file) else None
        faults = find_result_faults(reader.file, existing, lambda _: None) if existing else []
        return PreparedRun(bound, descriptions, existing, reader.version, faults)

    prepared = session.read(read, locked=True)
    # Without HDF5's lock: a commit of another process may not wait while gigabytes are hashed.
    unread = [fault.path for fault in prepared.faults if not fault.verified]
    inputs, outputs = identify_inputs_and_outputs(session, prepared.context.inputs, unread, version=prepared.version)
    faults = [fault for fault in prepared.faults if fault.verified]
    if prepared.existing is not None:
        faults += compare_outputs(prepared.existing, outputs)
    return replace(prepared, context=replace(prepared.context, inputs=inputs), faults=faults)


def _list_candidates(reader: SessionReader, method: Processor, bindings: Mapping[str, str]) -> Sequence[NwbObject]:
    """Return the objects that may be inputs of a run.

    In a file of thousands of objects it takes long to list them all: where each input is named by its path, those are
    enough.
    """
    declared = {name: item for name, item in method.inputs.items() if isinstance(item, Input)}
    bound = {name: name.partition(":")[0] for name in bindings}
    if any(name not in bound.values() and not item.optional for name, item in declared.items()):
        return reader.objects
    paths = [bindings[name].strip("/") for name, own in bound.items() if own in declared]
    inputs = [find_nwb_object(reader.file, f"/{path}") for path in paths]
    objects = [item for item in inputs if item is not None]
    return objects if len(objects) == len(inputs) else reader.objects


def _list_result_paths(reader: SessionReader, method: Processor, step: str) -> list[str]:
    """Return the paths of the objects in the file that have the names of a step's results."""
    module = f"/processing/{method.module}"
    paths = [f"{module}/{name}" for name in reader.file.get(module, ())]
    return [path for path in paths if method.may_write(path, step)]


def choose_bindings(
    reader: SessionReader,
    method: Processor,
    context: Context,
    bindings: Mapping[str, str],
    own: Collection[str],
    *,
    where: str,
) -> Mapping[str, str]:
    """Add the binding of an input with several candidates of which `Processor.prepare` accepts exactly one.

    What shows another step's result, such as a labelled video, is bound by name alone.

    The LFP band of a probe is an `ElectricalSeries` like its AP band, but can't be sorted: it is no candidate. Where
    more than one is accepted, or several inputs are open, the bindings are returned as they are, for `bind` to name
    the candidates.
    """
    unbound = {
        name: declared
        for name, declared in method.inputs.items()
        if name not in bindings and isinstance(declared, Input) and not (declared.optional or declared.many)
    }
    shown = _list_shown(reader, unbound.values())
    if type(method).prepare is Processor.prepare and not shown:
        return bindings
    candidates = {
        name: [item for item in reader.objects if serves(item, declared) and not is_below(item.path, [*own, *shown])]
        for name, declared in unbound.items()
    }
    if shown:
        bindings = {**bindings, **{name: items[0].path for name, items in candidates.items() if len(items) == 1}}
    if type(method).prepare is Processor.prepare:
        return bindings
    several = {name: items for name, items in candidates.items() if len(items) > 1}
    if len(several) != 1:
        return bindings
    ((name, items),) = several.items()
    accepted = []
    for item in items:
        attempt = {**bindings, name: item.path}
        try:
            inputs = bind(reader.objects, method, attempt, own, where=where)
            method.prepare(reader.nwbfile, replace(context, inputs=inputs))
        except InputError:
            continue
        accepted.append(attempt)
    return accepted[0] if len(accepted) == 1 else bindings


def _list_shown(reader: SessionReader, unbound: Collection[Input]) -> Sequence[str]:
    """Return the paths of what shows results, such as a labelled video, if an input could be bound to it.

    All records are read for it, so only where an object of a type that is asked for has its values in another file.
    """
    for item in reader.objects if unbound else ():
        if any(serves(item, declared) for declared in unbound):
            stored = reader.file.get(item.path)
            if isinstance(stored, h5py.Group) and "external_file" in stored:
                return list_media_outputs(reader.records)
    return ()
