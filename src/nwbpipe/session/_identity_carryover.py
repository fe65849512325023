"""What is known of a session file's content, kept over our own commits to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from nwbpipe import files
from nwbpipe.errors import NwbpipeError
from nwbpipe.provenance import IdentityCache, RemoteStat
from nwbpipe.stores import is_remote


class IdentityCarryover:
    """What is known of a file's content, over a commit: what that left alone needs no hashing again."""

    def __init__(self, session: Path | str) -> None:
        self.session = session
        self._cache = IdentityCache()
        self._stat: Any = None

    def record_state(self) -> None:
        """Note the state that the commit changes: a lock is held, or the commit fails if it is no longer that one."""
        self._stat = files.s3_state(self.session) if is_remote(self.session) else self._cache.stat(self.session)

    def carry_over(self, changed: list[str]) -> None:
        """Keep what is known, but of what was changed."""
        if not is_remote(self.session):
            self._cache.carry_over(self.session, self._stat, changed)
            return
        with suppress(NwbpipeError):  # the commit stands, whatever becomes of this
            after = files.s3_state(self.session)
            if after.is_next_of(self._stat):  # else others have committed since
                before = RemoteStat(self._stat.etag, self._stat.size)
                self._cache.carry_over(self.session, before, changed, RemoteStat(after.etag, after.size))
