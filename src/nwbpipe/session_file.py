"""Old name of `nwbpipe.session`, kept for one release."""

from __future__ import annotations

from nwbpipe._old_names import find_old_names

_NAMES = ("check_readable", "open_hdf5", "read", "transaction", "update")

__getattr__ = find_old_names(__name__, {name: f"nwbpipe.session.{name}" for name in _NAMES})
