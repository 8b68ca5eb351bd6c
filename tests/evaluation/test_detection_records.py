"""The record of a predicted image, made without torch."""

import numpy as np
import pytest
from pycocotools.coco import COCO

from stl_backbones.errors import InputError
from stl_backbones.evaluation.coco_results import decode_image
from stl_backbones.evaluation.detection import DetectionMatcher
from stl_backbones.evaluation.detection_records import PACKED, RecordMaker


@pytest.fixture
def make():
    truth = COCO()
    box = {"id": 1, "image_id": 4, "category_id": 7, "bbox": [1, 2, 3, 6], "area": 18}
    truth.dataset = {"images": [{"id": 4}], "categories": [{"id": 7}], "annotations": [box]}
    truth.createIndex()
    matcher = DetectionMatcher(truth, category_ids=(7,), kinds=("bbox",))
    return RecordMaker(matcher, category_ids=(7,), kinds=("bbox",))


def instances(label):
    return {
        "labels": np.array([label]), "scores": np.array([0.5], np.float32),
        "corners": np.array([[1, 2, 4, 8]], np.float32),
    }  # fmt: skip


def test_a_record_holds_the_match_and_the_detections(make):
    record = make(("a.png", 4, instances(0)))
    assert record["bbox_matched"][:, 0].tolist() == [1023]
    assert record[f"{PACKED}_size"].tolist() == [len(record[PACKED])]
    assert decode_image(record[PACKED].tobytes()) == [
        {"image_id": 4, "category_id": 7, "bbox": [1.0, 2.0, 3.0, 6.0], "score": 0.5}
    ]


def test_wrong_numbers_name_the_image(make):
    with pytest.raises(InputError, match=r"'a\.png': the model predicts labels 1\.\.1"):
        make(("a.png", 4, instances(1)))
