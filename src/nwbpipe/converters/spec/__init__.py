"""Read session.yaml and check it; find and read nwbpipe.toml, which says where the stores of both are."""

from nwbpipe.converters.spec._project_file import PROJECT_FILE, find_project_file, read_project_file, resolve_roots

__all__ = ["PROJECT_FILE", "find_project_file", "read_project_file", "resolve_roots"]
