"""Pictures of what a token labeler sees in images, and its scores by masks of the objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from stl_backbones.datasets.object_masks import ObjectMasks, open_masks
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError
from stl_backbones.pretraining.figures import (
    TokenMap,
    as_png,
    plot_confidence,
    plot_token_labels,
    plot_views,
)
from stl_backbones.pretraining.frozen import FrozenLabeler, load_labeler
from stl_backbones.results.atomic import write_atomically
from stl_backbones.training.token_maps import (
    LabelledImage,
    PictureOptions,
    find_images,
    geometric_views,
    label_images,
    map_tokens,
)
from stl_backbones.training.token_scores import SCORES_FILE, TokenLabelResult, TokenScorer


def draw_token_labels(
    checkpoint: str | Path,
    images: Sequence[str | Path],
    *,
    out: str | Path,
    masks: str | Path | None = None,
    options: PictureOptions | None = None,
) -> tuple[list[Path], TokenLabelResult | None]:
    """Write the panels of the paper's Figures 2 and 5 for some images, and scores by masks.

    Args:
        checkpoint: A FAN with a token head.
        images: Image files, or folders of images.
        out: Folder for ``NAME_tokens.png`` (with a corruption ``NAME_tokens_fog_3.png``) and
            ``NAME_views.png`` of each image, ``confidence.png`` of several together, and with
            masks ``token_labels.json``.
        masks: Where the objects are, see `open_masks`.
        options: What is drawn.

    Returns:
        The files, and with masks the scores.

    Raises:
        FileNotFoundError: If the checkpoint, an image or a mask is missing.
        ValueError: If one cannot be read, or the labeler does not know the class.
    """
    options = options or PictureOptions()
    if options.pictures == 0 and masks is None:
        raise InputError("--pictures 0 draws nothing; for numbers alone give --masks PATH")
    paths = find_images(images)
    labeler, opened = _open(checkpoint, masks)
    out = Path(out)
    drawn: list[TokenMap] = []
    written: list[Path] = []
    scorer = None if masks is None else TokenScorer(labeler, options, masks)

    def save(name: str, content: bytes) -> None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / name, content)
        written.append(out / name)

    names = _file_names(paths)
    found = label_images(labeler, paths, masks=opened, options=options, title=str(out))
    for number, one in enumerate(found):
        if scorer is not None:
            scorer.add(one)
        if options.pictures is None or number < options.pictures:
            for suffix, figure in _figures(labeler, one, options).items():
                save(f"{names[one.path]}{suffix}.png", as_png(figure))
            drawn.append(one.maps[0])
    if len(drawn) > 1:
        save("confidence.png", as_png(plot_confidence(drawn)))
    if scorer is None:
        return written, None
    result = scorer.result()
    save(SCORES_FILE, result.as_json())
    return written, result


def measure_token_labels(
    checkpoint: str | Path,
    images: Sequence[str | Path],
    *,
    masks: str | Path,
    options: PictureOptions | None = None,
) -> TokenLabelResult:
    """Score token labels by masks of the objects, without a picture; see `draw_token_labels`."""
    options = options or PictureOptions()
    paths = find_images(images)
    labeler, opened = _open(checkpoint, masks)
    scorer = TokenScorer(labeler, options, masks)
    for one in label_images(labeler, paths, masks=opened, options=options, title="token labels"):
        scorer.add(one)
    return scorer.result()


def _open(
    checkpoint: str | Path, masks: str | Path | None
) -> tuple[FrozenLabeler, ObjectMasks | None]:
    install_safe_loaders()
    opened = None if masks is None else open_masks(masks)
    return load_labeler(checkpoint), opened


def _figures(
    labeler: FrozenLabeler, one: LabelledImage, options: PictureOptions
) -> dict[str, Figure]:
    """Ends of file names and their figures."""
    clean, suffix = one.maps[0], "_tokens"
    if options.corruption is not None:
        suffix += f"_{options.corruption}_{options.severity}"
    views = geometric_views(Image.fromarray(clean.image))
    seen = map_tokens(labeler, views, label=clean.label, seed=options.seed)
    return {
        suffix: plot_token_labels(one.maps, threshold=options.threshold),
        "_views": plot_views(seen, threshold=options.threshold),
    }


def _file_names(paths: Iterable[Path]) -> dict[Path, str]:
    """A name of its own for every image's pictures: its stem, with a number if that is taken."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        name, number = path.stem, 2
        while name in taken:
            name, number = f"{path.stem}_{number}", number + 1
        taken.add(name)
        names[path] = name
    return names


__all__ = ["draw_token_labels", "measure_token_labels"]
