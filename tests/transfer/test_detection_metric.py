"""COCO's AP against values computed by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from stl_backbones.transfer.coco_metric import CocoAveragePrecision

SIZE = (100, 120)  # height, width
CLASSES = ("car", "person")


def rectangle(box):
    left, top, width, height = box
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


def annotation(number, image, category, box, **more):
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": box,
        "area": box[2] * box[3], "iscrowd": 0, "segmentation": rectangle(box), **more,
    }  # fmt: skip


CARS = [annotation(1, 1, 3, [10, 10, 20, 20]), annotation(2, 2, 3, [40, 40, 20, 20])]


@pytest.fixture
def make(tmp_path):
    """A metric on some annotations; the file's categories are not in the order of the classes."""

    def build(annotations, **options):
        content = {
            "images": [
                {"id": n, "file_name": f"{n}.jpg", "height": SIZE[0], "width": SIZE[1]}
                for n in (1, 2, 3)
            ],
            "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
            "annotations": annotations,
        }
        (tmp_path / "truth.json").write_text(json.dumps(content))
        metric = CocoAveragePrecision(data_root=tmp_path, ann_file="truth.json", **options)
        metric.dataset_meta = {"classes": CLASSES}
        return metric

    return build


def sample(image, detections):
    """A predicted data sample: detections are (label, [x, y, w, h], score)."""
    masks = np.zeros((len(detections), *SIZE), bool)
    for mask, (_, (left, top, width, height), _) in zip(masks, detections, strict=True):
        mask[top : top + height, left : left + width] = True
    boxes = [[x, y, x + w, y + h] for _, (x, y, w, h), _ in detections]
    return {
        "img_id": image,
        "ori_shape": SIZE,
        "pred_instances": {
            "bboxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "scores": torch.tensor([score for *_, score in detections]),
            "labels": torch.tensor([label for label, *_ in detections], dtype=torch.long),
            "masks": torch.from_numpy(masks),
        },
    }


def score(metric, *samples):
    metric.process(None, samples)
    return metric.compute_metrics(metric.results)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_all_found(make, kind):
    found = score(
        make(CARS), sample(1, [(0, [10, 10, 20, 20], 0.9)]), sample(2, [(0, [40, 40, 20, 20], 0.8)])
    )
    assert found[f"{kind}_mAP"] == pytest.approx(100, abs=1e-9)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_one_of_two_found(make, kind):
    """Precision is 1 at the recalls 0, .01, ..., .5 and 0 above: 51 of 101 points."""
    found = score(make(CARS), sample(1, [(0, [10, 10, 20, 20], 0.9)]), sample(2, []))
    assert found[f"{kind}_mAP"] == pytest.approx(100 * 51 / 101, abs=1e-9)


def test_a_better_scored_false_alarm_halves_the_precision(make):
    """Precisions 0/1 and 1/2 in the order of scores: .5 at 51 of 101 points."""
    found = score(
        make(CARS),
        sample(1, [(0, [80, 70, 20, 20], 0.9), (0, [10, 10, 20, 20], 0.5)]),
        sample(2, []),
    )
    assert found["bbox_mAP"] == pytest.approx(100 * 0.5 * 51 / 101, abs=1e-9)


def test_thresholds_of_overlap(make):
    """15 of 20 columns: IoU .75 passes .5, .55, .6, .65, .7 and .75, not .8 to .95."""
    found = score(
        make(CARS[:1]), sample(1, [(0, [10, 10, 15, 20], 0.9)]), sample(2, []), sample(3, [])
    )
    assert found["bbox_mAP"] == pytest.approx(60, abs=1e-9)
    assert (found["bbox_mAP_50"], found["bbox_mAP_75"]) == (pytest.approx(100), pytest.approx(100))


@pytest.mark.parametrize("label", [0, 1])
def test_labels_belong_to_categories_by_name(make, label):
    """Label 0 is the car, although the person comes first in the file."""
    found = score(make(CARS[:1]), sample(1, [(label, [10, 10, 20, 20], 0.9)]))
    assert found["bbox_mAP"] == pytest.approx(100 if label == 0 else 0)


def test_nothing_detected_is_zero_and_no_object_is_nan(make):
    found = score(make(CARS), sample(1, []), sample(2, []))
    assert (found["bbox_mAP"], found["segm_mAP"], found["bbox_mAP_s"]) == (0, 0, 0)
    assert math.isnan(found["bbox_mAP_l"])


def test_images_that_were_left_out_do_not_count(make):
    assert score(make(CARS), sample(1, [(0, [10, 10, 20, 20], 0.9)]))["bbox_mAP"] == pytest.approx(
        100
    )


def test_a_crowd_is_neither_found_nor_missed(make):
    """Three detections inside it are no false alarms."""
    box = [40, 10, 60, 60]
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[10:70, 40:100] = 1
    code = coco_mask.encode(mask)
    code["counts"] = code["counts"].decode()
    crowd = annotation(9, 1, 3, box, iscrowd=1, segmentation=code)
    inside = [(0, [45 + 12 * n, 20, 10, 10], 0.95) for n in range(3)]
    found = score(make([CARS[0], crowd]), sample(1, [*inside, (0, [10, 10, 20, 20], 0.9)]))
    assert found["bbox_mAP"] == pytest.approx(100)


def test_iscrowd_may_be_absent(make):
    bare = {name: value for name, value in CARS[0].items() if name != "iscrowd"}
    found = score(make([bare]), sample(1, [(0, [10, 10, 20, 20], 0.9)]))
    assert found["bbox_mAP"] == pytest.approx(100)


def test_the_size_of_a_detection_is_its_masks(make):
    """A thin L has a large box and a small mask, of 416 pixels, as a false alarm too."""
    box, outline = [0, 0, 110, 100], [[0, 0, 2, 0, 2, 98, 110, 98, 110, 100, 0, 100]]
    thin = annotation(1, 1, 3, box, segmentation=outline, area=416)
    predicted = sample(1, [(0, box, 0.9), (0, box, 0.5)])
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, :100, 108:110] = masks[0, :2, :110] = True  # the false alarm: the L upside down
    masks[1, :100, :2] = masks[1, 98:100, :110] = True
    predicted["pred_instances"]["masks"] = masks
    found = score(make([thin]), predicted)
    assert found["segm_mAP_s"] == pytest.approx(50)
    assert math.isnan(found["segm_mAP_l"])


def test_nothing_is_printed(make, capsys):
    score(make(CARS), sample(1, []))
    assert capsys.readouterr().out == ""


def test_other_classes_are_refused(make):
    metric = make(CARS)
    metric.dataset_meta = {"classes": ("car", "tree")}
    with pytest.raises(
        ValueError, match=r"1 are missing \(tree\); 1 are not the model's \(person\)"
    ):
        score(metric, sample(1, []))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.json' does not exist"):
        CocoAveragePrecision(data_root=tmp_path, ann_file="absent.json")


def test_an_unknown_metric(make):
    with pytest.raises(ValueError, match="must be taken from 'bbox', 'segm', got"):
        make(CARS, metric=["proposal"])
