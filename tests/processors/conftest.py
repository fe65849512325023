"""What holds for each run of a processor in these tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nwbpipe.provenance import ObjectRecord, RunRecord
from nwbpipe.run._pending_run import PendingRun


@pytest.fixture(autouse=True)
def declared_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a run writes a container that its processor does not declare."""
    build = PendingRun.build_record

    def build_record(self: PendingRun, finished: Any, outputs: Sequence[ObjectRecord]) -> RunRecord:
        paths = [output.path for output in outputs if output.path != "/units"]
        undeclared = [path for path in paths if not self.method.may_write(path, self.context.step)]
        assert not undeclared, f"{type(self.method).__name__}.containers lacks {undeclared}"
        return build(self, finished, outputs)

    monkeypatch.setattr(PendingRun, "build_record", build_record)
