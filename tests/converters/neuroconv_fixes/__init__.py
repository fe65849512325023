"""Tests of the workarounds: what each does, and that upstream still needs it."""

UPSTREAM_IS_RIGHT = "upstream is right now: delete the workaround and its tests"
