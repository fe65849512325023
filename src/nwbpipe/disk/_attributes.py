"""Give a file that takes another one's place its mode, owner, group, extended attributes and ACL."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def copy_attributes(source: Path, target: Path) -> list[str]:
    """Give `target` what the system keeps of `source` beside its content.

    Returns
    -------
    list of str
        What the system does not let this user give it, in words.
    """
    status, refused = source.stat(), []
    if hasattr(os, "chown"):
        now = target.stat()
        if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
            try:
                os.chown(target, status.st_uid, status.st_gid)
            except OSError:
                refused.append(f"the owner {status.st_uid}:{status.st_gid}")
    target.chmod(stat.S_IMODE(status.st_mode))
    if hasattr(os, "listxattr"):  # an ACL is one of them
        try:
            names = os.listxattr(source)
        except OSError:  # a file system that has none
            names = []
        for name in names:
            try:
                value = os.getxattr(source, name)
                if name not in os.listxattr(target) or os.getxattr(target, name) != value:
                    os.setxattr(target, name, value)
            except OSError:
                refused.append(f"the attribute {name}")
    return refused
