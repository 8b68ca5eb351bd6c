"""One call for every corruption engine."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.catalog import check_corruption, check_severity
from stl_backbones.corruptions.reference import corrupt_reference, package_version

MODES = ("reference",)
CHANNEL_ORDERS = ("rgb", "bgr")
MIN_SIDE = 32  # imagecorruptions fails below it

# Part of every seed: a change of the recipe must change the version, and with it all draws.
SEED_VERSION = "stl-1"


def draw_seed(key: str, name: str, severity: int, *, seed: int = 0) -> int:
    """The seed of one corrupted image, whatever order, process or machine makes it.

    Args:
        key: The image's id, for example its path relative to the data set's image folder.
        name: The corruption.
        severity: 1 to 5.
        seed: The user's seed; another one gives another draw of the whole benchmark.

    Returns:
        0 to 2**32 - 1: the first 4 bytes, little endian, of blake2b over
        ``'stl-1|<key>|<name>|<severity>|<seed>'``.
    """
    text = f"{SEED_VERSION}|{key}|{name}|{severity}|{seed}"
    return int.from_bytes(hashlib.blake2b(text.encode()).digest()[:4], "little")


def corrupt(
    image: npt.NDArray[np.uint8],
    name: str,
    severity: int,
    *,
    key: str,
    mode: str = "reference",
    channel_order: str = "rgb",
    seed: int = 0,
) -> npt.NDArray[np.uint8]:
    """Corrupt one image, deterministic in (key, name, severity, seed).

    Args:
        image: ``(H, W, 3)`` uint8 RGB, values 0..255, H and W at least 32; not changed.
        name: A corruption of the catalog, for example ``'fog'``.
        severity: 1 (weakest) to 5.
        key: The image's id.
        mode: The engine; ``'reference'`` is the imagecorruptions package.
        channel_order: ``'rgb'``, or ``'bgr'`` to show the corruption the channels reversed as some
            published scripts do; image and result are RGB either way.
        seed: The user's seed.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If severity, mode, channel order, dtype or shape are not as above.

    References:
        Hendrycks & Dietterich 2019, arXiv:1903.12261; Michaelis et al. 2019, arXiv:1907.07484.
    """
    check_corruption(name)
    check_severity(severity)
    check_engine(mode=mode, channel_order=channel_order)
    _check_image(image)
    draw = draw_seed(key, name, severity, seed=seed)
    if channel_order == "bgr":
        shown = np.ascontiguousarray(image[..., ::-1])
        return np.ascontiguousarray(corrupt_reference(shown, name, severity, seed=draw)[..., ::-1])
    return corrupt_reference(image, name, severity, seed=draw)


def check_engine(*, mode: str, channel_order: str) -> None:
    """Refuse an unknown mode or channel order.

    Raises:
        ValueError: If one is unknown.
    """
    if mode not in MODES:
        raise ValueError(f"corruption mode must be one of {', '.join(MODES)}, got '{mode}'")
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(f"channel order must be 'rgb' or 'bgr', got '{channel_order}'")


def engine_version(mode: str) -> str:
    """Implementation and version behind a mode, for a result's provenance."""
    check_engine(mode=mode, channel_order="rgb")
    return package_version()


def _check_image(image: npt.NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8:
        raise ValueError(f"image must be uint8, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) RGB, got shape {image.shape}")
    if min(image.shape[:2]) < MIN_SIDE:
        raise ValueError(
            f"image sides must be at least {MIN_SIDE} pixels to be corrupted, "
            f"got {image.shape[1]}x{image.shape[0]}"
        )
