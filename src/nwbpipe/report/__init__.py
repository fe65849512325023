"""Reports: one HTML page for a session file, and a page for a project with a link to each of its sessions."""

from nwbpipe.report._project import ProjectPages, write_project_report
from nwbpipe.report._session import write_report

__all__ = ["ProjectPages", "write_project_report", "write_report"]
