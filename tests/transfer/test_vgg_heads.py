"""The decoders of FCN-8s and DilatedNet."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stl_backbones.models.counting import count_parameters
from stl_backbones.transfer.vgg_heads import DilatedContextHead, FCN8sHead, set_bilinear_

LOSS = {"type": "CrossEntropyLoss", "avg_non_ignore": True}


@pytest.fixture
def fcn(draw):
    torch.manual_seed(0)
    head = FCN8sHead(
        in_channels=(4, 6, 8), in_index=(0, 1, 2), num_classes=3, dropout_ratio=0, loss_decode=LOSS
    ).eval()
    head.init_weights()
    nn.init.normal_(head.conv_seg.weight)
    return head


def test_upsampling_begins_as_bilinear_interpolation(draw):
    layer = nn.ConvTranspose2d(3, 3, kernel_size=4, stride=2, padding=1, bias=False)
    set_bilinear_(layer)
    x = draw(0, 2, 3, 6, 8)
    with torch.no_grad():
        found = layer(x)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    inside = (..., slice(1, -1), slice(1, -1))  # at the border, interpolation repeats the last row
    torch.testing.assert_close(found[inside], expected[inside])


def test_a_fresh_head_upsamples_the_scores_of_fc7(fcn, draw):
    maps = [draw(1, 1, 4, 24, 32), draw(2, 1, 6, 12, 16), draw(3, 1, 8, 6, 8)]
    with torch.no_grad():
        found = fcn(maps)
        twice = F.interpolate(fcn.conv_seg(maps[2]), scale_factor=2, mode="bilinear")
        expected = F.interpolate(twice, scale_factor=2, mode="bilinear")
    inside = (..., slice(4, -4), slice(4, -4))
    assert found.shape == (1, 3, 24, 32)
    torch.testing.assert_close(found[inside], expected[inside])


def test_the_skips_are_added_at_their_size(fcn, draw):
    maps = [draw(1, 1, 4, 8, 8), draw(2, 1, 6, 4, 4), draw(3, 1, 8, 2, 2)]
    with torch.no_grad():
        before = fcn(maps)
        nn.init.normal_(fcn.score_pool3.weight)
        with_pool3 = fcn(maps)
        nn.init.normal_(fcn.score_pool4.weight)
        with_both = fcn(maps)
        torch.testing.assert_close(with_pool3 - before, fcn.score_pool3(maps[0]))
        torch.testing.assert_close(
            with_both - with_pool3, fcn.up_pool4(fcn.score_pool4(maps[1])), atol=1e-5, rtol=1e-4
        )


def test_maps_of_odd_sizes(fcn, draw):
    maps = [draw(1, 1, 4, 11, 13), draw(2, 1, 6, 5, 6), draw(3, 1, 8, 2, 3)]
    with torch.no_grad():
        assert fcn(maps).shape == (1, 3, 11, 13)


def test_fcn_8s_has_its_papers_134_million_parameters():
    """VGG-16's 134.26 M and, of 21 classes, three scores and two 4x4 upsampling layers."""
    head = FCN8sHead(in_index=(0, 1, 2), num_classes=21, loss_decode=LOSS)
    scores = 21 * (4096 + 512 + 256 + 3)
    assert count_parameters(head) == scores + 2 * 21 * 21 * 16


def test_dilated_nets_head_begins_with_the_front_ends_scores(draw):
    torch.manual_seed(0)
    head = DilatedContextHead(
        in_channels=8, num_classes=3, dropout_ratio=0, loss_decode=LOSS
    ).eval()
    head.init_weights()
    nn.init.uniform_(head.conv_seg.weight)
    features = draw(0, 1, 8, 5, 7).abs()
    with torch.no_grad():
        torch.testing.assert_close(head([features]), head.conv_seg(features))
        assert head.conv_seg(features).min() > 0
