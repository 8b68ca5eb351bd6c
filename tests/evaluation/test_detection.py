"""Matches of single images against pycocotools' evaluation of the whole data set."""

from __future__ import annotations

import contextlib
import copy
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stl_backbones.evaluation.detection import DetectionMatcher, join_images

SIZE = (150, 200)  # height, width
CATEGORIES = (9, 3, 12)  # not in the order of their ids


def code(box):
    left, top, width, height = map(int, box)
    plane = np.zeros(SIZE, np.uint8, order="F")
    plane[top : top + height, left : left + width] = 1
    encoded = coco_mask.encode(plane)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def annotation(number, image, category, box, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0,
            "area": box[2] * box[3], "segmentation": code(box), **more}  # fmt: skip


def detection(image, category, box, score, **more):
    return {"image_id": image, "category_id": category, "bbox": box, "score": score,
            "segmentation": code(box), **more}  # fmt: skip


def as_coco(annotations, images=3, categories=(3, 7, 9, 12)):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": n, "height": SIZE[0], "width": SIZE[1]} for n in range(1, images + 1)],
        "categories": [{"id": number} for number in categories],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def evaluated(truth, detections, kind):
    """pycocotools' per-image results: (category, area, image) -> result."""
    found = copy.deepcopy(detections)
    for one in found:
        if kind == "segm":
            del one["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.params.catIds = list(CATEGORIES)
        evaluation.evaluate()
    results = [one for one in evaluation.evalImgs if one is not None]
    areas = {tuple(area): index for index, area in enumerate(evaluation.params.areaRng)}
    return {(r["category_id"], areas[tuple(r["aRng"])], r["image_id"]): r for r in results}


def random_box(rng):
    width, height = rng.integers(4, 120, 2)
    left, top = rng.integers(0, SIZE[1] - width), rng.integers(0, SIZE[0] - height)
    return [int(side) for side in (left, top, width, height)]


def random_scenes(seed, images=6):
    """Objects of all sizes, crowds and a category that is not scored; jittered detections."""
    rng = np.random.default_rng(seed)
    annotations, detections = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 7)):
            box, category = random_box(rng), int(rng.choice((3, 7, 9, 12)))
            crowd = int(rng.random() < 0.2)
            annotations.append(
                annotation(len(annotations) + 1, image, category, box, iscrowd=crowd)
            )
            for _ in range(rng.integers(0, 3)):
                near = [max(1, side + int(rng.integers(-4, 5))) for side in box]
                chosen = int(rng.choice(CATEGORIES)) if category == 7 else category
                detections.append(detection(image, chosen, near, round(rng.random(), 1)))
        detections.append(detection(image, 9, random_box(rng), round(rng.random(), 1)))
    return annotations, detections


def match(truth, detections, images=6, **options):
    matcher = DetectionMatcher(truth, category_ids=CATEGORIES, **options)
    return [
        matcher.match(n, [one for one in detections if one["image_id"] == n])
        for n in range(1, images + 1)
    ]


def unpack(bits):
    """``(D, 4)`` -> ``(4, 10, D)`` flags."""
    return np.stack([(bits >> place & 1).T for place in range(10)], axis=1).astype(bool)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(5))
def test_matches_are_pycocotools(kind, seed):
    annotations, detections = random_scenes(seed)
    expected = evaluated(as_coco(copy.deepcopy(annotations), 6), detections, kind)
    assert any(one["dtIgnore"].any() for one in expected.values())
    for number, record in enumerate(match(as_coco(annotations, 6), detections), start=1):
        matched, ignored = (unpack(record[f"{kind}_{name}"]) for name in ("matched", "ignored"))
        for index, category in enumerate(CATEGORIES):
            own = record[f"{kind}_category"] == index
            objects = record["object_category"] == index
            for area in range(4):
                one = expected.get((category, area, number))
                if one is None:
                    assert not own.any()
                    assert not objects.any()
                    continue
                np.testing.assert_array_equal(matched[area][:, own], one["dtMatches"] > 0)
                np.testing.assert_array_equal(ignored[area][:, own], one["dtIgnore"])
                scores = np.array(one["dtScores"], np.float32)
                np.testing.assert_array_equal(record[f"{kind}_score"][own], scores)
                counted = record["object_counted"][objects, area]
                assert sorted(counted) == sorted(np.array(one["gtIgnore"]) == 0)


def test_the_shapes_and_types_of_a_cell():
    annotations, detections = random_scenes(0)
    cell = join_images(match(as_coco(annotations, 6), detections))
    scored = [one for one in annotations if one["category_id"] in CATEGORIES]
    expected = {
        "image_number": (np.int64, (6,)),
        "objects": (np.int32, (6,)),
        "object_category": (np.int32, (len(scored),)),
        "object_counted": (np.bool_, (len(scored), 4)),
    }
    for kind in ("bbox", "segm"):
        expected |= {
            f"{kind}_detections": (np.int32, (6,)),
            f"{kind}_score": (np.float32, (len(detections),)),
            f"{kind}_category": (np.int32, (len(detections),)),
            f"{kind}_matched": (np.uint16, (len(detections), 4)),
            f"{kind}_ignored": (np.uint16, (len(detections), 4)),
        }
    assert {name: (array.dtype.type, array.shape) for name, array in cell.items()} == expected
    assert cell["bbox_detections"].sum() == len(detections)
    assert cell["objects"].sum() == len(scored)


