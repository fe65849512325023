"""Make the record of a run that has just ended."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nwbpipe import __version__
from nwbpipe.provenance._canonical import digest, parameters_hash
from nwbpipe.provenance._records import ObjectRecord, RunRecord


def new_record(
    *,
    key: str,
    step: str,
    processor: str,
    revision: int,
    tool: str,
    parameters: Mapping[str, Any],
    outputs: tuple[ObjectRecord, ...],
    started: datetime,
    inputs: tuple[ObjectRecord, ...] = (),
    ended: datetime | None = None,
    run_id: str | None = None,
    tool_version: str = "",
    python: str | None = None,
    compute_digest: str | None = None,
    **more: Any,
) -> RunRecord:
    """Return the record of a run that ended now, in this process, unless it is said otherwise.

    Parameters
    ----------
    key, step, processor, revision, tool, tool_version, parameters, inputs, outputs, started
        See `RunRecord`.
    ended : datetime, optional
        Now by default.
    run_id : str, optional
        A new one by default.
    python : str, optional
        This Python's version by default.
    compute_digest : str, optional
        Digest of no source by default, for what no compute module made.
    **more
        Further fields of `RunRecord`; parameters_hash, host and software are filled in.
    """
    return RunRecord(
        key=key,
        run_id=run_id or uuid.uuid4().hex,
        step=step,
        processor=processor,
        revision=revision,
        tool=tool,
        tool_version=tool_version,
        parameters=parameters,
        parameters_hash=parameters_hash(parameters),
        inputs=inputs,
        outputs=outputs,
        started=started,
        ended=ended or datetime.now(UTC),
        host=read_host_label(),
        python=platform.python_version() if python is None else python,
        compute_digest=digest(b"") if compute_digest is None else compute_digest,
        software=f"nwbpipe {__version__}",
        **more,
    )


def read_host_label() -> str:
    """Return the label of this place in records: the profile (``NWBPIPE_PROFILE``), never the host's name."""
    return os.environ.get("NWBPIPE_PROFILE") or "local"
