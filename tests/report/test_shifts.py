"""ReaL, shape bias, and sets beside their clean partners, by hand."""

import dataclasses
import json

import numpy as np
import pytest

from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, CellResult, Provenance
from stl_backbones.report import make_report
from stl_backbones.report.read.real_labels import read_real_labels
from stl_backbones.results import CellStore
from stl_backbones.results.conditions import read_conditions, write_conditions
from stl_backbones.shift_sets import CATEGORIES, SHIFT_SETS

WNIDS = tuple(f"n{number:08d}" for number in range(1000))
NUMBERS = (1, 2, 50_000, 7)
PREDICTED = (3, 4, 5, 6)


@pytest.fixture
def real(tmp_path):
    """Labels of four images: right, wrong, right as the second of two, none."""
    labels = [[] for _ in range(50_000)]
    labels[0], labels[1], labels[49_999] = [3], [3], [9, 5]
    path = tmp_path / "real.json"
    path.write_text(json.dumps(labels))
    return path


@pytest.fixture
def validated(tmp_path, plain_record):
    """A clean cell of four validation images, in an order that is not that of their numbers."""

    def make(names="{0}/ILSVRC2012_val_{1:08d}.JPEG", **fields):
        record = plain_record | {
            "task": "classification", "classes": WNIDS, "num_images": 4, "num_images_total": 4,
            "protocol": "imagenet-c", "dataset": "ImageNet-1K", "chosen": ("clean",), **fields,
        }  # fmt: skip
        store = CellStore(tmp_path / "run")
        ids = tuple(names.format(WNIDS[9 - k], n) for k, n in enumerate(NUMBERS))
        samples = {
            "label": np.zeros(4, np.int32), "prediction": np.array(PREDICTED, np.int32),
            "in_top5": np.zeros(4, bool), "confidence": np.full(4, 0.5, np.float32),
            "nll": np.ones(4, np.float32),
        }  # fmt: skip
        provenance = Provenance(**record)
        with store.writing(provenance):
            store.write(CellResult(CLEAN, provenance, ids, samples))
        return store.folder

    return make


def test_real_is_matched_by_file_names_and_leaves_out_images_without_labels(real, validated):
    result = CellStore(validated()).read(CLEAN)
    metric = read_real_labels(real)
    assert metric.terms(result).tolist() == [[1, 1], [0, 1], [1, 1], [0, 0]]
    made = make_report([validated()], real_labels=real)
    head, line = (made.folder / "classification.csv").read_text().splitlines()
    row = dict(zip(head.split(","), line.split(","), strict=False))
    assert float(row["clean_real_fraction"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[1]] * 10_000, "labels of 10000 images; expected 50000 lists"),
        ({"a": 1}, "no list of lists"),
        ([[1000]] + [[]] * 49_999, "expected 50000 lists of labels 0..999"),
        ([[[1]]] * 50_000, "its labels are no whole numbers"),
        ([[1.5]] + [[]] * 49_999, "its labels are no whole numbers"),
        ([[10**30]], "no list of lists"),
    ],
)
def test_another_file_is_not_reals(content, message, tmp_path):
    path = tmp_path / "real.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_real_labels(path)


def test_real_is_of_validation_images(real, validated):
    folder = validated("{0}/image{1}.JPEG")
    with pytest.raises(ValueError, match=r"validation images.*'FAN' holds images such as"):
        make_report([folder], real_labels=real)


def test_shape_bias(make_classified, findings_of):
    """Shape, texture, neither, and an image without conflict: 1 / 2."""
    folder = make_classified()
    cells = CellStore(folder)
    record = dataclasses.replace(
        cells.provenance(), classes=tuple(CATEGORIES), num_images=4, num_images_total=1280,
        dataset=SHIFT_SETS["cue-conflict"].title,
    )  # fmt: skip
    ids = ("cat/cat1-dog2.png", "cat/cat2-dog1.png", "cat/cat3-car1.png", "cat/cat4-cat2.png")
    names = list(CATEGORIES)
    predicted = np.array([names.index(one) for one in ("cat", "dog", "oven", "cat")], np.int32)
    samples = {
        "label": np.full(4, names.index("cat"), np.int32), "prediction": predicted,
        "in_top5": np.ones(4, bool), "confidence": np.full(4, 0.5, np.float32),
        "nll": np.ones(4, np.float32), "brightness": np.array([0.5, 0, 0.2, 0.1], np.float32),
        "contrast": np.ones(4, np.float32),
    }  # fmt: skip
    store = CellStore(folder / "cue-conflict")
    with store.writing(record):
        store.write(CellResult(CLEAN, record, ids, samples))
    findings = findings_of([folder])
    found = findings.aggregates[0]
    assert found["shape_bias"].value == 0.5
    assert found["cue-conflict"].value == 0.5
    notes = findings.runs[0].sets["cue-conflict"].provenance.notes
    assert any("1 images are entirely black, and scored: cat/cat2-dog1.png" in n for n in notes)


