"""Decide if a write to S3 is conditional."""

from __future__ import annotations

import os
from typing import Any

from nwbpipe.stores.s3 import Address, require_conditions


def is_conditional(client: Any, address: Address, *, unsafe_no_cas: bool) -> bool:
    """Return True unless the user gave up conditional writes, in the call or by ``NWBPIPE_UNSAFE_NO_CAS``.

    Raises
    ------
    FileAccessError
        If the server does not check conditions, or can't be asked.
    """
    if unsafe_no_cas or os.environ.get("NWBPIPE_UNSAFE_NO_CAS", "").lower() in ("1", "true", "yes"):
        return False
    hint = "if nobody else writes this object: unsafe_no_cas=True, or NWBPIPE_UNSAFE_NO_CAS=1"
    require_conditions(client, address, completing=True, hint=hint)
    return True
