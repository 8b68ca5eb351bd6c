"""Pictures of token labels, from arrays alone.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL),
    Figures 2 and 5.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stl_backbones.metrics.token_labels import TokenSample, TokenScore, score_token_labels

# Dark blue, cyan, yellow: the paper's, apart in lightness too.
BACKGROUND, UNSURE, FOREGROUND = "#262a70", "#35b7c9", "#ffdf3d"
_COLOURS = ListedColormap([BACKGROUND, UNSURE, FOREGROUND])
_OUTLINE = "#e8232a"  # of the object's mask
_BINS = np.linspace(0, 1, 21)
_PANEL = 2.4  # inches
_DPI = 120


@dataclass(frozen=True)
class TokenMap:
    """What a labeler says about the tokens of one image.

    Attributes:
        title: What the image is.
        image: ``(H, W, 3)`` uint8, as the labeler saw it.
        label: The image's class.
        classes: ``(h, w)`` the likeliest class of each token.
        confidence: ``(h, w)`` its probability.
        label_probability: ``(h, w)`` the probability of the image's class.
        drawn: ``(h, w)`` the class that Gumbel-Softmax drew.
        mask: ``(H, W)`` bool, where the object is; ``None`` where that is not known.
        on_object: ``(h, w)`` bool, which tokens are on the object; ``None`` likewise.
    """

    title: str
    image: np.ndarray
    label: int
    classes: np.ndarray
    confidence: np.ndarray
    label_probability: np.ndarray
    drawn: np.ndarray
    mask: np.ndarray | None = None
    on_object: np.ndarray | None = None

    @property
    def foreground(self) -> np.ndarray:
        """Where a token's likeliest class is the image's, ``(h, w)`` bool."""
        return self.classes == self.label

    def sample(self) -> TokenSample:
        """What scores are made of.

        Raises:
            ValueError: If the object's place is not known.
        """
        if self.on_object is None:
            raise ValueError(f"'{self.title}' has no mask")
        return TokenSample(
            self.label, self.on_object, self.classes, self.confidence, self.label_probability
        )


def plot_token_labels(maps: Sequence[TokenMap], *, threshold: float) -> Figure:
    """Figure 2: one row per image, for example a clean one and its corrupted copy.

    Where the object's mask is known, its outline is drawn and the image's scores are below.

    Args:
        maps: One per row.
        threshold: Confidence from which a foreground token counts as sure.
    """
    figure, rows = _grid(len(maps), 5)
    for axes, tokens in zip(rows, maps, strict=True):
        _show_image(axes[0], tokens.image, tokens.title)
        _show_map(axes[1], 2 * tokens.foreground)
        sure = tokens.confidence >= threshold
        _show_map(axes[2], tokens.foreground * (1 + sure))
        _show_map(axes[3], 2 * (tokens.drawn == tokens.label))
        _show_histogram(axes[4], [tokens])
        if tokens.mask is not None:
            _add_outline(axes[:4], tokens.mask)
            _add_scores(axes, tokens)
    for axes in rows[:, 4]:
        axes.set_ylim(0, max(other.get_ylim()[1] for other in rows[:, 4]))
    titles = ("foreground tokens", "by confidence", "by Gumbel-Softmax", "confidence")
    for axis, title in zip(rows[0][1:], titles, strict=True):
        axis.set_title(title)
    outlined = any(tokens.mask is not None for tokens in maps)
    _add_legend(figure, threshold, *[("object", _OUTLINE)] * outlined)
    return figure


def plot_views(maps: Sequence[TokenMap], *, threshold: float) -> Figure:
    """Figure 5: one column per view of an image, its token labels below it.

    Args:
        maps: One per column.
        threshold: See `plot_token_labels`.
    """
    figure, rows = _grid(3, len(maps))
    for column, tokens in enumerate(maps):
        _show_image(rows[0][column], tokens.image, tokens.title)
        sure = tokens.confidence >= threshold
        _show_map(rows[1][column], tokens.foreground * (1 + sure))
        _show_map(rows[2][column], 2 * (tokens.drawn == tokens.label))
    rows[1][0].set_ylabel("by confidence")
    rows[2][0].set_ylabel("by Gumbel-Softmax")
    _add_legend(figure, threshold)
    return figure


def plot_confidence(maps: Sequence[TokenMap]) -> Figure:
    """Figure 2 (e): the confidence of all tokens of several images."""
    figure = Figure(figsize=(2 * _PANEL, 1.5 * _PANEL), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    _show_histogram(axes, maps)
    axes.set_title(f"{len(maps)} images")
    axes.legend(handles=_patches(("background", BACKGROUND), ("foreground", FOREGROUND)))
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _grid(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    size = (_PANEL * columns, _PANEL * rows + 0.7)  # the rest is for titles and the legend
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _show_image(axes: Axes, image: np.ndarray, title: str) -> None:
    axes.imshow(image)
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])


def _show_map(axes: Axes, values: np.ndarray) -> None:
    axes.imshow(values, cmap=_COLOURS, vmin=0, vmax=2, interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def _add_scores(axes: Sequence[Axes], tokens: TokenMap) -> None:
    """The scores of a row's image, below the panels that they belong to."""
    scores = score_token_labels([tokens.sample()], resamples=0).overall
    axes[0].set_xlabel(f"on the object: {_percent(scores, 'on_object')}")
    axes[1].set_xlabel(_overlap_text(scores, ""))
    axes[3].set_xlabel(_overlap_text(scores, "drawn_"))
    axes[4].set_xlabel(
        f"confidence\nAUROC on / off the object {_percent(scores, 'auroc_labelled')}"
    )


