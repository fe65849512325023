"""Validate a file with new results by the version of NWB that it then declares."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py

from nwbpipe.errors import InvalidResultError, UnsupportedFileError
from nwbpipe.files import iter_texts

if TYPE_CHECKING:
    from nwbpipe.session._session_file import SessionFile

_MOST_SCHEMAS = 8
_KNOWN_SCHEMAS: dict[str, tuple[Any, list[Any]]] = {}
# Errors that were found already, by validator and object, while a file is validated.
_ERRORS: ContextVar[dict[tuple[int, int], list[Any]]] = ContextVar("errors")


def find_validation_errors(file: h5py.File, original: SessionFile, without: Collection[str] = ()) -> Counter[str]:
    """Return the errors that pynwb's validator finds in an open file, with the count of each.

    Parameters
    ----------
    file : h5py.File
        The file, open for reading.
    original : SessionFile
        The session file that it is, or is to replace, to be named in an error.
    without : collection of str
        Paths of objects that are left out: a commit of ours did not touch them.

    Raises
    ------
    UnsupportedFileError
        If the file's own copy of the NWB schema can't be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Counter(map(str, list_validation_errors(file, without)))
        except Exception as error:  # the validator meets schemas of any age, and fails in any way
            with original.open() as reader:
                version = _read_version(reader.file)
            msg = f"the file, of NWB {version}, can't be validated: its own copy of the NWB schema is broken"
            raise UnsupportedFileError(
                msg,
                where=str(original),
                expected="a readable schema in /specifications",
                found=f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}",
                hint="export the file with a current pynwb, or convert the session again",
            ) from error


def list_validation_errors(file: h5py.File, without: Collection[str] = ()) -> list[Any]:
    """Return the errors of pynwb's ``validate(path=…)``, by the schemas that an open file itself holds.

    Objects at the paths `without` are left out.
    """
    from hdmf.build import BuildManager

    from nwbpipe.session._nwb_io import SessionIO

    types, validators = _load_schemas(file)
    builder = SessionIO(file, "r", without, manager=BuildManager(type_map=types)).read_builder()
    token = _ERRORS.set({})
    try:
        return [error for validator in validators for error in validator.validate(builder)]
    finally:
        _ERRORS.reset(token)


def _build_validator(namespace: Any) -> Any:
    """Return a validator that makes the validator of a type when it meets the type, and looks at each object once.

    hdmf's makes them all, each again for every type above its own: a tenth of a small conversion. And it looks at a
    child twice where its type is that of the specification, and at a linked object anew for each link: what is nested
    five levels deep, as a labelled frame of ndx-pose, 32 times.
    """
    from hdmf.spec import GroupSpec, Spec
    from hdmf.spec.spec import BaseStorageSpec
    from hdmf.validate import ValidatorMap
    from hdmf.validate.validator import DatasetValidator, GroupValidator

    class LazyValidatorMap(ValidatorMap):  # type: ignore[misc]  # hdmf is untyped
        def __init__(self) -> None:
            self._namespace = namespace
            self._types = namespace.get_registered_types()
            # What the inherited `validate` asks for.
            self._ValidatorMap__type_key = namespace.get_spec(self._types[0]).type_key()
            self._children: dict[str, list[str]] = {}
            for name in self._types:
                self._children[name] = []  # hdmf forgets children that come before their parent: so does this
                self._children.setdefault(namespace.get_spec(name).data_type_inc, []).append(name)
            self._validators: dict[str, Any] = {}
            self._kinds: dict[str, tuple[Any, ...]] = {}

        @property
        def namespace(self) -> Any:
            return self._namespace

        def get_validator(self, data_type: Any) -> Any:
            if isinstance(data_type, BaseStorageSpec):
                data_type = data_type.data_type_def or data_type.data_type_inc
            if data_type not in self._validators:
                if data_type not in self._types:
                    msg = f"data type {data_type!r} not found in namespace {self._namespace.name}"
                    raise ValueError(msg)
                spec = self._namespace.get_spec(data_type)
                made = GroupValidator(spec, self) if isinstance(spec, GroupSpec) else DatasetValidator(spec, self)
                _remember_errors(made)
                self._validators[data_type] = made
            return self._validators[data_type]

        def valid_types(self, spec: Any) -> tuple[Any, ...]:
            """Return what names the types that may stand for one: of hdmf's validators only the spec is asked for."""
            name = spec.data_type_def if isinstance(spec, Spec) else spec
            if name not in self._kinds:
                below = (kind for child in self._children.get(name, ()) for kind in self.valid_types(child))
                self._kinds[name] = (SimpleNamespace(spec=self._namespace.get_spec(name)), *below)
            return self._kinds[name]

    return LazyValidatorMap()


