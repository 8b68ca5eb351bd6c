"""The estimate: close to what is made, and a disk too small is refused."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from stl_backbones.copies import Estimate, estimate, size_text


def test_bytes_are_close_to_what_is_made(cityscapes, make_plan, tmp_path, finished):
    needed = estimate(make_plan(cityscapes), tmp_path / "new", np.zeros((3, 4), bool))
    made = sum(path.stat().st_size for path in finished.rglob("*.png"))
    blocks = 12 * 2048  # half a block of the file system per file
    assert needed.files == 12
    assert needed.images == needed.sampled == 3
    assert made < needed.bytes < 1.2 * (made + blocks)
    assert 0 < needed.least_seconds <= needed.core_seconds <= needed.most_seconds


COLD = """
import sys, time, json
from pathlib import Path
import numpy as np
from stl_backbones.copies import Plan, estimate, find_sources, get_layout
from stl_backbones.records import Cell, CorruptionEngine
layout = get_layout("folder")
encoding = layout.encoding("jpeg")
sources = find_sources(Path(sys.argv[1]), layout, split=None, encoding=encoding).sources
plan = Plan(layout, None, "all", sources, (Cell("glass_blur", 2),), CorruptionEngine("fast"),
            encoding, {})
start = time.perf_counter()
found = estimate(plan, Path(sys.argv[2]), np.zeros((len(sources), 1), bool))
wall = time.perf_counter() - start
print(json.dumps([wall, found.core_seconds, found.least_seconds, found.most_seconds]))
"""


@pytest.mark.slow
def test_compiling_is_not_in_a_cold_estimate(cityscapes, tmp_path):
    """With an empty cache of compiled kernels: seconds of compiling, milliseconds of work."""
    done = subprocess.run(
        [sys.executable, "-c", COLD, cityscapes, tmp_path / "new"], capture_output=True, text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}, check=True,
    )  # fmt: skip
    wall, middle, least, most = json.loads(done.stdout)
    assert 0 < least <= middle <= most
    assert most < wall / 3


def test_only_what_is_missing_counts(cityscapes, make_plan, tmp_path):
    done = np.zeros((3, 4), bool)
    done[0] = done[1, :2] = True
    needed = estimate(make_plan(cityscapes), tmp_path, done)
    assert (needed.images, needed.files) == (2, 6)


def test_nothing_missing_needs_nothing(cityscapes, make_plan, tmp_path):
    needed = estimate(make_plan(cityscapes), tmp_path, np.ones((3, 4), bool))
    assert (needed.files, needed.bytes, needed.core_seconds) == (0, 0, 0)


def test_images_that_cannot_be_read_are_left_to_the_run(cityscapes, make_plan, tmp_path):
    plan = make_plan(cityscapes)
    for source in plan.sources:
        source.path.write_bytes(b"")
    assert estimate(plan, tmp_path, np.zeros((3, 4), bool)).sampled == 0


ROOMY = Estimate(
    images=1, files=10, sampled=1, bytes=1_500_000_000, core_seconds=7200, free_bytes=2 * 10**9,
    free_files=10,
)  # fmt: skip


def test_what_fits_passes(tmp_path):
    ROOMY.check_fits(tmp_path)
    dataclasses.replace(ROOMY, free_files=None).check_fits(tmp_path)
    assert ROOMY.core_hours == 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("free_bytes", 10**9, "needs about 1.5 GB more, but the disk of .* has 1 GB free"),
        ("free_files", 9, "needs 10 more files, but .* can hold only 9 more"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ROOMY, **{field: value}).check_fits(tmp_path)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (5e9, "5 GB"), (1.2e12, "1.2 TB")],
)
def test_sizes_for_people(size, text):
    assert size_text(size) == text
