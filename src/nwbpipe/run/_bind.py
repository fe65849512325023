"""Find the objects of a session file that a processor's inputs mean."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from nwbpipe.errors import InputError
from nwbpipe.files import is_below
from nwbpipe.processors import Artefact, BoundInput, Input, Processor
from nwbpipe.provenance import IdentityCache
from nwbpipe.run._artefacts import read_artefact
from nwbpipe.session import NwbObject, list_nwb_objects


def bind(
    file: h5py.File, processor: Processor, bindings: Mapping[str, str], own: Collection[str] = (), *, where: str = ""
) -> dict[str, BoundInput]:
    """Return the object that each input of a processor means.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    processor : Processor
        Whose inputs are bound.
    bindings : mapping of str to str
        Paths, names or patterns that the user gave, by input. An input that is not bound is taken where the file
        has exactly one object that serves; an optional one is left out.
    own : collection of str
        Paths of what the step itself wrote before: no input of it.
    where : str
        The file, to be named in an error.

    Raises
    ------
    InputError
        If nothing, or more than one object, is meant; the message lists the candidates.
    """
    where = where or str(file.filename)
    unknown = set(bindings) - set(processor.inputs)
    if unknown:
        msg = f"the processor {processor.name!r} has no input {', '.join(map(repr, sorted(unknown)))}"
        hint = f"`nwbpipe processors {processor.name}` shows its inputs"
        raise InputError(msg, expected=", ".join(processor.inputs), found=", ".join(sorted(unknown)), hint=hint)
    everything = [one for one in list_nwb_objects(file) if not is_below(one.path, own)]
    return {
        name: _bind_artefact(name, wanted, bindings.get(name))
        if isinstance(wanted, Artefact)
        else _bind_one(where, name, wanted, bindings.get(name), everything)
        for name, wanted in processor.inputs.items()
        if name in bindings or not wanted.optional
    }


def _bind_artefact(name: str, wanted: Artefact, binding: str | None) -> BoundInput:
    if binding is None:
        msg = f"the input {name!r} is an artefact of {wanted.processor!r}, and none is named"
        raise InputError(msg, hint=f"--input {name}=FOLDER, with its folder STEP/KEY/IDENTITY in the store models://")
    made = read_artefact(Path(binding))
    if made.record.processor != wanted.processor:
        msg = f"the input {name!r} is an artefact of another processor"
        raise InputError(msg, where=binding, expected=wanted.processor, found=made.record.processor)
    return BoundInput(name, made.address, "", "", made.identity, str(made.folder))


def identify_input(session: Path | str, bound: BoundInput, cache: IdentityCache | None = None) -> str:
    """Return the identity of what is bound to an input, as it is now."""
    if bound.folder:
        return read_artefact(Path(bound.folder)).identity
    return (cache or IdentityCache()).identify(session, bound.path).identity


def _bind_one(where: str, name: str, wanted: Input, binding: str | None, everything: list[NwbObject]) -> BoundInput:
    types = " or ".join(wanted.neurodata_types)
    serving = [one for one in everything if serves(one, wanted)]
    if binding is None:
        chosen = serving
    else:
        exact = [one for one in everything if one.path == binding]
        named = exact or [one for one in everything if _matches(one.path, binding)]
        chosen = [one for one in named if serves(one, wanted)]
        if named and not chosen:
            msg = f"the object bound to the input {name!r} is of the wrong type"
            raise InputError(msg, where=named[0].path, expected=types, found=named[0].neurodata_type)
    listed = ", ".join(one.path for one in serving) or "none in this file"
    if not chosen:
        msg = f"nothing in the file serves as the input {name!r}" if binding is None else f"no object at {binding!r}"
        hint = "first convert a source, or run a step, that writes one"
        if serving:
            hint = f"name one: --input {name}={serving[0].path.lstrip('/')}"
        raise InputError(msg, where=where, expected=types, found=listed, hint=hint)
    if len(chosen) > 1:
        msg = f"several objects could be the input {name!r}"
        found = ", ".join(one.path for one in chosen)
        raise InputError(msg, where=where, found=found, hint=f"name one: --input {name}={chosen[0].path.lstrip('/')}")
    one = chosen[0]
    return BoundInput(name, one.path, one.neurodata_type, one.object_id)


def serves(candidate: NwbObject, wanted: Input) -> bool:
    """Whether an object is of a type that an input takes."""
    return bool(candidate.lineage.intersection(wanted.neurodata_types)) and not candidate.lineage.intersection(
        wanted.but_not
    )


def _matches(path: str, binding: str) -> bool:
    """Whether a path is meant: as a whole, by its last parts, or by a pattern."""
    pattern = binding.strip("/")
    plain = path.strip("/")
    return fnmatch.fnmatchcase(plain, pattern) or plain.endswith("/" + pattern)


def describe_location(file: h5py.File, bound: BoundInput, external: Callable[[str, str], Path]) -> dict[str, Any]:
    """Describe where an input's data are, for the compute module (see `nwbpipe.processors._base`).

    Parameters
    ----------
    file : h5py.File
        The session file, open for reading.
    bound : BoundInput
        The input.
    external : callable
        Returns where an external file is on this machine, given its name and the object that names it.

    Raises
    ------
    InputError
        If external data are missing, or lie outside the folder of the file.
    """
    if bound.folder:
        return {"folder": bound.folder}
    item = file[bound.path]
    members = item if isinstance(item, h5py.Group) else {}
    start = members.get("starting_time")
    return {
        "file": file.filename,
        "path": bound.path,
        "neurodata_type": bound.neurodata_type,
        "data": f"{bound.path}/data" if "data" in members and "external_file" not in members else None,
        "timestamps": f"{bound.path}/timestamps" if "timestamps" in members else None,
        "rate": None if start is None else float(start.attrs["rate"]),
        "starting_time": None if start is None else float(start[()]),
        "external_files": [
            str(external(name, bound.path))
            for name in (members["external_file"].asstr()[()] if "external_file" in members else [])
        ],
    }


def locate_external_file(folder: Path, name: str, where: str) -> Path:
    """Return where an external file of a local session file is.

    Raises
    ------
    InputError
        If it is missing, or lies outside the folder of the session file.
    """
    relative = PurePosixPath(name)
    resolved = (folder / relative).resolve()
    if relative.is_absolute() or not resolved.is_relative_to(folder.resolve()):
        msg = "an external file lies outside the folder of the NWB file"
        raise InputError(
            msg, where=where, expected="a relative path below that folder", found=name, hint="link or copy it there"
        )
    if not resolved.is_file():
        msg = "an external file is missing"
        raise InputError(msg, where=where, expected=str(resolved), hint="put it back beside the NWB file")
    return resolved