def _add_outline(panels: Sequence[Axes], mask: np.ndarray) -> None:
    """Draw where a mask ends, in the units of the picture that a panel shows."""
    if not mask.any():  # cropped away
        return
    padded = np.pad(mask.astype(float), 1)  # so that outlines are closed at the border
    height, width = mask.shape
    for axes in panels:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        x = left + (np.arange(-1, width + 1) + 0.5) / width * (right - left)
        y = top + (np.arange(-1, height + 1) + 0.5) / height * (bottom - top)
        axes.contour(x, y, padded, levels=[0.5], colors=[_OUTLINE], linewidths=1.2)
        axes.set(xlim=(left, right), ylim=(bottom, top))


def _overlap_text(scores: Mapping[str, TokenScore], prefix: str) -> str:
    parts = (("IoU", "iou"), ("precision", "precision"), ("recall", "recall"))
    iou, *others = (f"{title} {_percent(scores, prefix + key)}" for title, key in parts)
    return f"{'expected ' if prefix else ''}{iou}\n{', '.join(others)}"


def _percent(scores: Mapping[str, TokenScore], key: str) -> str:
    value = scores[key].value
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _show_histogram(axes: Axes, maps: Sequence[TokenMap]) -> None:
    foreground = np.concatenate([tokens.confidence[tokens.foreground] for tokens in maps])
    background = np.concatenate([tokens.confidence[~tokens.foreground] for tokens in maps])
    axes.hist(
        [background, foreground], bins=list(_BINS), stacked=True, color=[BACKGROUND, FOREGROUND],
        edgecolor="white", linewidth=0.4,
    )  # fmt: skip
    axes.set(xlim=(0, 1), xlabel="confidence", ylabel="tokens")
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, threshold: float, *more: tuple[str, str]) -> None:
    handles = _patches(
        ("background", BACKGROUND),
        (f"foreground, confidence below {threshold:g}", UNSURE),
        ("foreground", FOREGROUND),
        *more,
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def _patches(*entries: tuple[str, str]) -> list[Patch]:
    return [Patch(facecolor=colour, label=label) for label, colour in entries]


__all__ = ["TokenMap", "as_png", "plot_confidence", "plot_token_labels", "plot_views"]
