"""Every number of a part of the images, against scores that are known by hand."""

import csv

import numpy as np
import pytest

from stl_backbones.errors import UserError
from stl_backbones.records import CLEAN, CellResult, Provenance
from stl_backbones.report import get_task, make_report
from stl_backbones.report.numbers.slices import cut_findings
from stl_backbones.report.read.slice_columns import find_columns, thirds
from stl_backbones.results import CellStore


def as_csv(lines):
    return "\n".join(["image,light,city", *lines]) + "\n"


# Of 20 images the first 16 are right on clean images, and at severity s the first 16 - 2 s. At
# night are the last six, of which two are right on clean images, and none from severity 1 on.
NIGHTS = 14
LINES = [f"{n}.jpg,{'day' if n < NIGHTS else 'night'},{'ab'[n % 2] if n else ''}"
         for n in range(20)]  # fmt: skip


@pytest.fixture
def cut(findings_of):
    """Value -> aggregates of the first model on that slice, of each column."""

    def read(folder, *asked, **options):
        findings = findings_of([folder], **options)
        columns = cut_findings(findings, find_columns(asked, findings.runs, findings.task))
        return {
            column.name: {one.value: (one.images, one.findings.aggregates[0])
                          for one in column.slices}
            for column in columns
        }  # fmt: skip

    return read


@pytest.fixture
def in_file(tmp_path):
    def write(lines):
        path = tmp_path / "slices.csv"
        path.write_text(lines if isinstance(lines, str) else as_csv(lines))
        return path

    return write


def test_a_slice_is_scored_as_if_it_were_the_data_set(make_classified, in_file, cut):
    light = cut(make_classified(), in_file(LINES), resamples=200)["light"]
    (days, day), (nights, night) = light["day"], light["night"]
    assert (days, nights) == (14, 6)
    assert day["clean"].value == 1
    assert night["clean"].value == pytest.approx(2 / 6)
    assert day["average"].value == pytest.approx(np.mean([14, 12, 10, 8, 6]) / 14)
    assert night["average"].value == 0
    assert day["retention"].value == pytest.approx(10 / 14)
    assert night["fog"].value == 0
    assert day["ece:clean"].value == pytest.approx(0.25)  # all right, with confidence 0.75
    assert day["mce"].value is None  # AlexNet's errors are of all images
    low, high = night["clean"].interval
    # Of six images with p = 1/3 the 95 % ends of the bootstrap are 0 and 4 of 6.
    assert (low, high) == pytest.approx((0, 4 / 6))


def test_one_slice_of_all_images_has_the_numbers_of_all(make_detected, in_file, cut, findings_of):
    folder = make_detected()
    lines = "id,all\n" + "".join(f"{n}.jpg,yes\n" for n in (1, 2, 3, 4))
    _, found = cut(folder, in_file(lines))["all"]["yes"]
    (whole,) = findings_of([folder]).aggregates
    assert {k: one.value for k, one in found.items()} == pytest.approx(
        {k: one.value for k, one in whole.items()}, nan_ok=True
    )


def test_of_detections_those_of_the_images_count(make_detected, in_file, cut):
    """Cars 1, 2, 3 of four are found on clean images; the person is on image 1."""
    lines = "id,half\n1.jpg,first\n2.jpg,first\n3.jpg,second\n4.jpg,second\n"
    half = cut(make_detected(), in_file(lines))["half"]
    assert half["first"][1]["clean"].value == pytest.approx(1)
    assert half["second"][1]["clean"].value == pytest.approx((1 + 50) / 101)


