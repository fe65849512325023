"""Named stores: where ``raw://a/b`` is on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

from nwbpipe.errors import FileAccessError, RequestError, UnknownNameError
from nwbpipe.stores._azure import AzureStore, has_azure
from nwbpipe.stores._fsspec import FsspecStore
from nwbpipe.stores._google import GoogleStore, has_google
from nwbpipe.stores._local import LocalStore
from nwbpipe.stores._paths import normalize_path
from nwbpipe.stores._s3 import S3Store
from nwbpipe.stores._store import Store
from nwbpipe.stores._urls import canonical_url, is_remote, is_scheme, public_url, store_entry_points

# NWBPIPE_STORE_RAW=/data/raw says where raw:// is on this machine, over what the project file says.
STORE_VARIABLE = "NWBPIPE_STORE_"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ADDRESS = re.compile(r"([a-z][a-z0-9_+.-]*)://(.*)", re.DOTALL)


def open_store(root: Path | str, *, base: Path | None = None) -> Store:
    """Return the store of a root.

    Parameters
    ----------
    root : path
        A local folder (``~`` is the user's), ``s3://bucket/prefix``, ``memory://…``, or a URL that fsspec knows.
    base : Path, optional
        What a relative local root is relative to; the current folder by default.

    Raises
    ------
    FileAccessError
        If the package for that kind of URL is missing.

    Examples
    --------
    >>> store = open_store("memory://doctest")
    >>> tag = store.write_bytes("a/b.txt", b"text", if_absent=True)
    >>> [entry.path for entry in store.glob("**/*.txt")]
    ['a/b.txt']
    """
    if not is_remote(root):
        return LocalStore((base or Path.cwd()) / Path(root).expanduser())
    url = canonical_url(root)
    scheme = url.partition(":")[0]
    if scheme == "file":
        return LocalStore(Path(re.sub(r"^file:/{0,2}(?=/)", "", url)))
    if scheme == "s3":
        return S3Store(url)
    if scheme == "az" and has_azure():
        return AzureStore(url)
    if scheme in ("gs", "gcs") and has_google():
        return GoogleStore(url)
    point = store_entry_points().get(scheme)
    return FsspecStore(url) if point is None else _load_store(point, url)


def _load_store(point: EntryPoint, url: str) -> Store:
    """Make the store that another package offers for a scheme."""
    package = point.dist.name if point.dist is not None else point.value
    origin = f"entry point {point.value} of {package}"
    try:
        kind = point.load()
    except Exception as error:
        msg, cause = f"the store for {point.name}:// can't be loaded", f"{type(error).__name__}: {error}"
        raise FileAccessError(msg, where=origin, found=cause, hint=f"install or repair {package}") from error
    if not (isinstance(kind, type) and issubclass(kind, Store)):
        msg = f"the entry point for {point.name}:// is not a class of stores"
        raise FileAccessError(msg, where=origin, expected="a subclass of nwbpipe.stores.Store", found=repr(kind))
    return kind(url)


def open_location(location: Path | str) -> tuple[Store, str]:
    """Return the store that a file's own folder is, and the file's name in it.

    Raises
    ------
    RequestError
        If it names no file.
    """
    path, mark, query = canonical_url(location).partition("?")  # a signature may hold slashes
    folder, _, name = path.rpartition("/")
    name += mark + query
    if not is_remote(location):
        file = Path(os.path.abspath(location))  # noqa: PTH100 (links stay)
        return LocalStore(file.parent), file.name
    if folder.endswith(":/") or not name or (folder.endswith("/") and path.startswith("s3:")):
        msg = "the address does not name a file"
        raise RequestError(msg, where=public_url(location), expected="a URL that ends with a name, without //")
    return open_store(folder), name


def split_address(text: str) -> tuple[str, str] | None:
    """Take ``raw://a/b`` apart into the store's name and the path; None if it is no such address."""
    match = _ADDRESS.fullmatch(text)
    return None if match is None or is_scheme(match[1]) else (match[1], match[2].lstrip("/"))


def environment_roots(names: Iterable[str]) -> dict[str, str]:
    """Return the roots that ``NWBPIPE_STORE_<NAME>`` gives, by the names of the stores; absolute, or URLs.

    Parameters
    ----------
    names : iterable of str
        Stores that are declared; a variable for another one adds it, in small letters.
    """
    declared = {name.upper(): name for name in names}
    roots: dict[str, str] = {}
    for variable, value in os.environ.items():
        if variable.startswith(STORE_VARIABLE) and value:
            suffix = variable.removeprefix(STORE_VARIABLE)
            name = declared.get(suffix, suffix.lower())
            if _NAME.fullmatch(name):
                roots[name] = value if is_remote(value) else os.path.abspath(Path(value).expanduser())  # noqa: PTH100
    return roots


class Stores:
    """The stores of one profile, by name. A name may have several roots: they are tried in order.

    ``stores[name]`` is the first root, the one that is written to; iterating gives the names.

    Parameters
    ----------
    roots : mapping of str to str or sequence of str
        A root for each name, or several.
    base : Path
        The folder that relative local roots are relative to.

    Raises
    ------
    RequestError
        If a name is none that a store can have, or has no root.

    Examples
    --------
    >>> stores = Stores({"raw": ["memory://fast", "memory://archive"]}, base=Path("."))
    >>> _ = open_store("memory://archive").write_bytes("m1/session.yaml", b"nwbpipe: 1")
    >>> stores.locate("raw://m1/session.yaml")
    'memory://archive/m1/session.yaml'
    >>> stores.address("memory://archive/m1/session.yaml")
    'raw://m1/session.yaml'
    """

    def __init__(self, roots: Mapping[str, str | Sequence[str]], *, base: Path) -> None:
        self._stores: dict[str, tuple[Store, ...]] = {}
        for name, root in roots.items():
            if not _NAME.fullmatch(name) or is_scheme(name):
                msg = f"a store can't be called {name!r}"
                hint = "choose another one; s3, http and the like are kinds of addresses already"
                raise RequestError(msg, expected="a small letter, then small letters, digits and _", hint=hint)
            texts = [root] if isinstance(root, str) else list(root)
            if not texts or not all(isinstance(text, str) and text for text in texts):
                raise RequestError(f"the store {name!r} has no root", expected="a folder or a URL, or a list of them")
            self._stores[name] = tuple(open_store(text, base=base) for text in texts)

    @classmethod
    def from_environment(cls, roots: Mapping[str, str | Sequence[str]], *, base: Path) -> Stores:
        """Make the stores, with the roots that ``NWBPIPE_STORE_<NAME>`` gives in place of those given.

        A variable for a name that is not among `roots` adds a store of that name, in small letters.
        """
        return cls({**roots, **environment_roots(roots)}, base=base)

    def __getitem__(self, name: str) -> Store:
        return self.roots(name)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stores)

    def __contains__(self, name: object) -> bool:
        return name in self._stores

    def roots(self, name: str) -> tuple[Store, ...]:
        """Return all the roots of a store, in their order.

        Raises
        ------
        UnknownNameError
            If there is no store of that name.
        """
        if name not in self._stores:
            msg = f"there is no store {name!r}"
            raise UnknownNameError(
                msg,
                expected=", ".join(f"{store_name}://" for store_name in self._stores) or "none is declared",
                hint=f"declare it in nwbpipe.toml, or set {STORE_VARIABLE}{name.upper()} to its folder",
            )
        return self._stores[name]

    def locate(self, address: str, *, writing: bool = False) -> Path | str:
        """Return where an address is: a local path, or a URL.

        Parameters
        ----------
        address : str
            ``raw://a/b``.
        writing : bool
            Whether it is to be written: in the first root, whether it is there or not.

        Raises
        ------
        UnknownNameError
            If there is no such store.
        RequestError
            If it is no address of a store, or leads outside.
        FileAccessError
            If it is in none of the roots.
        """
        store, path = self.find(address, writing=writing)
        return store.local_path(path) or store.location(path)

    def find(self, address: str, *, writing: bool = False) -> tuple[Store, str]:
        """Return the root that has what an address names, and the relative path there; see `locate`."""
        parts = split_address(address)
        if parts is None:
            msg = "not an address in a store"
            raise RequestError(msg, where=public_url(address), expected="store://path")
        name, path = parts[0], normalize_path(parts[1])
        roots = self.roots(name)
        if writing:
            return roots[0], path
        for store in roots:
            if store.exists(path):
                return store, path
        raise FileAccessError(
            "no such file or folder in the store",
            where=address,
            found=", ".join(f"nothing at {public_url(store.location(path))}" for store in roots),
            hint="check the path, and the roots of the profile (NWBPIPE_PROFILE)",
        )

    def address(self, location: Path | str) -> str:
        """Return the address of a local path or URL: the way back from `locate`.

        Raises
        ------
        RequestError
            If it is below none of the roots.
        """
        text = canonical_url(location) if is_remote(location) else os.path.abspath(location)  # noqa: PTH100 (links stay)
        candidates = [
            (len(store.root), name, text[len(store.root) + 1 :])
            for name, roots in self._stores.items()
            for store in roots
            if text.startswith(f"{store.root}{os.sep if isinstance(store, LocalStore) else '/'}")
        ]
        if not candidates:
            msg = "the file is below no root of a store"
            raise RequestError(msg, where=public_url(text), expected=", ".join(f"{name}://" for name in self._stores))
        _, name, path = max(candidates)
        return f"{name}://{normalize_path(Path(path).as_posix())}"

    def glob(self, text: str) -> list[str]:
        """Return the addresses of the files that a pattern means, such as ``raw://**/session.yaml``, in order.

        A file that several roots have is named once.

        Raises
        ------
        UnknownNameError, RequestError
            See `locate`.
        """
        parts = split_address(text)
        if parts is None:
            msg = "not a pattern in a store"
            raise RequestError(msg, where=public_url(text), expected="store://pattern")
        name, pattern = parts
        paths = {entry.path for store in self.roots(name) for entry in store.glob(pattern)}
        return [f"{name}://{path}" for path in sorted(paths)]
