"""Sweeps of chosen cells: their mean is exact, and is called by no protocol's name."""

import dataclasses

import pytest

from stl_backbones.corruptions.protocols import get_protocol
from stl_backbones.records import Cell
from stl_backbones.report.contents import make_contents
from stl_backbones.report.numbers.requirements import judge, parse_requirement
from stl_backbones.report.render import html
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore
from stl_backbones.results.cell_file import encode_cell

CHOSEN = ("clean", "fog-3", "fog-5", "gaussian_noise-3")


@pytest.fixture
def chosen_store(make_store):
    def make(name="run", chosen=CHOSEN):
        every = [cell.name for cell in get_protocol("stl-cityscapes-c").cells()]
        without = tuple(name for name in every if name not in chosen)
        return make_store(name, without=without, chosen=tuple(chosen))

    return make


def test_the_mean_is_over_the_chosen_cells(chosen_store, findings_of, tables_of):
    """Fog 50, noise 30, clean 80: the mean is 40, half of clean."""
    folder = chosen_store()
    findings = findings_of([folder])
    assert findings.protocol.name == (
        "stl-cityscapes-c (chosen: 2 of 16 corruptions, 3 of 72 cells)"
    )
    found = findings.aggregates[0]
    assert found["chosen"].value == pytest.approx(0.4)
    assert found["chosen-retention"].value == pytest.approx(0.5)
    assert "average" not in found
    table = tables_of([folder])["table"]
    assert [(one.title, one.csv) for one in table.columns[:3]] == [
        ("Clean", "clean_miou_fraction"), ("Chosen", "chosen_miou_fraction"),
        ("Ret chosen", "chosen-retention_fraction"),
    ]  # fmt: skip
    report = make_contents(findings)
    assert report.remarks[0].startswith("CHOSEN CELLS: ")
    (verdict,) = judge([parse_requirement("chosen >= 0.39")], findings)
    assert verdict.passed
    with pytest.raises(KeyError, match="no 'average'"):
        judge([parse_requirement("average >= 0.3")], findings)


def test_a_chosen_cell_that_is_missing_is_refused(chosen_store, findings_of):
    folder = chosen_store()
    (folder / "cells" / "fog-5.npz").unlink()
    with pytest.raises(ValueError, match="lacks 1: fog-5"):
        findings_of([folder])


def test_clean_images_alone_make_a_report(chosen_store, make_classified, tmp_path, findings_of):
    made = make_report([chosen_store(chosen=("clean",))], out=tmp_path / "out")
    assert "clean images alone" in made.text
    assert "80.0" in made.text
    assert "nan" not in (made.folder / "table.csv").read_text()
    every = [cell.name for cell in get_protocol("stl-imagenet-c").cells() if not cell.is_clean]
    findings = findings_of([make_classified("b", without=tuple(every), chosen=("clean",))])
    assert "Top-1" in html.render(make_contents(findings))


def test_other_choices_are_no_choice(chosen_store, make_store, findings_of):
    """Beside a whole sweep, or another choice, the protocol's cells are asked for."""
    with pytest.raises(ValueError, match="cells of protocol 'stl-cityscapes-c' are missing"):
        findings_of([chosen_store("a"), make_store("b")])


OTHERS = ("fog-2.5", "fog+snow-3", "rain-2.40054")  # no cells of the protocol


@pytest.fixture
def other_store(chosen_store):
    """Chosen cells, and cells beside the protocol's."""

    def make(name="run", chosen=CHOSEN):
        folder = chosen_store(name, (*chosen, *OTHERS))
        like = CellStore(folder).read(Cell("fog", 3))
        versions = {"fog+snow": "compound 1", "rain": "1"}
        record = dataclasses.replace(like.provenance, custom_versions=versions)
        for other in map(Cell.from_name, OTHERS):
            content = encode_cell(dataclasses.replace(like, cell=other, provenance=record))
            (folder / "cells" / f"{other.name}.npz").write_bytes(content)
        return folder

    return make


def test_cells_beside_the_protocols_have_their_columns(other_store, findings_of, tables_of):
    folder = other_store()
    findings = findings_of([folder])
    assert dict(findings.protocol.severities) == {
        "gaussian_noise": (3,), "fog": (2.5, 3, 5), "fog+snow": (3,), "rain": (2.40054,),
    }  # fmt: skip
    assert list(findings.protocol.columns) == ["noise", "weather", "compound"]
    page = html.render(make_contents(findings))
    for text in ("Fog + snow", "rain 33 mm/h", "Fog 2.5"):
        assert text in page
    (verdict,) = judge([parse_requirement("rain/33mm/h >= 0.5")], findings)
    assert verdict.passed
    (verdict,) = judge([parse_requirement("fog+snow <= 0.5")], findings)
    assert verdict.passed


def test_cells_beside_the_protocols_stay_where_sweeps_differ(
    other_store, chosen_store, findings_of
):
    folders = [other_store("a"), chosen_store("b", ("clean", "snow-1"))]
    findings = findings_of(folders, partial=True)
    assert {"fog+snow", "rain"} < set(findings.protocol.corruptions)
    assert 2.5 in findings.protocol.severities["fog"]
    assert len(findings.protocol.corruptions) == 18
