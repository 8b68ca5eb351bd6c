"""Readers of outside files, tried on changed ones: python -m faults.fuzz."""
