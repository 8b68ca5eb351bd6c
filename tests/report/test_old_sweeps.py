"""Sweep folders of version 0.1.0 are read, and come to the numbers that they came to then."""

import csv
import math
import shutil
from pathlib import Path

import pytest

SWEEPS = Path(__file__).parents[1] / "data/sweeps_0"
KEY = ("corruption", "severity")


def read_numbers(path):
    """Cell -> its numbers by name; NaN where there is none."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        tuple(row[name] for name in KEY): {
            name: float(value or math.nan)
            for name, value in row.items()
            if name.endswith(("_fraction", "_nats"))
        }
        for row in rows
    }


@pytest.mark.parametrize("task", ["seg", "det", "cls"])
def test_numbers_are_those_of_then(task, run_tool, tmp_path):
    sweep = shutil.copytree(SWEEPS / task, tmp_path / "sweep")
    done = run_tool("report.py", sweep, "--partial", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    then, now = (
        read_numbers(SWEEPS / task / "cells.csv"),
        read_numbers(tmp_path / "report/cells.csv"),
    )
    assert len(then) >= 4
    for cell, numbers in then.items():
        found = {name: now[cell][name] for name in numbers}  # of today there are more
        assert found == pytest.approx(numbers, rel=1e-12, nan_ok=True)
