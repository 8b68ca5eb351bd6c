"""The context module against its paper's table."""

import torch

from stl_backbones.models.context_module import DILATIONS, ContextModule
from stl_backbones.models.counting import count_parameters


def test_a_fresh_module_hands_positive_scores_on():
    scores = torch.rand(2, 19, 5, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ContextModule(19)(scores), scores, atol=0, rtol=0)


def test_what_an_output_sees():
    """67x67 of the eight layers of Table 1; 129 on each side with section A.3's two more."""
    table_1 = tuple(d for d in DILATIONS if d < 32)
    for dilations, radius in ((table_1, 33), (DILATIONS, 129)):
        module = ContextModule(1, dilations)
        for layer in module.layers:
            torch.nn.init.ones_(layer.weight)
        scores = torch.zeros(1, 1, 1, 2 * radius + 3)
        scores[..., 0] = scores[..., -1] = 1.0
        with torch.no_grad():
            seen = module(scores)[0, 0, 0] > 0
        assert seen.nonzero().flatten().tolist() == [
            *range(radius + 1),
            *range(radius + 2, 2 * radius + 3),
        ]


def test_parameters():
    """Nine 3x3 layers and a 1x1 one, of 19 channels each."""
    assert count_parameters(ContextModule(19)) == 9 * (19 * 19 * 9 + 19) + 19 * 19 + 19
