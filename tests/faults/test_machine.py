"""Any order of commits, removals, replacements, crashes and recoveries keeps what was committed."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import h5py
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nwbpipe.files import hold_lock, recover, transaction
from nwbpipe.files._change_in_place import open_journaled
from nwbpipe.files._journal import journal_path
from nwbpipe.files._recover import recover_locked
from tests.faults.systems import Fault, Faulty, Killed, Quiet

names = st.sampled_from(["a", "b", "c/d", "c/e"])
sizes = st.sampled_from([1, 100, 9000])


class OneFile(RuleBasedStateMachine):
    """A file, and what it must hold: `model`, or (after a crash) that or `other`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "a.h5"
        self.model: dict[str, np.ndarray] = {}
        self.other: dict[str, np.ndarray] | None = None
        self.turn = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(pages=st.booleans())
    def create(self, pages: bool) -> None:
        arguments = {"fs_strategy": "page", "fs_page_size": 4096} if pages else {}
        with h5py.File(self.path, "w", **arguments) as file:
            file["raw"] = np.arange(500)
        self.model = {"raw": np.arange(500)}

    def change(self, file: h5py.File, name: str, size: int) -> dict[str, np.ndarray]:
        """Set (or with no size remove) `name`; return what the file holds then."""
        after = dict(self.model)
        if name in file:
            del file[name]
            del after[name]
        if size:
            self.turn += 1
            file[name] = after[name] = np.full(size, self.turn)
        return after

    def settle(self) -> None:
        """Let recovery have its turn, and find out which of two states it is."""
        recover(self.path)
        if self.other is not None:
            if not self.holds(self.model):
                self.model = self.other
            self.other = None

    def holds(self, state: dict[str, np.ndarray]) -> bool:
        with h5py.File(self.path, "r") as file:
            found: dict[str, np.ndarray] = {}
            file.visititems(lambda name, one: found.update({name: one[()]} if isinstance(one, h5py.Dataset) else {}))
        return found.keys() == state.keys() and all(np.array_equal(found[name], state[name]) for name in state)

    @rule(name=names, size=sizes)
    def put(self, name: str, size: int) -> None:
        self.settle()
        with transaction(self.path) as file:
            after = self.change(file, name, size)
        self.model = after

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.settle()
        with transaction(self.path) as file:
            after = self.change(file, name, 0)
        self.model = after

    @rule(name=names, size=sizes)
    def change_mind(self, name: str, size: int) -> None:
        self.settle()
        try:
            with transaction(self.path) as file:
                self.change(file, name, size)
                raise InterruptedError  # an OSError: reported as one
        except Exception:
            assert not journal_path(self.path).exists()

    @rule(
        name=names,
        size=st.sampled_from([0, 1, 100, 9000]),
        at=st.integers(0, 25),
        how=st.sampled_from(["kill", "kill half"]),
    )
    def crash(self, name: str, size: int, at: int, how: str) -> None:
        self.settle()
        after = dict(self.model)
        try:
            with (
                hold_lock(self.path),
                open_journaled(self.path, lock_timeout=1, system=Faulty(Fault(at, how))) as file,
            ):
                after = self.change(file, name, size)
        except Killed:
            self.other = after
        else:
            self.model = after

    @rule(at=st.integers(0, 12), how=st.sampled_from(["kill", "kill half"]))
    def crash_in_recovery(self, at: int, how: str) -> None:
        try:
            with hold_lock(self.path):
                recover_locked(self.path, 1, Faulty(Fault(at, how)))
        except Killed:
            pass

    @rule()
    def recover(self) -> None:
        with hold_lock(self.path):
            recover_locked(self.path, 1, Quiet())
        self.settle()

    @rule(pair=st.permutations(["a", "b", "c/d", "c/e"]), size=sizes)
    def two_writers(self, pair: list[str], size: int) -> None:
        self.settle()

        def write(name: str) -> None:
            with transaction(self.path) as file:
                if name in file:
                    del file[name]
                file[name] = np.full(size, 7)

        writers = [threading.Thread(target=write, args=(name,)) for name in pair[:2]]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.model = self.model | {name: np.full(size, 7) for name in pair[:2]}

    @invariant()
    def a_reader_sees_one_of_them(self) -> None:
        states = [self.model] if self.other is None else [self.model, self.other]
        try:
            seen = any(self.holds(state) for state in states)
        except OSError as error:
            seen = self.other is not None and "signature" in str(error)  # refused, and only after a crash
        assert seen


TestOneFile = OneFile.TestCase
TestOneFile.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
