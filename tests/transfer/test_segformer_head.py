"""The fast head against the plain formula of the paper."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stl_backbones.transfer import LinearSegformerHead

WIDTHS = (5, 6, 7, 7)
SIZES = ((16, 24), (8, 12), (4, 6), (4, 6))
CHANNELS, CLASSES = 8, 3
LOSS = {"type": "mmseg.CrossEntropyLoss", "avg_non_ignore": True}  # mmseg warns of its default


class PlainHead(nn.Module):
    """Linear, upsample, concatenate, 1x1 convolution, BatchNorm, ReLU, classify."""

    def __init__(self):
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(width, CHANNELS) for width in WIDTHS)
        self.conv = nn.Conv2d(CHANNELS * len(WIDTHS), CHANNELS, 1, bias=False)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.classify = nn.Conv2d(CHANNELS, CLASSES, 1)

    def forward(self, maps):
        projected = [
            layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for layer, x in zip(self.projections, maps, strict=True)
        ]
        same_size = [
            F.interpolate(x, size=SIZES[0], mode="bilinear", align_corners=False) for x in projected
        ]
        joined = torch.cat(same_size, dim=1)
        return self.classify(torch.relu(self.norm(self.conv(joined))))


NAMES = {
    "fuse.conv.": "conv.", "fuse.bn.": "norm.", "conv_seg.": "classify.",
    "projections.": "projections.",
}  # fmt: skip


def plain_name(name):
    prefix = next(prefix for prefix in NAMES if name.startswith(prefix))
    return name.replace(prefix, NAMES[prefix], 1)


@pytest.fixture
def heads(draw):
    """Both heads in float64, with the same random weights and running statistics."""
    head = LinearSegformerHead(
        channels=CHANNELS, in_channels=list(WIDTHS), in_index=[0, 1, 2, 3], num_classes=CLASSES,
        norm_cfg={"type": "BN"}, dropout_ratio=0, loss_decode=LOSS,
    )  # fmt: skip
    own = head.state_dict()
    weights = {
        name: value
        if name.endswith("tracked")
        else 0.5 + draw(index, *value.shape).abs()
        if name.endswith("running_var")
        else draw(index, *value.shape)
        for index, (name, value) in enumerate(own.items())
    }
    head.load_state_dict(weights)
    plain = PlainHead()
    plain.load_state_dict({plain_name(name): value for name, value in weights.items()})
    return head.double(), plain.double()


@pytest.fixture
def maps(draw):
    return [
        draw(100 + index, 2, width, *size, dtype=torch.float64).requires_grad_()
        for index, (width, size) in enumerate(zip(WIDTHS, SIZES, strict=True))
    ]


@pytest.mark.parametrize("training", [False, True])
def test_logits_are_those_of_the_plain_formula(heads, maps, training):
    head, plain = (module.train(training) for module in heads)
    torch.testing.assert_close(head(maps), plain(maps), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_those_of_the_plain_formula(heads, maps, draw, training):
    gradients = []
    for module in heads:
        logits = module.train(training)(maps)
        (logits * draw(9, *logits.shape, dtype=torch.float64)).sum().backward()
        gradients.append({name: p.grad for name, p in module.named_parameters()})
        gradients[-1].update({f"map {i}": x.grad for i, x in enumerate(maps)})
        for x in maps:
            x.grad = None
    ours = {k if k.startswith("map") else plain_name(k): v for k, v in gradients[0].items()}
    torch.testing.assert_close(ours, gradients[1], rtol=1e-4, atol=1e-9)


def test_running_statistics_are_those_of_the_plain_formula(heads, maps):
    head, plain = (module.train() for module in heads)
    head(maps)
    plain(maps)
    torch.testing.assert_close(head.fuse.bn.running_mean, plain.norm.running_mean)
    torch.testing.assert_close(head.fuse.bn.running_var, plain.norm.running_var)


def test_float32_stays_near_the_plain_formula(heads, maps):
    head, plain = (module.float().eval() for module in heads)
    single = [x.float() for x in maps]
    torch.testing.assert_close(head(single), plain(single), rtol=1e-4, atol=1e-4)


def test_maps_are_chosen_by_in_index(maps):
    head = LinearSegformerHead(
        channels=CHANNELS,
        in_channels=[WIDTHS[1], WIDTHS[3]],
        in_index=[1, 3],
        num_classes=CLASSES,
        loss_decode=LOSS,
    ).double()
    assert head(maps).shape == (2, CLASSES, *SIZES[1])
