"""Parsers, options, exit codes and interrupts of the commands."""

import os
import signal

# Waiting OpenMP threads sleep instead of spinning: on a busy machine they would take the cores from
# the threads they wait for. Read when torch is imported, which every tool does after this; worker
# processes inherit it. What GOMP_SPINCOUNT or KMP_BLOCKTIME say, if set, goes before it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def end_silently_on_ctrl_c() -> None:
    """Let Ctrl-C end this process while it imports; Python would print a traceback of that.

    Once a command runs, `stl_backbones.cli.interrupts` takes over.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
