"""Pictures of token labels: the numbers in their panels."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from stl_backbones.pretraining.figures import (
    TokenMap,
    as_png,
    plot_confidence,
    plot_token_labels,
    plot_views,
)


@pytest.fixture
def tokens():
    """A map by hand: a foreground of three tokens, one of them unsure, one drawn otherwise."""
    return TokenMap(
        title="by hand",
        image=np.zeros((32, 32, 3), np.uint8),
        label=1,
        classes=np.array([[1, 1], [1, 0]]),
        confidence=np.array([[0.92, 0.22], [0.82, 0.62]]),
        label_probability=np.array([[0.9, 0.2], [0.8, 0.3]]),
        drawn=np.array([[1, 2], [1, 0]]),
    )


@pytest.fixture
def masked(tokens):
    """The same with an object: the upper two tokens, in a mask off their middle."""
    mask = np.zeros((32, 32), bool)
    mask[8:24, 4:12] = True
    on_object = np.array([[True, True], [False, False]])
    return dataclasses.replace(tokens, mask=mask, on_object=on_object)


def shown(axes):
    return axes.images[0].get_array().tolist()


def legend(drawn):
    return [text.get_text() for text in drawn.get_texts()]


def test_panels_of_figure_2(tokens):
    figure = plot_token_labels([tokens], threshold=0.5)
    axes = figure.axes
    assert shown(axes[0]) == tokens.image.tolist()
    assert shown(axes[1]) == [[2, 2], [2, 0]]  # 0 background, 1 unsure, 2 foreground
    assert shown(axes[2]) == [[2, 1], [2, 0]]
    assert shown(axes[3]) == [[2, 0], [2, 0]]
    assert [axis.get_title() for axis in axes] == [
        "by hand", "foreground tokens", "by confidence", "by Gumbel-Softmax", "confidence"
    ]  # fmt: skip
    assert [axis.images[0].get_clim() for axis in axes[1:4]] == [(0, 2)] * 3
    assert legend(figure.legends[0]) == [
        "background", "foreground, confidence below 0.5", "foreground"
    ]  # fmt: skip


def test_the_threshold_itself_is_sure(tokens):
    axes = plot_token_labels([tokens], threshold=0.22).axes
    assert shown(axes[2]) == [[2, 2], [2, 0]]


def test_the_histogram_puts_foreground_upon_background(tokens):
    axes = plot_token_labels([tokens], threshold=0.5).axes[4]
    background, foreground = np.reshape([bar.get_height() for bar in axes.patches], (2, 20))
    assert np.flatnonzero(background).tolist() == [12]
    assert np.flatnonzero(foreground).tolist() == [4, 16, 18]
    assert axes.get_xlim() == (0, 1)


def test_histograms_of_all_rows_have_one_height(tokens):
    alike = dataclasses.replace(tokens, confidence=np.full((2, 2), 0.92))
    axes = plot_token_labels([tokens, alike], threshold=0.5).axes
    assert axes[4].get_ylim() == axes[9].get_ylim()
    assert axes[4].get_ylim()[1] > 4


def test_an_outline_is_where_the_mask_ends(masked):
    axes = plot_token_labels([masked], threshold=0.5).axes
    for panel, expected, end in (
        (axes[0], [(3.5, 11.5), (7.5, 23.5)], 31.5),  # in pixels
        (axes[1], [(-0.25, 0.25), (0, 1)], 1.5),  # in tokens of 16 pixels
    ):
        corners = panel.collections[0].get_paths()[0].vertices
        found = [(side.min(), side.max()) for side in corners.T]
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert (panel.get_xlim(), panel.get_ylim()) == ((-0.5, end), (end, -0.5))
    assert [len(axis.collections) for axis in axes] == [1, 1, 1, 1, 0]


def test_the_legend_names_the_object_where_one_is_outlined(masked, tokens):
    figure = plot_token_labels([tokens, masked], threshold=0.5)
    assert legend(figure.legends[0])[-1] == "object"


def test_an_object_that_is_cropped_away_has_no_outline(masked):
    hidden = dataclasses.replace(masked, mask=np.zeros((32, 32), bool))
    assert not any(axis.collections for axis in plot_token_labels([hidden], threshold=0.5).axes)


def test_scores_are_below_their_panels(masked):
    """As in tests/metrics/test_token_labels.py: three labels, two of them on the object."""
    axes = plot_token_labels([masked], threshold=0.5).axes
    assert axes[0].get_xlabel() == "on the object: 50.0"
    assert axes[1].get_xlabel() == "IoU 66.7\nprecision 66.7, recall 100.0"
    # Of 2.2 expected labels 1.1 are on the object's two tokens: 1.1 / 3.1, 1.1 / 2.2, 1.1 / 2.
    assert axes[3].get_xlabel() == "expected IoU 35.5\nprecision 50.0, recall 55.0"
    assert axes[4].get_xlabel() == "confidence\nAUROC on / off the object 50.0"


def test_a_score_that_is_not_known_is_a_dash(masked):
    nothing = dataclasses.replace(masked, on_object=np.zeros((2, 2), bool))
    axes = plot_token_labels([nothing], threshold=0.5).axes
    assert axes[4].get_xlabel() == "confidence\nAUROC on / off the object -"


def test_scores_need_a_mask(tokens):
    with pytest.raises(ValueError, match="'by hand' has no mask"):
        tokens.sample()


def test_columns_of_figure_5(tokens):
    axes = plot_views([tokens] * 3, threshold=0.85).axes
    assert len(axes) == 9
    assert shown(axes[1]) == tokens.image.tolist()
    assert shown(axes[4]) == [[2, 1], [1, 0]]
    assert shown(axes[7]) == [[2, 0], [2, 0]]
    labels = [axis.get_ylabel() for axis in axes[::3]]
    assert labels == ["", "by confidence", "by Gumbel-Softmax"]


def test_confidence_counts_all_tokens(tokens):
    (axes,) = plot_confidence([tokens] * 5).axes
    assert sum(patch.get_height() for patch in axes.patches) == 20
    assert axes.get_title() == "5 images"
    assert legend(axes.get_legend()) == ["background", "foreground"]


def test_a_figure_is_the_same_bytes_every_time(tokens):
    first, again = (as_png(plot_token_labels([tokens], threshold=0.5)) for _ in range(2))
    assert first == again
    with Image.open(io.BytesIO(first)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1440, 372))
