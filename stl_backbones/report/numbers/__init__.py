"""Aggregates of runs, their comparison and bounds, and how numbers are written."""
