"""suite2p: folders of planes, whose arrays must be of one run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nwbpipe.converters.accounts._account import Account, Stream
from nwbpipe.converters.accounts._choices import require_choice
from nwbpipe.converters.accounts._registry import account
from nwbpipe.errors import Problem
from nwbpipe.foreign import load_pickled_dict, read_shape

_TRACES = ("F", "Fneu", "spks", "F_chan2", "Fneu_chan2")


@account("Suite2pSegmentationInterface")
def probe_suite2p(arguments: Mapping[str, Any]) -> Account | None:
    """Account for a result of suite2p."""
    folder = Path(arguments["folder_path"])
    planes = sorted((path for path in folder.glob("plane*") if path.is_dir()), key=_plane_number)
    if not planes:
        return None
    names = [path.name for path in planes]
    count = f"the result holds {len(names)} planes"
    require_choice(arguments.get("plane_name"), names, "plane_name", count, folder)
    plane = folder / str(arguments.get("plane_name") or names[0])
    channels = ["chan1", "chan2"] if (plane / "F_chan2.npy").is_file() else ["chan1"]
    count = f"the result holds {len(channels)} channels"
    require_choice(arguments.get("channel_name"), channels, "channel_name", count, folder)
    settings = load_pickled_dict(plane / "ops.npy")
    shapes = {name: shape for name in (*_TRACES, "iscell", "stat") if (shape := read_shape(plane / f"{name}.npy"))}
    problems = _compare_shapes(shapes, int(settings["nframes"]), plane)
    # Told once: arrays that differ can't all have the number of frames of ops.npy.
    stream = Stream(samples=None if problems else int(settings["nframes"]), rate=float(settings["fs"]))
    unread = [name for name in names if name != plane.name]
    unread += [name for name in channels if len(channels) > 1 and name != arguments.get("channel_name")]
    files = tuple(plane / f"{name}.npy" for name in ("ops", *shapes))
    return Account("suite2p", files, (stream,), others=tuple(unread), problems=tuple(problems))


def _plane_number(path: Path) -> tuple[int, str]:
    digits = re.sub(r"\D", "", path.name)
    return (int(digits) if digits else -1, path.name)


def _compare_shapes(shapes: Mapping[str, tuple[int, ...]], frames: int, plane: Path) -> list[tuple[str, Problem]]:
    """Compare the numbers of ROIs and of frames that the arrays hold; the reader takes those of the first one."""
    problems = []
    hint = "check that the files are of one run of suite2p; run it again, or copy its folder again, whole"
    counts = {f"{name}.npy": shape[0] for name, shape in shapes.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        problem = Problem("the arrays differ in the number of ROIs", str(plane), "one number in all", listed, hint)
        problems.append(("shape", problem))
    lengths = {f"{name}.npy": shapes[name][1] for name in _TRACES if len(shapes.get(name, ())) == 2}
    if set(lengths.values()) - {frames}:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        expected = f"{frames} frames, by ops.npy"
        message = "the traces of one segmentation differ in length"
        problems.append(("shape", Problem(message, str(plane), expected, listed, hint)))
    return problems
