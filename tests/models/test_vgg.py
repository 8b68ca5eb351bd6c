"""VGG-16 as a dense encoder, against torchvision's."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import vgg16

from stl_backbones.models.counting import count_parameters
from stl_backbones.models.vgg import DilatedVGG16, FullyConvolutionalVGG16


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    return vgg16().eval()


@pytest.fixture(scope="module")
def weights(reference):
    """torchvision's, by timm's names: linear layers as convolutions."""
    theirs = reference.state_dict()
    ours = {name: value for name, value in theirs.items() if name.startswith("features.")}
    for name, layer, side in (("fc1", 0, 7), ("fc2", 3, 1)):
        ours[f"pre_logits.{name}.weight"] = theirs[f"classifier.{layer}.weight"].unflatten(
            1, (-1, side, side)
        )
        ours[f"pre_logits.{name}.bias"] = theirs[f"classifier.{layer}.bias"]
    return ours


@pytest.fixture(scope="module")
def fully_convolutional(weights):
    network = FullyConvolutionalVGG16().eval()
    network.load_state_dict(weights)
    return network


@pytest.fixture(scope="module")
def dilated(weights):
    network = DilatedVGG16().eval()
    network.load_state_dict(weights)
    return network


def image(height, width):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_maps_of_fcn_8s_are_torchvisions(fully_convolutional, reference):
    x = image(224, 224)
    with torch.no_grad():
        pool3, pool4, fc7 = fully_convolutional(x)
        features = reference.features
        torch.testing.assert_close(pool3, features[:17](x))
        torch.testing.assert_close(pool4, features[:24](x))
        # Where fc6 sees the 7x7 map without padding, fc7 is the classifier's.
        expected = reference.classifier[:5](features(x).flatten(1))
    assert fc7.shape == (1, 4096, 7, 7)
    torch.testing.assert_close(fc7[..., 3, 3], expected, atol=1e-5, rtol=1e-4)


def test_maps_halve_from_stride_8_on(fully_convolutional):
    with torch.no_grad():
        maps = fully_convolutional(image(64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(256, 8, 12), (512, 4, 6), (4096, 2, 3)]


def test_parameters_are_the_papers(fully_convolutional, reference):
    """134 M with 21 classes' layers in arXiv:1411.4038, Table 1; torchvision's less its last."""
    last = count_parameters(reference.classifier[6])
    assert count_parameters(fully_convolutional) == count_parameters(reference) - last
    assert count_parameters(fully_convolutional) == 134_260_544


def front_end(weights, x):
    """arXiv:1511.07122, section 4, layer by layer: nothing padded but the image."""
    x = F.pad(x, (186,) * 4, mode="reflect")
    for stage, (indices, dilation) in enumerate(
        (((0, 2), 1), ((5, 7), 1), ((10, 12, 14), 1), ((17, 19, 21), 1), ((24, 26, 28), 2))
    ):
        for index in indices:
            names = (f"features.{index}.weight", f"features.{index}.bias")
            x = F.relu(F.conv2d(x, *(weights[name] for name in names), dilation=dilation))
        if stage < 3:
            x = F.max_pool2d(x, 2)
    for name, dilation in (("fc1", 4), ("fc2", 1)):
        names = (f"pre_logits.{name}.weight", f"pre_logits.{name}.bias")
        x = F.relu(F.conv2d(x, *(weights[name] for name in names), dilation=dilation))
    return x


def test_the_front_end_is_its_papers(dilated, weights):
    x = image(192, 200)
    with torch.no_grad():
        (found,) = dilated(x)
        torch.testing.assert_close(found, front_end(weights, x), atol=1e-6, rtol=1e-5)
    assert found.shape == (1, 4096, 24, 25)
    assert found.abs().max() > 0.05


def test_an_image_without_a_reflection_so_wide_is_refused(dilated):
    with pytest.raises(ValueError, match="sides of more than that, got 186x300"):
        dilated(image(186, 300))
