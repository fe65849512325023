"""The contract of a data interface, as tests that a class of your own inherits."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

import nwbpipe


class InterfaceTests(ABC):
    """Hold a data interface to what nwbpipe asks of one, on a raw file whose content you know.

    Inherit; name the `interface`; write a raw file in `write_source`, and compare what the NWB file holds in
    `check_content`. Tests that you add run beside these.

    Attributes
    ----------
    interface : type
        A subclass of ``neuroconv.BaseDataInterface``.
    """

    interface: ClassVar[type[Any]]

    @abstractmethod
    def write_source(self, folder: Path) -> Mapping[str, Any]:
        """Write a raw file; return the arguments of the interface (`args` of the spec), paths absolute."""

    @abstractmethod
    def check_content(self, nwbfile: Any, metadata_key: str) -> None:
        """Compare the objects that came of the source, called `metadata_key`, with the truth."""

    def test_a_spec_can_type_its_arguments(self) -> None:
        from neuroconv import BaseDataInterface

        assert issubclass(self.interface, BaseDataInterface)
        for name, parameter in list(inspect.signature(self.interface.__init__).parameters.items())[1:]:
            assert parameter.kind is not parameter.VAR_POSITIONAL, f"*{name}: a spec names each argument"
            if parameter.kind is not parameter.VAR_KEYWORD:
                assert parameter.annotation is not parameter.empty, f"annotate {name}: it types the spec's value"

    def test_its_content_reaches_the_file(self, tmp_path: Path) -> None:
        arguments = self.write_source(tmp_path)
        with self._convert(tmp_path, arguments, "first") as nwbfile:
            self.check_content(nwbfile, "first")

    def test_two_sources_stand_in_one_file(self, tmp_path: Path) -> None:
        if "metadata_key" not in inspect.signature(self.interface.__init__).parameters:
            pytest.skip("the interface takes no metadata_key")
        arguments = self.write_source(tmp_path)
        with self._convert(tmp_path, arguments, "first", "second") as nwbfile:
            self.check_content(nwbfile, "first")
            self.check_content(nwbfile, "second")

    @contextmanager
    def _convert(self, folder: Path, arguments: Mapping[str, Any], *names: str) -> Iterator[Any]:
        """Build a file of sources of this interface, check that it is whole and valid, and open it."""
        from pynwb import NWBHDF5IO, NWBFile
        from pynwb.file import Subject

        nwbfile = NWBFile("a session", "kit", datetime(2024, 5, 1, tzinfo=UTC), session_id="kit")
        nwbfile.subject = Subject(subject_id="kit", species="Mus musculus", sex="F", age="P90D")
        keyed = "metadata_key" in inspect.signature(self.interface.__init__).parameters
        for name in names:
            built = self.interface(**arguments, **({"metadata_key": name} if keyed else {}))
            built.add_to_nwbfile(nwbfile, built.get_metadata())
        path = folder / "kit.nwb"
        with NWBHDF5IO(path, "w") as io:
            io.write(nwbfile)
        report = nwbpipe.check(path)
        assert report.verdict == "whole"
        errors = [finding for finding in report.findings if finding.error]
        assert not errors, errors
        with nwbpipe.read(path) as read:
            yield read
