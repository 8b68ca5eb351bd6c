"""One call for every corruption engine."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.catalog import (
    CORRUPTIONS,
    SEVERITIES,
    CustomCorruption,
    check_corruption,
    check_severity,
    custom_corruption,
)
from stl_backbones.corruptions.reference import corrupt_reference, package_version
from stl_backbones.corruptions.seeds import draw_seed
from stl_backbones.errors import InputError

MODES = ("exact", "fast", "reference", "torch")
COMPATS = ("imaug-1.1.5", "imagecorruptions-1.1.2")
CHANNEL_ORDERS = ("rgb", "bgr")
MIN_SIDE = 32  # imagecorruptions fails below it
MAX_RATIO = 200  # of an image's sides; a strip resized by its shorter side would fill the memory

# What a mode returns has this number, not the package's version, in every result's provenance: a
# change of any value must change it, and nothing else should keep two results apart.
_RESULTS = {"exact": 1, "fast": 1, "torch": 1}
_ALL_SEVERITIES = 0  # in the seed of a draw that all severities share

Image = npt.NDArray[np.uint8]


class Variant(NamedTuple):
    """One corrupted copy of an image."""

    name: str
    severity: int
    image: Image


def corrupt(
    image: Image,
    name: str,
    severity: int,
    *,
    key: str,
    mode: str = "fast",
    compat: str = "imaug-1.1.5",
    channel_order: str = "rgb",
    seed: int = 0,
) -> Image:
    """Corrupt one image, deterministic in (key, name, severity, seed).

    Args:
        image: ``(H, W, 3)`` uint8 RGB, or ``(H, W)`` or ``(H, W, 1)`` grey, which is repeated in
            three channels as imagecorruptions does; H and W at least 32; not changed.
        name: A corruption of the catalog, for example ``'fog'``, or a registered one.
        severity: 1 (weakest) to 5.
        key: The image's id.
        mode: ``'exact'``, the package's result bit for bit; ``'fast'``, float32 and own random
            streams: within a grey level where nothing is drawn, else equal in distribution;
            ``'reference'``, the installed imagecorruptions package itself; ``'torch'``, like
            ``'fast'`` on the accelerator if there is one (glass_blur, which has no parallel form,
            as in ``'fast'``).
        compat: The package that ``'exact'`` equals: ``'imaug-1.1.5'`` or
            ``'imagecorruptions-1.1.2'``, which differ in frost and in fog's last digits.
        channel_order: ``'rgb'``, or ``'bgr'`` to show the corruption the channels reversed as some
            published scripts do; image and result are RGB either way.
        seed: The user's seed.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If severity, mode, compat, channel order, dtype or shape are not as above.

    References:
        Hendrycks & Dietterich 2019, arXiv:1903.12261; Michaelis et al. 2019, arXiv:1907.07484.
    """
    check_corruption(name)
    check_severity(severity)
    job = _Job.make(image, mode=mode, compat=compat, channel_order=channel_order)
    return job.run(name, severity, draw_seed(key, name, severity, seed=seed))


def corrupt_all(
    image: Image,
    names: Sequence[str] = CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
    *,
    key: str,
    mode: str = "fast",
    compat: str = "imaug-1.1.5",
    channel_order: str = "rgb",
    seed: int = 0,
    share_draws: bool = False,
) -> Iterator[Variant]:
    """Yield every corruption at every severity of one image, in the order given.

    Args:
        image: As `corrupt` takes it; checked once for all variants.
        names: Corruptions.
        severities: 1 (weakest) to 5.
        key: The image's id.
        mode: The engine.
        compat: The package that ``'exact'`` equals.
        channel_order: What the corruption sees.
        seed: The user's seed.
        share_draws: Draw noise, plasma and displacements once for all severities of a corruption.
            Saves time and correlates the severities; another draw than `corrupt`'s, so not for
            numbers that are compared with others.

    Yields:
        Each variant, equal to `corrupt`'s unless draws are shared.

    Raises:
        KeyError: If a corruption is unknown.
        ValueError: If an argument is not as `corrupt` takes it.
    """
    for name in names:
        check_corruption(name)
    for severity in severities:
        check_severity(severity)
    job = _Job.make(image, mode=mode, compat=compat, channel_order=channel_order)
    for name in names:
        kept: dict[str, Any] | None = {} if share_draws else None
        for severity in severities:
            drawn = _ALL_SEVERITIES if share_draws else severity
            draw = draw_seed(key, name, drawn, seed=seed)
            yield Variant(name, severity, job.run(name, severity, draw, kept=kept))


def prepare(names: Sequence[str], *, mode: str) -> None:
    """Compile, or load from the cache, what a mode needs: once, before worker processes start.

    Args:
        names: The corruptions that will be asked for.
        mode: The engine.

    Raises:
        KeyError: If a corruption is unknown.
        ValueError: If the mode is unknown.
    """
    check_engine(mode=mode)
    image = np.full((MIN_SIDE, MIN_SIDE, 3), 127, np.uint8)
    image[::2] = 20
    for name in names:
        check_corruption(name)
        if custom_corruption(name) is None and (mode != "reference" or name == "glass_blur"):
            for severity in (1, 5):  # spatter's two kinds
                corrupt(image, name, severity, key="", mode=mode)


def check_engine(*, mode: str, channel_order: str = "rgb", compat: str = "imaug-1.1.5") -> None:
    """Refuse an unknown mode, channel order or package.

    Raises:
        ValueError: If one is unknown.
    """
    if mode not in MODES:
        raise InputError(f"corruption mode must be one of {', '.join(MODES)}, got '{mode}'")
    if channel_order not in CHANNEL_ORDERS:
        raise InputError(f"channel order must be 'rgb' or 'bgr', got '{channel_order}'")
    if compat not in COMPATS:
        raise InputError(f"compat must be one of {', '.join(COMPATS)}, got '{compat}'")


def engine_version(mode: str, *, compat: str = "imaug-1.1.5") -> str:
    """Implementation and version behind a mode, for a result's provenance."""
    check_engine(mode=mode, compat=compat)
    if mode == "reference":
        return package_version()
    return f"stl_backbones {mode} {_RESULTS[mode]}, as {compat}"


