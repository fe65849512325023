"""Go on with a training that was ended, from checkpoints among its stages (part of the compute module beside it)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

_CURVE = "learning_stats.csv"


class Checkpoint(NamedTuple):
    """What an earlier try had trained.

    Attributes
    ----------
    folder : Path
    epoch : int
        Epochs that were trained.
    best : int
        Epoch of the best snapshot so far.
    notes : dict
        What the earlier try said of itself.
    """

    folder: Path
    epoch: int
    best: int
    notes: dict[str, Any]


def list_snapshots(folder: Path) -> dict[tuple[bool, int], Path]:
    """Return DeepLabCut's snapshots by (whether it is the best, epoch)."""
    snapshots = {}
    for path in folder.glob("snapshot-*.pt"):
        match = re.fullmatch(r"snapshot-(best-)?(\d+)\.pt", path.name)
        if match:
            snapshots[bool(match.group(1)), int(match.group(2))] = path
    return snapshots


def find_checkpoint(stages: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole."""
    folders = {int(path.name[6:]): path for path in stages.glob("epoch-*") if path.name[6:].isdigit()}
    if not folders:
        return None
    epoch = max(folders)
    notes = json.loads((folders[epoch] / "notes.json").read_text(encoding="utf-8"))
    best = max((key[1] for key in list_snapshots(folders[epoch]) if key[0]), default=epoch)
    return Checkpoint(folders[epoch], epoch, best, notes)


def keep_checkpoint(train: Path, stages: Path, notes: dict[str, Any]) -> None:
    """Copy the newest and the best snapshot and the learning curve, if there is a newer one than was kept.

    A folder gets its name when it is whole; those of fewer epochs are then removed.
    """
    snapshots = list_snapshots(train)
    if not snapshots:
        return
    newest = max(snapshots, key=lambda key: key[1])
    final = stages / f"epoch-{newest[1]:06d}"
    if final.is_dir():
        return
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(str(partial), ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copyfile(str(snapshots[newest]), str(partial / "newest.pt"))
    best = max((key for key in snapshots if key[0]), default=newest)
    shutil.copyfile(str(snapshots[best]), str(partial / f"snapshot-best-{best[1]:03d}.pt"))
    if (train / _CURVE).is_file():
        shutil.copyfile(str(train / _CURVE), str(partial / _CURVE))
    (partial / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
    partial.rename(final)
    for path in stages.glob("epoch-*"):
        if path != final:
            shutil.rmtree(str(path), ignore_errors=True)


def restore_curve(checkpoint: Checkpoint, train: Path) -> None:
    """Let DeepLabCut go on with the learning curve."""
    if (checkpoint.folder / _CURVE).is_file():
        shutil.copyfile(str(checkpoint.folder / _CURVE), str(train / _CURVE))


def choose_snapshots(train: Path, checkpoint: Checkpoint | None, curve: list[dict[str, float]]) -> dict[str, Any]:
    """Return the best and the last snapshot, and the epoch of the best, by the mAP of their tests.

    DeepLabCut does not know the best one of a try before this one.
    """
    snapshots = list_snapshots(train)
    scores = {int(row["epoch"]): row["test_mAP"] for row in curve if "test_mAP" in row}
    candidates = {key[1]: path for key, path in snapshots.items() if key[0]}
    last = {key[1]: path for key, path in snapshots.items()}
    if checkpoint is not None:
        candidates.setdefault(checkpoint.best, checkpoint.folder / f"snapshot-best-{checkpoint.best:03d}.pt")
        last.setdefault(checkpoint.epoch, checkpoint.folder / "newest.pt")
    if not last:
        raise RuntimeError(f"DeepLabCut left no snapshot in {train}")
    candidates = candidates or last
    best = max(candidates, key=lambda epoch: (scores.get(epoch, -1.0), epoch))
    return {"best": candidates[best], "last": last[max(last)], "best_epoch": best}


def read_weights(path: Path) -> bytes:
    """Return a snapshot without what only its training needs: optimizer and scheduler."""
    import io

    import torch

    state = torch.load(str(path), map_location="cpu", weights_only=True)
    buffer = io.BytesIO()
    torch.save({name: value for name, value in state.items() if name in ("model", "metadata")}, buffer)
    return buffer.getvalue()
