"""AP from stored matches against pycocotools, on data sets and on their resamples."""

from __future__ import annotations

import contextlib
import copy
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stl_backbones.evaluation.detection import DetectionMatcher, join_images
from stl_backbones.metrics import AP_NUMBERS, average_precision
from stl_backbones.metrics.detection import RECALLS

CATEGORIES = (9, 3, 12, 7)  # of the classes; not in the order of their ids
IMAGES = 10


def as_coco(annotations, numbers):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": n, "height": 150, "width": 200} for n in numbers],
        "categories": [{"id": number} for number in sorted(CATEGORIES)],
        "annotations": copy.deepcopy(annotations),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def random_scenes(seed, *, ties=True, images=IMAGES):
    """Boxes of all sizes, some of them crowds; jittered detections, many with equal scores.

    Scores of one image and class are different unless `ties`; some images have nothing.
    """
    rng = np.random.default_rng(seed)

    def box():
        width, height = rng.integers(4, 120, 2)
        left, top = rng.integers(0, 200 - width), rng.integers(0, 150 - height)
        return [int(side) for side in (left, top, width, height)]

    annotations, detections, used = [], [], set()
    for image in range(1, images + 1):
        objects = []
        for _ in range(rng.integers(0, 6)):
            objects.append((box(), int(rng.choice(CATEGORIES[:3]))))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": objects[-1][1],
                 "bbox": objects[-1][0], "area": objects[-1][0][2] * objects[-1][0][3],
                 "iscrowd": int(rng.random() < 0.15)}
            )  # fmt: skip
        for _ in range(rng.integers(0, 9)):
            chosen, category = box(), int(rng.choice(CATEGORIES))
            if objects and rng.random() < 0.7:
                near, category = objects[rng.integers(len(objects))]
                chosen = [max(1, side + int(rng.integers(-5, 6))) for side in near]
            score = int(rng.integers(0, 12)) / 16
            if ties or (image, category, score) not in used:
                used.add((image, category, score))
                detections.append(
                    {"image_id": image, "category_id": category, "bbox": chosen, "score": score}
                )
    return annotations, detections


def samples_of(annotations, detections, numbers=range(1, IMAGES + 1), **options):
    matcher = DetectionMatcher(
        as_coco(annotations, numbers), category_ids=CATEGORIES, kinds=("bbox",), **options
    )
    return join_images(
        [matcher.match(n, [one for one in detections if one["image_id"] == n]) for n in numbers]
    )


def reference(annotations, detections, numbers=range(1, IMAGES + 1), most=(1, 10, 100)):
    """pycocotools' six numbers, and AP by class; NaN for its -1."""
    truth = as_coco(annotations, numbers)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(detections)), "bbox")
        evaluation.params.maxDets = list(most)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))  # by category
    numbers = np.concatenate([evaluation.stats[:6], precision])
    known = np.where(numbers < 0, np.nan, numbers)
    return known[:6], known[6:][np.argsort(np.argsort(CATEGORIES))]


def numbers_of(found, resample=0):
    return np.array([found.numbers[name][resample] for name in AP_NUMBERS])


@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_pycocotools(seed):
    scenes = random_scenes(seed)
    found = average_precision(samples_of(*scenes), "bbox", classes=4)
    numbers, by_class = reference(*scenes)
    np.testing.assert_allclose(numbers_of(found), numbers, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.by_class[0], by_class, rtol=0, atol=1e-12)
    assert np.isnan(found.by_class[0, 3])  # detections, but no object


