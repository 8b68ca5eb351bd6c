"""Where the points and marks of severity curves lie, by hand."""

import pytest

from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.render.charts import Charts, Line
from stl_backbones.report.sections import Curve, Curves, Panel

FOG = Curve("Fog", {0: 0.8, 5: 0.2}, (0, 5))


@pytest.fixture
def charts():
    """The highest value is 0.8: the axis runs from 0 at height 176 to 0.8 at height 10."""
    panel = Panel("weather", "Weather", (FOG,))
    return Charts(Curves("Curves", "", CellMetric("miou", "mIoU", ""), (panel,)), 1)


def test_the_highest_value_is_at_the_top(charts):
    """Clean is 12 to the right of the axis at 36, severity 5 is 12 to the left of 290."""
    assert charts.path(FOG) == "M48.0 10.0L278.0 134.5"  # 176 - 166 / 4


def test_the_axis_has_five_steps_at_most(charts):
    assert list(charts.ticks) == [
        (176.0, "0"), (134.5, "20"), (93.0, "40"), (51.5, "60"), (10.0, "80"),
    ]  # fmt: skip


def test_a_diamonds_corners_are_equally_far_from_its_point():
    """From 4.4 above the point to the right of it, below it and to the left."""
    assert Line(3).marker(10, 20) == "M10.0 15.6l4.4 4.4l-4.4 4.4l-4.4 -4.4z"
