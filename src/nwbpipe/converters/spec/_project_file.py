"""Find and read nwbpipe.toml, and resolve the stores of its profile: for projects and for the specs below them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from nwbpipe.machine import explain_foreign, is_trusted
from nwbpipe.stores import environment_roots, is_remote, split_address
from nwbpipe.validation import StrictModel, TomlDocument, mistake

PROJECT_FILE = "nwbpipe.toml"


def _check_store_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or split_address(f"{name}://") is None:
        expected = "a small letter, then small letters, digits and _; not a kind of address, such as s3"
        raise mistake(f"{name!r} can't be the name of a store", expected=expected)
    return name


def _check_roots(roots: Any) -> Any:
    roots = [roots] if isinstance(roots, str) else roots
    if not isinstance(roots, list) or not roots or not all(isinstance(root, str) and root for root in roots):
        raise mistake("the store has no root", expected="a folder or an address, or a list of them")
    return roots


Roots = dict[Annotated[str, AfterValidator(_check_store_name)], Annotated[list[str], BeforeValidator(_check_roots)]]


class ProfileSection(StrictModel):
    """[profiles.NAME]."""

    stores: Roots = Field(default_factory=dict)


def find_project_file(folder: Path, *, foreign: bool = False) -> Path | None:
    """Return the nearest nwbpipe.toml from a folder upwards.

    Parameters
    ----------
    folder : Path
    foreign : bool
        True to return also a file that another user may have put there; otherwise it is passed over, unless the
        user trusts it.
    """
    for above in (folder, *folder.parents):
        file = above / PROJECT_FILE
        if file.is_file() and (foreign or not explain_foreign(file) or is_trusted(file)):
            return file
    return None


def read_project_file(path: Path) -> TomlDocument:
    """Read a project file; nothing in it is checked.

    Raises
    ------
    FileAccessError
        If it can't be read.
    SpecError
        If it is not TOML.
    """
    return TomlDocument.read(path, "the project file")


def resolve_roots(document: TomlDocument, profile: str | None = None) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return the profile of a project, and the roots of its stores.

    Parameters
    ----------
    document : TomlDocument
        The project file; takes each mistake.
    profile : str, optional
        Name of the profile; ``NWBPIPE_PROFILE`` by default, "" for none.

    Returns
    -------
    str
        Name of the profile.
    dict of str to tuple of str
        Roots of each store, absolute folders or addresses, as ``[stores]``, the profile and the variables
        ``NWBPIPE_STORE_<NAME>`` give them, each over those before.
    """
    profile = os.environ.get("NWBPIPE_PROFILE", "") if profile is None else profile
    stores: dict[str, list[str]] = {}
    for name, root in (document.validate(dict[str, Any], document.content.get("stores", {}), "stores") or {}).items():
        stores |= document.validate(Roots, {name: root}, "stores") or {}
    declared = document.content.get("profiles", {})
    profiles = document.validate(dict[str, ProfileSection], declared, "profiles") or {}
    if profile in profiles:
        stores = {**stores, **profiles[profile].stores}
    elif profile and declared and profile not in declared:
        hint = "name one with --profile or NWBPIPE_PROFILE"
        document.add(f"there is no profile {profile!r}", "profiles", expected=", ".join(declared), hint=hint)
    stores |= {name: [root] for name, root in environment_roots(stores).items()}
    folder = document.path.parent
    return profile, {
        name: tuple(root if is_remote(root) else os.path.normpath(folder / Path(root).expanduser()) for root in roots)
        for name, roots in stores.items()
    }
