"""Tests on real NFS clients and a server under user-mode Linux: `make test-nfs`."""