def test_the_best_hundred_decide_ap_and_all_that_were_matched_the_rest():
    annotations, detections = random_scenes(3)
    rng = np.random.default_rng(0)
    for image in (1, 2):
        box = next(one["bbox"] for one in annotations if one["image_id"] == image)
        category = next(one["category_id"] for one in annotations if one["image_id"] == image)
        detections += [
            {
                "image_id": image, "category_id": category, "score": float(score),
                "bbox": [side + float(shift) for side, shift in zip(box, shifts, strict=True)],
            }
            for score, shifts in zip(rng.random(150), rng.uniform(0, 9, (150, 4)), strict=True)
        ]  # fmt: skip
    samples = samples_of(annotations, detections, max_detections=1000)
    counts = np.ones((1, IMAGES), np.float32)
    found = average_precision(samples, "bbox", classes=4, counts=counts)
    numbers, _ = reference(annotations, detections, most=(100, 300, 1000))
    np.testing.assert_allclose(numbers_of(found), numbers, rtol=0, atol=1e-12)
    np.testing.assert_allclose(numbers_of(found, 1), numbers, rtol=0, atol=1e-6)
    few = average_precision(samples_of(annotations, detections), "bbox", classes=4)
    assert found.numbers["ap"][0] == few.numbers["ap"][0]
    assert found.numbers["ap50"][0] != few.numbers["ap50"][0]
    np.testing.assert_array_equal(found.by_class[0], few.by_class[0])


@pytest.mark.parametrize("seed", range(8))
def test_a_resample_is_a_data_set_with_repeated_images(seed):
    annotations, detections = random_scenes(seed, ties=False)
    rng = np.random.default_rng(seed)
    counts = np.stack(
        [np.bincount(rng.integers(0, IMAGES, IMAGES), minlength=IMAGES) for _ in range(3)]
    )
    found = average_precision(
        samples_of(annotations, detections), "bbox", classes=4, counts=counts.astype(np.float32)
    )
    for resample, row in enumerate(counts, start=1):
        drawn = np.repeat(np.arange(1, IMAGES + 1), row).tolist()
        repeated = [
            [{**one, "image_id": new} for new, old in enumerate(drawn, start=1)
             for one in entries if one["image_id"] == old]
            for entries in (annotations, detections)
        ]  # fmt: skip
        objects = [{**one, "id": number} for number, one in enumerate(repeated[0], start=1)]
        numbers, _ = reference(objects, repeated[1], range(1, IMAGES + 1))
        np.testing.assert_allclose(numbers_of(found, resample), numbers, rtol=0, atol=1e-12)


def test_every_image_once_is_the_data_set():
    samples = samples_of(*random_scenes(3))
    counts = np.ones((2, IMAGES), np.float32)
    found = average_precision(samples, "bbox", classes=4, counts=counts)
    for resample in (1, 2):
        np.testing.assert_allclose(
            numbers_of(found, resample), numbers_of(found), rtol=0, atol=1e-14
        )


def test_equal_scores_are_in_the_order_of_ids_not_of_records():
    """A false alarm on image 1 comes before the hit on image 2 of the same score, and halves it."""
    annotations = [{"id": 1, "image_id": 2, "category_id": 9, "bbox": [10, 10, 50, 50],
                    "area": 2500, "iscrowd": 0}]  # fmt: skip
    detections = [
        {"image_id": n, "category_id": 9, "bbox": [10, 10, 50, 50], "score": 0.5} for n in (1, 2)
    ]
    for numbers in ([1, 2], [2, 1]):
        samples = samples_of(annotations, detections, numbers)
        found = average_precision(samples, "bbox", classes=4)
        assert found.numbers["ap"][0] == pytest.approx(0.5, abs=1e-12)
        # Twice the hit and thrice the alarm, then the hit alone, then nothing to find.
        weights = {1: [3, 0, 1], 2: [2, 1, 0]}
        counts = np.array([weights[n] for n in numbers], np.float32).T
        found = average_precision(samples, "bbox", classes=4, counts=counts)
        np.testing.assert_allclose(found.numbers["ap"][1:], [2 / 5, 1, np.nan], atol=1e-12)


