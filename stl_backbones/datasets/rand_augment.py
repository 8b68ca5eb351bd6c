"""RandAugment drawn from a generator that is handed in; the operations are timm's.

timm's own classes draw from the global generators of `random` and numpy while they apply. Here the
draws come first and apart, so that one draw can be applied to several views.

References:
    Cubuk et al. 2019, "RandAugment", arXiv:1909.13719, with timm's ranges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN
from timm.data.auto_augment import LEVEL_TO_ARG, NAME_TO_OP, AugmentOp, rand_augment_transform

from stl_backbones.errors import InputError

_BILINEAR, _BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
INTERPOLATIONS = {
    "bilinear": (_BILINEAR,),
    "bicubic": (_BICUBIC,),
    "random": (_BILINEAR, _BICUBIC),  # timm's default for training
}
FILL = tuple(round(255 * value) for value in IMAGENET_DEFAULT_MEAN)  # as in timm's factory

# timm's `*_level_to_arg` functions draw a sign; these are their ranges at level 10.
_SIGNED = {
    "Rotate": 30.0,
    "ShearX": 0.3,
    "ShearY": 0.3,
    "TranslateXRel": 0.45,
    "TranslateYRel": 0.45,
}
SPATIAL = frozenset(_SIGNED)
_SIGNED_ENHANCEMENTS = frozenset(
    f"{name}Increasing" for name in ("Color", "Contrast", "Brightness", "Sharpness")
)
_TOP_LEVEL = 10.0
_SECTION = re.compile(r"(m|n|inc|mmax)\d+|(p|mstd)\d+(\.\d+)?|t(weights|3aw?)")


@dataclass(frozen=True)
class Operation:
    """One of timm's operations with all it needs: it draws nothing.

    Attributes:
        name: As in timm's ``NAME_TO_OP``.
        arguments: What it gets beside the image.
        resample: Interpolation of a spatial operation.
    """

    name: str
    arguments: tuple[float, ...]
    resample: Image.Resampling = _BICUBIC

    @property
    def spatial(self) -> bool:
        """Whether it moves pixels rather than changing colours."""
        return self.name in SPATIAL

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the changed image."""
        change: Any = NAME_TO_OP[self.name]
        return change(image, *self.arguments, resample=self.resample, fillcolor=FILL)


class RandAugmentPolicy:
    """What is drawn for an image.

    Args:
        policy: timm's notation: ``m`` magnitude, ``n`` operations per image (2), ``p`` chance of
            each (0.5), ``mstd`` noise of the magnitude, ``mmax`` its end, ``inc1`` operations
            that grow with it, ``t`` another set of operations.
        interpolation: Of the spatial operations, see `check_interpolation`.

    Raises:
        ValueError: If the policy or interpolation is unknown.
    """

    def __init__(self, policy: str, *, interpolation: str = "random") -> None:
        name, *sections = policy.split("-")
        if name != "rand" or not all(_SECTION.fullmatch(section) for section in sections):
            raise InputError(
                f"RandAugment's policy must be of the form 'rand-m9-mstd0.5-inc1', got '{policy}'"
            )
        parsed = rand_augment_transform(policy, {"img_mean": FILL})
        self.ops: Sequence[AugmentOp] = parsed.ops
        self.num_layers, self.weights = parsed.num_layers, parsed.choice_weights
        self.interpolations = check_interpolation(interpolation)

    def draw(self, rng: np.random.Generator) -> Iterator[Operation]:
        """Draw the operations of one image, in order."""
        count, replace = len(self.ops), self.weights is None
        for index in rng.choice(count, self.num_layers, replace=replace, p=self.weights):
            op = self.ops[index]
            if op.prob == 1.0 or rng.random() <= op.prob:
                arguments = draw_arguments(op.name, _draw_magnitude(op, rng), rng=rng)
                spatial = op.name in SPATIAL
                resample = draw_interpolation(self.interpolations, rng) if spatial else _BICUBIC
                yield Operation(op.name, arguments, resample)


def draw_arguments(name: str, magnitude: float, *, rng: np.random.Generator) -> tuple[float, ...]:
    """Arguments of a timm operation at a magnitude of 0..10, with a sign where it has one."""
    level = magnitude / _TOP_LEVEL
    if name in _SIGNED:
        return (_draw_sign(rng) * level * _SIGNED[name],)
    if name in _SIGNED_ENHANCEMENTS:
        return (max(0.1, 1.0 + _draw_sign(rng) * level * 0.9),)
    to_arguments = LEVEL_TO_ARG[name]
    arguments = () if to_arguments is None else tuple(to_arguments(magnitude, {}))
    # Pillow 13 refuses the 0 bits of timm's top level, a black image once.
    return (max(1, *arguments),) if name.startswith("Posterize") else arguments


def check_interpolation(
    name: str, known: Sequence[str] = tuple(INTERPOLATIONS)
) -> tuple[Image.Resampling, ...]:
    """The choices that an interpolation's name stands for.

    Raises:
        ValueError: If it is unknown.
    """
    if name not in known:
        raise InputError(f"interpolation must be one of {', '.join(known)}, got '{name}'")
    return INTERPOLATIONS[name]


def draw_interpolation(
    choices: Sequence[Image.Resampling], rng: np.random.Generator
) -> Image.Resampling:
    """Draw one of `INTERPOLATIONS`' choices; a single one takes no draw."""
    return choices[0] if len(choices) == 1 else choices[int(rng.integers(len(choices)))]


def _draw_magnitude(op: AugmentOp, rng: np.random.Generator) -> float:
    magnitude = float(op.magnitude)
    if math.isinf(op.magnitude_std):
        magnitude = rng.uniform(0, magnitude)
    elif op.magnitude_std > 0:
        magnitude = rng.normal(magnitude, op.magnitude_std)
    return max(0.0, min(magnitude, op.magnitude_max or _TOP_LEVEL))


def _draw_sign(rng: np.random.Generator) -> float:
    return -1.0 if rng.random() > 0.5 else 1.0
