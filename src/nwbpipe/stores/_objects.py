"""What stores of objects share: keys below a prefix, a client made at first use, servers that check conditions."""

from __future__ import annotations

import io
import secrets
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nwbpipe.errors import FileAccessError
from nwbpipe.stores._paths import OURS, normalize_path
from nwbpipe.stores._store import Store
from nwbpipe.stores._urls import public_url

_answers: dict[str, bool] = {}  # by server and bucket


class ObjectStore(Store):
    """A bucket of a service, or what is below a prefix in it.

    A subclass makes the service's client in a cached property, `_client`.

    Attributes
    ----------
    prefix : str
        What all keys begin with, without the slash behind it.
    """

    prefix: str

    def write_bytes(self, path: str, data: bytes, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.write_bytes`."""
        return self._put(path, io.BytesIO(data), len(data), if_absent, if_tag)

    def put_file(self, source: Path, path: str, *, if_absent: bool = False, if_tag: str | None = None) -> str:
        """See `Store.put_file`."""
        with source.open("rb") as file:
            return self._put(path, file, source.stat().st_size, if_absent, if_tag)

    def close(self) -> None:
        """See `Store.close`."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    # ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _put(self, path: str, source: IO[bytes], size: int, if_absent: bool, if_tag: str | None) -> str:
        """Write an object under a condition; return its tag."""

    def _make_key(self, path: str) -> str:
        plain = normalize_path(path)
        return f"{self.prefix}/{plain}" if self.prefix else plain

    def _make_folder_key(self, folder: str) -> str:
        """Return what the keys of a folder's files begin with; nothing for a whole bucket."""
        parts = (self.prefix, normalize_path(folder, empty=True))
        return "".join(f"{part}/" for part in parts if part)

    def _find_path(self, key: str) -> str | None:
        """Return the path of a key below the prefix; None for a folder's own key, and for a file of ours."""
        path = key[len(self.prefix) + 1 :] if self.prefix else key
        return None if path.endswith("/") or path.rpartition("/")[2].startswith(OURS) else path

    def _make_probe_path(self) -> str:
        return f"{OURS}{secrets.token_hex(8)}"

    def _require_checks(self, server: str, ask: Callable[[], bool], expected: str) -> None:
        """Refuse a server that does not check conditions; `ask` tries it, once in a process."""
        if server not in _answers:
            _answers[server] = ask()
        if not _answers[server]:
            msg = "this server does not check conditions: of two writers, one would be lost in silence"
            raise FileAccessError(msg, where=public_url(self.root), expected=expected)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_client"}
