"""Positions against timm's."""

import pytest
import torch
from timm.models.xcit import PositionalEncodingFourier

from stl_backbones.models.positions import GridPositions


@pytest.fixture
def pair():
    torch.manual_seed(0)
    ours, theirs = GridPositions(dim=24), PositionalEncodingFourier(dim=24)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("grid", [(1, 1), (2, 7), (14, 14), (33, 5)])
def test_the_numbers_are_timms(pair, grid):
    ours, theirs = pair
    for _ in range(2):  # computed, then kept
        torch.testing.assert_close(ours(2, *grid), theirs(2, *grid), rtol=1e-6, atol=1e-6)


def test_training_may_follow_inference(pair):
    ours, theirs = pair
    with torch.inference_mode():
        ours(1, 4, 5)
    for network in pair:
        network(1, 4, 5).square().sum().backward()
    mine, other = (network.token_projection.weight.grad for network in (ours, theirs))
    torch.testing.assert_close(mine, other)


def test_another_precision_and_many_grids(pair):
    ours = pair[0]
    assert ours.double()(1, 3, 3).dtype == torch.float64
    for width in range(1, 20):
        ours(1, 2, width)
    assert len(ours._codes) == 8
    assert list(ours.state_dict()) == ["token_projection.weight", "token_projection.bias"]
