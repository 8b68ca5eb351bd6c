import pytest

from stl_backbones.report.render.colours import (
    DARK_TEXT,
    LIGHT_TEXT,
    scale_colour,
    text_colour,
    to_hex,
)


@pytest.mark.parametrize(
    ("share", "colour"),
    [(0.0, "#440154"), (0.5, "#21918c"), (1.0, "#fde725"), (-1.0, "#440154"), (2.0, "#fde725")],
)
def test_the_scale_is_viridis(share, colour):
    assert to_hex(scale_colour(share)) == colour


def test_between_two_stops_it_is_linear():
    assert scale_colour(1 / 16) == (70, 23, 104)  # halfway from (68, 1, 84) to (71, 45, 123)


def test_text_contrasts_with_its_cell():
    assert text_colour(scale_colour(0.0)) == LIGHT_TEXT
    assert text_colour(scale_colour(1.0)) == DARK_TEXT
