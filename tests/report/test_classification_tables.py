import csv
import dataclasses
import io
import re
import shutil

import numpy as np
import pytest

from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from stl_backbones.records import CLEAN
from stl_backbones.report.contents import make_contents
from stl_backbones.report.read.runs import are_imagenet_val, read_runs
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore

SETS = {"imagenet-a": 5, "imagenet-a-clean": 18, "imagenet-r": 9, "imagenet-r-clean": 17}
NOTE = "not the official ImageNet-C files: corrupted on the fly from the validation set"


def report_of(folders, **options):
    folder = make_report(folders, **options).folder
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def printed(table, label):
    """Column title -> text of a row."""
    (row,) = [row for row in table.rows if row.label == label]
    return {column.title: table.text(row, column, 1) for column in table.columns}


def test_the_layout_of_table_2(make_classified, tables_of):
    table = tables_of([make_classified()], paper=True)["classification"]
    assert printed(table, "STL") == {
        "Params (M)": "50.9", "MACs (G)": "11.4", "IN-1K": "80.0", "IN-C": "50.0",
        "Retention": "62.5",
    }  # fmt: skip
    assert printed(table, "paper: STL (FAN-B-Hybrid)") == {
        "Params (M)": "51", "MACs (G)": "11.4", "IN-1K": "84.5", "IN-C": "68.2",
        "Retention": "80.7",
    }  # fmt: skip
    assert len(table.rows) == 1 + 25
    assert any("what the paper calls FLOPs, and timm GMACs, are MACs" in n for n in table.notes)
    assert "protocol stl-imagenet-c" in table.title


def test_the_layout_of_table_3(make_classified, tables_of):
    folder = make_classified(cells="all", sets=SETS)
    table = tables_of([folder], paper=True)["other_images"]
    own = printed(table, "STL")
    # every corruption has error 0.5: mCE is half the mean of 1 / AlexNet's errors
    assert own == {"Params (M)": "50.9", "Clean": "80.0", "IN-A": "25.0", "IN-R": "45.0",
                   "mCE": "64.7"}  # fmt: skip
    assert printed(table, "paper: STL (FAN-L-Hybrid)") == {
        "Params (M)": "77.3", "Clean": "84.7", "IN-A": "46.1", "IN-R": "56.6", "mCE": "42.5",
    }  # fmt: skip
    assert len(table.rows) == 1 + 20


def test_the_layout_of_table_12(make_classified, tables_of):
    table = tables_of([make_classified()], paper=True)["table"]
    own = printed(table, "STL")
    names = ["Params (M)", "Clean", "Avg", "Mean 16", "Mean 17", "Ret"]
    assert list(own)[:6] == names
    assert [own[name] for name in names] == ["50.9", "80.0", "50.0", "50.0", "-", "62.5"]
    published = printed(table, "paper: STL (FAN-L-Hybrid)")
    assert [published[name] for name in names] == ["77", "84.7", "69.2", "68.8", "-", "81.2"]
    assert [name for name, _ in table.groups()] == ["", "Blur", "Noise", "Digital", "Weather"]


def test_the_17_mean_has_its_own_protocol(make_classified, tables_of):
    folder = make_classified(cells="all")
    table = tables_of([folder], protocol="stl-imagenet-c-17", paper=True)["table"]
    own = printed(table, "STL")
    assert (own["Avg"], own["Mean 17"], own["Spatt"]) == ("50.0", "50.0", "50.0")
    published = printed(table, "paper: FAN-B-Hybrid")
    assert (published["Avg"], published["Mean 16"], published["Spatt"]) == ("66.4", "66.2", "-")


@pytest.mark.parametrize("protocol", ["imagenet-c", "all"])
def test_other_protocols_have_the_papers_tables_2_and_3_alone(make_classified, tables_of, protocol):
    tables = tables_of([make_classified(cells="all")], protocol=protocol, paper=True)
    assert not [row for row in tables["table"].rows if row.published]
    assert "'stl-imagenet-c', 'stl-imagenet-c-17'" in tables["table"].notes[-1]
    assert len(tables["classification"].rows) == 1 + 25