def _remember_errors(validator: Any) -> None:
    validate = validator.validate

    def validate_once(builder: Any) -> list[Any]:
        errors, key = _ERRORS.get(), (id(validator), id(builder))
        if key not in errors:
            errors[key] = []  # for objects that link to each other
            errors[key] = validate(builder)
        return errors[key]

    validator.validate = validate_once


def _load_schemas(file: h5py.File) -> tuple[Any, list[Any]]:
    """Return the types, and a validator for each namespace, of the schemas that a file holds.

    Most files hold the same ones, and reading them takes a second: they are kept by the digest of their texts. Those
    that this process has loaded already, as they are the installed ones to the letter, are not read at all.
    """
    from pynwb import CORE_NAMESPACE, NWBHDF5IO, get_manager
    from pynwb.validation import get_cached_namespaces_to_validate

    import nwbpipe.extensions  # noqa: F401  (loads our schema, which nearly every file holds)

    key = hash_schemas(file)
    if key not in _KNOWN_SCHEMAS:
        manager = get_manager()
        types, namespaces = manager.type_map, _match_installed(file, manager.namespace_catalog)
        if not namespaces:
            names, cached, _ = get_cached_namespaces_to_validate(io=NWBHDF5IO(file=file, manager=manager))
            types = (cached or manager).type_map
            catalog = types.namespace_catalog
            namespaces = [catalog.get_namespace(name=name) for name in names or [CORE_NAMESPACE]]
        while len(_KNOWN_SCHEMAS) >= _MOST_SCHEMAS:
            _KNOWN_SCHEMAS.pop(next(iter(_KNOWN_SCHEMAS)))
        _KNOWN_SCHEMAS[key] = types, [_build_validator(namespace) for namespace in namespaces]
    return _KNOWN_SCHEMAS[key]


def _match_installed(file: h5py.File, catalog: Any) -> list[Any]:
    """Return the namespaces that a file is to be valid by, if its schemas are those of a catalog; else none.

    As in pynwb, these are the ones that no other builds on.
    """
    texts = dict(iter_texts(file[file.attrs[".specloc"]])) if ".specloc" in file.attrs else {}
    names = {path.partition("/")[0] for path in texts}
    if not names <= set(catalog.namespaces):
        return []
    if texts != {path: text for name in names for path, text in _format_schemas(catalog, name)}:
        return []
    # Without hdmf-experimental, as pynwb has it: https://github.com/NeurodataWithoutBorders/pynwb/issues/1357
    specific = names - {base for name in names for base in _list_bases(catalog, name)} - {"hdmf-experimental"}
    return [_complete_namespace(catalog, name) for name in sorted(specific)]


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


def check_valid(working: h5py.File, original: SessionFile, without: Collection[str] = ()) -> None:
    """Refuse results that leave a file invalid.

    pynwb raises a file's ``nwb_version`` to its own when it appends. A file of an older version must therefore be
    wholly valid by the new one, or its version would lie about its objects; in a file of today's version, faults
    that were there before are not held against the results.

    Parameters
    ----------
    working : h5py.File
        The file with the results, open for reading.
    original : SessionFile
        The session file, in its state before the results.
    without : collection of str
        Paths of objects that the results left alone.

    Raises
    ------
    UnsupportedFileError
        If a file of an older version would not be valid.
    InvalidResultError
        If the results brought a fault into a file of today's version.
    """
    faults = find_validation_errors(working, original, without)
    if not faults:
        return
    with original.open() as reader:
        old_version, new_version = _read_version(reader.file), _read_version(working)
        new_faults = faults - find_validation_errors(reader.file, original) if old_version == new_version else faults
    if old_version != new_version:
        msg = f"the file is of NWB {old_version}, and would not be valid NWB {new_version} with the results"
        raise UnsupportedFileError(
            msg,
            where=str(original),
            expected="a file that pynwb can raise to today's version",
            found=f"{sum(faults.values())} faults: {_summarize_faults(faults)}",
            hint="convert the session again, or export the file with a current pynwb and repair these faults",
        )
    if new_faults:
        msg = "the results would make the file invalid"
        raise InvalidResultError(
            msg, where=str(original), found=_summarize_faults(new_faults), hint="a fault of the processor: report it"
        )


def _read_version(file: h5py.File) -> str:
    return str(file.attrs["nwb_version"])[:40]


def _summarize_faults(faults: Counter[str], most: int = 3) -> str:
    text = "; ".join(list(faults)[:most])
    return text + (f"; and {len(faults) - most} more" if len(faults) > most else "")
