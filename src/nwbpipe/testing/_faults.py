"""A store that fails at the n-th operation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeVar

from nwbpipe.errors import FileAccessError
from nwbpipe.stores import Store, StoreEntry

T = TypeVar("T")


class Fault(StrEnum):
    """Failure mode of an operation.

    ``refuse``: it is not carried out. ``lose``: it is carried out, but the answer is lost, as in a timeout. ``half``:
    half of the bytes are read, or written in place of the old ones, as by a store that breaks its contract.
    """

    REFUSE = "refuse"
    LOSE = "lose"
    HALF = "half"


class FaultyStore(Store):
    """Another store, whose n-th operation fails; those before and after succeed.

    Operations are the calls of `stat`, `list`, `read_range`, `write_bytes` and `remove`; all else is made of them.

    Parameters
    ----------
    store : Store
        The store that does the work.
    at : int, optional
        Number of the operation that fails, from 1 on; none by default: the operations are counted.
    fault : Fault
        How it fails.
    only : str
        Count this operation alone, such as ``"write_bytes"``; all by default.

    Attributes
    ----------
    operations : list of str
        Names of the operations so far.

    Examples
    --------
    >>> from nwbpipe.stores import open_store
    >>> store = FaultyStore(open_store("memory://faulty"), at=1, fault=Fault.LOSE, only="write_bytes")
    >>> try:
    ...     _ = store.write_bytes("a", b"1")
    ... except FileAccessError as error:
    ...     print(error.problem.what)
    the answer to write_bytes was lost
    >>> store.read_bytes("a")
    b'1'
    """

    def __init__(self, store: Store, *, at: int = 0, fault: Fault = Fault.REFUSE, only: str = "") -> None:
        super().__init__(store.root)
        self.store, self.at, self.fault, self.only = store, at, fault, only
        self.conditional_writes = store.conditional_writes
        self.operations: list[str] = []
        self._counting = threading.Lock()

    def stat(self, path: str) -> StoreEntry:
        """See `Store.stat`."""
        return self._run("stat", path, lambda: self.store.stat(path))

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[StoreEntry]:
        """See `Store.list`."""
        yield from self._run("list", prefix, lambda: [*self.store.list(prefix, deep=deep)])

    def read_range(self, path: str, start: int, stop: int, *, if_tag: str | None = None) -> bytes:
        """See `Store.read_range`."""

        def read_half() -> bytes:
            return self.store.read_range(path, start, (start + stop) // 2, if_tag=if_tag)

        return self._run(
            "read_range", path, lambda: self.store.read_range(path, start, stop, if_tag=if_tag), read_half
        )

    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.write_bytes`."""

        def write(content: bytes) -> str:
            return self.store.write_bytes(path, content, if_absent=if_absent, if_tag=if_tag)

        def write_half() -> str:
            write(data[: len(data) // 2])
            raise FileAccessError("the connection broke while writing", where=self.location(path))

        return self._run("write_bytes", path, lambda: write(data), write_half)

    def remove(self, path: str, *, if_tag: str | None = None) -> None:
        """See `Store.remove`."""
        self._run("remove", path, lambda: self.store.remove(path, if_tag=if_tag))

    def _run(self, name: str, path: str, work: Callable[[], T], half: Callable[[], T] | None = None) -> T:
        """Carry an operation out, or fail."""
        with self._counting:
            self.operations.append(name)
            count = self.operations.count(self.only) if self.only else len(self.operations)
        if count != self.at or (self.only and name != self.only):
            return work()
        if self.fault is Fault.HALF and half is not None:
            return half()
        if self.fault is Fault.LOSE:
            work()
            raise FileAccessError(f"the answer to {name} was lost", where=path, hint="this is a FaultyStore")
        raise FileAccessError(f"{name} was refused", where=path, hint="this is a FaultyStore")