def test_the_truth_is_not_changed():
    annotations, detections = random_scenes(1)
    truth = as_coco(copy.deepcopy(annotations), 6)
    match(truth, detections)
    assert truth.dataset["annotations"] == annotations


def test_masks_are_scored_where_there_are_any():
    annotations, detections = random_scenes(2)
    for one in detections:
        del one["segmentation"]
    cell = join_images(match(as_coco(annotations, 6), detections, kinds=("bbox",)))
    assert not [name for name in cell if name.startswith("segm")]
    with pytest.raises(ValueError, match="a detection on image 1 has no 'segmentation'"):
        match(as_coco(annotations, 6), detections)


def test_an_image_without_anything():
    (record,) = match(as_coco([]), [], images=1)
    assert record["bbox_matched"].shape == record["object_counted"].shape == (0, 4)
    assert record["bbox_detections"].tolist() == record["objects"].tolist() == [0]


def test_an_image_that_is_matched_again_later_gives_the_same(monkeypatch):
    """Prepared objects of a few images are kept, the last ones."""
    monkeypatch.setattr("stl_backbones.evaluation.detection._KEPT", 1)
    annotations, detections = random_scenes(3)
    matcher = DetectionMatcher(as_coco(annotations, 6), category_ids=CATEGORIES)
    own = {n: [one for one in detections if one["image_id"] == n] for n in range(1, 7)}
    first, again = ([matcher.match(n, own[n]) for n in own] for _ in "ab")
    for one, other in zip(first, again, strict=True):
        np.testing.assert_equal(one, other)


BOX = [10, 10, 20, 20]


def test_an_object_of_id_0_is_found():
    """pycocotools itself takes a match with id 0 for none."""
    (record,) = match(as_coco([annotation(0, 1, 9, BOX)]), [detection(1, 9, BOX, 0.5)], images=1)
    assert record["bbox_matched"].tolist() == [[1023] * 4]
    # It is small, and no object of the other areas: there it does not count.
    assert record["bbox_ignored"].tolist() == [[0, 0, 1023, 1023]]
    assert record["object_counted"].tolist() == [[True, True, False, False]]


def test_iscrowd_may_be_absent_and_ignore_is_not_read():
    one = annotation(1, 1, 9, BOX, ignore=1)
    del one["iscrowd"]
    (record,) = match(as_coco([one]), [detection(1, 9, BOX, 0.5)], images=1)
    assert record["object_counted"][0, 0]
    assert record["bbox_ignored"][0, 0] == 0


def test_a_crowd_takes_any_number_of_detections():
    crowd = annotation(1, 1, 9, [0, 0, 100, 100], iscrowd=1)
    inside = [detection(1, 9, [10 * n, 10, 20, 20], 0.5) for n in range(3)]
    (record,) = match(as_coco([crowd]), inside, images=1)
    assert record["bbox_ignored"][:, 0].tolist() == [1023] * 3
    assert not record["object_counted"].any()


def test_of_a_category_the_best_hundred_count():
    many = [detection(1, 9, BOX, n / 128) for n in range(101)]
    (record,) = match(as_coco([]), [*many, detection(1, 3, BOX, 0.0)], images=1)
    assert record["bbox_detections"].tolist() == [101]
    assert record["bbox_score"][:100].min() == np.float32(1 / 128)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (detection(2, 9, BOX, 0.5), "expected detections of image 1, got one of 2"),
        (detection(1, 7, BOX, 0.5), "has category 7, which is none of the 3"),
        (detection(1, 9, BOX, float("nan")), "has score nan"),
    ],
)
def test_detections_that_do_not_fit_are_refused(found, message):
    matcher = DetectionMatcher(as_coco([]), category_ids=CATEGORIES)
    with pytest.raises(ValueError, match=message):
        matcher.match(1, [found])


def test_an_unknown_image_is_refused():
    with pytest.raises(KeyError, match="got id 4, which they lack"):
        DetectionMatcher(as_coco([]), category_ids=CATEGORIES).match(4, [])


@pytest.mark.parametrize("kinds", [(), ("boxes",)])
def test_unknown_kinds_are_refused(kinds):
    with pytest.raises(ValueError, match="must be taken from bbox, segm"):
        DetectionMatcher(as_coco([]), category_ids=CATEGORIES, kinds=kinds)


def test_two_classes_of_one_category_are_refused():
    with pytest.raises(ValueError, match="every class needs its own category"):
        DetectionMatcher(as_coco([]), category_ids=(3, 3))


def test_records_that_do_not_fit_are_not_joined():
    with pytest.raises(ValueError, match="at least one image, got none"):
        join_images([])
    (both,), (boxes,) = (match(as_coco([]), [], 1, kinds=k) for k in (("bbox", "segm"), ("bbox",)))
    with pytest.raises(ValueError, match="segm_matched, segm_ignored, got one with image_number"):
        join_images([both, boxes])
