"""The development environment: every file of every pin has a hash."""

from __future__ import annotations

import re

import pytest


def read_pins(path):
    """``name==version`` -> number of hashes, 0 in a file without."""
    pins, last = {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([\w.-]+==[\w.]+)", line):
            last = match[1]
            pins[last] = 0
        pins_here = len(re.findall(r"--hash=sha256:[0-9a-f]{64}(?: |$)", line))
        if pins_here:
            pins[last] += pins_here
    return pins


@pytest.fixture(scope="module")
def folder(repo_root):
    return repo_root / "requirements"


def test_every_pin_has_hashes(folder):
    pins = read_pins(folder / "dev-hashes.txt")
    assert len(pins) > 120
    assert [pin for pin, hashes in pins.items() if not hashes] == []


def test_the_pins_are_those_of_the_constraints(folder):
    stated, hashed = (
        set(read_pins(folder / f"{name}.txt")) for name in ("constraints", "dev-hashes")
    )
    assert stated - hashed == set(), "run requirements/lock.py"
    # torch's own CUDA packages are pinned by torch.
    assert [pin for pin in hashed - stated if not re.match("nvidia-|cuda-", pin)] == []


def test_what_mmcv_is_built_with_is_a_part_of_it(folder):
    whole, part = (read_pins(folder / f"{name}-hashes.txt") for name in ("dev", "build"))
    assert part.items() <= whole.items()
    assert {"pip", "setuptools", "wheel", "ninja", "numpy", "torch"} <= {
        pin.partition("==")[0] for pin in part
    }


def test_make_installs_nothing_without_a_hash(repo_root):
    text = (repo_root / "Makefile").read_text(encoding="utf-8")
    recipe = text.split("$(STAMP):\n")[1].split("\n\n")[0]
    installs = [
        line
        for line in recipe.splitlines()
        if re.search(r"pip install|mmcv_pip\.py (install|anew)", line)
    ]
    assert len(installs) == 4
    for line in installs[:2]:
        assert "--require-hashes" in line
        assert "--only-binary :all:" in line or "--no-build-isolation" in line
    assert "--no-deps -e ." in installs[2]
    assert "--no-build-isolation" in installs[2]
    assert "--require-hashes" in installs[3]  # mmcv anew, where the cached one does not fit
