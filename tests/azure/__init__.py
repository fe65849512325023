"""Tests of stores in Azure, on the emulator Azurite: `make test-azure`."""
