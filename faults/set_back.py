"""Run a tool whose clock goes back by a year after some seconds: set_back.py SECONDS TOOL ..."""

import runpy
import sys
import time

_YEAR = 365 * 24 * 3600.0


def set_back_after(seconds: float) -> None:
    """Replace ``time.time``, which is what Python's libraries ask for the date."""
    true_time, start = time.time, time.monotonic()
    time.time = lambda: true_time() - (_YEAR if time.monotonic() - start > seconds else 0.0)


if __name__ == "__main__":
    set_back_after(float(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
