"""Wide ResNet-38: published size, and dilation against striding."""

import pytest
import torch

from stl_backbones.models.counting import count_parameters
from stl_backbones.models.wide_resnet38 import BLOCKS, WideResNet38


@pytest.fixture(scope="module")
def strided():
    torch.manual_seed(0)
    network = WideResNet38(output_stride=32).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


def test_38_layers_with_the_stem_and_a_classifier():
    assert 1 + sum(units * len(channels) for units, channels, _ in BLOCKS) + 1 == 38


def test_parameters():
    """105.070912 million in Places-trained Model A2 (arXiv:1611.10080) without its classifier.

    Convolutions of 64 - 128 - 256 - 512 - 1024 - 2048 - 4096 channels and their norms.
    """
    with torch.device("meta"):
        assert count_parameters(WideResNet38()) == 105_070_912


@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_computes_what_strides_leave_out(strided, stride):
    """Every fourth (second) row and column is the strided network's map."""
    dense = WideResNet38(output_stride=stride).eval()
    dense.load_state_dict(strided.state_dict())
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (coarse,), (fine,) = strided(x), dense(x)
    assert coarse.shape == (1, 4096, 2, 3)
    assert fine.shape == (1, 4096, 64 // stride, 96 // stride)
    step = 32 // stride
    torch.testing.assert_close(fine[..., ::step, ::step], coarse, atol=1e-4, rtol=1e-4)
    assert coarse.std() > 0.1


def test_another_stride_is_refused():
    with pytest.raises(ValueError, match="one of 8, 16, 32, got 4"):
        WideResNet38(output_stride=4)
