"""Weights that load without a word and make every result wrong."""

import pytest
import timm
import torch
from torch import nn

from stl_backbones.models.timm_classifiers import create_from_weights
from stl_backbones.models.weight_values import check_values


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def with_first(weight, value):
    changed = weight.clone()
    changed.view(-1)[0] = value
    return changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: with_first(w, float("nan")), r"0.weight is not finite in 1 of 6 values"),
        (lambda w: with_first(w, -float("inf")), r"0.weight is not finite in 1 of 6 values"),
        (lambda w: w.int(), r"0.weight holds torch.int32; expected floating point"),
        (lambda w: w > 0, r"0.weight holds torch.bool"),
        (lambda w: w.to(torch.complex64), r"0.weight is complex \(torch.complex64\)"),
        (lambda w: w.to_sparse(), r"0.weight is sparse or nested"),
        (lambda w: w.to("meta"), r"0.weight has no values"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), r"0.weight is quantised \(t"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refused(model, change, says):
    weights = model.state_dict()
    weights["0.weight"] = change(weights["0.weight"])
    with pytest.raises(ValueError, match=rf"checkpoint 'x.pth': {says}"):
        check_values(model, weights, "x.pth")


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "float8_e4m3fn"])
def test_any_floating_point_type_will_do(model, kind):
    weights = model.state_dict()
    weights["0.weight"] = weights["0.weight"].to(getattr(torch, kind))
    check_values(model, weights, "x.pth")


def test_counts_and_masks_are_no_weights(model):
    model.register_buffer("mask", torch.zeros(2))
    weights = {**model.state_dict(), "mask": torch.tensor([0.0, -torch.inf])}
    assert weights["1.num_batches_tracked"].dtype == torch.int64
    check_values(model, weights, "x.pth")
    with pytest.raises(ValueError, match=r"mask is not finite"):
        check_values(model, {**weights, "mask": torch.tensor([0.0, torch.nan])}, "x.pth")


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_timm_classifier_of_such(prefix):
    weights = timm.create_model("fan_tiny_8_p4_hybrid", num_classes=3).state_dict()
    wrong = {
        "is not finite in 1 of": with_first(weights["head.weight"], torch.nan),
        "holds torch.int32": weights["head.weight"].int(),
    }
    for says, value in wrong.items():
        changed = {f"{prefix}{k}": v for k, v in {**weights, "head.weight": value}.items()}
        with pytest.raises(ValueError, match=rf"checkpoint 'x.pth': head.weight {says}"):
            create_from_weights("fan_tiny_8_p4_hybrid", changed, source="x.pth")
