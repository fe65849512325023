"""Workarounds for faults of NeuroConv and its readers, each with the upstream issue."""
