"""How well a token labeler's labels show the objects of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stl_backbones.api.words import in_python_words
from stl_backbones.packages import require

if TYPE_CHECKING:
    from stl_backbones.training.token_scores import TokenLabelResult


def evaluate_token_labels(
    checkpoint: str | Path,
    images: str | Path | Sequence[str | Path],
    masks: str | Path,
    *,
    label: str | None = None,
    corruption: str | None = None,
    severity: float = 3,
    size: int = 224,
    share: float = 0.5,
) -> TokenLabelResult:
    """Score the token labels of a FAN with a token head by masks of the objects.

    Args:
        checkpoint: Its file: of a ``configs/cls`` run, or a released ``*_token`` file.
        images: Image files, or folders of images.
        masks: A folder of PNG masks, ``<class>/<stem>.png`` or ``<stem>.png``, nonzero where the
            object is; or a JSON file of COCO's instances, whose category of the class's name is
            the object.
        label: Class of all images, by index or name; default: each image's folder.
        corruption: Score the images clean and with this corruption.
        severity: Its severity, 1 to 5, fractions too.
        size: Side of the images that the labeler sees, a multiple of its patches' side (16).
        share: Share of its patch from which a token is on the object.

    Returns:
        Its ``scores`` have an entry for ``'clean'`` and one for, say, ``'fog-3'``; keys and
        meaning of the numbers: `stl_backbones.metrics.token_labels.TOKEN_SCORES` and
        `score_token_labels` there.

    Raises:
        InputError: If a file cannot be read, a mask is empty or of another size, or the class of an
            image is not known.
        UnknownNameError: If the corruption is unknown.
        MissingFileError: If something named, or the mask of an image, is missing.
        MissingPackageError: If a package of the extra is not installed.
    """
    require("scoring token labels", "mmengine", "matplotlib")
    from stl_backbones.training.token_labels import measure_token_labels
    from stl_backbones.training.token_maps import PictureOptions

    files = [images] if isinstance(images, str | Path) else images
    with in_python_words():
        options = PictureOptions(
            size=size, label=label, corruption=corruption, severity=severity, share=share
        )
        return measure_token_labels(checkpoint, files, masks=masks, options=options)


__all__ = ["evaluate_token_labels"]
