"""Our metric against mmseg's on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from stl_backbones.evaluation.segmentation import (
    ConfusionMatrixMetric,
    added_up,
    confusion_of,
    count_pixels,
    planes_of,
    sample_confusion,
)

CLASSES = ("road", "car", "sky", "person", "train")


@pytest.fixture
def make_sample():
    def make(prediction, label, path="a.png"):
        sample = SegDataSample(metainfo={"img_path": path})
        sample.pred_sem_seg = PixelData(data=torch.as_tensor(prediction)[None])
        sample.gt_sem_seg = PixelData(data=torch.as_tensor(label)[None])
        return sample

    return make


@pytest.fixture
def samples(make_sample):
    """Predictions that are right two times of three; the last class occurs nowhere."""
    rng = np.random.default_rng(3)
    made = []
    for height, width in ((13, 17), (8, 30), (21, 9)):
        label = rng.integers(0, 4, (height, width))
        guess = np.where(
            rng.random((height, width)) < 2 / 3, label, rng.integers(0, 4, label.shape)
        )
        label[rng.random(label.shape) < 0.1] = 255
        made.append(make_sample(guess, label))
    return made


def evaluate(metric, samples, *, batches=1):
    metric.dataset_meta = {"classes": CLASSES}
    for part in np.array_split(np.arange(len(samples)), batches):
        metric.process(None, [samples[i].to_dict() for i in part])
    return metric.evaluate(len(samples))


def test_equals_mmsegs_metric(samples):
    ours = evaluate(ConfusionMatrixMetric(), samples)
    theirs = evaluate(IoUMetric(iou_metrics=["mIoU"]), samples)
    assert set(ours) == {"mIoU", "mAcc", "aAcc"}
    # mmseg rounds to two places
    assert ours == pytest.approx({name: theirs[name] for name in ours}, abs=0.005 + 1e-9)


def test_batches_do_not_matter(samples):
    assert evaluate(ConfusionMatrixMetric(), samples) == evaluate(
        ConfusionMatrixMetric(), samples, batches=3
    )


def test_by_hand(make_sample):
    # truth 0: 3 of 4 found; truth 1: 1 of 2; IoU 3 / 5 and 1 / 3
    sample = make_sample([[0, 0, 0, 1], [1, 0, 0, 0]], [[0, 0, 0, 0], [1, 1, 255, 255]])
    ours = evaluate(ConfusionMatrixMetric(), [sample])
    expected = {"mIoU": 140 / 3, "mAcc": 62.5, "aAcc": 200 / 3}
    assert ours == pytest.approx(expected, rel=1e-12)


def test_another_ignored_label(make_sample):
    sample = make_sample([[0, 1, 1, 1]], [[0, 1, 4, 4]])
    ours = evaluate(ConfusionMatrixMetric(ignore_index=4), [sample])
    assert ours == {"mIoU": 100, "mAcc": 100, "aAcc": 100}


def test_labels_that_are_all_ignored_are_refused(make_sample):
    sample = make_sample([[0, 1]], [[255, 255]])
    with pytest.raises(ValueError, match=r"no pixel of the 2 images counts: all labels are 255"):
        evaluate(ConfusionMatrixMetric(), [sample, sample])


def test_planes(make_sample):
    sample = make_sample([[0, 1, 2]], [[3, 4, 255]])
    for one in (sample, sample.to_dict()):
        guess, label = planes_of(one)
        assert (guess.tolist(), label.tolist()) == ([[0, 1, 2]], [[3, 4, 255]])


def test_prefix(samples):
    ours = evaluate(ConfusionMatrixMetric(prefix="val"), samples)
    assert set(ours) == {"val/mIoU", "val/mAcc", "val/aAcc"}


def test_a_sample_and_its_dict_are_the_same(samples):
    for sample in samples:
        np.testing.assert_array_equal(
            sample_confusion(sample, num_classes=5),
            sample_confusion(sample.to_dict(), num_classes=5),
        )


@pytest.mark.parametrize(
    ("label", "message"),
    [([[0, 7]], r"'b\.png': label must hold classes 0\.\.4, got 0\.\.7"),
     ([[0, 1, 1]], r"'b\.png': prediction and label must have one shape")],
)  # fmt: skip
def test_bad_labels_name_the_image(make_sample, label, message):
    with pytest.raises(ValueError, match=message):
        sample_confusion(make_sample([[0, 1]], label, "b.png"), num_classes=5)


def test_mmengine_builds_it_by_name():
    metric = METRICS.build({"type": "stl_backbones.ConfusionMatrixMetric", "ignore_index": 3})
    assert (type(metric), metric.ignore_index) == (ConfusionMatrixMetric, 3)


def test_on_a_device_pixels_are_counted_without_waiting(make_sample):
    """A tensor without values cannot be waited for."""
    label, guess = (torch.zeros((4, 6), dtype=torch.int64, device="meta") for _ in "ab")
    counts = count_pixels(make_sample(guess, label), num_classes=5)
    assert (counts.device.type, counts.shape) == ("meta", (29,))


def test_adding_up_counts_as_bincount_does():
    values = torch.randint(0, 9, (1000,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(added_up(values, 12), torch.bincount(values, minlength=12))


def test_an_image_without_a_pixel_that_counts_has_no_wrong_one(make_sample):
    label = np.full((2, 2), 255)
    counts = count_pixels(make_sample(np.full((2, 2), 99), label), num_classes=5)
    assert confusion_of(counts.numpy(), 5).sum() == 0


def test_predictions_that_are_no_class_are_refused(make_sample):
    with pytest.raises(
        ValueError, match=r"'a\.png': prediction must hold classes 0\.\.4, got 1\.\.5"
    ):
        sample_confusion(make_sample([[5, 1, 77]], [[1, 1, 255]]), num_classes=5)
