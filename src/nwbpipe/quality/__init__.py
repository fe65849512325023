"""Measures of the quality of data and results, a module a modality, each with its formula and its limits."""
