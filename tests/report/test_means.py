"""Means over corruptions of one's own choice."""

import pytest

from stl_backbones.corruptions import get_protocol
from stl_backbones.report.numbers.means import parse_means
from stl_backbones.report.write import make_report

PROTOCOL = get_protocol("stl-imagenet-c")


def uneven(cell):
    """Right of 20: clean 16, snow 4, frost 12, else 10."""
    return {"clean": 16, "snow": 4, "frost": 12}.get(cell.corruption, 10)


def test_it_stands_under_its_own_name_and_can_be_required(make_classified):
    folder = make_classified(hits=uneven)
    made = make_report(
        [folder], means=["winter=snow, frost", "loud=noise"], resamples=0,
        require=["winter >= 0.4", "mean:winter > 0.4", "ece:winter <= 1"],
    )  # fmt: skip
    assert [verdict.passed for verdict in made.verdicts] == [True, False, True]
    assert "| Mean winter, of 2 (snow, frost) " in made.text
    assert (
        "| Mean loud, of 4 (gaussian_noise, impulse_noise, shot_noise, speckle_noise) " in made.text
    )
    assert "\nSTL,winter,0.4," in (made.folder / "aggregates.csv").read_text(encoding="utf-8")


def test_a_groups_name_has_two_meanings_then(make_classified):
    """The group `weather` has brightness too."""
    folder = make_classified(hits=uneven)
    options = {"means": ["weather=fog,snow,frost"], "resamples": 0}
    with pytest.raises(KeyError, match="write 'mean:weather' or 'group:weather'"):
        make_report([folder], require=["weather > 0"], **options)
    made = make_report([folder], require=["mean:weather >= 0", "group:weather >= 0"], **options)
    found = [float(verdict.found) for verdict in made.verdicts]
    assert found == pytest.approx([26 / 60, 36 / 80], abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["winter"], "--mean takes NAME=CORRUPTION"),
        (["=fog"], "--mean takes NAME=CORRUPTION"),
        (["a b=fog"], "--mean takes NAME=CORRUPTION"),
        (["average=fog"], "--mean average: another number has this name"),
        (["Average=fog"], "--mean Average: another number has this name"),
        (["imagenet-c=fog"], "--mean imagenet-c: another number has this name"),
        (["fog=snow"], "--mean fog: another number"),
        (["measured=snow"], "--mean measured: another number"),
        (["a=fog", "a=snow"], "--mean a: another number"),
        (["a=fog", "A=snow"], "--mean A: another number"),
        (["winter=snow,smoke"], "unknown corruption 'smoke'"),
        (["winter=zoom_blur"], "'zoom_blur' is not part of protocol 'stl-imagenet-c'"),
    ],
)
def test_what_does_not_fit(texts, message):
    with pytest.raises((ValueError, KeyError), match=message):
        parse_means(texts, PROTOCOL)


def test_what_was_measured_has_a_mean_that_says_so(make_classified, findings_of):
    without = tuple(
        cell.name for cell in PROTOCOL.cells() if cell.corruption not in ("clean", "snow", "frost")
    )
    folders = [
        make_classified("a", model="A", hits=uneven, without=without),
        make_classified("b", model="B", hits=uneven, without=("snow-2",)),
    ]
    made = make_report(folders, partial=True, resamples=0, require=["measured >= 0.5"])
    assert [verdict.found for verdict in made.verdicts] == ["0.6", "0.6"]  # frost alone in both
    assert "| Mean measured, of 1 (frost) " in made.text
    whole = make_report([make_classified("c", hits=uneven)], partial=True, resamples=0)
    assert "Mean measured" not in whole.text
