"""Define the resources that a computation needs."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("standard", "imaging", "ephys", "video")


@dataclass(frozen=True)
class Resources:
    """Resources that a run of a processor needs; a project's step may override each.

    Parameters
    ----------
    cpu : int
        Cores, and threads of the tool; 0: an even share of the machine's.
    memory_gb : float
        Memory in GB (10^9 bytes); 0: not known, and not counted.
    gpu : int
        GPUs, each for this run alone unless `gpu_memory_gb` says how much of it is needed.
    disk_gb : float
        Scratch space in GB; a run is not begun without it.
    kind : {"standard", "imaging", "ephys", "video"}
        The kind of worker that takes it.
    time_limit_s : float, optional
        Seconds after which the tool is stopped.
    memory_growth : float
        Factor by which `memory_gb` grows each time that a run ran out of memory, or its job was killed for it.
    gpu_memory_gb : float
        Memory in GB that it needs of each GPU: runs share one as far as their memory fits; 0: the whole GPU.
    """

    cpu: int = 0
    memory_gb: float = 0.0
    gpu: int = 0
    disk_gb: float = 0.0
    kind: str = "standard"
    time_limit_s: float | None = None
    memory_growth: float = 1.0
    gpu_memory_gb: float = 0.0
