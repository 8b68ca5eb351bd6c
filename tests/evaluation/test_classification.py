"""Accuracy of both scorings against hand-counted samples."""

import pytest
import torch

from stl_backbones.evaluation.classification import TopKAccuracy


def sample(class_logits, token_logits=None, *, label=0, path="x.jpg"):
    found = {"class_logits": torch.tensor(class_logits), "label": label, "path": path}
    if token_logits is not None:
        found["max_token_logits"] = torch.tensor(token_logits)
    return found


def evaluate(samples, **kwargs):
    metric = TopKAccuracy(**kwargs)
    for start in range(0, len(samples), 2):
        metric.process(None, samples[start : start + 2])
    return metric.evaluate(len(samples))


def test_both_scorings():
    samples = [
        # Class logits: class 1 wins. Plus half of the tokens' (4 / 2): class 0 does.
        sample([1.0, 2.0, 0.0], [4.0, 0.0, 0.0]),
        # Right by both: 3 > 0 + 2.
        sample([0.0, 3.0, 0.0], [4.0, 0.0, 0.0], label=1),
        # Right by the class logits alone: 1 < 0 + 4 / 2.
        sample([0.0, 0.0, 1.0], [0.0, 4.0, 0.0], label=2),
        # Wrong by both.
        sample([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], label=1),
    ]
    metrics = evaluate(samples, topk=(1, 2))
    assert metrics["cls_top1"] == 50.0  # samples 2 and 3
    assert metrics["cls_plus_max_token_top1"] == 50.0  # samples 1 and 2
    assert metrics["cls_plus_max_token_top2"] >= 75.0


def test_top5_of_six_classes():
    order = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    metrics = evaluate([sample(order, label=label) for label in range(6)])
    assert metrics == {"cls_top1": pytest.approx(100 / 6), "cls_top5": pytest.approx(500 / 6)}


def test_fewer_than_five_classes():
    assert evaluate([sample([1.0, 0.0], label=1)]) == {"cls_top1": 0.0, "cls_top5": 100.0}


def test_images_scored_twice_by_several_processes_count_once():
    metric = TopKAccuracy()
    metric.process(None, [sample([1.0, 0.0]), sample([1.0, 0.0], label=1)])
    metric.process(None, [sample([1.0, 0.0])])  # what evens out the shares comes last
    assert metric.evaluate(2)["cls_top1"] == 50.0


def test_a_label_that_is_no_class():
    with pytest.raises(ValueError, match=r"'b.jpg': label must be in 0..1, got 2"):
        evaluate([sample([1.0, 0.0]), sample([1.0, 0.0], label=2, path="b.jpg")])


def test_logits_that_are_not_finite():
    with pytest.raises(ValueError, match=r"'x.jpg': the network's logits are not finite"):
        evaluate([sample([float("nan"), 0.0])])
