"""Tests on a real SLURM of one node: `make test-slurm`."""
