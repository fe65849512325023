"""Align the clocks of a session's sources by evidence."""
