"""One step on one session file: bind its inputs, compute, commit, verify, load."""

from nwbpipe.run._artefacts import MODELS, PROJECT, Made, made_by
from nwbpipe.run._bind import serves
from nwbpipe.run._load import load
from nwbpipe.run._make_artefact import Offered, make, project_key
from nwbpipe.run._pending_run import compute_digest
from nwbpipe.run._process import Run, key_of, process
from nwbpipe.run._run_differences import differences
from nwbpipe.run._verify import Difference, verify_run

__all__ = [
    "MODELS",
    "PROJECT",
    "Difference",
    "Made",
    "Offered",
    "Run",
    "compute_digest",
    "differences",
    "key_of",
    "load",
    "made_by",
    "make",
    "process",
    "project_key",
    "serves",
    "verify_run",
]