def test_images_without_a_value_are_in_no_slice(make_classified, in_file, tmp_path):
    folder = make_classified()
    made = make_report([folder], out=tmp_path / "out", slices=[in_file(LINES)])
    text = (tmp_path / "out/report.md").read_text()
    assert "1 images without a value are in no slice" in text
    with (tmp_path / "out/slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    sizes = {(row["slices"], row["slice"]): row["images"] for row in rows}
    assert sizes == {("light", "day"): "14", ("light", "night"): "6", ("city", "a"): "9",
                     ("city", "b"): "10"}  # fmt: skip
    (row,) = [r for r in rows if r["slice"] == "night" and r["aggregate"] == "clean"]
    assert float(row["value"]) == pytest.approx(1 / 3)
    assert float(row["low"]) < 1 / 3 < float(row["high"])
    assert row["protocol"] == "stl-imagenet-c"
    assert made.page.is_file()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "is empty: expected a header"),
        ("image,light\n", "is empty: expected a header"),
        ("image\n0.jpg\n", "expected a header of image id and one column or more"),
        (as_csv(LINES[:-2]), r"lacks 2 of the sweep's 20 images: 18\.jpg, 19\.jpg"),
        (as_csv([*LINES, "x.jpg,day,a"]), r"has 1 images that the sweep does not have: x\.jpg"),
        (as_csv([*LINES, LINES[3]]), r"has 1 images twice or more: 3\.jpg"),
        (as_csv([*LINES[:-1], "19.jpg,day"]), r"expected 3 fields, got 2: 19\.jpg,day"),
        (as_csv([f"{n}.jpg,day,{n}" for n in range(20)]), "column 'city' has 20 values"),
        (as_csv([f"{n}.jpg,," for n in range(20)]), "column 'light' has 0 values"),
        (as_csv([*LINES[:-1], '19.jpg,day,"a']), "cannot be read as CSV"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(lines, words, make_classified, in_file, cut):
    with pytest.raises(UserError, match=words):
        cut(make_classified(), in_file(lines))


def test_a_file_of_all_images_fits_a_limited_sweep(make_classified, in_file, cut):
    folder = make_classified(num_images_total=21)
    assert cut(folder, in_file([*LINES, "x.jpg,day,a"]))["light"]["day"][0] == 14


def test_thirds_by_brightness(make_classified, cut, tmp_path):
    folder = make_classified(without=("clean",))
    with pytest.raises(UserError, match="run the sweep again"):
        cut(folder, "brightness", partial=True)
    store = CellStore(folder)
    full = CellStore(make_classified("other")).read(CLEAN)
    light = {"brightness": (np.arange(20) / 20).astype(np.float32)}
    store.write(CellResult(CLEAN, full.provenance, full.image_ids, {**full.samples, **light}))
    found = cut(folder, "brightness")["brightness"]
    assert {value: images for value, (images, _) in found.items()} == {
        "dark (below 31.7 %)": 7, "medium (31.7 % to 63.3 %)": 6, "bright (from 63.3 %)": 7
    }  # fmt: skip
    assert found["bright (from 63.3 %)"][1]["clean"].value == pytest.approx(3 / 7)


def test_equal_values_stay_together():
    names = ("low", "medium", "high")
    parts, labels = thirds(np.array([0.5, 0.5, 0.5, np.nan]), names)
    assert [one.partition(" ")[0] for one in parts] == ["high"]
    assert labels == [parts[0]] * 3 + [""]


def test_the_share_of_a_class(make_result):
    pixels = [[[0, 0], [0, 10]], [[5, 0], [0, 5]], [[9, 0], [0, 1]], [[0, 10], [0, 0]]]
    result = make_result(CLEAN, np.array(pixels), num_images=4)
    values, labels = get_task("segmentation").properties["class-share"](result, "car")
    assert labels[3] == values[0] == "no car"
    assert [label.partition(" ")[0] for label in labels[:3]] == ["much", "medium", "little"]
    for name, words in (("", "needs a class"), ("tree", "tree")):
        with pytest.raises(UserError, match=words):
            get_task("segmentation").properties["class-share"](result, name)


def test_of_objects_their_class_and_size(plain_record):
    provenance = Provenance(**{**plain_record, "task": "detection", "num_images": 4})
    areas = {"s": [True, True, False, False], "m": [True, False, True, False],
             "crowd": [False] * 4}  # fmt: skip
    samples = {
        "objects": np.array([3, 1, 0, 1]),
        "object_category": np.array([0, 1, 1, 0, 0]),
        "object_counted": np.array([areas[one] for one in ("s", "m", "m", "s", "crowd")]),
    }
    result = CellResult(CLEAN, provenance, ("a", "b", "c", "d"), samples)
    properties = get_task("detection").properties
    _, sizes = properties["object-size"](result, "")
    assert sizes == ["mostly medium", "mostly small", "no objects", "no objects"]
    _, shares = properties["class-share"](result, "car")
    assert shares[1:] == ["no car"] * 3
    assert shares[0].startswith("much")
    with pytest.raises(UserError, match="object-size:car: expected 'object-size' alone"):
        properties["object-size"](result, "car")


def test_what_is_no_slice_is_refused(make_classified, in_file, cut):
    folder = make_classified()
    for asked, words in (
        (["nosuch"], "expected a CSV file, or a property of images: brightness, contrast"),
        (["brightness:car"], "expected 'brightness' alone"),
        ([in_file(LINES)] * 2, "column 'light' twice"),
    ):
        with pytest.raises(UserError, match=words):
            cut(folder, *asked)
