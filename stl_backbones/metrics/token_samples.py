"""The tokens of an image as a labeler sees them, beside those on the object by its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

_SLACK = 1e-5  # float32's rounding of probabilities


@dataclass(frozen=True)
class TokenSample:
    """The tokens of one image.

    Attributes:
        label: The image's class.
        foreground: ``(h, w)`` bool, which tokens are on the object, see `foreground_tokens`.
        classes: ``(h, w)`` the likeliest class of each token.
        confidence: ``(h, w)`` its probability.
        label_probability: ``(h, w)`` the probability of the image's class.

    Raises:
        ValueError: If the shapes differ, or a probability is impossible.
    """

    label: int
    foreground: npt.NDArray[np.bool_]
    classes: npt.NDArray[np.integer]
    confidence: npt.NDArray[np.floating]
    label_probability: npt.NDArray[np.floating]

    def __post_init__(self) -> None:
        shape = self.foreground.shape
        if self.foreground.dtype != np.bool_ or len(shape) != 2 or not self.foreground.size:
            raise InputError(
                f"foreground must be a bool array (h, w), got {self.foreground.dtype} {shape}"
            )
        for name in ("classes", "confidence", "label_probability"):
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"{name} must have foreground's shape {shape}, got {getattr(self, name).shape}"
                )
        low, high = self.label_probability, self.confidence
        if not ((low >= 0).all() and (low <= high + _SLACK).all() and (high <= 1 + _SLACK).all()):
            raise InputError(
                "expected 0 <= label_probability <= confidence <= 1 of every token: softmax "
                "probabilities, the confidence being the largest"
            )

    @classmethod
    def from_probabilities(
        cls,
        label: int,
        foreground: npt.NDArray[np.bool_],
        probabilities: npt.NDArray[np.floating],
    ) -> TokenSample:
        """Make a sample of one image.

        Args:
            label: The image's class.
            foreground: ``(h, w)`` bool, which tokens are on the object.
            probabilities: ``(h, w, K)`` softmax of each token.

        Raises:
            ValueError: If the shapes differ, the label is no class, or these are no probabilities.
        """
        if probabilities.ndim != 3 or not 0 <= label < probabilities.shape[-1]:
            raise InputError(
                f"expected probabilities (h, w, K) with class {label} among the K, "
                f"got {probabilities.shape}"
            )
        if not np.allclose(probabilities.sum(axis=-1), 1, atol=1e-3):
            raise InputError("probabilities must sum to 1 in every token; take the softmax")
        return cls(
            label=int(label),
            foreground=foreground,
            classes=probabilities.argmax(axis=-1),
            confidence=probabilities.max(axis=-1),
            label_probability=probabilities[..., label],
        )


def token_samples(
    labels: Sequence[int] | npt.NDArray[np.integer],
    foregrounds: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.floating],
) -> list[TokenSample]:
    """The samples of a batch.

    Args:
        labels: ``(B,)`` classes of the images.
        foregrounds: ``(B, h, w)`` bool, which tokens are on the object.
        probabilities: ``(B, h, w, K)`` softmax of each token.

    Raises:
        ValueError: If the numbers of images differ, or see `TokenSample.from_probabilities`.
    """
    if not len(labels) == len(foregrounds) == len(probabilities):
        raise InputError(
            "expected labels, foregrounds and probabilities of one number of images, got "
            f"{len(labels)}, {len(foregrounds)} and {len(probabilities)}"
        )
    return [
        TokenSample.from_probabilities(int(label), foreground, softmax)
        for label, foreground, softmax in zip(labels, foregrounds, probabilities, strict=True)
    ]


def foreground_tokens(
    mask: npt.NDArray[np.bool_], grid: tuple[int, int], *, share: float = 0.5
) -> npt.NDArray[np.bool_]:
    """Which tokens are on the object.

    Args:
        mask: ``(H, W)`` object mask: bool, or numbers of which nonzero ones are the object.
        grid: Rows h and columns w of the tokens. Each has an equal part ``H / h`` by ``W / w`` of
            the image; where that is no whole number of pixels, pixels are shared out by area.
        share: Least share of a token's area that the object covers, above 0 and up to 1.

    Returns:
        ``(h, w)`` bool.

    Raises:
        ValueError: If the mask is no ``(H, W)`` array, or grid or share are impossible.
    """
    if mask.ndim != 2 or not mask.size:
        raise InputError(f"mask must be an array (H, W), got shape {mask.shape}")
    if min(grid) < 1:
        raise InputError(f"grid must have at least one row and one column, got {grid}")
    if not 0 < share <= 1:
        raise InputError(f"share must be above 0 and up to 1, got {share}")
    rows, columns = (_overlaps(*sides) for sides in zip(mask.shape, grid, strict=True))
    covered = rows @ (mask != 0).astype(np.float64) @ columns.T  # whole numbers: exact
    return np.asarray(covered >= share * mask.size)


def _overlaps(pixels: int, tokens: int) -> npt.NDArray[np.float64]:
    """``(tokens, pixels)`` how much of each pixel a token has, in parts of 1 / tokens."""
    token, pixel = np.arange(tokens)[:, None] * pixels, np.arange(pixels) * tokens
    overlap = np.minimum(token + pixels, pixel + tokens) - np.maximum(token, pixel)
    parts: npt.NDArray[np.float64] = np.maximum(overlap, 0).astype(np.float64)
    return parts


__all__ = ["TokenSample", "foreground_tokens", "token_samples"]
