"""What a network costs: its parameters, and multiply-accumulates on one image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_FLOPS_PER_MAC = 2  # a multiplication and an addition


def count_parameters(network: nn.Module) -> int:
    """The number of weights, frozen ones too."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, size: int, channels: int = 3) -> int:
    """Multiply-accumulates of convolutions and matrix products on one image.

    This is what timm and the paper's Table 2 call FLOPs. The two products inside attention count;
    norms, activations and sums do not.

    Args:
        network: In evaluation mode.
        size: Side of the image.
        channels: 3 for RGB, 1 for grey.

    Returns:
        The count, about 4.1e9 for a ResNet-50 at 224.
    """
    parameter = next(network.parameters())
    image = torch.zeros(1, channels, size, size, device=parameter.device, dtype=parameter.dtype)
    counter = FlopCounterMode(display=False)
    # Fused attention on the CPU is a kernel that the counter does not know.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(image)
    return counter.get_total_flops() // _FLOPS_PER_MAC


__all__ = ["count_macs", "count_parameters"]
