"""A commented project file to begin with."""

from __future__ import annotations

from pathlib import Path

from nwbpipe.errors import OverwriteError

_TEMPLATE = """\
nwbpipe = 1                                   # version of this format

[project]
name = "{name}"
sessions = "raw://**/session.yaml"            # or NWB files that are there already: "nwb://**/*.nwb"
output = "nwb://sub-{{subject_id}}/sub-{{subject_id}}_ses-{{session_id}}.nwb"   # DANDI's layout
# raw_identity = "full"                       # "stat": raw files are not hashed, only size and time count
# report = true                               # `run` and `watch` keep the reports of sessions up to date, in report/
# tool_versions = "minor"                     # which other version of a tool makes results stale: exact, minor, never

[stores]                                      # roots; relative ones are relative to this file
raw = "raw"
nwb = "nwb"
state = ".nwbpipe"                            # logs, leases, and one small file per run
# models = "models"                           # what steps of scope = "project" make

# [profiles.cluster.stores]                   # roots on another machine: --profile cluster, or NWBPIPE_PROFILE
# raw = "/data/raw"
# nwb = "/data/nwb"

# [steps.suite2p_fast]                        # a step: a processor with parameters; `nwbpipe processors` lists them
# processor = "suite2p"
# params = {{ tau = 0.7 }}
# inputs.movie = "acquisition/TwoPhotonSeries*"   # a pattern: one run for each match. Not needed if only one serves

# [steps.suite2p_slow]
# extends = "suite2p_fast"
# sweep.tau = [1.0, 1.5]                      # one step for each value

# [steps.sort]
# processor = "spikesorting"
# primary = true                              # its units go to nwbfile.units
# resources = {{ cpu = 8, memory_gb = 16, gpu = 1, time_limit_s = 36000 }}

# [steps.pca]                                 # one result of all sessions; other steps read it: inputs.model = "pca"
# processor = "shared_pca"
# scope = "project"

# [publish]                                   # `nwbpipe upload`: see docs/how-do-i-publish-on-dandi.md
# instance = "sandbox"                        # dandi, sandbox, ember, or the URL of an API
# dandiset = "200123"                         # or, for --create: name, description, licence, contributors

# [[ignore]]
# session = "M042/2024-05-01*"
# steps = ["sort"]                            # all, if left out
# reason = "the probe came loose"

[executor]
kind = "local"                                # "dask", "slurm", "pbs", "sge", "lsf", "cloud"
# workers = 2
"""


def write_template(path: Path, name: str) -> Path:
    """Write a commented project file.

    Raises
    ------
    OverwriteError
        If there is one already.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(name=name.replace("\\", "").replace('"', "")))
    except FileExistsError as error:
        msg = "there is a project file already"
        raise OverwriteError(msg, where=str(path), hint="edit it, or choose another folder") from error
    return path
