"""Reports of detectors: AP by hand, the paper's Table 5, masks that not every model has."""

import csv
import dataclasses
import io
import re

import numpy as np
import pytest

from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.requirements import judge, parse_requirement
from stl_backbones.report.read.metrics import find_task
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore


# AP of the cars is (1 + 25 found) / 101, of the person 1 or 0; of dogs there are none.
def ap(cars, person):
    return ((1 + 25 * cars) / 101 * (cars > 0) + person) / 2


BOX_CLEAN, MASK_CLEAN = ap(3, 1), ap(2, 1)
BOX = [ap(3, 1), ap(2, 1), ap(2, 0), ap(1, 0), ap(0, 0)]  # by severity
MASK = [ap(2, 1), ap(1, 1), ap(1, 0), ap(0, 0), ap(0, 0)]


def report_of(folders, **options):
    folder = make_report(folders, **options).folder
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def printed(table, label):
    """Group and title of a column -> text of a row."""
    (row,) = [row for row in table.rows if row.label == label]
    return {
        f"{column.group} {column.title}".strip(): table.text(row, column, 1)
        for column in table.columns
    }


def titles(table):
    return [column.title for column in table.columns]


def test_numbers_by_hand(make_detected, findings_of):
    (found,) = findings_of([make_detected()]).aggregates
    assert found["clean"].value == pytest.approx(BOX_CLEAN)
    assert found["average"].value == pytest.approx(np.mean(BOX))
    assert found["retention"].value == pytest.approx(np.mean(BOX) / BOX_CLEAN)
    assert found["fog"].value == found["weather"].value == pytest.approx(np.mean(BOX))
    assert found["mask_ap:clean"].value == pytest.approx(MASK_CLEAN)
    assert found["mask_ap:average"].value == pytest.approx(np.mean(MASK))
    assert found["mask_ap:retention"].value == pytest.approx(np.mean(MASK) / MASK_CLEAN)
    assert found["box_ap50:average"].value == found["box_ap_medium:average"].value
    assert np.isnan(found["box_ap_large:clean"].value)
    assert "box_ap50:retention" not in found
    assert found["average"].title == "mPC, mean of 15 (coco-c)"
    assert found["mask_ap:retention"].title == "Mask AP, rPC"


@pytest.mark.parametrize("protocol", ["coco-c", "all"])
def test_the_layout_of_table_5(make_detected, tables_of, protocol):
    folder = make_detected(cells=protocol, protocol=protocol)
    tables = tables_of([folder], paper=True)
    table = tables["detection"]
    own = {"Encoder size (M)": "50.3", "Box mAP": "87.6", "Box mPC": "40.2", "Box rPC": "45.9",
           "Mask mAP": "75.2", "Mask mPC": "30.2", "Mask rPC": "40.1"}  # fmt: skip
    assert printed(table, "STL") == own
    assert printed(table, "paper: STL (FAN-B-Hybrid)") == {
        **dict.fromkeys(own, "-"), "Encoder size (M)": "50", "Box mAP": "53.9",
    }  # fmt: skip
    assert printed(table, "paper: ResNeXt-101-32")["Encoder size (M)"] == "-"
    assert len(table.rows) == 1 + 15
    assert any("clean images of COCO val2017" in note for note in table.notes)
    assert f"protocol {protocol}" in table.title
    assert not [row for row in tables["table"].rows if row.published]
    assert "no detection scores on corrupted images" in tables["table"].notes[-1]


def test_other_protocols_have_no_published_rows(make_detected, tables_of):
    message = r"no rows for protocol 'imagenet-c' and task 'detection'; .*'coco-c' \(detection\)"
    with pytest.raises(ValueError, match=message):
        tables_of([make_detected()], protocol="imagenet-c", paper=True)


