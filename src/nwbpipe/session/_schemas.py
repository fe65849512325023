"""The schemas that a session file holds, and those of them that this process has loaded already."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import h5py

from nwbpipe.files import iter_texts

_MOST_SCHEMAS = 8
_KNOWN_TYPES: dict[tuple[str, ...], Any] = {}
_KEEPING = threading.Lock()
T = TypeVar("T")


def load_types(file: h5py.File) -> Any:
    """Return the types by which pynwb reads a file: the installed ones, and those of other schemas that it holds.

    pynwb prefers the installed schemas, also where a file has another version of one. What it would load from each
    file again is kept by the digest of the file's schemas.
    """
    from pynwb import NWBHDF5IO, get_type_map

    installed = get_type_map(copy=False)
    names = list_schemas(file)
    if names is not None and names <= set(installed.namespace_catalog.namespaces):
        return installed  # nothing is added to it: all schemas of the file are known
    key = (hash_schemas(file), *installed.namespace_catalog.namespaces)
    types = _KNOWN_TYPES.get(key)
    if types is None:
        types = get_type_map()
        NWBHDF5IO.load_namespaces(types, file=file)
        keep(_KNOWN_TYPES, key, types)
    return types


def keep(known: dict[Any, T], key: Any, value: T) -> None:
    """Keep what took long to read, in place of what was read first where there is too much."""
    with _KEEPING:
        while len(known) >= _MOST_SCHEMAS:
            known.pop(next(iter(known)))
        known[key] = value


def list_schemas(file: h5py.File) -> set[str] | None:
    """Return the names of the schemas in a file; None if they are not where NWB has them.

    They are looked for by their path: where an object was opened by a reference, as hdmf does it, HDF5 walks over the
    whole file to find its name.
    """
    reference, schemas = file.attrs.get(".specloc"), file.get("specifications")
    if not isinstance(reference, h5py.Reference) or not reference or not isinstance(schemas, h5py.Group):
        return None
    by_reference = h5py.h5o.get_info(file[reference].id).addr
    return set(schemas) if by_reference == h5py.h5o.get_info(schemas.id).addr else None


def match_installed(file: h5py.File) -> tuple[Any, list[Any]]:
    """Return types and namespaces that a file is to be valid by, if it has the core of NWB that is installed.

    Without it, no namespaces are returned. Schemas that are the installed ones to the letter are taken as they are;
    others are read from the file. The namespaces are, as in pynwb, those that no other of the file builds on.
    """
    from pynwb import CORE_NAMESPACE, get_type_map

    import nwbpipe.extensions  # noqa: F401  (loads our schema, which nearly every file holds)

    types = get_type_map(copy=False)
    catalog = types.namespace_catalog
    texts: dict[str, dict[str, bytes]] = {}
    for path, text in iter_texts(file[file.attrs[".specloc"]]) if ".specloc" in file.attrs else ():
        texts.setdefault(path.partition("/")[0], {})[path] = text
    same: list[str] = []  # in the order of the catalog: what a namespace builds on comes before it
    for name in catalog.namespaces:
        # A file may lack what a namespace builds on, as pynwb loads the installed one in its place.
        if name in texts and set(_list_bases(catalog, name)) & set(texts) <= set(same):
            same += [name] if texts[name] == dict(_format_schemas(catalog, name)) else []
    if CORE_NAMESPACE not in same:
        return types, []
    if len(same) < len(texts):
        types = load_types(file) if set(texts) & set(catalog.namespaces) == set(same) else _read_others(file, same)
        catalog = types.namespace_catalog
    # Without hdmf-experimental, as pynwb has it: https://github.com/NeurodataWithoutBorders/pynwb/issues/1357
    specific = set(texts) - {base for name in texts for base in _list_bases(catalog, name)} - {"hdmf-experimental"}
    return types, [_complete_namespace(catalog, name) for name in sorted(specific)]


def _read_others(file: h5py.File, same: list[str]) -> Any:
    """Return the types of the installed schemas that are named, and of all others of a file as it holds them."""
    from hdmf.build import TypeMap
    from pynwb import NWBHDF5IO, get_type_map

    installed = get_type_map(copy=False).namespace_catalog
    catalog = type(installed)(
        group_spec_cls=installed.group_spec_cls,
        dataset_spec_cls=installed.dataset_spec_cls,
        spec_namespace_cls=installed.spec_namespace_cls,
    )
    needed = {*same, *(base for name in same for base in _list_bases(installed, name))}
    for name in installed.namespaces:
        if name in needed:
            catalog.add_namespace(name, installed.get_namespace(name))
    NWBHDF5IO.load_namespaces(catalog, file=file)  # those that it has already are left as they are
    return TypeMap(namespaces=catalog)


def _list_bases(catalog: Any, name: str) -> list[str]:
    """Return the namespaces that one includes."""
    return [part["namespace"] for part in catalog.get_namespace(name)["schema"] if "namespace" in part]


def _complete_namespace(catalog: Any, name: str) -> Any:
    """Return a namespace with all types of those that it includes.

    The installed one has the types that its authors named; in files, hdmf writes that it has them all.
    """
    from hdmf.spec import SpecCatalog

    specs = SpecCatalog()

    def register(source: Any, kind: str) -> None:
        if kind not in specs.get_registered_types():
            spec = source.get_spec(kind)
            # hdmf's validator forgets the children of a type that comes after them.
            if spec.data_type_inc is not None:
                register(source, spec.data_type_inc)
            specs.register_spec(spec, source.get_spec_source_file(kind))

    pending, taken = [name], set()
    while pending:
        namespace = catalog.get_namespace(current := pending.pop(0))
        taken.add(current)
        for kind in namespace.catalog.get_registered_types():
            register(namespace.catalog, kind)
        pending += [base for base in _list_bases(catalog, current) if base not in taken]
    namespace = catalog.get_namespace(name)
    return type(namespace).build_namespace(catalog=specs, **namespace)


def _format_schemas(catalog: Any, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the paths and texts by which hdmf writes a namespace into a file."""
    from hdmf.backends.hdf5.h5_utils import H5SpecWriter
    from hdmf.backends.utils import NamespaceToBuilderHelper
    from hdmf.spec.write import SpecWriter

    texts: dict[str, Any] = {}

    class Writer(SpecWriter):  # type: ignore[misc]
        def write_spec(self, spec: Any, path: str) -> None:
            texts[path] = spec

        def write_namespace(self, namespace: Any, path: str) -> None:
            texts[path] = {"namespaces": [namespace]}

    NamespaceToBuilderHelper.convert_namespace(catalog, name).export("namespace", writer=Writer())
    version = catalog.get_namespace(name).version
    for path, spec in texts.items():
        yield f"{name}/{version}/{path}", H5SpecWriter.stringify(spec).encode()


def hash_schemas(file: h5py.File) -> str:
    """Return the digest of the texts of all schemas in a file; of nothing, where it holds none."""
    texts = hashlib.sha256()
    if ".specloc" in file.attrs:
        for name, text in iter_texts(file[file.attrs[".specloc"]]):
            for part in (name.encode(), text):
                texts.update(len(part).to_bytes(8, "little") + part)
    return texts.hexdigest()
