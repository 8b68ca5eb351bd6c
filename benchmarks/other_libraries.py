"""Milliseconds per image beside albumentations' and nrtk's corruptions of the same name.

    pip install albumentations nrtk
    python benchmarks/other_libraries.py                      # 2048x1024, about a minute

Only names and strengths are alike: albumentations and nrtk have no severities and do not compute
imagecorruptions' numbers (RandomSnow draws no flakes, RandomFog adds circles, nrtk's noises are
scikit-image's). One process, one thread; the libraries take turns on the same image, the best of
the repeats counts. A library that is not installed, or has no such corruption, has a dash.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", NO_ALBUMENTATIONS_UPDATE="1")

import argparse
import contextlib
import importlib.metadata
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stl_backbones.corruptions import corrupt, prepare
from stl_backbones.datasets.street_scenes.scene import render_scene

SEVERITY = 3
Change = Callable[[np.ndarray], np.ndarray]
# Ours -> albumentations' class and arguments, as near to severity 3 as its arguments allow.
ALBUMENTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian_noise": ("GaussNoise", {"std_range": (0.18, 0.18)}),
    "shot_noise": ("ShotNoise", {"scale_range": (0.08, 0.08)}),
    "impulse_noise": ("SaltAndPepper", {"amount": (0.09, 0.09)}),
    "speckle_noise": (
        "MultiplicativeNoise",
        {"multiplier": (0.3, 1.7), "per_channel": True, "elementwise": True},
    ),
    "defocus_blur": ("Defocus", {"radius": (6, 6), "alias_blur": (0.5, 0.5)}),
    "glass_blur": ("GlassBlur", {"sigma": 1.0, "max_delta": 2, "iterations": 3}),
    "motion_blur": ("MotionBlur", {"blur_limit": (31, 31)}),
    "zoom_blur": ("ZoomBlur", {"max_factor": (1.21, 1.21), "step_factor": (0.02, 0.02)}),
    "gaussian_blur": ("GaussianBlur", {"sigma_limit": (3.0, 3.0)}),
    "snow": ("RandomSnow", {"method": "texture"}),
    "fog": ("RandomFog", {"fog_coef_range": (0.7, 0.7)}),
    "brightness": (
        "RandomBrightnessContrast",
        {"brightness_limit": (0.3, 0.3), "contrast_limit": (0.0, 0.0)},
    ),
    "contrast": (
        "RandomBrightnessContrast",
        {"brightness_limit": (0.0, 0.0), "contrast_limit": (-0.8, -0.8)},
    ),
    "elastic_transform": ("ElasticTransform", {"alpha": 300, "sigma": 15}),
    "pixelate": ("Downscale", {"scale_range": (0.4, 0.4)}),
    "jpeg_compression": ("ImageCompression", {"quality_range": (15, 15)}),
    "spatter": ("Spatter", {"std": (0.3, 0.3), "gauss_sigma": (2, 2), "intensity": (0.5, 0.5)}),
    "saturate": (
        "HueSaturationValue",
        {"hue_shift_limit": (0, 0), "sat_shift_limit": (60, 60), "val_shift_limit": (0, 0)},
    ),
}
NRTK: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gaussian_noise": ("noise", "GaussianNoisePerturber", {"var": 0.18**2, "seed": 0}),
    "impulse_noise": ("noise", "SaltAndPepperNoisePerturber", {"amount": 0.09, "seed": 0}),
    "speckle_noise": ("noise", "SpeckleNoisePerturber", {"var": 0.35**2, "seed": 0}),
    "gaussian_blur": ("blur", "GaussianBlurPerturber", {"ksize": 19}),
    "brightness": ("enhance", "BrightnessPerturber", {"factor": 1.3}),
    "contrast": ("enhance", "ContrastPerturber", {"factor": 0.2}),
    "saturate": ("enhance", "ColorPerturber", {"factor": 2.0}),
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for mode in ("exact", "fast"):
        prepare(list(ALBUMENTATIONS), mode=mode)
    versions = [f"{name} {version_of(name)}" for name in ("albumentations", "nrtk")]
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}, {', '.join(versions)}; severity 3\n")
    print("| corruption | exact | fast | albumentations | / exact | / fast | nrtk | / exact |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    image = render_scene(0, height=1024, width=2048).image
    for name in ALBUMENTATIONS:
        changes = [ours(name, "exact"), ours(name, "fast"), albumentations(name), nrtk(name)]
        exact, fast, theirs, also = fastest(changes, image, args.repeats)
        cells = [shown(exact), shown(fast), shown(theirs), ratio(theirs, exact),
                 ratio(theirs, fast), shown(also), ratio(also, exact)]  # fmt: skip
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def version_of(name: str) -> str:
    """Of an installed package."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return "not installed"


def ours(name: str, mode: str) -> Change:
    """Severity 3."""
    return lambda image: corrupt(image, name, SEVERITY, key="scene", mode=mode)


def albumentations(name: str) -> Change | None:
    """Its transform of the same name."""
    try:
        import albumentations as library
    except ImportError:
        return None
    kind, arguments = ALBUMENTATIONS[name]
    transform = getattr(library, kind)(**arguments, p=1.0)
    return lambda image: transform(image=image)["image"]


def nrtk(name: str) -> Change | None:
    """Its perturber of the same name."""
    if name not in NRTK:
        return None
    module, kind, arguments = NRTK[name]
    try:
        found = importlib.import_module(f"nrtk.impls.perturb_image.photometric.{module}")
        perturber = getattr(found, kind)(**arguments)
    except (ImportError, AttributeError):
        return None
    return lambda image: perturber(image=image)[0]


def fastest(changes: list[Change | None], image: np.ndarray, repeats: int) -> list[float | None]:
    """Milliseconds of each, best of the repeats, in turns."""
    best: list[float | None] = [None] * len(changes)
    for _ in range(repeats):
        for i, change in enumerate(changes):
            if change is not None:
                start = time.perf_counter()
                change(image)
                milliseconds = 1000 * (time.perf_counter() - start)
                best[i] = min(milliseconds, best[i] or milliseconds)
    return best


def shown(value: float | None) -> str:
    """A time, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def ratio(theirs: float | None, own: float | None) -> str:
    """How many times as long."""
    return "-" if theirs is None or own is None else f"{theirs / own:.1f}"


if __name__ == "__main__":
    main()
