"""Exact mode: the package's values, every one of them."""

from __future__ import annotations

import inspect
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecorruptions.corruptions as package
import numpy as np
import pytest
from PIL import Image

from stl_backbones.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    CorruptionEngine,
    corrupt,
    corrupt_all,
)
from stl_backbones.corruptions.native import EXACT, Draws, release
from stl_backbones.corruptions.parameters import strength
from stl_backbones.corruptions.reference import package_version

REAL = os.environ.get("STL_REAL_DATA")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equals_the_package_on_hard_pictures(pictures, installed_compat, name):
    for label, image in pictures.items():
        for severity in SEVERITIES:
            cell = {"key": label, "seed": severity, "compat": installed_compat}
            ours = corrupt(image, name, severity, mode="exact", **cell)
            package_ = corrupt(image, name, severity, mode="reference", **cell)
            different = np.count_nonzero(ours != package_)
            assert different == 0, f"{label}, severity {severity}: {different} values differ"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shared_draws_equal_the_package_too(pictures, installed_compat, name):
    ours, theirs = (
        corrupt_all(
            pictures["scene"],
            [name],
            key="k",
            share_draws=True,
            engine=CorruptionEngine(mode, installed_compat),
        )
        for mode in ("exact", "reference")
    )
    for mine, package_ in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.image, package_.image)


@pytest.mark.skipif(REAL is None, reason="STL_REAL_DATA names no folder of real pictures")
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equals_the_package_on_real_pictures(installed_compat, name):
    files = sorted(p for p in Path(REAL).rglob("*") if p.suffix.lower() in {".jpg", ".png"})
    assert files, f"no .jpg or .png below '{REAL}'"
    for path in files[:: max(len(files) // 4, 1)]:
        with Image.open(path) as opened:
            image = np.array(opened.convert("RGB"))
        for severity in SEVERITIES:
            ours, theirs = (
                corrupt(image, name, severity, key=path.name, mode=mode, compat=installed_compat)
                for mode in ("exact", "reference")
            )
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{path.name} {severity}")


def older(name, old, new):
    """A function as imagecorruptions 1.1.2 has it: where the fork is installed, changed back."""
    source = inspect.getsource(getattr(package, name))
    if package_version() == "imagecorruptions 1.1.2":
        return getattr(package, name)
    assert source.count(old) == 1
    scope = dict(vars(package))
    exec(source.replace(old, new), scope)
    return scope[name]


def seeded(function, image, severity, seed):
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(seed)  # noqa: NPY002  the package draws from the global generator
        return np.uint8(function(Image.fromarray(image), severity))
    finally:
        np.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize("severity", SEVERITIES)
def test_compat_fog_is_float64(pictures, monkeypatch, severity):
    plasma = older("plasma_fractal", "np.float32", "np.float64")
    monkeypatch.setattr(package, "plasma_fractal", plasma)
    for seed, label in enumerate(["scene", "noise", "steps", "white"]):
        image = pictures[label].copy()
        expected = seeded(package.fog, image, severity, seed)
        ours = EXACT["fog"](image, strength("fog", severity), Draws(seed, "imagecorruptions-1.1.2"))
        np.testing.assert_array_equal(ours, expected)


def test_compat_is_seen_in_fog(pictures):
    """The last digits of the plasma reach a value in about 100,000."""
    image, different = pictures["noise"].copy(), 0
    for seed in range(60):
        older_, newer = (
            EXACT["fog"](image, strength("fog", 3), Draws(seed, compat))
            for compat in ("imagecorruptions-1.1.2", "imaug-1.1.5")
        )
        different += np.count_nonzero(older_ != newer)
    assert 0 < different < 60 * image.size / 10_000


@pytest.mark.parametrize("severity", SEVERITIES)
def test_compat_frost_draws_from_five_pictures(pictures, severity):
    frost = older("frost", "randint(6)", "randint(5)")
    frost.__globals__["__package__"] = package.__package__
    image = pictures["scene"].copy()
    for seed in range(6):
        ours = EXACT["frost"](
            image, strength("frost", severity), Draws(seed, "imagecorruptions-1.1.2")
        )
        np.testing.assert_array_equal(ours, seeded(frost, image, severity, seed))


def test_a_large_picture_after_a_small_one_and_back(pictures):
    """Work arrays are used again, of another size."""
    order = ["noise", "smallest", "scene", "smallest", "noise"]
    for name in CORRUPTIONS:
        fresh = {}
        for label in set(order):
            release()
            fresh[label] = corrupt(pictures[label], name, 4, key="k", mode="exact")
        for label in order:
            again = corrupt(pictures[label], name, 4, key="k", mode="exact")
            np.testing.assert_array_equal(again, fresh[label], err_msg=f"{name} {label}")


def test_eight_threads_on_different_pictures(pictures):
    jobs = [(name, label) for name in CORRUPTIONS for label in ("scene", "noise", "smallest")]

    def run(job):
        return corrupt(pictures[job[1]], job[0], 2, key="k", mode="exact")

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(run, jobs))
    for job, one, other in zip(jobs, alone, together, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=str(job))
