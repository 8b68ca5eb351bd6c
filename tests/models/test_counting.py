"""Counts of parameters and multiply-accumulates against published ones."""

import pytest
import timm
import torch
from torch import nn

from stl_backbones.models import counting


def test_a_convolution_and_a_linear_layer_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(4 * 36, 5))
    assert counting.count_parameters(network) == 4 * 3 * 9 + 4 * 36 * 5 + 5
    # An 8x8 image: 6x6 places of 4 * 3 * 9 products, then 144 * 5.
    assert counting.count_macs(network, 8) == 36 * 4 * 27 + 144 * 5


def test_the_products_inside_attention_count():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, image):
            tokens = self.scale * image.flatten(2).transpose(1, 2).unsqueeze(1)  # (1, 1, 64, 3)
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    assert counting.count_macs(Attention(), 8) == 2 * 64 * 64 * 3


@pytest.mark.parametrize(
    ("name", "millions", "gigas"),
    [
        # Of the papers: He et al. 2016; Liu et al. 2022; Touvron et al. 2021, all at 224 pixels.
        ("resnet50", 25.6, 4.1),
        ("convnext_tiny", 28.6, 4.5),
        ("deit_small_patch16_224", 22.1, 4.6),
        # STL's Table 2 has 7 M and 3.5 G, FAN's released code leaves channel attention uncounted.
        ("fan_tiny_8_p4_hybrid", 7.5, 3.6),
    ],
)
def test_known_networks(name, millions, gigas):
    network = timm.create_model(name).eval()
    assert counting.count_parameters(network) == pytest.approx(millions * 1e6, abs=0.05e6)
    assert counting.count_macs(network, 224) == pytest.approx(gigas * 1e9, abs=0.05e9)
