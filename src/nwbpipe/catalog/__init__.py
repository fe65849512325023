"""A catalogue of many session files: SQL tables of their subjects, trials, units, ROIs, series, runs and more.

The tables are read from the files once for each state of a file, and kept as Parquet.
"""

from nwbpipe.catalog._catalog import Catalog, CatalogFile
from nwbpipe.catalog._columns import TABLES
from nwbpipe.catalog._dynamic_tables import decode, read_columns
from nwbpipe.catalog._extract import extract_tables

__all__ = ["TABLES", "Catalog", "CatalogFile", "decode", "extract_tables", "read_columns"]
