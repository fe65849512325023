"""A catalogue of many session files: SQL tables of their subjects, trials, units, ROIs, series, runs and more.

The tables are read from the files once for each state of a file, and kept as Parquet.
"""

from nwbpipe.catalog._catalog import Catalog, CatalogFile
from nwbpipe.catalog._columns import TABLES

__all__ = ["TABLES", "Catalog", "CatalogFile"]
