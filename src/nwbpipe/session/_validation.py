"""Validate a file with new results by the version of NWB that it then declares."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py

from nwbpipe.errors import InvalidResultError, UnsupportedFileError
from nwbpipe.session._schemas import hash_schemas, keep, match_installed

if TYPE_CHECKING:
    from nwbpipe.session._session_file import SessionFile

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
    that are the installed ones to the letter are not read at all.
    """
    from pynwb import CORE_NAMESPACE, NWBHDF5IO, get_manager
    from pynwb.validation import get_cached_namespaces_to_validate

    key = hash_schemas(file)
    schemas = _KNOWN_SCHEMAS.get(key)
    if schemas is None:
        types, namespaces = match_installed(file)
        if not namespaces:
            manager = get_manager()
            names, cached, _ = get_cached_namespaces_to_validate(io=NWBHDF5IO(file=file, manager=manager))
            types = (cached or manager).type_map
            catalog = types.namespace_catalog
            namespaces = [catalog.get_namespace(name=name) for name in names or [CORE_NAMESPACE]]
        schemas = types, [_build_validator(namespace) for namespace in namespaces]
        keep(_KNOWN_SCHEMAS, key, schemas)
    return schemas


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