def test_table_3_needs_something_of_its_own(make_classified, tables_of):
    assert "other_images" not in tables_of([make_classified()])
    table = tables_of([make_classified("b", sets={"imagenet-r": 9})])["other_images"]
    own = printed(table, "STL")
    assert (own["IN-A"], own["IN-R"], own["mCE"]) == ("-", "45.0", "-")
    assert "Not measured for it: zoom_blur-1, " in table.notes[0]


def test_segmentation_has_neither(make_store, tables_of):
    tables = tables_of([make_store()])
    assert [name for name, table in tables.items() if table.file] == ["table"]
    assert "Params (M)" not in [column.title for column in tables["table"].columns]


def test_sizes_that_were_not_counted_are_missing(make_classified, tables_of):
    own = printed(tables_of([make_classified(parameters=0, macs=0)])["classification"], "STL")
    assert (own["Params (M)"], own["MACs (G)"]) == ("-", "-")


def test_the_lowest_mce_is_the_best_and_sizes_have_none(make_classified, tables_of):
    fewer = lambda cell: 16 if cell.is_clean else 9 - cell.severity  # noqa: E731
    folders = [
        make_classified("a", model="A", cells="all"),
        make_classified("b", model="B", cells="all", hits=fewer, parameters=1, macs=1),
    ]
    tables = tables_of(folders)
    assert tables["other_images"].best() == {("A", "clean"), ("B", "clean"), ("A", "mce")}
    assert ("A", "params") not in tables["classification"].best()


def test_a_folder_of_sets_alone_has_table_3_alone(make_classified):
    folder = make_classified(sets=SETS)
    (folder / "run.json").unlink()
    shutil.rmtree(folder / "cells")
    made = report_of([folder], paper=True)
    assert made["report.md"].startswith("# Robustness on ImageNet-A and ImageNet-R\n")
    assert "layout of STL, Table 3" in made["report.md"]
    assert "layout of STL, Table 2" not in made["report.md"]
    assert "Severity" not in made["report.md"]
    assert "table.csv" not in made
    own = next(csv.DictReader(io.StringIO(made["other_images.csv"])))
    assert (own["imagenet-a_top1_fraction"], own["mce_fraction"]) == ("0.25", "")
    assert "ImageNet-A, retention" in made["index.html"]


@pytest.mark.parametrize("mode", ["fast", "torch"])
def test_rows_of_other_numbers_than_the_papers_stay_marked(make_classified, mode):
    folder = make_classified(cells="all", corruption_mode=mode)
    made = report_of([folder], paper=True)
    assert (
        len(re.findall(rf"^\| STL \({mode} mode, other data\) ", made["report.md"], re.MULTILINE))
        == 3
    )
    for file in ("table.csv", "classification.csv", "other_images.csv"):
        row = next(csv.DictReader(io.StringIO(made[file])))
        assert "use --mode exact" in row["note"]


def test_notes_and_limits_are_in_every_table_they_touch(make_classified):
    fields = {"num_images_total": 50_000, "notes": (NOTE,)}
    folder = make_classified(sets=SETS, without=("fog-3",), **fields)
    made = report_of([folder], partial=True, paper=True)
    said = ("LIMITED: 20 of 50000 images", "PARTIAL: STL has 80 of 81 cells", NOTE)
    blocks = re.findall(r"(?:^\|.*\n)+\n(.*)", made["report.md"], flags=re.MULTILINE)
    assert len(blocks) == 4 + 1 + 5 + 1 + 1 + 2  # and flows, classes, sets, synthetic and real
    for remark in said:
        assert all(remark in block for block in blocks)
        assert made["table.tex"].count(rf"\textbf{{{remark}.}}") == 4
        assert remark in made["index.html"]
    for flag in ("LIMITED", "PARTIAL", "NOTED"):
        assert made["index.html"].count(f'<span class="flag">{flag}</span>') >= 10
    for file in ("table.csv", "cells.csv", "aggregates.csv", "classification.csv"):
        row = next(csv.DictReader(io.StringIO(made[file])))
        assert (row["num_images"], row["num_images_total"]) == ("20", "50000")
        assert row["notes"] == NOTE


