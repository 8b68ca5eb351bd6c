from decimal import ROUND_HALF_UP, Decimal

import pytest

from stl_backbones.corruptions.catalog import get_protocol
from stl_backbones.report.paper import (
    AVERAGE_TOLERANCE,
    PAPER_TABLES,
    get_paper_table,
    paper_notes,
    paper_rows,
    read_paper_table,
)

FILES = [
    "table2_classification.csv",
    "table3_ood.csv",
    "table4_segmentation.csv",
    "table5_detection.csv",
    "table8_heterogeneous_labelers.csv",
    "table9_cnn_labeler.csv",
    "table12_imagenet_c.csv",
    "table13_cityscapes_c.csv",
]

# Rows of Table 13 whose printed average is not the mean of their 16 columns: (printed, mean).
AVERAGE_EXCEPTIONS = {
    "DLv3+ (X71)": ("42.5", "43.2"),
    "ResNet-38": ("32.6", "36.4"),
    "ConvNeXt-T": ("54.4", "54.0"),
    "SETR (DeiT-S)": ("55.5", "54.5"),
    "Swin-T": ("47.5", "48.4"),
    "SegFormer-B0": ("48.9", "48.5"),
    "SegFormer-B2": ("55.8", "55.2"),
}


@pytest.mark.parametrize("file", FILES)
def test_every_table_of_the_paper_is_installed(file):
    rows = read_paper_table(file)
    assert all(row["model"] for row in rows)
    assert len(rows) >= 9


@pytest.mark.parametrize("protocol", PAPER_TABLES)
def test_a_table_has_exactly_the_protocols_columns(protocol):
    columns = set(read_paper_table(PAPER_TABLES[protocol].file)[0])
    assert columns - {"model", "params_m", "average"} == set(get_protocol(protocol).corruptions)


def test_a_row_holds_the_printed_numbers():
    row = next(row for row in paper_rows("stl-cityscapes-c") if row.model == "STL (FAN-L-Hybrid)")
    assert (row.average, row.clean, row.retention) == (
        Decimal("69.2"),
        Decimal("82.8"),
        Decimal("83.6"),
    )
    assert row.corruptions["frost"] == Decimal("53.6")


def test_printed_averages_are_the_mean_of_their_columns_but_for_known_rows():
    rows = [row for row in paper_rows("stl-cityscapes-c") if row.column_mean is not None]
    apart = {
        row.model: (str(row.average), str(row.column_mean))
        for row in rows
        if abs(row.average - row.column_mean) > AVERAGE_TOLERANCE
    }
    assert len(rows) == 18
    assert apart == AVERAGE_EXCEPTIONS
    assert not [model for model in apart if "FAN" in model]


def test_garbled_rows_have_no_columns():
    rows = {row.model: row for row in paper_rows("stl-cityscapes-c")}
    assert set(rows["SegFormer-B1"].corruptions.values()) == {None}
    assert rows["SegFormer-B1"].column_mean is None
    assert rows["SegFormer-B1"].average == Decimal("52.6")


def _recomputed(robust, clean):
    return (100 * robust / clean).quantize(Decimal("0.1"), ROUND_HALF_UP)


# Rows of Tables 4 and 2 whose printed retention is not robust / clean: (printed, recomputed).
RETENTION_EXCEPTIONS = {
    "stl-cityscapes-c": {"FAN-B-Hybrid": ("81.5", "81.4")},
    "stl-imagenet-c": {"FAN-T-Hybrid": ("71.4", "71.7"), "ConvNeXt-T": ("71.9", "72.0")},
}


@pytest.mark.parametrize("protocol", PAPER_TABLES)
def test_printed_retention_is_robust_over_clean_but_for_known_rows(protocol):
    table = PAPER_TABLES[protocol]
    apart = {}
    for row in read_paper_table(table.summary_file):
        robust, clean = Decimal(row[table.robust_column]), Decimal(row[table.clean_column])
        if Decimal(row["retention_pct"]) != _recomputed(robust, clean):
            apart[row["model"]] = (row["retention_pct"], str(_recomputed(robust, clean)))
    assert apart == RETENTION_EXCEPTIONS[protocol]


@pytest.mark.parametrize("protocol", PAPER_TABLES)
def test_the_models_of_both_tables_are_matched(protocol):
    table = PAPER_TABLES[protocol]
    unmatched = {name for name, other in table.summary_names.items() if other is None}
    for row in paper_rows(protocol):
        assert (row.clean is None) == (row.model in unmatched)
        if row.robust is not None:  # a wrong match would be tens of points off
            assert abs(row.robust - row.average) < 4


def test_notes_are_computed_from_the_rows():
    table = PAPER_TABLES["stl-cityscapes-c"]
    notes = paper_notes(table, paper_rows("stl-cityscapes-c"))
    assert "BGR" in notes[0]
    for model, (printed, mean) in AVERAGE_EXCEPTIONS.items():
        assert f"{model} {printed} (mean {mean})" in notes[1]
    assert "SegFormer-B2 59.6 (here 55.8)" in notes[2]
    assert len(paper_notes(table, ())) == 1


@pytest.mark.parametrize(
    ("protocol", "task"), [("coco-c", "detection"), ("stl-imagenet-c", "segmentation")]
)
def test_protocols_without_published_rows_are_refused(protocol, task):
    with pytest.raises(ValueError, match=r"expected 'stl-cityscapes-c' \(segmentation\)"):
        get_paper_table(protocol, task)