def test_a_set_of_all_classes_has_the_sweeps_clean_cell_as_partner(make_classified, tables_of):
    sets = {"imagenet-sketch": 4, "imagenet-r": 9, "imagenet-r-clean": 18}
    tables = tables_of([make_classified(sets=sets)])
    sketch, r = (tables["Sets of other images"].rows[n].values for n in (1, 0))
    assert (sketch["score"], sketch["clean"], sketch["gap"]) == ("20.0", "80.0", "-60.0")
    assert (sketch["retention"], r["clean"]) == ("25.0", "90.0")
    assert "ObjectNet" not in str(tables["Sets of other images"].notes)
    assert "without a licence" in tables["Sets of other images"].notes[1]


def test_ranks_of_synthetic_and_real(make_classified, tables_of):
    folders = [
        make_classified("a", model="A", sets={"imagenet-sketch": 4}),
        make_classified("b", model="B", hits=lambda cell: 8, sets={"imagenet-sketch": 6}),
    ]
    first, second = tables_of(folders)["Synthetic and real"].rows
    assert [first.values[key] for key in ("rank0", "rank1", "kept0")] == ["1", "2", "62.5"]
    assert [second.values[key] for key in ("rank0", "rank1", "kept1")] == ["2", "1", "75.0"]


def test_conditions_of_every_model(make_classified, tables_of):
    """One model's images have no conditions, the others' are not the same ones."""
    folders = [make_classified(name, model=name, sets={"imagenet-sketch": 4}) for name in "abc"]
    for folder, whole in zip(folders[1:], (10, 20), strict=True):
        store = CellStore(folder / "imagenet-sketch")
        ids = store.read(CLEAN).image_ids
        of_image = {key: "pen" if n < whole else "ink" for n, key in enumerate(ids)}
        write_conditions(store.folder, ids, {"tool": of_image})
    ink, pen = tables_of(folders)["ImageNet-Sketch by tool"].rows
    assert (ink.label, ink.values["0"], ink.values["3"]) == ("ink", "-", "10")
    assert (pen.label, pen.values["0"], pen.values["3"]) == ("pen", "-", "10 / 20")


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"image,tool\n" + b"a" * 200_000])
def test_conditions_that_are_no_csv(tmp_path, content):
    (tmp_path / "conditions.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"conditions\.csv' is no CSV in UTF-8"):
        read_conditions(tmp_path, ["0.jpg"])


def test_rain_is_held_against_the_same_images_alone(make_store, tables_of):
    """RainCityscapes is made of 33 images: Cityscapes' 500 are no partner of it."""
    folder = make_store("seg")
    found = CellStore(folder).read(CLEAN)
    record = dataclasses.replace(found.provenance, dataset=SHIFT_SETS["rain-cityscapes"].title)
    store = CellStore(folder / "rain-cityscapes")
    with store.writing(record):
        store.write(dataclasses.replace(found, provenance=record))
    (row,) = tables_of([folder])["Sets of other images"].rows
    assert row.values["score"] == "80.0"
    assert (row.values["clean"], row.values["gap"], row.values["retention"]) == ("-", None, "-")


def test_a_sets_classes_are_the_sweeps(make_classified, findings_of, write_set):
    folder = make_classified()
    write_set(folder, "imagenet-sketch", 4, classes=("n01", "n02", "n03", "n99"))
    with pytest.raises(ValueError, match="differ in classes, so their ratio is no retention"):
        findings_of([folder])
