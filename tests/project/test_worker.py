"""A worker of the local executor ends when it is told to, wherever the signal comes."""

from __future__ import annotations

import subprocess
import sys

IN_A_CALLBACK = """
import os, signal, time, weakref
from nwbpipe.project.execute import _worker

_worker._listen()

class Thing: pass

def be_interrupted(_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)

thing = Thing()
watched = weakref.ref(thing, be_interrupted)
try:
    del thing
    time.sleep(60)
except KeyboardInterrupt:
    os._exit(130)
"""


def test_a_signal_that_a_callback_swallows_comes_again() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CALLBACK], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (130, "")
