"""The contract of a processor, as tests that a class of your own inherits."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import h5py

import nwbpipe
from nwbpipe.processors import Processor
from nwbpipe.run import verify_run
from nwbpipe.testing._content import assert_same_content

_STEP = "kit"
# A finder that hides packages, in front of all others: in the tool's own Python they are not installed.
_LOAD_ALONE = """
import importlib.util, sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = ("nwbpipe", "pynwb", "hdmf", "neuroconv")
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)
sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Hiding]
spec = importlib.util.spec_from_file_location("compute", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["compute"] = module
spec.loader.exec_module(module)
for name in sys.argv[2:]:
    assert callable(getattr(module, name, None)), f"the compute module has no function {name}"
"""


class ProcessorTests(ABC):
    """Hold a processor to the contract of `nwbpipe.Processor`, on data whose truth you know.

    Inherit; name the `processor`; write a small session file in `write_session`, and compare results with the truth
    in `check_results`. Tests that you add run beside these.

    Attributes
    ----------
    processor : Processor
        What is tested; its tool has to be installed.
    params, inputs : mapping
        As of `nwbpipe.process`.
    """

    processor: ClassVar[Processor]
    params: ClassVar[Mapping[str, Any]] = {}
    inputs: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def write_session(self, path: Path) -> object:
        """Write a session file with simulated data."""

    @abstractmethod
    def check_results(self, nwbfile: Any, step: str) -> None:
        """Compare the results of a step with the truth; `nwbfile` is open for reading."""

    def process(self, path: Path) -> nwbpipe.Run:
        """Run the processor on a session file."""
        return nwbpipe.process(path, self.processor, step=_STEP, params=self.params, inputs=self.inputs)

    def test_every_parameter_is_documented_and_has_a_default(self) -> None:
        cls = type(self.processor)
        assert cls.name.isidentifier()
        assert cls.revision >= 1
        for name, field in cls.Params.model_fields.items():
            assert field.description, f"the parameter {name} has no description"
        cls.Params.model_validate(dict(self.params))

    def test_the_compute_module_loads_where_nwbpipe_is_not_installed(self) -> None:
        spec = importlib.util.find_spec(self.processor.compute)
        assert spec is not None, f"there is no module {self.processor.compute}"
        assert spec.origin is not None
        ast.parse(Path(spec.origin).read_text(encoding="utf-8"), feature_version=(3, 9))  # the oldest of the tools'
        functions = ["compute", *(f"stage_{name}" for name in self.processor.stages)]
        command = [sys.executable, "-c", _LOAD_ALONE, spec.origin, *functions]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr

    def test_a_result_is_committed_once_computed_alike_and_removed_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "kit-session.nwb"
        self.write_session(path)
        original = shutil.copyfile(path, tmp_path / "kit-before.nwb")
        run = self.process(path)
        assert run.computed
        assert run.record.outputs, "the run wrote no container"
        for output in run.record.outputs:
            assert output.path.startswith(f"/processing/{self.processor.module}/"), output.path
            assert f"_{_STEP}" in output.path, f"{output.path}: name it by context.name, so that two steps can stand"
            assert self.processor.may_write(output.path, _STEP), f"{output.path}: declare it in `containers`"
        with nwbpipe.read(path) as nwbfile:
            self.check_results(nwbfile, _STEP)
        assert not self.process(path).computed, "the same inputs and parameters were computed again"
        for difference in verify_run(path, _STEP):
            assert difference.ok, f"computed again, it differs (raise `tolerance`?): {difference}"
        nwbpipe.remove_step(path, _STEP)
        with h5py.File(path, "r", locking=False) as file:
            remaining = [output.path for output in run.record.outputs if output.path in file]
        assert remaining == []
        # Schemas that a commit added, the record of the run and its empty module stay.
        ignore = ("specifications", "processing", "scratch", "general")
        assert_same_content(original, path, ignore=ignore)
