"""A model made blind to one class under fog: overview, class gate and pictures name that first."""

import numpy as np
import pytest
from toys import box_of, squares

import stl_backbones as stl
from stl_backbones.report import make_report
from stl_backbones.report.read.text import plain

IMAGES, LEAF = 24, 1


def label_map(label):
    return label.astype(int), label.astype(int)


def one_class(label):
    return int(label.max() - 1), np.eye(2)[label.max() - 1]


def boxes(label):
    corners, labels = box_of(label)
    found = stl.Detections(corners, np.full(len(labels), 0.9), labels)
    return {"boxes": corners, "labels": labels}, found


class Blind:
    """Wraps the truth: under fog a leaf is ground, is called brick, or is not seen."""

    name, version = "blind", "1"

    def __init__(self, task):
        self.answers = {}
        for index in range(IMAGES):
            image, label = squares(index)
            for corruption in ("", "fog", "contrast"):
                shown = stl.corrupt(image, corruption, 5, key=f"{index}") if corruption else image
                hidden = 2 if task is one_class else 0
                seen = np.where((label == LEAF) & (corruption == "fog"), hidden, label)
                self.answers[shown.tobytes()] = task(seen)[1]

    def predict(self, images):
        return [self.answers[image.tobytes()] for image in images]


@pytest.mark.parametrize(
    ("task", "lost"),
    [
        (label_map, "leaf to ground 100.0 %"),
        (one_class, "corrupted brick"),
        (boxes, "lost: 1 leaf"),
    ],
)
def test_the_class_and_the_fog_are_named_first(task, lost, tmp_path):
    images = [squares(index) for index in range(IMAGES)]
    names = ["ground", "leaf", "brick"] if task is label_map else ["leaf", "brick"]
    result = stl.evaluate(
        Blind(task), [(image, task(label)[0]) for image, label in images], classes=names,
        ids=[f"{index}" for index in range(IMAGES)], work_dir=tmp_path / "s",
        corruptions=["contrast", "fog"], severities=[5], mode="fast", progress=False, workers=0,
    )  # fmt: skip
    made = make_report([tmp_path / "s"], resamples=20, require=["class:*:fog/5 >= 0.99"])
    assert "Weakest on leaf under fog: " in made.text
    (verdict,) = made.verdicts
    assert verdict.found.partition("classes: ")[2].startswith("leaf 0")
    pictures = result.failures(count=2).pictures
    assert [one.cell for one in pictures][:1] == ["fog-5"]
    assert lost in plain(pictures[0].caption)