def test_boxes_and_masks_by_corruption(make_detected, tables_of):
    tables = tables_of([make_detected()])
    for table, clean, average, share in (
        (tables["table"], "87.6", "40.2", "45.9"),
        (tables["masks"], "75.2", "30.2", "40.1"),
    ):
        assert titles(table)[:3] == ["Clean", "mPC", "rPC"]
        assert [name for name, _ in table.groups()] == ["", "Noise", "Blur", "Weather", "Digital"]
        own = printed(table, "STL")
        assert (own["Clean"], own["mPC"], own["rPC"]) == (clean, average, share)
        assert own["Weather Fog"] == own["Digital JPEG"] == average
    assert tables["table"].title == "Box AP (%), protocol coco-c"
    assert tables["masks"].title == "Mask AP (%), protocol coco-c"
    severities = [
        row.values["corruption:fog"]
        for level in range(1, 6)
        for row in tables[f"Severity {level}"].rows
    ]
    assert severities == pytest.approx(BOX)


def test_a_sweep_of_all_has_the_mean_of_the_fifteen_too(make_detected, findings_of):
    worse = lambda cell: 1 if cell.corruption == "spatter" else 2  # noqa: E731
    folder = make_detected(cells="all", protocol="all", cars=worse)
    (found,) = findings_of([folder]).aggregates
    fifteen = np.mean([ap(2, 1), ap(2, 1), *[ap(2, 0)] * 3])
    spatter = np.mean([ap(1, 1), ap(1, 1), *[ap(1, 0)] * 3])
    assert found["coco-c"].value == pytest.approx(fifteen)
    assert found["average"].value == pytest.approx((18 * fifteen + spatter) / 19)


def test_a_model_without_masks_has_dashes_beside_one_with(make_detected, tables_of):
    folders = [make_detected("a"), make_detected("b", masks=False, model="FAN")]
    tables = tables_of(folders, paper=True)
    for table in (tables["detection"], tables["masks"]):
        values = printed(table, "FAN")
        assert {text for name, text in values.items() if name not in ("Encoder size (M)", "Box mAP",
                "Box mPC", "Box rPC")} == {"-"}  # fmt: skip
        assert "Without masks: FAN." in table.notes
    rows = {row.label: row.values for row in tables["Aggregates"].rows}
    assert rows["Mask AP, mPC"] == {"0": "30.2", "1": "-"}
    made = report_of(folders)
    cells = rows_of(made["cells.csv"])
    assert [row["mask_ap_fraction"] == "" for row in cells] == [False] * 76 + [True] * 76
    missing = {row["missing"] for row in rows_of(made["aggregates.csv"])
               if row["model"] == "FAN" and row["aggregate"].startswith("mask_ap")}  # fmt: skip
    assert missing == {"masks"}


def test_without_any_masks_nothing_is_said_of_them(make_detected, tables_of):
    folder = make_detected(masks=False)
    tables = tables_of([folder])
    assert titles(tables["detection"]) == ["Encoder size (M)", "mAP", "mPC", "rPC"]
    assert "masks" not in tables
    assert "Mask" not in make_report([folder]).text


def test_classes(make_detected, tables_of):
    table = tables_of([make_detected()])["Classes"]
    assert table.title == "Classes: Box AP (%) of the classes that occur"
    assert [row.label for row in table.rows] == ["car", "person"]
    cars = np.mean([76, 51, 51, 26, 0]) / 101
    assert table.rows[0].values["0 clean"] == pytest.approx(76 / 101)
    assert table.rows[0].values["0 average"] == pytest.approx(cars)
    assert table.rows[1].values["0 average"] == pytest.approx(2 / 5)


def test_an_untested_severity_is_no_zero(make_detected, findings_of, tables_of):
    folder = make_detected(without=("fog-5", "clean"))
    with pytest.raises(ValueError, match="'STL' lacks 2: clean, fog-5"):
        tables_of([folder])
    tables = tables_of([folder], partial=True)
    own = printed(tables["table"], "STL")
    assert (own["Clean"], own["mPC"], own["rPC"], own["Weather Fog"]) == ("-", "-", "-", "-")
    assert own["Weather Snow"] == "40.2"
    own = printed(tables["detection"], "STL")
    assert (own["Box mPC"], own["Mask mPC"], own["Mask mAP"]) == ("-", "-", "-")
    (found,) = findings_of([folder], partial=True).aggregates
    assert found["mask_ap:average"].missing == ("fog-5",)


