import pytest

from stl_backbones.report.render.colours import (
    DARK_TEXT,
    LIGHT_TEXT,
    NUM_SHADES,
    scale_colour,
    shade,
    shades,
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


def test_the_steps_run_from_one_end_of_the_scale_to_the_other():
    colours = [colour for colour, _ in shades()]
    assert len(set(colours)) == len(colours) == NUM_SHADES
    ends = [shade(value, (0.2, 0.7)) for value in (0.2, 0.7)]
    assert [colours[step] for step in ends] == ["#440154", "#fde725"]
