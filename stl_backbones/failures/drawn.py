"""A failure as a picture: clean beside corrupted, the truth, both predictions, their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from PIL import Image

from stl_backbones.errors import InputError
from stl_backbones.robustness.examined import Examined

WIDTH = 480  # pixels of a panel, at most
_LEAST = 288


@dataclass(frozen=True)
class Drawn:
    """A picture, and what it shows in a line."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True)
class Pair:
    """What is drawn.

    Attributes:
        clean: The image and its prediction.
        corrupted: The corrupted one.
        classes: Names of the data's classes.
        least_score: Detections below it are not drawn.
    """

    clean: Examined
    corrupted: Examined
    classes: Sequence[str]
    least_score: float

    @property
    def width(self) -> int:
        """Of a panel, in pixels."""
        return max(_LEAST, min(WIDTH, self.clean.image.shape[1]))


@singledispatch
def draw(prediction: Any, pair: Pair) -> Drawn:
    """Draw a failure.

    A task of one's own registers a function for the kind of its predictions.

    Args:
        prediction: That of the clean image, whose kind decides how it is drawn.
        pair: What is drawn.

    Raises:
        InputError: If nothing is registered for it.
    """
    del pair
    raise InputError(
        f"no pictures for predictions of kind {type(prediction).__name__}: register a function "
        "with stl_backbones.failures.drawn.draw.register"
    )


def percent(share: float) -> str:
    """For example ``'12.3 %'``."""
    return f"{100 * share:.1f} %"


__all__ = ["WIDTH", "Drawn", "Pair", "draw", "percent"]
