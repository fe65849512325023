"""Find the objects of a session file that a processor's inputs mean."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.errors import InputError
from nwbpipe.files import is_below
from nwbpipe.processors import Artefact, BoundInput, Input, Processor
from nwbpipe.provenance import own_name
from nwbpipe.run._artefacts import read_artefact
from nwbpipe.session import NwbObject, SessionFile, Version


def bind(
    objects: Iterable[NwbObject],
    processor: Processor,
    bindings: Mapping[str, str],
    own: Collection[str] = (),
    *,
    where: str,
) -> dict[str, BoundInput]:
    """Return the object that each input of a processor means.

    Parameters
    ----------
    objects : iterable of NwbObject
        The objects of the file.
    processor : Processor
        The processor.
    bindings : mapping of str to str
        Paths, names or patterns that the user gave, by input. An input that is not bound is taken where the file
        has exactly one object that serves; an optional one is left out.
    own : collection of str
        Paths of the step's own earlier results: they are not its inputs.
    where : str
        The file, to be named in an error.

    Raises
    ------
    InputError
        If nothing, or more than one object, is meant; the message lists the candidates.
    """
    unknown = {name for name in bindings if not _is_input(name, processor)}
    if unknown:
        msg = f"the processor {processor.name!r} has no input {', '.join(map(repr, sorted(unknown)))}"
        hint = f"`nwbpipe processors {processor.name}` shows its inputs"
        raise InputError(msg, expected=", ".join(processor.inputs), found=", ".join(sorted(unknown)), hint=hint)
    candidates = [candidate for candidate in objects if not is_below(candidate.path, own)]
    bound: dict[str, BoundInput] = {}
    for name, declared in processor.inputs.items():
        if isinstance(declared, Artefact):
            bound[name] = _bind_artefact(name, declared, bindings.get(name))
        elif declared.many:
            bound |= _bind_many(where, name, declared, bindings, candidates)
        elif name in bindings or not declared.optional:
            bound[name] = _bind_object(where, name, declared, bindings.get(name), candidates)
    return bound


def _is_input(name: str, processor: Processor) -> bool:
    declared = processor.inputs.get(name.partition(":")[0])
    return declared is not None and (":" not in name or (isinstance(declared, Input) and declared.many))


def _bind_many(
    where: str, name: str, declared: Input, bindings: Mapping[str, str], candidates: Sequence[NwbObject]
) -> dict[str, BoundInput]:
    """Bind all objects that an input means: those of the names ``NAME:1``, … or of patterns with commas between."""
    numbered = {key: path for key, path in bindings.items() if key.partition(":")[0] == name and ":" in key}
    if numbered:
        return {key: _bind_object(where, key, declared, path, candidates) for key, path in numbered.items()}
    binding = bindings.get(name)
    if binding is None:
        if declared.optional:
            return {}
        return {f"{name}:1": replace(_bind_object(where, name, declared, None, candidates), name=f"{name}:1")}
    chosen: dict[str, NwbObject] = {}
    for pattern in list_patterns(name, binding):
        matches = match_many(pattern, declared, candidates)
        if not matches:
            _bind_object(where, name, declared, pattern, candidates)  # says why
        chosen |= {item.path: item for item in matches}
    return {
        f"{name}:{number}": BoundInput(f"{name}:{number}", item.path, item.neurodata_type, item.object_id)
        for number, item in enumerate(chosen.values(), start=1)
    }


def _bind_artefact(name: str, declared: Artefact, binding: str | None) -> BoundInput:
    processors = " or ".join(map(repr, declared.processors))
    if binding is None:
        msg = f"the input {name!r} is an artefact of {processors}, and none is named"
        raise InputError(msg, hint=f"--input {name}=FOLDER, with its folder STEP/KEY/IDENTITY in the store models://")
    artefact = read_artefact(Path(binding))
    if artefact.record.processor not in declared.processors:
        msg = f"the input {name!r} is an artefact of another processor"
        raise InputError(msg, where=binding, expected=processors, found=artefact.record.processor)
    return BoundInput(name, artefact.address, "", "", artefact.identity, str(artefact.folder))


def identify_inputs(
    session: SessionFile, inputs: Mapping[str, BoundInput], *, version: Version | None = None
) -> dict[str, BoundInput]:
    """Return the inputs with their present identities."""
    return identify_inputs_and_outputs(session, inputs, (), version=version)[0]


def identify_inputs_and_outputs(
    session: SessionFile, inputs: Mapping[str, BoundInput], outputs: Sequence[str], *, version: Version | None = None
) -> tuple[dict[str, BoundInput], dict[str, str]]:
    """Return the inputs with their present identities, and the own identities of outputs by path: in one open.

    Parameters
    ----------
    session : SessionFile
        The session file.
    inputs : mapping of str to BoundInput
        The inputs.
    outputs : sequence of str
        Paths of results.
    version : FileStat or RemoteStat, optional
        The state that the caller has just seen the file in.
    """
    artefacts = {name: read_artefact(Path(item.folder)).identity for name, item in inputs.items() if item.folder}
    objects = [name for name in inputs if name not in artefacts]
    paths = [*(inputs[name].path for name in objects), *map(own_name, outputs)]
    identities = [item.identity for item in session.identify(paths, version=version)] if paths else []
    identified = artefacts | dict(zip(objects, identities, strict=False))
    bound = {name: replace(item, identity=identified[name]) for name, item in inputs.items()}
    return bound, dict(zip(outputs, identities[len(objects) :], strict=True))


def _bind_object(
    where: str, name: str, declared: Input, binding: str | None, candidates: Sequence[NwbObject]
) -> BoundInput:
    types = " or ".join(declared.neurodata_types)
    serving = [candidate for candidate in candidates if serves(candidate, declared)]
    if binding is None:
        chosen = serving
    else:
        named = match_binding(binding, candidates)
        chosen = [candidate for candidate in named if serves(candidate, declared)]
        if named and not chosen:
            msg = f"the object bound to the input {name!r} is of the wrong type"
            raise InputError(msg, where=named[0].path, expected=types, found=named[0].neurodata_type)
    if not chosen:
        msg = f"nothing in the file serves as the input {name!r}" if binding is None else f"no object at {binding!r}"
        hint = "first convert a source, or run a step, that writes one"
        if serving:
            hint = f"name one: --input {name}={serving[0].path.lstrip('/')}"
        listed = ", ".join(candidate.path for candidate in serving) or "none in this file"
        raise InputError(msg, where=where, expected=types, found=listed, hint=hint)
    if len(chosen) > 1:
        msg = f"several objects could be the input {name!r}"
        listed = ", ".join(candidate.path for candidate in chosen)
        hint = f"name one: --input {name}={chosen[0].path.lstrip('/')}"
        raise InputError(msg, where=where, found=listed, hint=hint)
    return BoundInput(name, chosen[0].path, chosen[0].neurodata_type, chosen[0].object_id)


def serves(candidate: NwbObject, declared: Input) -> bool:
    """Return True if an object is of a type that an input takes."""
    return bool(candidate.lineage.intersection(declared.neurodata_types)) and not candidate.lineage.intersection(
        declared.but_not
    )


def match_binding(binding: str, candidates: Iterable[NwbObject]) -> list[NwbObject]:
    """Return the objects that a binding means: the one at that path, or those that it matches."""
    matches = [item for item in candidates if _matches(item.path, binding)]
    return [item for item in matches if item.path == binding] or matches


def list_patterns(name: str, binding: str) -> list[str]:
    """Return the patterns of a binding of the input `name`, which takes many objects: they have commas between.

    Raises
    ------
    InputError
        A pattern is empty: it would mean every object.
    """
    patterns = [pattern.strip() for pattern in binding.split(",")]
    if not all(pattern.strip("/") for pattern in patterns):
        msg = f"the input {name!r} has an empty pattern"
        hint = "leave out the comma that has nothing before or after it"
        raise InputError(msg, expected="names or patterns with commas between", found=repr(binding), hint=hint)
    return patterns


def match_many(pattern: str, declared: Input, candidates: Iterable[NwbObject]) -> list[NwbObject]:
    """Return the objects that a pattern means for an input that takes many, by path: their order decides the key."""
    wide = pattern if "/" in pattern else f"*/{pattern}"  # without a folder: a name, wherever it is
    items = sorted((item for item in candidates if serves(item, declared)), key=lambda item: item.path)
    matches = [item for item in items if _matches(item.path, pattern) or _matches(item.path, wide)]
    return [item for item in matches if item.path == pattern] or matches


def _matches(path: str, binding: str) -> bool:
    """Return True if a binding means a path: as a whole, by its last parts, or by a pattern."""
    pattern = binding.strip("/")
    plain = path.strip("/")
    return fnmatch.fnmatchcase(plain, pattern) or plain.endswith("/" + pattern)


def describe_input(file: h5py.File, bound: BoundInput) -> dict[str, Any]:
    """Describe where an input's data are, for the compute module (see `nwbpipe.processors._base`).

    The path of the session file, and those of its external files, are filled in by `locate_input`.
    """
    if bound.folder:
        return {"folder": bound.folder}
    item = file[bound.path]
    members = item if isinstance(item, h5py.Group) else {}
    start = members.get("starting_time")
    return {
        "path": bound.path,
        "neurodata_type": bound.neurodata_type,
        "data": f"{bound.path}/data" if "data" in members and "external_file" not in members else None,
        "timestamps": f"{bound.path}/timestamps" if "timestamps" in members else None,
        "rate": None if start is None else float(start.attrs["rate"]),
        "starting_time": None if start is None else float(start[()]),
        "external_files": list(members["external_file"].asstr()[()]) if "external_file" in members else [],
    }


def locate_input(
    description: Mapping[str, Any], path: str, find_external: Callable[[str, str], Path]
) -> dict[str, Any]:
    """Complete the description of an input with paths on this machine.

    Parameters
    ----------
    description : mapping
        As `describe_input` returns it.
    path : str
        Path of the session file.
    find_external : callable
        See `SessionFile.external_files`.

    Raises
    ------
    InputError
        If external data are missing, or lie outside the folder of the file.
    """
    if "folder" in description:  # an artefact is on this machine
        return dict(description)
    external = [str(find_external(name, description["path"])) for name in description["external_files"]]
    return {"file": path, **description, "external_files": external}
