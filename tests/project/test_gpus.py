"""GPUs that runs share, counted by their memory; a stand-in answers for nvidia-smi."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.errors import NwbpipeError
from nwbpipe.processors import Resources
from nwbpipe.project import Project
from nwbpipe.project._model import ExecutorSpec
from nwbpipe.project.execute import Capacity, _devices, list_gpus
from nwbpipe.project.execute._devices import _take, read_gpu_memory, reserve_gpus
from nwbpipe.project.execute._local import LocalExecutor
from tests.fixtures.schedulers import StandIns

# Two cards of 16.1 and 8.05 GB; one whose driver does not say.
CARDS = """case "$*" in
*memory*) printf '0, GPU-a, 15360\\n1, GPU-b, 7680\\n2, GPU-c, [N/A]\\n';;
*) printf '0\\n1\\n2\\n';;
esac"""


@pytest.fixture
def cards(stand_ins: StandIns, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    stand_ins.add("nvidia-smi", CARDS)
    for cached in (list_gpus, _devices._ask_nvidia):
        cached.cache_clear()
    yield
    for cached in (list_gpus, _devices._ask_nvidia):
        cached.cache_clear()


def part(gb: float, gpu: int = 1) -> Resources:
    return Resources(gpu=gpu, gpu_memory_gb=gb)


def test_the_memory_of_cards_is_read(cards: None) -> None:
    assert list_gpus() == ("0", "1", "2")
    assert {name: round(size, 2) for name, size in read_gpu_memory().items()} == {
        "0": 16.11, "GPU-a": 16.11, "1": 8.05, "GPU-b": 8.05,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("busy", "wanted", "fits"),
    [
        ([], part(16), True),
        ([part(6), part(6)], part(6), True),  # on the other card
        ([part(6), part(6), part(6)], part(6), False),
        ([part(6), part(6), part(6)], part(2), True),
        ([Resources(gpu=1)], part(16), True),  # the smaller one is taken whole
        ([Resources(gpu=2)], part(1), False),
        ([part(1), part(1)], Resources(gpu=1), True),
        ([part(9), part(7)], Resources(gpu=1), True),
        ([part(9), part(8)], Resources(gpu=1), False),
        ([part(6)], part(6, gpu=2), True),
        ([part(12)], part(6, gpu=2), False),
    ],
)
def test_runs_share_cards_as_far_as_their_memory_fits(busy: list[Resources], wanted: Resources, fits: bool) -> None:
    capacity = Capacity(9, 9, 99.0, 2, dict(enumerate(busy)), (16.1, 8.05))
    assert capacity.fits(wanted) is fits


def test_cards_of_unknown_memory_are_not_shared() -> None:
    capacity = Capacity(9, 9, 99.0, 1)
    assert capacity.fits(part(6))
    capacity.in_use[1] = part(6)
    assert not capacity.fits(part(1))
    assert capacity.explain_refusal(part(500)) == ""


def test_what_no_card_has_is_said(cards: None) -> None:
    executor = LocalExecutor(ExecutorSpec(workers=4, gpus=2))
    assert executor.explain_refusal(part(20)) == "needs gpu_memory_gb = 20, but the largest GPU has 16.1061"
    assert executor.explain_refusal(part(16)) == ""
    assert executor.explain_refusal(Resources(gpu=3)) == "needs gpu = 3, but there is 2"


def test_a_reservation_is_of_part_of_a_card_or_of_all(cards: None) -> None:
    with reserve_gpus(1, 6) as first, reserve_gpus(1, 6) as second, reserve_gpus(1, 6) as third:
        assert (first, second, third) == ("0", "0", "1")
        assert _take("0", 6) is None  # 4.1 GB are left
        assert _take("0", 0) is None
        with reserve_gpus(1) as whole:
            assert whole == "2"
    with reserve_gpus(1) as whole:
        assert whole == "0"
        assert _take("0", 1) is None
        with reserve_gpus(1, 8) as other:
            assert other == "1"
    with ExitStack() as held:  # all is free again, to the last GB
        for _ in range(16):
            taken = _take("0", 0.5)
            assert taken is not None
            held.enter_context(taken)
        assert _take("0", 0.5) is None


def test_a_lock_that_was_removed_before_it_was_held_holds_nothing(
    cards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    lock = fcntl.flock

    def lock_after_removal(file: Any, operation: int) -> None:
        for path in _devices._lock_folder().glob("0.lock"):
            path.unlink()
        lock(file, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", lock_after_removal)
        assert _take("0", 6) is None
    with ExitStack() as held:
        held.enter_context(_take("0", 6) or pytest.fail("the card is not free"))


def test_part_of_no_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nwbpipe.toml").write_text(
        'nwbpipe = 1\n[project]\nname = "lab"\nsessions = "nwb://*.nwb"\n[stores]\nnwb = "nwb"\nstate = "state"\n'
        '[steps.pose]\nprocessor = "pose_filter"\nresources = { gpu_memory_gb = 6 }\n'
    )
    with pytest.raises(NwbpipeError, match="gpu_memory_gb is a part of a GPU"):
        Project(tmp_path / "nwbpipe.toml")