def test_a_note_of_one_model_names_it(make_classified, findings_of):
    folders = [make_classified("a", model="A"), make_classified("b", model="B", notes=(NOTE,))]
    assert f"B: {NOTE}" in make_contents(findings_of(folders)).remarks


def test_a_limited_set_says_which(make_classified, write_set, findings_of):
    folder = make_classified()
    write_set(folder, "imagenet-r", 9, num_images_total=30_000)
    remarks = make_contents(findings_of([folder])).remarks
    assert remarks == ["LIMITED: 20 of 30000 images (imagenet-r)"]


def test_cells_csv_has_every_metric_with_its_interval(make_classified):
    made = report_of([make_classified(sets=SETS)], resamples=200)
    rows = list(csv.DictReader(io.StringIO(made["cells.csv"])))
    assert len(rows) == 81 + 4
    by_cell = {(row["set"], row["corruption"], row["severity"]): row for row in rows}
    fog = by_cell["main", "fog", "4"]
    assert float(fog["top1_fraction"]) == 0.4
    assert float(fog["top5_fraction"]) == 0.45
    assert float(fog["ece_fraction"]) == pytest.approx(0.25)
    assert float(fog["nll_nats"]) == pytest.approx((8 * 0.25 + 12 * 2) / 20)
    assert float(fog["top1_low_fraction"]) < 0.4 < float(fog["top1_high_fraction"])
    assert float(by_cell["imagenet-a", "clean", "0"]["top1_fraction"]) == 0.25


def test_aggregates_csv(make_classified):
    made = report_of([make_classified(sets=SETS)], resamples=200)
    rows = {row["aggregate"]: row for row in csv.DictReader(io.StringIO(made["aggregates.csv"]))}
    assert float(rows["average"]["value"]) == pytest.approx(0.5)
    assert float(rows["average"]["low"]) < 0.5 < float(rows["average"]["high"])
    assert (rows["nll:clean"]["unit"], rows["nll:clean"]["better"]) == ("nats", "lower")
    assert rows["mce"]["value"] == rows["mce"]["low"] == ""
    assert rows["mce"]["missing"].startswith("zoom_blur-1, ")
    assert float(rows["imagenet-r-retention"]["value"]) == pytest.approx(9 / 17)


def test_tables_in_csv_are_unrounded(make_classified):
    made = report_of([make_classified(parameters=50_912_345)], paper=True)
    own, *published = csv.DictReader(io.StringIO(made["classification.csv"]))
    assert own["parameters_millions"] == "50.912345"
    assert float(own["average_top1_fraction"]) == pytest.approx(0.5, abs=1e-15)
    assert len(published) == 25
    assert published[0]["macs_billions"] == "1.8"


def test_a_comparison_is_in_every_format(make_classified):
    folders = [
        make_classified("a", model="A"),
        make_classified("b", model="B", hits=lambda cell: 18 if cell.is_clean else 10),
    ]
    made = report_of(folders, compare=True, resamples=300)
    for file in ("report.md", "index.html", "table.tex"):
        assert "Paired difference" in made[file]
        assert "not corrected for the" in made[file]
    rows = {row["aggregate"]: row for row in csv.DictReader(io.StringIO(made["comparison.csv"]))}
    assert float(rows["clean"]["difference"]) == pytest.approx(0.1)
    assert 0 < float(rows["clean"]["p_value"]) <= 1
    assert (rows["clean"]["first_model"], rows["clean"]["second_model"]) == ("A", "B")


def test_a_p_value_at_the_limit_of_the_resamples_says_so(make_classified):
    folders = [
        make_classified("a", model="A", hits=lambda cell: 2),
        make_classified("b", model="B", hits=lambda cell: 18),
    ]
    text = report_of(folders, compare=True, resamples=99)["report.md"]
    line = next(x for x in text.split("Paired")[1].splitlines() if x.startswith("| Clean"))
    assert line.split("|")[-2].strip() in ("\\<= 0.020", "<= 0.020")


