"""Pictures of token labels, from arrays alone.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL),
    Figures 2 and 5.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

# Dark blue, cyan, yellow: the paper's, apart in lightness too.
BACKGROUND, UNSURE, FOREGROUND = "#262a70", "#35b7c9", "#ffdf3d"
_COLOURS = ListedColormap([BACKGROUND, UNSURE, FOREGROUND])
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
        drawn: ``(h, w)`` the class that Gumbel-Softmax drew.
    """

    title: str
    image: np.ndarray
    label: int
    classes: np.ndarray
    confidence: np.ndarray
    drawn: np.ndarray

    @property
    def foreground(self) -> np.ndarray:
        """Where a token's likeliest class is the image's, ``(h, w)`` bool."""
        return self.classes == self.label


def plot_token_labels(maps: Sequence[TokenMap], *, threshold: float) -> Figure:
    """Figure 2: one row per image, for example a clean one and its corrupted copy.

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
    for axes in rows[:, 4]:
        axes.set_ylim(0, max(other.get_ylim()[1] for other in rows[:, 4]))
    titles = ("foreground tokens", "by confidence", "by Gumbel-Softmax", "confidence")
    for axis, title in zip(rows[0][1:], titles, strict=True):
        axis.set_title(title)
    _add_legend(figure, threshold)
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


def _show_histogram(axes: Axes, maps: Sequence[TokenMap]) -> None:
    foreground = np.concatenate([tokens.confidence[tokens.foreground] for tokens in maps])
    background = np.concatenate([tokens.confidence[~tokens.foreground] for tokens in maps])
    axes.hist(
        [background, foreground], bins=list(_BINS), stacked=True, color=[BACKGROUND, FOREGROUND],
        edgecolor="white", linewidth=0.4,
    )  # fmt: skip
    axes.set(xlim=(0, 1), xlabel="confidence", ylabel="tokens")
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, threshold: float) -> None:
    handles = _patches(
        ("background", BACKGROUND),
        (f"foreground, confidence below {threshold:g}", UNSURE),
        ("foreground", FOREGROUND),
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _patches(*entries: tuple[str, str]) -> list[Patch]:
    return [Patch(facecolor=colour, label=label) for label, colour in entries]


__all__ = ["TokenMap", "as_png", "plot_confidence", "plot_token_labels", "plot_views"]
