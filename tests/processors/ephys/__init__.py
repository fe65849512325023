"""Tests of the processors of extracellular electrophysiology."""