def test_one_of_two_found():
    """Precision is 1 at the recalls 0, .01, ..., .5 and 0 above: 51 of 101 points."""
    annotations = [{"id": n, "image_id": n, "category_id": 9, "bbox": [0, 0, 50, 50],
                    "area": 2500, "iscrowd": 0} for n in (1, 2)]  # fmt: skip
    detections = [{"image_id": 1, "category_id": 9, "bbox": [0, 0, 50, 50], "score": 0.5}]
    counts = np.array([[1, 3]], np.float32)  # one of four found
    found = average_precision(
        samples_of(annotations, detections, [1, 2]), "bbox", classes=4, counts=counts
    )
    np.testing.assert_allclose(found.numbers["ap"], [51 / 101, 26 / 101], atol=1e-12)
    np.testing.assert_allclose(found.numbers["ap_medium"], [51 / 101, 26 / 101], atol=1e-12)
    assert np.isnan(found.numbers["ap_small"]).all()


@pytest.mark.parametrize("drawn", [255, 256])
def test_an_image_may_be_drawn_more_often_than_a_byte_counts(drawn):
    """One of 256 or more objects is found: precision is 1 at recall 0 alone."""
    annotations = [{"id": n, "image_id": n, "category_id": 9, "bbox": [0, 0, 50, 50],
                    "area": 2500, "iscrowd": 0} for n in (1, 2)]  # fmt: skip
    detections = [{"image_id": 1, "category_id": 9, "bbox": [0, 0, 50, 50], "score": 0.5}]
    counts = np.array([[1, drawn]], np.float32)
    found = average_precision(
        samples_of(annotations, detections, [1, 2]), "bbox", classes=4, counts=counts
    )
    assert found.numbers["ap"][1] == pytest.approx(1 / 101, abs=1e-12)


def test_nothing_detected_is_zero_and_no_object_is_nan():
    annotations, detections = random_scenes(4)
    counts = np.ones((1, IMAGES), np.float32)
    nothing = average_precision(samples_of(annotations, []), "bbox", classes=4, counts=counts)
    assert nothing.numbers["ap"].tolist() == [0, 0]
    absent = average_precision(samples_of([], detections), "bbox", classes=4, counts=counts)
    assert all(np.isnan(values).all() for values in absent.numbers.values())


def test_the_recalls_are_pycocotools():
    np.testing.assert_array_equal(RECALLS, COCOeval(iouType="bbox").params.recThrs)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("bbox_score", None, r"sample 'bbox_score' of floating and shape \(\d+,\), got None"),
        ("bbox_score", np.ones(1, np.float32), r"got float32 of shape \(1,\)"),
        ("bbox_matched", np.zeros((1, 3), np.uint16), r"'bbox_matched' of uint16 and shape"),
        ("image_number", np.zeros((2, 2), np.int64), r"'image_number' of integer and .*\(images,"),
        ("objects", np.full(IMAGES, -1), "'objects' must hold numbers of 0 or more, got -1"),
        ("object_counted", np.ones((0, 4), bool), r"'object_counted' of bool and shape"),
    ],
)
def test_samples_that_do_not_fit_are_refused(name, values, message):
    samples = samples_of(*random_scenes(5))
    with pytest.raises(ValueError, match=message):
        average_precision({**samples, name: values}, "bbox", classes=4)


def test_classes_and_scores_that_cannot_be_are_refused():
    samples = samples_of(*random_scenes(5))
    with pytest.raises(ValueError, match=r"'bbox_category' must hold classes 0\.\.2, got 0\.\.3"):
        average_precision(samples, "bbox", classes=3)
    scores = np.full_like(samples["bbox_score"], np.nan)
    with pytest.raises(ValueError, match="'bbox_score' must be finite"):
        average_precision({**samples, "bbox_score": scores}, "bbox", classes=4)


def test_counts_of_other_images_are_refused():
    with pytest.raises(ValueError, match="expected counts of 10 images, got 9"):
        average_precision(
            samples_of(*random_scenes(5)), "bbox", classes=4, counts=np.ones((1, 9), np.float32)
        )
