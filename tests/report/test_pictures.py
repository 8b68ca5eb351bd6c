"""Heat maps: the colour scale that all maps share."""

import pytest

from stl_backbones.report.pictures import heat_map


@pytest.mark.parametrize(
    ("clean", "corrupted", "limits"),
    [(80, 30, (0.3, 0.8)), (77, 33, (0.3, 0.8)), (50, 50, (0.5, 0.6))],
)
def test_the_colour_scale_ends_at_tenths(make_store, findings_of, clean, corrupted, limits):
    folder = make_store(percent=lambda cell: clean if cell.is_clean else corrupted)
    assert heat_map(findings_of([folder])).limits == pytest.approx(limits)
