"""Check what users write: every mistake is a problem with its place."""

from nwbpipe.validation._ages import read_age
from nwbpipe.validation._problems import (
    FormatVersion,
    Key,
    ProblemCollector,
    StrictModel,
    describe_value,
    explain_keys,
    mistake,
)
from nwbpipe.validation._toml import TomlDocument

__all__ = [
    "FormatVersion",
    "Key",
    "ProblemCollector",
    "StrictModel",
    "TomlDocument",
    "describe_value",
    "explain_keys",
    "mistake",
    "read_age",
]
