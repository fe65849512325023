"""Tests on real docker and podman: `make test-containers`."""
