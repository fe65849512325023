"""suite2p's settings and device (part of a compute module: standard library only)."""

from __future__ import annotations

import copy
import difflib
from typing import Any


def merge_settings(settings: dict[str, Any], changes: dict[str, Any], where: str = "settings") -> None:
    """Put nested `changes` into `settings`; a name that this suite2p does not have is an error."""
    for name, value in changes.items():
        if name not in settings:
            near = difflib.get_close_matches(name, list(settings), n=1)
            hint = "did you mean %r?" % near[0] if near else "it has " + ", ".join(sorted(settings))
            raise ValueError("suite2p has no setting %s[%r]: %s" % (where, name, hint))
        if isinstance(settings[name], dict) and settings[name]:
            if not isinstance(value, dict):
                raise ValueError("%s[%r] is a group of settings, not %r" % (where, name, value))
            merge_settings(settings[name], value, "%s[%r]" % (where, name))
        else:
            settings[name] = value


def suite2p_settings(suite2p: Any, own: dict[str, Any], params: dict[str, Any], rate: float) -> dict[str, Any]:
    """Return suite2p's nested settings: its defaults, those that are parameters (`own`), those given by name."""
    settings: dict[str, Any] = copy.deepcopy(suite2p.default_settings())
    merge_settings(settings, {"fs": rate, "run": {"do_regmetrics": False}})
    if "do_registration" in params:  # the registration by itself has fewer parameters
        settings["run"]["do_registration"] = int(params["do_registration"])
    # A user's own classifier would depend on the machine.
    settings["classification"]["use_builtin_classifier"] = True
    merge_settings(settings, own)
    settings["registration"]["block_size"] = tuple(settings["registration"]["block_size"])
    merge_settings(settings, params["settings"])
    return settings


def fit_blocks(registration: dict[str, Any], ny: int, nx: int) -> None:
    """Make non-rigid registration possible on a small frame.

    suite2p 1.1 fails ("Input and output sizes should be greater than 0") where a block is as large as the frame
    in either direction. One block in both is rigid registration; in one direction the block is made smaller.
    """
    block = [int(v) for v in registration["block_size"]]
    if registration["nonrigid"] and block[0] >= ny and block[1] >= nx:
        print("the frame (%d x %d) is no larger than a block: registration is rigid" % (nx, ny))
        registration["nonrigid"] = False
    elif registration["nonrigid"]:
        block = [min(size, length * 3 // 4) if size >= length else size for size, length in zip(block, (ny, nx))]
    registration["block_size"] = tuple(block)


def choose_device(torch: Any, device: str) -> str:
    """Return "cpu" or "cuda"; what was asked for and is not there is an error."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device='cuda' was asked for, but torch finds no CUDA device; use device='cpu'")
    return device
