"""Parsers, options, exit codes and interrupts of the commands."""

import os

# Waiting OpenMP threads sleep instead of spinning: on a busy machine they would take the cores from
# the threads they wait for. Read when torch is imported, which every tool does after this; worker
# processes inherit it. What GOMP_SPINCOUNT or KMP_BLOCKTIME say, if set, goes before it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
