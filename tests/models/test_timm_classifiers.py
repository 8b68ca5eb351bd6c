"""Timm's classifiers from files, and what cannot be built."""

import json
import pickle
import re
import socket
from unittest import mock

import pytest
import timm
import torch
from timm.models import register_model
from torch import nn

from stl_backbones.errors import InputError
from stl_backbones.models.timm_classifiers import (
    check_output,
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


def test_the_size_that_a_network_takes_anyway(network):
    """Many networks of one size do not take it as an option."""
    with mock.patch.object(timm, "create_model", wraps=timm.create_model) as made:
        create_from_weights(NAME, network.state_dict(), source="x.pth", img_size=160)
    assert all("img_size" not in call.kwargs for call in made.call_args_list)


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
    with offline, direct, pytest.raises(InputError, match=r"cannot be fetched.*no name") as caught:
        create_pretrained("resnet18.tv_in1k")
    assert f"download https://{address} and give it with --checkpoint" in str(caught.value)


def test_a_model_without_weights():
    with pytest.raises(ValueError, match="holds no weights of 'fan_tiny_8_p4_hybrid'; give a file"):
        create_pretrained("fan_tiny_8_p4_hybrid")


class Undescribed(nn.Module):
    """A network of the user's own, registered as timm's tutorials do it, without a description."""

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


@pytest.fixture(scope="module")
def undescribed():
    @register_model
    def undescribed_net(pretrained=False, num_classes=1000, **kwargs):
        return Undescribed(num_classes)

    torch.manual_seed(1)
    return Undescribed(5)


@pytest.mark.parametrize("prefix", ["", "module._orig_mod.", "net."])
def test_a_registered_network_without_a_description(undescribed, prefix):
    weights = {prefix + name: value for name, value in undescribed.state_dict().items()}
    made = create_from_weights("undescribed_net", weights, source="x.pth")
    image = torch.randn(2, 3, 9, 9)
    assert torch.equal(made(image), undescribed(image))
    assert made.num_classes == 5


def test_other_weights_of_a_registered_network(undescribed):
    with pytest.raises(InputError, match=r"'x.pth' does not fit 'undescribed_net': Missing key"):
        create_from_weights("undescribed_net", {"conv.bias": torch.zeros(8)}, source="x.pth")
    with pytest.raises(InputError, match="holds no weights of 'undescribed_net'; give a file"):
        create_pretrained("undescribed_net")


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "model.", "timm_model.", "backbone.net."],
)
def test_what_wrapped_a_network_goes(network, prefix):
    weights = {prefix + name: value for name, value in network.state_dict().items()}
    if prefix.startswith("module."):
        weights["n_averaged"] = torch.tensor(3)  # of torch's AveragedModel
    made = create_from_weights(NAME, weights, source="x.pth")
    image = torch.randn(1, 3, 160, 160)
    assert torch.equal(made(image), network(image))


FACEBOOK = (
    (r"stem\.", "downsample_layers.0."), (r"stages\.(\d)\.downsample", r"downsample_layers.\1"),
    (r"\.blocks\.", "."), ("conv_dw", "dwconv"), (r"mlp\.fc", "pwconv"), ("head.fc", "head"),
    ("head.norm", "norm"),
)  # fmt: skip


def test_a_releases_own_names_may_be_wrapped():
    """timm renames Facebook's ConvNeXt itself, once it sees its names."""
    torch.manual_seed(0)
    network = timm.create_model("test_convnext").eval()
    weights = {}
    for name, value in network.state_dict().items():
        for ours, theirs in FACEBOOK:
            name = re.sub(ours, theirs, name)
        weights[name] = value
    assert {"downsample_layers.1.0.weight", "stages.0.0.pwconv1.weight"} <= weights.keys()
    wrapped = {f"module._orig_mod.{name}": value for name, value in weights.items()}
    made = create_from_weights("test_convnext", wrapped, source="x.pth")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(made(image), network(image))


def test_a_network_of_grey_images():
    torch.manual_seed(0)
    grey = timm.create_model("test_resnet", num_classes=3, in_chans=1).eval()
    made = create_from_weights("test_resnet", grey.state_dict(), source="x.pth")
    image = torch.randn(1, 1, 64, 64)
    assert torch.equal(made(image), grey(image))
    assert made.pretrained_cfg["input_size"][0] == 1


def test_a_size_that_is_no_multiple_of_the_patch(network):
    message = r"'a' takes no images of 65x65 .*divisible by patch size \(16\); give another --inp"
    with pytest.raises(InputError, match=message):
        check_output(
            create_from_weights(NAME, network.state_dict(), source="x", img_size=65), "a",
            channels=3, size=65,
        )  # fmt: skip


def test_a_network_that_is_no_classifier():
    with pytest.raises(InputError, match=r"'a' is no classifier: .*got \(1, 4, 8, 8\)"):
        check_output(nn.Conv2d(3, 4, 1), "a", channels=3, size=8)


@pytest.fixture
def described(tmp_path):
    """What timm's ``save_for_hf`` writes: a folder of weights and their description."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=6).eval()
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    config = {k: v for k, v in network.pretrained_cfg.items() if k not in ("hf_hub_id", "url")}
    text = {"architecture": "test_resnet", "num_classes": 6, "pretrained_cfg": config}
    (tmp_path / "config.json").write_text(json.dumps(text))
    return tmp_path, network


def test_a_folder_that_describes_its_network(described):
    folder, network = described
    made = create_pretrained(f"local-dir:{folder}")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(made(image), network(image))
    with pytest.raises(InputError, match=r"brings its own weights; leave 'x.pth' out"):
        create_from_weights(f"local-dir:{folder}", {}, source="x.pth")


def test_a_folder_runs_no_code(described, tmp_path):
    folder, _ = described

    class Bomb:
        def __reduce__(self):
            return (tmp_path / "ran").mkdir, ()

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Bomb()}, 2))
    with pytest.raises(InputError, match="timm cannot build 'local-dir:"):
        create_pretrained(f"local-dir:{folder}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("local-dir:/nowhere", "timm's folder '/nowhere' does not exist"),
        ("owner/net", "Use 'hf-hub:owner/net'"),
        ("zip:net", "Unknown model source 'zip'"),
    ],
)
def test_a_source_that_is_none(name, message):
    with pytest.raises((InputError, FileNotFoundError), match=message):
        check_timm_name(name)


def test_a_repository_that_cannot_be_fetched():
    offline = mock.patch.object(socket, "getaddrinfo", side_effect=socket.gaierror(-2, "no name"))
    direct = mock.patch("urllib.request.getproxies", return_value={})
    with offline, direct, pytest.raises(InputError, match=r"no name.*`hf download a/b --local-dir"):
        create_pretrained("hf_hub:a/b")


@pytest.mark.parametrize("name", ["fan_tiny_8_p4_hybrid", "fan_base_16_p4_hybrid_token"])
def test_pretrained_fan_says_where_its_files_come_from(name):
    for make in (lambda: create_pretrained(name), lambda: timm.create_model(name, pretrained=True)):
        with pytest.raises(
            InputError, match=r"https://github.com/NVlabs/FAN and STL's at https://"
        ):
            make()


def test_timms_own_ways_of_giving_a_file_to_fan(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("fan_tiny_8_p4_hybrid", num_classes=3)
    torch.save(network.state_dict(), tmp_path / "fan.pth")
    overlay = {"file": str(tmp_path / "fan.pth"), "num_classes": 3}
    made = timm.create_model(
        "fan_tiny_8_p4_hybrid", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=3
    )
    assert torch.equal(made.head.weight, network.head.weight)