def test_a_share_of_nothing_is_not_counted(make_detected, tables_of):
    store = CellStore(make_detected(cars=lambda cell: 0))
    result = store.read(CLEAN)
    empty = {
        name: array[:0] if name.split("_")[0] in ("bbox", "segm") else array
        for name, array in result.samples.items()
    }
    empty |= {f"{kind}_detections": np.zeros(4, np.int32) for kind in ("bbox", "segm")}
    store.write(dataclasses.replace(result, samples=empty))
    own = printed(tables_of([store.folder])["detection"], "STL")
    assert (own["Box mAP"], own["Box mPC"], own["Box rPC"]) == ("0.0", "20.0", "n/a")


def test_a_size_that_was_not_counted_is_missing(make_detected, tables_of):
    table = tables_of([make_detected(encoder_parameters=0)])["detection"]
    assert printed(table, "STL")["Encoder size (M)"] == "-"


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ("mpc >= 0.3", np.mean(BOX)),
        ("average >= 0.3", np.mean(BOX)),
        ("rpc >= 0.3", np.mean(BOX) / BOX_CLEAN),
        ("retention >= 0.3", np.mean(BOX) / BOX_CLEAN),
        ("box_ap >= 0.3", BOX_CLEAN),
        ("box_ap:mpc >= 0.3", np.mean(BOX)),
        ("mask_ap:mpc >= 0.3", np.mean(MASK)),
        ("mask_ap:rpc >= 0.3", np.mean(MASK) / MASK_CLEAN),
        ("box_ap75 >= 0.3", BOX_CLEAN),
        ("fog/2 >= 0.3", BOX[1]),
        ("mask_ap:fog/2 >= 0.3", MASK[1]),
    ],
)
def test_requirements(make_detected, findings_of, bound, value):
    (verdict,) = judge([parse_requirement(bound)], findings_of([make_detected()]))
    assert verdict.passed
    assert float(verdict.found) == pytest.approx(value, abs=1e-6)


def test_a_bound_of_masks_fails_without_them(make_detected, findings_of):
    requirements = (parse_requirement("mask_ap:mpc >= 0"), parse_requirement("mask_ap:fog/2 >= 0"))
    found = judge(requirements, findings_of([make_detected(masks=False)]))
    assert [(one.passed, one.found) for one in found] == [(False, "not measured: masks")] * 2


def test_an_unknown_bound_offers_mpc(make_detected, findings_of):
    with pytest.raises(KeyError, match="expected one of mpc, rpc, clean, average"):
        judge([parse_requirement("mAP >= 0")], findings_of([make_detected()]))


def test_intervals_are_made_on_request(make_detected):
    folder = make_detected()
    assert "bootstrap" not in report_of([folder])["report.md"]
    made = report_of([folder], resamples=40)
    assert "percentiles of 40 bootstrap resamples" in made["report.md"]
    rows = {row["aggregate"]: row for row in rows_of(made["aggregates.csv"])}
    low, value, high = (float(rows["average"][name]) for name in ("low", "value", "high"))
    assert low < value < high
    clean = rows_of(made["cells.csv"])[0]
    assert float(clean["box_ap_low_fraction"]) < BOX_CLEAN <= float(clean["box_ap_high_fraction"])


def test_a_comparison_needs_resamples(make_detected):
    fewer = lambda cell: 2 if cell.is_clean else 1  # noqa: E731
    folders = [make_detected("a"), make_detected("b", model="FAN", cars=fewer)]
    with pytest.raises(ValueError, match="--compare needs resamples: expected --resamples of at"):
        make_report(folders, compare=True)
    rows = rows_of(report_of(folders, compare=True, resamples=30)["comparison.csv"])
    found = {row["aggregate"]: float(row["difference"]) for row in rows}
    assert found["clean"] == pytest.approx(ap(2, 1) - ap(3, 1))
    assert found["mask_ap:clean"] == pytest.approx(ap(1, 1) - ap(2, 1))
    with pytest.raises(ValueError, match="--require-lower-bound needs resamples"):
        make_report(folders, require=["mpc >= 0.1"], require_lower_bound=True)


