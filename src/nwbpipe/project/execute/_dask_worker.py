"""Start and set up Dask workers: on this machine as a preload, in a job of a cluster as a program."""

from __future__ import annotations

import signal
import sys
from typing import Any
from urllib.parse import urlsplit

from nwbpipe.project.execute._dask_security import LOOPBACK_PAGES, NO_PAGES, find_route


def dask_setup(_worker: Any) -> None:
    """Ignore Ctrl-C, which a terminal sends to workers as well: the runner ends them in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def write_arguments(words: list[str]) -> list[str]:
    """Return the arguments of ``dask worker``: it listens on the way to its scheduler alone, and shows no page.

    Parameters
    ----------
    words : list of str
        Address of the scheduler, and options.
    """
    added = ["--no-dashboard", f"--dashboard-address={LOOPBACK_PAGES}"]
    names = {word.partition("=")[0] for word in words}
    if not names & {"--host", "--interface", "--listen-address"} and words:
        route = find_route(urlsplit(words[0]).hostname or "")
        added += ["--host", route] if route else []
    return [*words, *added]


def main() -> None:
    """Run a Dask worker in a job of a cluster."""
    import dask
    from distributed.cli.dask_worker import main as run_worker

    dask.config.set(NO_PAGES)
    run_worker(write_arguments(sys.argv[1:]), prog_name="dask worker")


if __name__ == "__main__":
    main()