def test_classified_samples_that_do_not_fit_are_refused(make_classified):
    store = CellStore(make_classified())
    result = store.read(CLEAN)
    broken = {
        "prediction": (np.zeros(20, np.float32), "sample 'prediction' of integer"),
        "in_top5": (np.ones(19, bool), r"sample 'in_top5' of bool.* = \(20,\), got bool of shape"),
        "nll": (np.full(20, np.inf, np.float32), "sample 'nll' must be finite"),
        "confidence": (np.full(20, 1.5, np.float32), r"confidence must be in 0\.\.1"),
        "label": (np.full(20, 4, np.int32), r"'label' must hold classes 0\.\.3, got 4\.\.4"),
    }
    for name, (values, message) in broken.items():
        store.write(dataclasses.replace(result, samples={**result.samples, name: values}))
        with pytest.raises(ValueError, match=rf"clean\.npz': .*{message}"):
            read_runs([store.folder])
    store.write(dataclasses.replace(result, samples={}))
    with pytest.raises(ValueError, match=r"expected a sample 'label' .*, got None"):
        read_runs([store.folder])


def test_intervals_stand_behind_the_numbers(make_classified):
    made = report_of([make_classified()], resamples=200)
    row = next(csv.DictReader(io.StringIO(made["aggregates.csv"])))
    shown = f"{100 * float(row['low']):.1f} to {100 * float(row['high']):.1f}"
    assert row["aggregate"] == "clean"
    assert f'80.0<small>%</small><span class="range">{shown}</span>' in made["index.html"]
    assert f"80.0 ({shown})" in made["report.md"]
    assert f"80.0 ({shown})" in made["table.tex"]
    assert "percentiles of 200 bootstrap resamples" in made["report.md"]


def test_without_resamples_there_are_none(make_classified):
    made = report_of([make_classified()], resamples=0)
    assert 'class="range"' not in made["index.html"]
    assert "bootstrap" not in made["report.md"]
    row = next(csv.DictReader(io.StringIO(made["cells.csv"])))
    assert (row["top1_fraction"], row["top1_low_fraction"]) == ("0.8", "")


def test_other_images_than_imagenets_have_their_own_name_and_no_mce(make_classified, tables_of):
    folder = make_classified(cells="all", dataset="kitchen (4 classes)", imagenet_val=False)
    table = tables_of([folder], paper=True)["classification"]
    own = printed(table, "STL")
    assert (own["kitchen"], own["Corrupted"]) == ("80.0", "50.0")
    assert any(note.startswith("Not ImageNet-1K: protocol stl-imagenet-c") for note in table.notes)
    made = report_of([folder], require=["mce <= 1"])
    assert "IN-1K" not in made["report.md"]
    assert "FAILED | not measured: AlexNet's errors are of" in re.sub(" +", " ", made["report.md"])
    assert "other_images.csv" not in made
    rows = csv.DictReader(io.StringIO(made["aggregates.csv"]))
    (mce,) = [row for row in rows if row["aggregate"] == "mce"]
    assert (mce["value"], mce["missing"][:16]) == ("", "AlexNet's errors")


@pytest.mark.parametrize(
    ("classes", "name", "is_imagenet"),
    [
        (imagenet_wnids(), "n01440764/ILSVRC2012_val_{:08d}.JPEG", True),
        (imagenet_wnids(), "n01440764/{}.JPEG", False),  # an own set in its folders
        (("n01440764", "n01443537"), "n01440764/ILSVRC2012_val_{:08d}.JPEG", False),  # some classes
        (tuple(map(str, range(1000))), "0/ILSVRC2012_val_{:08d}.JPEG", False),
    ],
)
def test_sweeps_of_before_are_imagenets_by_their_names(make_classified, classes, name, is_imagenet):
    record = CellStore(make_classified()).provenance()
    before = dataclasses.replace(record, classes=classes, imagenet_val=None)
    assert are_imagenet_val(before, [name.format(n) for n in range(20)]) is is_imagenet


def test_a_sweep_of_before_over_other_names_has_no_mce(make_classified, findings_of):
    folder = make_classified(cells="all", imagenet_val=None)
    assert findings_of([folder]).aggregates[0]["mce"].value is None