def test_every_number_is_in_the_files(make_detected):
    made = report_of([make_detected()], paper=True)
    fog = next(row for row in rows_of(made["cells.csv"])
               if (row["corruption"], row["severity"]) == ("fog", "2"))  # fmt: skip
    for name, value in (("box", BOX[1]), ("mask", MASK[1])):
        for number in ("ap", "ap50", "ap75", "ap_medium"):
            assert float(fog[f"{name}_{number}_fraction"]) == pytest.approx(value)
        assert fog[f"{name}_ap_small_fraction"] == fog[f"{name}_ap_large_fraction"] == "nan"
    own, *published = rows_of(made["detection.csv"])
    assert own["encoder_parameters_millions"] == "50.345678"
    assert float(own["average_box_ap_fraction"]) == pytest.approx(np.mean(BOX))
    assert float(own["retention_mask_ap_fraction"]) == pytest.approx(np.mean(MASK) / MASK_CLEAN)
    assert (published[0]["clean_box_ap_fraction"], published[0]["average_box_ap_fraction"]) == (
        "0.463", "",
    )  # fmt: skip
    masks, boxes = (rows_of(made[f"{name}.csv"])[0] for name in ("masks", "table"))
    assert float(masks["fog_mask_ap_fraction"]) == pytest.approx(np.mean(MASK))
    assert float(boxes["fog_box_ap_fraction"]) == pytest.approx(np.mean(BOX))
    for file in ("report.md", "index.html", "table.tex"):
        assert "Detection (layout of STL, Table 5)" in made[file]
        assert re.search(r"Mask AP \(\\?%\), protocol coco-c", made[file])
        assert "50345678 parameters" in made[file]


def test_cells_that_do_not_belong_together_are_refused(make_detected, findings_of):
    store = CellStore(make_detected())
    cell = Cell("fog", 3)
    result = store.read(cell)

    def written(**samples):
        store.write(dataclasses.replace(result, samples={**result.samples, **samples}))
        return pytest.raises(ValueError, match=r"fog-3\.npz'")

    with written(object_category=np.array([0, 2, 2, 0, 0], np.int32)) as raised:
        findings_of([store.folder])
    assert "other labels" in str(raised.value)
    with written(image_number=np.array([1, 2, 3, 5])) as raised:
        findings_of([store.folder])
    assert "other labels" in str(raised.value)
    with written(image_number=np.arange(3)) as raised:
        findings_of([store.folder])
    assert "'image_number' of 4 images, got 3" in str(raised.value)
    boxes = {name: a for name, a in result.samples.items() if not name.startswith("segm")}
    store.write(dataclasses.replace(result, samples=boxes))
    with pytest.raises(ValueError, match=r"fog-3\.npz' .* only one has the samples of mask_ap"):
        findings_of([store.folder])


def test_the_score_of_an_image_by_hand(make_result):
    """Found with 0.9, and 0.3 beside it; found with 0.5; of IoU .5 alone, the lowest bit."""
    samples = {
        "bbox_detections": np.array([2, 2]), "objects": np.array([1, 1]),
        "bbox_score": np.array([0.9, 0.3, 0.5, 0.8]), "bbox_category": np.array([0, 0, 1, 1]),
        "bbox_matched": np.array([[1], [2], [3], [1]]),
        "bbox_ignored": np.array([[0], [0], [2], [1]]),
        "object_category": np.array([0, 1]), "object_counted": np.array([[True], [True]]),
    }  # fmt: skip
    result = dataclasses.replace(make_result(CLEAN, np.zeros((2, 2, 2), int)), samples=samples)
    task = find_task("detection")
    np.testing.assert_allclose(task.image_scores(result), [1.8 / 2.2, 1.0 / 1.5])
    np.testing.assert_allclose(task.image_scores(result, 1), [np.nan, 1.0 / 1.5])