@dataclass(frozen=True)
class _Job:
    """An image ready for any corruption."""

    image: Image
    mode: str
    compat: str
    is_reversed: bool
    native: Mapping[str, Any] = field(repr=False)

    @classmethod
    def make(cls, image: Image, *, mode: str, compat: str, channel_order: str) -> _Job:
        check_engine(mode=mode, channel_order=channel_order, compat=compat)
        image = _as_rgb(image)
        if channel_order == "bgr":
            image = image[..., ::-1]
        # Kernels are compiled for one kind of array: contiguous and writeable.
        image = np.require(image, requirements=("C", "W"))
        return cls(image, mode, compat, channel_order == "bgr", _native(mode))

    def run(
        self, name: str, severity: int, draw: int, *, kept: dict[str, Any] | None = None
    ) -> Image:
        custom = custom_corruption(name)
        if custom is not None:
            result = _run_custom(custom, self.image, severity, draw)
        elif self.mode == "reference":
            result = corrupt_reference(self.image, name, severity, seed=draw)
        elif self.mode == "torch" and name in _torch_backend().PARALLEL:
            result = _torch_backend().corrupt_image(self.image, name, severity, seed=draw)
        else:
            draws = _draws()(draw, self.compat, kept)
            result = self.native[name](self.image, severity, draws)
        return np.ascontiguousarray(result[..., ::-1]) if self.is_reversed else result


# Numba and torch are slow to import: only a mode that needs them does.


def _native(mode: str) -> Mapping[str, Any]:
    if mode == "reference":
        return {}
    native = importlib.import_module("stl_backbones.corruptions.native")
    return cast("Mapping[str, Any]", native.EXACT if mode == "exact" else native.FAST)


def _draws() -> Any:
    return importlib.import_module("stl_backbones.corruptions.native").Draws


def _torch_backend() -> ModuleType:
    return importlib.import_module("stl_backbones.corruptions.torch_backend")


def _run_custom(custom: CustomCorruption, image: Image, severity: int, draw: int) -> Image:
    rng = np.random.Generator(np.random.PCG64(draw))
    result = custom.function(image.copy(), severity, rng)
    if (
        not isinstance(result, np.ndarray)
        or result.dtype != np.uint8
        or result.shape != image.shape
    ):
        shape, dtype = getattr(result, "shape", None), getattr(result, "dtype", type(result))
        raise InputError(
            f"corruption '{custom.name}' must return a uint8 array of shape {image.shape}, "
            f"got {dtype} of shape {shape}"
        )
    return result


def _as_rgb(image: Image) -> Image:
    """Three channels, or an error that says what came."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        came = getattr(image, "dtype", type(image).__name__)
        raise InputError(f"image must be a uint8 array, got {came}")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in {1, 3}:
        raise InputError(
            f"image must be (H, W, 3) RGB or (H, W) grey, got shape {image.shape}; "
            "drop an alpha channel first"
        )
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"image sides must be at least {MIN_SIDE} pixels to be corrupted, got {width}x{height}"
        )
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
