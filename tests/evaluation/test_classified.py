"""Records of classified images against hand-computed values."""

import dataclasses

import numpy as np
import pytest
import torch

from stl_backbones.evaluation.classified import Readout, check_finite, classify


def test_two_classes_by_hand():
    # Softmax of (log 3, 0): 3/4 and 1/4.
    scores = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
    found = classify(scores, torch.tensor([0, 0]))
    assert found["label"].tolist() == [0, 0]
    assert found["prediction"].tolist() == [0, 1]
    assert found["confidence"].tolist() == pytest.approx([0.75, 0.75])
    assert found["nll"].tolist() == pytest.approx([np.log(4 / 3), np.log(4)])
    assert found["in_top5"].tolist() == [True, True]  # of two classes, both are among five


def test_the_fifth_is_in_and_the_sixth_is_out():
    scores = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]] * 2)
    assert classify(scores, torch.tensor([4, 5]))["in_top5"].tolist() == [True, False]


def test_types_are_those_of_the_store():
    found = classify(torch.randn(3, 9), torch.tensor([0, 1, 2], dtype=torch.int32))
    assert {name: str(values.dtype) for name, values in found.items()} == {
        "label": "torch.int32", "prediction": "torch.int32", "in_top5": "torch.bool",
        "confidence": "torch.float32", "nll": "torch.float32",
    }  # fmt: skip


def test_a_right_prediction_is_in_the_top_five_even_among_equal_scores():
    found = classify(torch.zeros(50, 50), torch.arange(50))
    right = found["prediction"] == found["label"]
    assert right.any()
    assert found["in_top5"][right].all()


def test_scores_that_are_not_finite_name_the_image():
    with pytest.raises(ValueError, match=r"'b.png': the network's logits .*, as .* 1 of 2"):
        check_finite(np.array([0.5, np.nan], np.float32), ["a.png", "b.png"])


def test_a_readout_cannot_be_changed():
    """It keeps what it made of its groups."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Readout(((0,),), "max", 1).groups = ()


def test_groups_of_scores_by_hand():
    """Of four scores the classes are {0, 3} and {1}; the third has no class."""
    scores, labels = torch.tensor([[1.0, 2.0, 5.0, 0.0]]), torch.tensor([0])
    chance = scores[0].double().softmax(0)
    groups = ((0, 3), (1,))
    largest = Readout(groups, "max", 4).classify(scores, labels)
    assert (largest["prediction"].item(), largest["label"].item()) == (1, 0)
    best = Readout(groups, "argmax", 4).classify(scores, labels)
    assert best["prediction"].item() == 2  # of no class
    assert best["confidence"].item() == pytest.approx(chance[2].item())
    assert best["nll"].item() == pytest.approx(-(chance[0] + chance[3]).log().item())
    mean = Readout(groups, "mean", 4).class_scores(scores)[0]
    expected = [(chance[0] + chance[3]).item() / 2, chance[1].item()]
    assert mean.exp().tolist() == pytest.approx(expected)
