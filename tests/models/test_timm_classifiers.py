"""Timm's classifiers from files, and what cannot be built."""

import socket
from unittest import mock

import pytest
import timm
import torch

from stl_backbones.models.timm_classifiers import (
    check_timm_name,
    create_from_weights,
    create_pretrained,
)

NAME = "test_vit"  # 0.4 M parameters, takes 160 pixels alone


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return timm.create_model(NAME, num_classes=7).eval()


def test_weights_and_number_of_classes_come_from_the_file(network):
    made = create_from_weights(NAME, network.state_dict(), source="x.pth")
    image = torch.randn(1, 3, 160, 160)
    assert torch.equal(made(image), network(image))
    assert "state_dict" not in made.pretrained_cfg


def test_another_size_of_image(network):
    made = create_from_weights(NAME, network.state_dict(), source="x.pth", img_size=96)
    assert made(torch.zeros(1, 3, 96, 96)).shape == (1, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("norm.weight"), 'Missing key.* "norm.weight"'),
        (lambda weights: weights.update(more=torch.zeros(1)), 'Unexpected key.* "more"'),
        (
            lambda weights: weights.update({"norm.weight": torch.zeros(3)}),
            "size mismatch for norm.weight",
        ),
    ],
)
def test_weights_must_fit_key_for_key(network, change, message):
    weights = dict(network.state_dict())
    change(weights)
    with pytest.raises(ValueError, match=f"'x.pth' does not fit timm's 'test_vit' .*{message}"):
        create_from_weights(NAME, weights, source="x.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnett50", "timm has no model 'resnett50'; did you mean resnet50"),
        ("resnet50.ram", "timm has no weights 'resnet50.ram'; expected one of .*resnet50.ram_in1k"),
        ("xyzzyq", r"timm has no model 'xyzzyq' \(timm"),
    ],
)
def test_a_name_that_timm_does_not_know(name, message):
    with pytest.raises(KeyError, match=message):
        check_timm_name(name)


def test_weights_that_cannot_be_fetched():
    address = "huggingface.co/timm/resnet18.tv_in1k/resolve/main/model.safetensors"
    offline = mock.patch.object(socket, "getaddrinfo", side_effect=socket.gaierror(-2, "no name"))
    direct = mock.patch("urllib.request.getproxies", return_value={})
    with offline, direct, pytest.raises(OSError, match=r"cannot be fetched.*no name") as caught:
        create_pretrained("resnet18.tv_in1k")
    assert f"download https://{address} and give it with --checkpoint" in str(caught.value)


def test_a_model_without_weights():
    with pytest.raises(ValueError, match="holds no weights of 'fan_tiny_8_p4_hybrid'; give a file"):
        create_pretrained("fan_tiny_8_p4_hybrid")
