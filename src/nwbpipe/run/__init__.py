"""One step on one session file: bind its inputs, compute, commit, verify, load."""

from nwbpipe.run._artefacts import MODELS, PROJECT, StoredArtefact, list_artefacts
from nwbpipe.run._bind import list_patterns, match_binding, match_many, serves
from nwbpipe.run._load import load
from nwbpipe.run._logs import log_folder
from nwbpipe.run._make_artefact import SessionInputs, compute_project_key, make_artefact
from nwbpipe.run._medium import MediumRemoval, find_media_due, list_removed_media, remove_expired_media
from nwbpipe.run._process import Run, compute_key, process
from nwbpipe.run._run_aside import run_aside
from nwbpipe.run._run_differences import describe_differences
from nwbpipe.run._verify import Difference, verify_run

__all__ = [
    "MODELS",
    "PROJECT",
    "Difference",
    "MediumRemoval",
    "Run",
    "SessionInputs",
    "StoredArtefact",
    "compute_key",
    "compute_project_key",
    "describe_differences",
    "find_media_due",
    "list_artefacts",
    "list_patterns",
    "list_removed_media",
    "load",
    "log_folder",
    "make_artefact",
    "match_binding",
    "match_many",
    "process",
    "remove_expired_media",
    "run_aside",
    "serves",
    "verify_run",
]
