"""Share code among compute modules: reading movies and traces, baselines, chunks, metrics.

Compute modules run in a tool's own Python, where nwbpipe is not installed; the worker makes this package importable
there. So it needs numpy and h5py alone, keeps the syntax of Python 3.9, and imports nothing of nwbpipe. nwbpipe
imports it as well: what both need exists once.
"""
