"""Predictions as they leave a device, against pycocotools on the masks themselves."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from stl_backbones.engine.to_host import to_host
from stl_backbones.errors import InputError
from stl_backbones.evaluation.coco_results import (
    encode_file,
    encode_image,
    instances_of,
    pack_rows,
    to_coco_results,
)


class Instances(SimpleNamespace):
    def __contains__(self, name):
        return hasattr(self, name)


def results(masks, **others):
    count = len(masks)
    found = Instances(
        bboxes=torch.arange(4.0 * count).reshape(-1, 4), scores=torch.full((count,), 0.1),
        labels=torch.zeros(count, dtype=torch.long), masks=masks, **others,
    )  # fmt: skip
    kinds = ("bbox", "segm")
    instances = to_host(instances_of(SimpleNamespace(pred_instances=found), kinds=kinds))()
    return to_coco_results(instances, category_ids=(7,), kinds=kinds, image_number=3)


def boxes_of(**others):
    plain = {
        "labels": np.array([1]), "scores": np.array([0.5], np.float32),
        "corners": np.array([1, 2, 4, 8], np.float32), **others,
    }  # fmt: skip
    instances = plain | {"corners": plain["corners"].reshape(1, 4)}
    return to_coco_results(instances, category_ids=(7, 9), kinds=("bbox",), image_number=3)


@pytest.mark.parametrize("height", [1, 3, 8, 13, 16])
@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32, "numpy"])
def test_run_lengths_are_those_of_the_whole_masks(height, kind):
    pixels = np.random.default_rng(height).random((5, height, 11)) < 0.6
    pixels[3], pixels[4] = False, True
    masks = pixels if kind == "numpy" else torch.from_numpy(pixels).to(kind)
    expected = coco_mask.encode(np.asfortranarray(pixels.transpose(1, 2, 0).astype(np.uint8)))
    found = results(masks)
    assert [one["segmentation"] for one in found] == [
        {"size": [height, 11], "counts": code["counts"].decode()} for code in expected
    ]
    assert [one["bbox"] for one in found][1] == [4, 5, 2, 2]
    assert (found[0]["score"], found[0]["image_id"], found[0]["category_id"]) == (0.1, 3, 7)


def test_the_first_row_is_the_highest_bit():
    masks = torch.tensor([[[1, 0], [0, 0], [0, 1]]], dtype=torch.bool)
    assert pack_rows(masks).tolist() == [[[0b10000000, 0b00100000]]]


@pytest.mark.parametrize("shape", [(0,), (0, 5, 7)])
def test_no_detections(shape):
    assert results(torch.zeros(shape, dtype=torch.bool)) == []


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(InputError, match=rf"labels {label}\.\.{label}, the data set has 2 classes"):
        boxes_of(labels=np.array([label]))


@pytest.mark.parametrize("name", ["scores", "corners"])
def test_numbers_that_are_not_finite_are_refused(name):
    with pytest.raises(InputError, match="boxes or scores are not finite"):
        boxes_of(**{name: np.full(4 if name == "corners" else 1, np.inf, np.float32)})


def test_masks_that_a_model_lacks_are_named():
    found = Instances(bboxes=torch.ones(1, 4), scores=torch.ones(1), labels=torch.zeros(1))
    with pytest.raises(InputError, match="the model returns no masks"):
        instances_of(SimpleNamespace(pred_instances=found), kinds=("segm",))
    assert "masks" not in instances_of(SimpleNamespace(pred_instances=found), kinds=("bbox",))


def test_a_mask_may_have_a_score_of_its_own():
    found = results(torch.ones(1, 2, 2), mask_scores=torch.tensor([0.3]))
    assert found[0]["mask_score"] == 0.3


@pytest.mark.parametrize("counts", [(), (0,), (0, 0), (2, 0, 1), (0, 1)])
def test_a_file_holds_all_images_detections_in_order(counts):
    images = [[{"image_id": i, "score": n / 4} for n in range(c)] for i, c in enumerate(counts)]
    content = encode_file(encode_image(found) for found in images)
    assert json.loads(gzip.decompress(content)) == [one for found in images for one in found]
    assert content == encode_file(encode_image(found) for found in images)
