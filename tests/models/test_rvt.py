"""RVT's parts against what they become without its additions."""

import pytest
import timm
import torch
from timm.layers.attention import Attention as TimmAttention

from stl_backbones.models import rvt
from stl_backbones.models.counting import count_parameters

SMALL = rvt.Size(depth=2, dim=24, heads=3, weighing=1)


def noisy(module):
    """The module with parameters that are all different."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


@pytest.mark.parametrize(("letter", "parameters"), [("s", 23.3e6), ("b", 91.8e6)])
def test_parameters_are_the_published_ones(letter, parameters):
    with torch.device("meta"):
        network = timm.create_model(f"rvt_{letter}")
    assert count_parameters(network) == pytest.approx(parameters, rel=0.01)


@pytest.mark.parametrize("positions", [0, 6])
def test_attention_is_timms_where_all_pairs_weigh_one(positions):
    theirs = noisy(TimmAttention(24, 3, qkv_bias=True))
    ours = rvt.Attention(24, 3, positions)
    missing, _ = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert missing == (["weights"] if positions else [])
    tokens = torch.randn(2, 6, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens))


def test_each_head_weighs_its_pairs_before_the_softmax():
    ours = noisy(rvt.Attention(4, 2, 3))
    tokens = torch.randn(1, 3, 4)
    with torch.no_grad():
        query, key, value = ours.qkv(tokens)[0].split(4, dim=1)
        heads = []
        for head in range(2):
            channels = slice(2 * head, 2 * head + 2)
            scores = torch.empty(3, 3)
            for row in range(3):
                for column in range(3):
                    product = (query[row, channels] * key[column, channels]).sum() / 2**0.5
                    scores[row, column] = product * ours.weights[head, row, column]
            heads.append(scores.exp() / scores.exp().sum(1, keepdim=True) @ value[:, channels])
        torch.testing.assert_close(ours(tokens)[0], ours.proj(torch.cat(heads, dim=1)))


def test_the_feed_forward_layer_mixes_neighbours_alone():
    layer = noisy(rvt.ConvFeedForward(4, 8))
    tokens = torch.randn(1, 5 * 7, 4)
    changed = tokens.clone()
    changed[0, 2 * 7 + 3] += 1  # row 2, column 3
    with torch.no_grad():
        moved = (layer(changed, (5, 7)) - layer(tokens, (5, 7))).abs().amax(2).view(5, 7) > 0
    expected = torch.zeros(5, 7, dtype=torch.bool)
    expected[1:4, 2:5] = True
    assert torch.equal(moved, expected)


def test_the_mean_token_is_classified():
    network = noisy(rvt.RVT(SMALL, num_classes=5, img_size=(32, 48)))
    image = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        tokens = network.forward_features(image)
        assert tokens.shape == (2, 6, 24)
        torch.testing.assert_close(network(image), network.head(tokens.mean(1)))


def test_factors_are_in_the_first_blocks_and_do_not_decay():
    network = rvt.RVT(SMALL, num_classes=5, img_size=32)
    assert [block.attn.weights is not None for block in network.blocks] == [True, False]
    assert network.no_weight_decay() == {"pos_embed", "blocks.0.attn.weights"}


def test_gradients_are_the_same_when_recomputed():
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(1)
        network = noisy(rvt.RVT(SMALL, num_classes=3, img_size=32))
        network.set_grad_checkpointing(recompute)
        network(torch.ones(2, 3, 32, 32).cumsum(3)).square().sum().backward()
        gradients.append(network.blocks[0].attn.weights.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)
