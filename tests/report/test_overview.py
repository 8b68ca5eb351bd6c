"""The sentence per model, and a seeded fault that it must name: blindness to a class under fog."""

import numpy as np
import pytest

from stl_backbones.corruptions.protocols import get_protocol
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.report.contents import make_contents
from stl_backbones.report.numbers.overview import overview, weakest_place
from stl_backbones.report.sections import Overview
from stl_backbones.results import CellStore

CLASSES = ("road", "car", "person", "tram")
IMAGES = 80


class BlindUnder:
    """Wraps predictions: under a corruption it never sees a class."""

    def __init__(self, predict, *, corruption, index):
        self.predict, self.corruption, self.index = predict, corruption, index

    def __call__(self, label, cell, rng):
        found = self.predict(label, cell, rng)
        blind = cell.corruption == self.corruption
        return np.where((found == self.index) & blind, 0, found)


def noisy(label, cell, rng):
    """One more tenth of wrong answers per severity: all classes fall alike."""
    wrong = rng.random(label.shape) < 0.1 + 0.1 * cell.severity
    found = np.where(wrong, rng.integers(0, 3, label.shape), label)
    return np.where((label == 3) & (cell.severity > 0), 0, found)  # trams are never found


@pytest.fixture
def sweep(tmp_path, plain_record):
    """Class 3, the tram, is on two images alone, which any corruption gets wrong."""
    rng = np.random.default_rng(1)
    label = np.resize([0, 1, 2], (IMAGES, 40))
    label[:2] = 3

    def samples_of(predicted, task):
        if task == "segmentation":
            pairs = np.arange(IMAGES)[:, None] * 16 + label * 4 + predicted
            counts = np.bincount(pairs.ravel(), minlength=16 * IMAGES)
            return {"confusion_matrix": counts.reshape(IMAGES, 4, 4)}
        picked = np.arange(IMAGES), np.arange(IMAGES) % 40
        own, found = label[picked], predicted[picked]
        return {"label": own, "prediction": found, "in_top5": np.ones(IMAGES, bool),
                "confidence": np.full(IMAGES, 0.5, np.float32),
                "nll": np.ones(IMAGES, np.float32)}  # fmt: skip

    def make(predict, task):
        protocol = "stl-cityscapes-c" if task == "segmentation" else "imagenet-c"
        own = {"task": task, "classes": CLASSES, "num_images": IMAGES, "num_images_total": IMAGES,
               "protocol": protocol}  # fmt: skip
        provenance = Provenance(**{**plain_record, **own})
        store, ids = CellStore(tmp_path / "sweep"), tuple(map(str, range(IMAGES)))
        with store.writing(provenance):
            for cell in get_protocol(protocol).cells():
                samples = samples_of(predict(label, cell, rng), task)
                store.write(CellResult(cell, provenance, ids, samples))
        return store.folder

    return make


@pytest.mark.parametrize("resamples", [0, 100])
@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_model_blind_to_a_class_under_fog_is_named(sweep, findings_of, task, resamples):
    folder = sweep(BlindUnder(noisy, corruption="fog", index=2), task)
    findings = findings_of([folder], resamples=resamples)
    found = weakest_place(findings.runs[0], findings)
    assert (found.class_name, found.corruption, found.score) == ("person", "fog", 0)
    assert (found.interval is None) == (resamples == 0)
    report = make_contents(findings)
    assert isinstance(report.sections[0], Overview)
    assert report.sections[0].sentences["FAN"].startswith("Weakest on person under fog: ")


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_where_all_classes_fall_alike_the_corruption_is_named(sweep, findings_of, task):
    def worst_in_snow(label, cell, rng):
        more = 2 if cell.corruption == "snow" else 0
        return noisy(label, Cell(cell.corruption, cell.severity + more), rng)

    findings = findings_of([sweep(worst_in_snow, task)], resamples=100)
    found = weakest_place(findings.runs[0], findings)
    assert (found.class_name, found.corruption) == ("", "snow")
    assert found.interval[0] < found.clean - found.score < found.interval[1]


def test_the_words(make_store, make_classified, findings_of):
    """Noises take 50 points of both classes, every severity alike; and nothing is lost."""
    findings = findings_of([make_store()])
    assert overview(findings, precision=1) == {
        "FAN": "Weakest under gaussian noise: mIoU 30.0 %, 50.0 points below its clean 80.0 % "
        "(no interval: made without resamples); no single class stands out."
    }
    flat = findings_of([make_store("flat", percent=lambda cell: 50)])
    assert "No corruption takes from its mIoU" in overview(flat, precision=1)["FAN"]
    partial = findings_of([make_store("partial", without=("clean",))], partial=True)
    assert "not known" in overview(partial, precision=1)["FAN"]
    partial = findings_of([make_store("part", without=("snow-5",))], partial=True)
    said = overview(partial, precision=1)["FAN"]
    assert said.startswith("Of the corruptions that are measured, weakest under gaussian noise: ")
