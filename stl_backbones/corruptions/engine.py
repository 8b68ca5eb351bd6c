"""One call for every corruption engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from stl_backbones.corruptions.catalog import (
    CORRUPTIONS,
    SEVERITIES,
    CustomCorruption,
    check_corruption,
    check_depth,
    check_severity,
    custom_corruption,
    split_compound,
)
from stl_backbones.corruptions.images import MIN_SIDE, Image, as_rgb
from stl_backbones.corruptions.packaged import PACKAGED, PackagedCorruption
from stl_backbones.corruptions.parameters import check_cifar_size, strength
from stl_backbones.corruptions.reference import corrupt_reference, package_version
from stl_backbones.corruptions.seeds import draw_seed
from stl_backbones.display import shown_one_by_one
from stl_backbones.errors import InputError
from stl_backbones.records import COMPATS, STRENGTHS, CorruptionEngine, CorruptionSpec

# What a mode returns has this number, not the package's version, in every result's provenance: a
# change of any value must change it, and nothing else should keep two results apart.
_RESULTS = {"exact": 1, "fast": 1, "torch": 1}
_ALL_SEVERITIES = 0  # in the seed of a draw that all severities share


class Variant(NamedTuple):
    """One corrupted copy of an image."""

    name: str
    severity: float
    image: Image


def corrupt(
    image: Image,
    name: str,
    severity: float,
    *,
    key: str,
    mode: str = "fast",
    compat: str = COMPATS[0],
    channel_order: str = "rgb",
    seed: int = 0,
    strengths: str = STRENGTHS[0],
    depth: str = "",
) -> Image:
    """Corrupt one image, deterministic in (key, name, severity, seed).

    Args:
        image: ``(H, W, 3)`` uint8 RGB, or ``(H, W)`` or ``(H, W, 1)`` grey, which is repeated in
            three channels as imagecorruptions does; H and W at least 32; not changed.
        name: A corruption of the catalog, for example ``'fog'``, a registered one, or a compound
            such as ``'fog+gaussian_noise'``, applied from left to right.
        severity: 1 (weakest) to 5, fractions too.
        key: The image's id.
        mode: The engine; this and the following as in `stl_backbones.records.CorruptionEngine`.
        compat: The package that ``'exact'`` equals.
        channel_order: What the corruption sees.
        seed: The user's seed.
        strengths: Whose constants: ``'imagenet'``, or ``'cifar10'`` for images of 32x32 pixels.
        depth: Folder of distances, for corruptions that need them.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If severity, mode, compat, channel order, strengths, dtype or shape are not as
            above, the corruption has nothing at this severity, see `check_spec`, or it needs
            distances that are not there, or of another size.

    References:
        Hendrycks & Dietterich 2019, arXiv:1903.12261; Michaelis et al. 2019, arXiv:1907.07484.
    """
    engine = CorruptionEngine(mode, compat, channel_order, seed, strengths, str(depth))
    return apply_corruption(image, CorruptionSpec(name, severity, engine), key=key)


def apply_corruption(
    image: Image, spec: CorruptionSpec, *, key: str, device: str | None = None
) -> Image:
    """Corrupt one image as a record says.

    Args:
        image: This, result and errors as of `corrupt`.
        spec: What is done to it.
        key: The image's id.
        device: Where mode ``'torch'`` computes, ``'cuda:1'``; default: the thread's current GPU,
            or the CPU.
    """
    (variant,) = corrupt_all(
        image, [spec.name], [spec.severity], key=key, engine=spec.engine, device=device
    )
    return variant.image


def corrupt_all(
    image: Image,
    names: Sequence[str] = CORRUPTIONS,
    severities: Sequence[float] = SEVERITIES,
    *,
    key: str,
    engine: CorruptionEngine = CorruptionEngine(),  # noqa: B008  frozen
    share_draws: bool = False,
    device: str | None = None,
) -> Iterator[Variant]:
    """Yield every corruption at every severity of one image, in the order given.

    Args:
        image: As `corrupt` takes it; checked once for all variants.
        names: Corruptions.
        severities: 1 (weakest) to 5, fractions too.
        key: The image's id.
        engine: How images are corrupted.
        share_draws: Draw noise, plasma and displacements once for all severities of a corruption.
            Saves time and correlates the severities; another draw than `corrupt`'s, so not for
            numbers that are compared with others.
        device: As of `apply_corruption`.

    Yields:
        Each variant, equal to `corrupt`'s unless draws are shared.

    Raises:
        KeyError: If a corruption is unknown.
        ValueError: If an argument is not as `corrupt` takes it.
    """
    for name in names:
        check_corruption(name)
    check_depth(names, engine.depth)
    levels = [check_severity(severity) for severity in severities]
    is_reversed = engine.channel_order == "bgr"
    shown = as_rgb(image)[..., ::-1] if is_reversed else as_rgb(image)
    # Kernels are compiled for one kind of array: contiguous and writeable.
    shown = np.require(shown, requirements=("C", "W"))
    _check_strengths(engine)
    if engine.strengths == "cifar10":
        check_cifar_size(*shown.shape[:2])
    for name in names:
        draws: dict[str, dict[str, Any]] | None = {} if share_draws else None
        for severity in levels:
            made = shown
            for part, own in split_compound(name):
                level = severity if own is None else own
                drawn = _ALL_SEVERITIES if share_draws else level
                draw = draw_seed(key, part, drawn, seed=engine.seed)
                kept = None if draws is None else draws.setdefault(part, {})
                made = _run(
                    made, part, level, draw, key=key, engine=engine, kept=kept, device=device
                )
                made = np.require(made, requirements=("C", "W"))
            if is_reversed:
                made = np.ascontiguousarray(made[..., ::-1])
            yield Variant(name, severity, made)


def check_spec(spec: CorruptionSpec) -> None:
    """Refuse what no image can be corrupted with, before the first one is read.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If it has nothing at this severity: between two kinds of it, or between whole
            severities in mode ``'reference'`` or of a registered corruption; or the mode or the
            corruption has not the engine's strengths.
    """
    check_corruption(spec.name)
    severity, engine = check_severity(spec.severity), spec.engine
    _check_strengths(engine)
    for part, own in split_compound(spec.name):
        level = severity if own is None else own
        custom = custom_corruption(part)
        if custom is not None:
            _check_whole(level, f"corruption '{part}' is registered for")
        elif part in PACKAGED:
            PACKAGED[part].level(level, engine.strengths)
        else:
            strength(part, level, engine.strengths)
            if engine.mode == "reference":
                _check_whole(level, "mode 'reference' has")


def _check_strengths(engine: CorruptionEngine) -> None:
    if engine.mode == "reference" and engine.strengths != STRENGTHS[0]:
        raise InputError(
            f"mode 'reference' has the constants of ImageNet-C alone, got strengths "
            f"'{engine.strengths}'; use mode 'exact' or 'fast'"
        )


def _check_whole(severity: float, what: str) -> None:
    if severity != int(severity):
        raise InputError(f"{what} whole severities, 1 to 5, got {severity:g}")


def prepare(names: Sequence[str], *, mode: str, strengths: str = STRENGTHS[0]) -> None:
    """Compile, or load from the cache, what a mode needs: once, before worker processes start.

    Args:
        names: The corruptions that will be asked for.
        mode: The engine.
        strengths: Its constants.

    Raises:
        KeyError: If a corruption is unknown.
        ValueError: If the mode is unknown.
    """
    engine = CorruptionEngine(mode, strengths=strengths)
    image = np.full((MIN_SIDE, MIN_SIDE, 3), 127, np.uint8)
    image[::2] = 20
    parts = [part for name in names for part, _ in split_compound(name)]
    for name in shown_one_by_one(
        list(dict.fromkeys(parts)), "preparing corruptions", "corruptions"
    ):
        check_corruption(name)
        if name in PACKAGED and PACKAGED[name].needs_depth:
            depth = np.full(image.shape[:2], 50, np.float32)
            PACKAGED[name].function()(image, PACKAGED[name].level(1), _rng(0), depth)
            continue
        if custom_corruption(name) is None and (mode != "reference" or name == "glass_blur"):
            for severity in (1, 5):  # spatter's two kinds
                apply_corruption(image, CorruptionSpec(name, severity, engine), key="")


def engine_version(engine: CorruptionEngine) -> str:
    """Implementation and version behind an engine, for a result's provenance."""
    if engine.mode == "reference":
        return package_version()
    made = f"stl_backbones {engine.mode} {_RESULTS[engine.mode]}, as {engine.compat}"
    return made if engine.strengths == STRENGTHS[0] else f"{made}, constants {engine.strengths}"


