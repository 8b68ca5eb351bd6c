"""Crops in batches against mmseg's own loop over them."""

from unittest import mock

import pytest
import torch
from mmseg.models.segmentors import EncoderDecoder

from stl_backbones.robustness.slide_crops import predict_crops_together, slide_in_batches

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


class Net(EncoderDecoder):
    """Convolutions as wide as to see a crop's edges."""

    def __init__(self, *, crop=(16, 24), stride=(8, 16), mode="slide"):
        torch.nn.Module.__init__(self)
        self.test_cfg = Settings(mode=mode, crop_size=crop, stride=stride)
        self.out_channels, self.batches = 4, []
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 5, padding=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 4, 3, padding=1),
        )

    def encode_decode(self, inputs, batch_img_metas):
        assert len(batch_img_metas) in (len(inputs), 1, 2)
        assert batch_img_metas[0]["img_shape"] == inputs.shape[2:]
        self.batches.append(len(inputs))
        return self.layers(inputs)


class Mixing(Net):
    """Of a kind that looks at all of a batch."""

    def encode_decode(self, inputs, batch_img_metas):
        logits = super().encode_decode(inputs, batch_img_metas)
        return logits - 5 * logits.mean(dim=(0, 2, 3), keepdim=True)


class Alone(Net):
    def encode_decode(self, inputs, batch_img_metas):
        if len(inputs) > 1:
            raise RuntimeError("expected one image")
        return super().encode_decode(inputs, batch_img_metas)


class Own(Net):
    def slide_inference(self, inputs, batch_img_metas):
        return 2 * super().slide_inference(inputs, batch_img_metas)


class Settings(dict):
    __getattr__ = dict.__getitem__


def metas(count=1):
    return [{"ori_shape": (1, 1), "img_path": f"{n}.png"} for n in range(count)]


def images(count=1, size=(37, 50)):
    return torch.randn((count, 3, *size), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(37, 50), (16, 24), (10, 60), (40, 20), (9, 9), (32, 56)])
@pytest.mark.parametrize("stride", [(8, 16), (16, 24), (5, 7)])
@torch.inference_mode()
def test_one_crop_at_a_time_is_mmsegs_loop_to_the_bit(size, stride):
    net, given = Net(stride=stride), images(size=size)
    expected = EncoderDecoder.slide_inference(net, given, metas())
    assert torch.equal(slide_in_batches(net, given, metas(), crops=1), expected)


@pytest.mark.parametrize("count", [1, 2])
@torch.inference_mode()
def test_batches_are_bounded_and_round_alone(count):
    net, given = Net(), images(count)
    expected = EncoderDecoder.slide_inference(net, given, metas(count))
    windows, net.batches = len(net.batches), []
    found = slide_in_batches(net, given, metas(count), crops=6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert max(net.batches) == 6
    assert sum(net.batches) == windows * count


@torch.inference_mode()
def chosen(net, device):
    """Whether crops go together, and what the model then gives."""
    together = predict_crops_together(net, device, lambda: net.slide_inference(images(), metas()))
    return together, net.slide_inference(images(), metas())


def test_on_a_gpu_crops_go_together():
    net = Net()
    together, found = chosen(net, GPU)
    assert together
    assert net.batches[-1] > 1
    with torch.inference_mode():
        torch.testing.assert_close(found, EncoderDecoder.slide_inference(net, images(), metas()))


@pytest.mark.parametrize(("net", "device"), [
    (Net, CPU), (Mixing, GPU), (Alone, GPU), (Own, GPU), (lambda: Net(mode="whole"), GPU),
], ids=["CPU", "of all of a batch", "of one image", "of its own loop", "whole"])  # fmt: skip
def test_else_mmsegs_own_way_stays(net, device):
    made = net()
    together, found = chosen(made, device)
    assert not together
    assert set(made.batches[-2:]) == {1}
    with torch.inference_mode():
        expected = type(made).slide_inference(net(), images(), metas())
    assert torch.equal(found, expected)


def test_the_provenance_says_so():
    from stl_backbones.robustness.tasks.segmentation import SegmentationSet

    scored = mock.Mock(ignore_index=255, crops_together=True)
    scored.subject.inner.test_cfg = Net().test_cfg
    words = list(SegmentationSet.inference(scored))
    assert words == ["slide crop=16x24 stride=8x16 8 crops at once"]
    scored.crops_together = False
    assert list(SegmentationSet.inference(scored)) == ["slide crop=16x24 stride=8x16"]
