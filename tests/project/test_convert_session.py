from __future__ import annotations

from pathlib import Path

import pytest

from nwbpipe.converters import _convert
from nwbpipe.errors import OverwriteError
from nwbpipe.project import Project
from nwbpipe.project._convert_session import convert_session
from tests.converters import raw
from tests.project.test_project_conversion import TOML


def test_a_conversion_that_another_runner_forestalled_is_a_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "raw/one"
    folder.mkdir(parents=True)
    raw.write_trials(folder / "trials.csv")
    raw.write_spec(folder, {"trials": raw.trials()})
    (tmp_path / "nwbpipe.toml").write_text(TOML.partition("[steps.first]")[0])
    project = Project(tmp_path)
    (session,) = project.sessions()[0]
    convert = _convert.convert

    def forestalled(*arguments, **options):
        convert(*arguments, **options)
        return convert(*arguments, **options)

    monkeypatch.setattr(_convert, "convert", forestalled)
    record, computed = convert_session(project.planner, session)
    assert (record.step, computed) == ("convert", False)
    session.file.unlink()

    def by_another_program(*arguments, **options):
        session.file.write_bytes(b"something else")
        return convert(*arguments, **options)

    monkeypatch.setattr(_convert, "convert", by_another_program)
    with pytest.raises(OverwriteError):
        convert_session(project.planner, session)
    assert session.file.read_bytes() == b"something else"
