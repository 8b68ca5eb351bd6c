"""Sweep folders become runs: scored cells, other images, provenance."""