def _run(
    image: Image,
    name: str,
    severity: float,
    draw: int,
    *,
    key: str,
    engine: CorruptionEngine,
    kept: dict[str, Any] | None,
    device: str | None,
) -> Image:
    """One variant of an image of three channels; numba and torch are imported only if need be."""
    custom = custom_corruption(name)
    if custom is not None:
        return _run_custom(custom, image, severity, draw)
    if name in PACKAGED:
        return _run_packaged(PACKAGED[name], image, severity, draw, key=key, engine=engine)
    if engine.mode == "reference":
        check_spec(CorruptionSpec(name, severity, engine))
        return corrupt_reference(image, name, int(severity), seed=draw)
    strengths = engine.strengths
    if engine.mode == "torch":
        from stl_backbones.corruptions.torch_backend import corrupt_image, is_parallel

        if is_parallel(name, strengths):
            return corrupt_image(
                image, name, severity, seed=draw, device=device, strengths=strengths
            )
    from stl_backbones.corruptions.native import EXACT, FAST, Draws

    native = EXACT if engine.mode == "exact" else FAST
    constants = strength(name, severity, strengths)
    return native[name](image, constants, Draws(draw, engine.compat, kept))


def _run_packaged(
    corruption: PackagedCorruption,
    image: Image,
    severity: float,
    draw: int,
    *,
    key: str,
    engine: CorruptionEngine,
) -> Image:
    level = corruption.level(severity, engine.strengths)
    rng = _rng(draw)
    more = []
    if corruption.needs_depth:
        from stl_backbones.corruptions.driving.depth import read_depth

        more = [read_depth(engine.depth, key, *image.shape[:2])]
    made: Image = corruption.function()(image, level, rng, *more)
    return made


def _rng(draw: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(draw))


def _run_custom(custom: CustomCorruption, image: Image, severity: float, draw: int) -> Image:
    _check_whole(severity, f"corruption '{custom.name}' is registered for")
    rng = _rng(draw)
    result = custom.function(image.copy(), int(severity), rng)
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
