"""Classifiers from configs and from timm: weights, preparation of images, scores."""

import copy
import dataclasses
from unittest import mock

import numpy as np
import pytest
import timm
import torch
from mmengine.registry import MODELS
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset

from stl_backbones.config.reading import load_config
from stl_backbones.datasets.views import View
from stl_backbones.engine.convert import convert_checkpoint
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.classifier import ViewOptions
from stl_backbones.robustness.sources.config_classifier import (
    open_config_classifier as open_config,
)
from stl_backbones.robustness.sources.timm import TimmSource

MINI = "configs/cls/stl_fan_t_mini_student.py"


def open_config_classifier(config, checkpoint, *, name):
    return open_config(config, checkpoint, name=name, view_options=ViewOptions())


def open_timm_classifier(name, checkpoint, **options):
    return TimmSource(name, checkpoint, data_root=None).open(SweepOptions(task_options=options))


@pytest.fixture(scope="module")
def mini(repo_root):
    return load_config(repo_root / MINI)


@pytest.fixture(scope="module")
def network(mini):
    """The mini student, untrained, with heads that tell classes apart."""
    torch.manual_seed(0)
    model = MODELS.build(mini.model).eval()
    for head in (model.backbone.head, model.backbone.aux_head):
        torch.nn.init.normal_(head.weight)
    return model


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    """As pretraining writes it."""
    path = tmp_path_factory.mktemp("weights") / "epoch_1.pth"
    meta = {"stl_backbones": network.card(), "dataset_meta": {"classes": tuple("abcdefghij")}}
    torch.save({"state_dict": network.state_dict(), "meta": meta}, path)
    return path


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return path


def pixels(count=2, size=64):
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    )


def test_a_checkpoint_of_pretraining(mini, checkpoint, network):
    classifier = open_config_classifier(mini, checkpoint, name="x")
    data = {"student": pixels().permute(0, 3, 1, 2), "label": torch.zeros(2), "path": ["", ""]}
    with torch.inference_mode():
        expected = network(**network.data_preprocessor(data), mode="predict")
    cls = classifier.scores(pixels(), "cls")
    both = classifier.scores(pixels(), "cls_plus_max_token")
    for index, sample in enumerate(expected):
        torch.testing.assert_close(cls[index], sample["class_logits"], rtol=1e-4, atol=1e-4)
        half = sample["class_logits"] + 0.5 * sample["max_token_logits"]
        torch.testing.assert_close(both[index], half, rtol=1e-4, atol=1e-4)
    assert classifier.recorded == tuple("abcdefghij")
    assert classifier.num_classes == 10
    assert classifier.view == View(64, 64, "bicubic")
    assert classifier.normalisation == ""


def test_a_converted_file_scores_like_its_source(mini, checkpoint, tmp_path):
    convert_checkpoint(checkpoint, tmp_path / "converted.pth", with_head=True)
    one = open_config_classifier(mini, checkpoint, name="x")
    other = open_config_classifier(mini, tmp_path / "converted.pth", name="x")
    assert torch.equal(one.scores(pixels(), "cls"), other.scores(pixels(), "cls"))
    assert one.config_sha256 == other.config_sha256
    assert one.checkpoint_sha256 == other.checkpoint_sha256  # of the weights, not of the file


def test_a_converted_file_says_what_its_source_said(network, checkpoint, tmp_path):
    """Else a network without the released norms would be taken for one that has them."""
    convert_checkpoint(checkpoint, tmp_path / "converted.pth", with_head=True)
    meta = torch.load(tmp_path / "converted.pth", weights_only=True)["meta"]
    known = {key: value for key, value in network.card().items() if key != "labeler"}
    assert known["released_norm"] is False
    assert meta["stl_backbones"] == known
    assert meta["dataset_meta"] == {"classes": tuple("abcdefghij")}
    with pytest.raises(ValueError, match="was trained with released_norm=False"):
        open_timm_classifier("fan_tiny_8_p4_hybrid_token", tmp_path / "converted.pth")


def test_a_file_without_heads_is_refused(mini, checkpoint, tmp_path):
    convert_checkpoint(checkpoint, tmp_path / "bare.pth")
    with pytest.raises(
        ValueError, match=r"does not fill the classifiers .*\(head.weight, .*with-he"
    ):
        open_config_classifier(mini, tmp_path / "bare.pth", name="x")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("model.arch", "small_hybrid", "its arch is tiny_hybrid, the config's small_hybrid"),
        ("num_classes", 12, "its num_classes is 10, the config's 12"),
        ("model.released_norm", True, "its released_norm is False, the config's True"),
    ],
)
def test_a_checkpoint_of_another_config_is_refused(repo_root, checkpoint, option, value, message):
    config = load_config(repo_root / MINI, options={option: value})
    with pytest.raises(ValueError, match=message):
        open_config_classifier(config, checkpoint, name="x")


def test_timms_own_data_config(timm_file):
    classifier = open_timm_classifier("test_resnet", timm_file)
    assert str(classifier.view) == "center crop 160 of 168 bilinear"
    assert classifier.normalisation == "mean 0.5/0.5/0.5 std 0.5/0.5/0.5"
    image = Image.fromarray(pixels(1, 200)[0].numpy())
    network = timm.create_model("test_resnet").eval()
    network.load_state_dict(torch.load(timm_file, weights_only=True))
    data = timm.data.resolve_model_data_config(network)
    batch = create_transform(**data, is_training=False)(image).unsqueeze(0)
    with torch.inference_mode():
        expected = network(batch)
    found = classifier.scores(torch.from_numpy(classifier.view(image)).unsqueeze(0), "cls")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_the_user_sets_comes_first(timm_file):
    options = {
        "input_size": 128, "crop_pct": 0.8, "interpolation": "lanczos", "mean": (0.1, 0.2, 0.3),
        "std": (1, 1, 1),
    }  # fmt: skip
    classifier = open_timm_classifier("test_resnet", timm_file, **options)
    assert str(classifier.view) == "center crop 128 of 160 lanczos"
    assert classifier.normalisation == "mean 0.1/0.2/0.3 std 1/1/1"
    own = open_timm_classifier("test_resnet", timm_file)
    assert classifier.config_sha256 != own.config_sha256


def test_weights_that_timm_fetches(timm_file, monkeypatch):
    network = timm.create_model("resnet18").eval()  # its BatchNorms count, in no dimension
    path = "stl_backbones.robustness.sources.timm.create_pretrained"
    monkeypatch.setattr(path, lambda name, img_size: network)
    classifier = open_timm_classifier("resnet18.a1_in1k", None)
    assert classifier.network is network
    assert len(classifier.checkpoint_sha256) == 64


def test_safetensors(timm_file, tmp_path):
    weights = torch.load(timm_file, weights_only=True)
    save_file(weights, tmp_path / "model.safetensors")
    one = open_timm_classifier("test_resnet", timm_file)
    other = open_timm_classifier("test_resnet", tmp_path / "model.safetensors")
    assert torch.equal(one.scores(pixels(), "cls"), other.scores(pixels(), "cls"))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"bad.safetensors' is truncated or no safetensors"):
        open_timm_classifier("test_resnet", tmp_path / "bad.safetensors")


def test_bfloat16_is_near(timm_file):
    classifier = open_timm_classifier("test_resnet", timm_file)
    exact, near = (classifier.scores(pixels(), "cls", amp=amp) for amp in (None, "bfloat16"))
    assert near.dtype == torch.float32
    assert 0 < (exact - near).abs().max() < 0.1 * exact.abs().max()


def test_scorings_need_their_heads(mini, checkpoint, timm_file):
    open_config_classifier(mini, checkpoint, name="x").check_scoring("cls_plus_max_token")
    classifier = open_timm_classifier("test_resnet", timm_file)
    with pytest.raises(ValueError, match=r"needs a token classifier; 'test_resnet' has none"):
        classifier.check_scoring("cls_plus_max_token")
    with pytest.raises(ValueError, match=r"scoring must be one of cls, .* got 'tokens'"):
        classifier.check_scoring("tokens")


def test_our_own_norm_is_not_timms(checkpoint):
    with pytest.raises(ValueError, match=r"released_norm=False, .* score it with its own config"):
        open_timm_classifier("fan_tiny_8_p4_hybrid_token", checkpoint)


def test_a_network_without_classifier(tmp_path):
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="does not fit timm's 'test_resnet' with 1000 classes"):
        open_timm_classifier("test_resnet", tmp_path / "x.pth")


def test_hashes_come_from_the_network(timm_file):
    """A second network under the same name and settings is another model."""
    one = open_timm_classifier("test_resnet", timm_file)
    with pytest.raises(TypeError):
        dataclasses.replace(one, checkpoint_sha256="0" * 64)
    other = copy.deepcopy(one.network)
    again = dataclasses.replace(one, network=copy.deepcopy(other))
    assert again.checkpoint_sha256 == one.checkpoint_sha256
    norm = next(layer for layer in other.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    norm.running_mean[0] += 1  # a buffer decides predictions as a weight does
    changed = dataclasses.replace(one, network=other)
    assert changed.checkpoint_sha256 != one.checkpoint_sha256
    assert changed.config_sha256 == one.config_sha256
    before = changed.checkpoint_sha256
    other.register_buffer("shift", torch.zeros(1), persistent=False)
    with_buffer = changed.checkpoint_sha256  # computed whenever it is asked for
    other.shift += 1
    assert len({before, with_buffer, changed.checkpoint_sha256}) == 3


def test_layers_are_part_of_the_settings(timm_file):
    """The same weights with another activation predict otherwise."""
    one = open_timm_classifier("test_resnet", timm_file)
    other = copy.deepcopy(one.network)
    name = next(n for n, layer in other.named_modules() if isinstance(layer, torch.nn.ReLU))
    other.set_submodule(name, torch.nn.GELU())
    changed = dataclasses.replace(one, network=other)
    assert changed.checkpoint_sha256 == one.checkpoint_sha256
    assert changed.config_sha256 != one.config_sha256


def test_so_are_the_layers_numbers(timm_file):
    """The same kinds of layers with another slope predict otherwise."""
    one = open_timm_classifier("test_resnet", timm_file)
    name = next(n for n, layer in one.network.named_modules() if isinstance(layer, torch.nn.ReLU))
    hashes = []
    for slope in (0.01, 0.9):
        network = copy.deepcopy(one.network)
        network.set_submodule(name, torch.nn.LeakyReLU(slope))
        hashes.append(dataclasses.replace(one, network=network).config_sha256)
    assert hashes[0] != hashes[1]


def test_raw_weights_are_another_model(timm_file, tmp_path):
    weights = torch.load(timm_file, weights_only=True)
    averaged = {k: v + 1 if v.is_floating_point() else v for k, v in weights.items()}
    torch.save({"state_dict": weights, "model_ema": averaged}, tmp_path / "both.pth")

    def open_it(**given):
        return TimmSource("test_resnet", tmp_path / "both.pth", data_root=None, **given).open(
            SweepOptions()
        )

    raw, average = open_it(ema=False), open_it()
    assert raw.checkpoint_sha256 == open_timm_classifier("test_resnet", timm_file).checkpoint_sha256
    assert average.checkpoint_sha256 != raw.checkpoint_sha256
    assert torch.equal(average.network.fc.bias, averaged["fc.bias"])


def test_grey_images_are_pillows(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3, in_chans=1).eval()
    torch.save(network.state_dict(), tmp_path / "grey.pth")
    classifier = open_timm_classifier("test_resnet", tmp_path / "grey.pth", mean=[0.5], std=[0.25])
    images = pixels()
    grey = np.stack([np.asarray(Image.fromarray(image.numpy()).convert("L")) for image in images])
    with torch.inference_mode():
        expected = network((torch.from_numpy(grey).unsqueeze(1) / 255 - 0.5) / 0.25)
    torch.testing.assert_close(classifier.scores(images, "cls"), expected, rtol=1e-4, atol=1e-4)
    assert (classifier.channels, classifier.normalisation) == (1, "grey mean 0.5 std 0.25")
    with pytest.raises(ValueError, match="mean must be 1 number, got 3"):
        open_timm_classifier("test_resnet", tmp_path / "grey.pth", mean=[0.1, 0.2, 0.3])


def test_the_mean_of_rgb_where_timm_states_no_grey_one(tmp_path):
    grey = timm.create_model("mobilenetv3_small_050", in_chans=1, num_classes=2)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    own = open_timm_classifier("mobilenetv3_small_050", tmp_path / "grey.pth", input_size=32)
    assert own.mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3])
    assert own.std == pytest.approx([(0.229 + 0.224 + 0.225) / 3])


def test_one_mean_for_all_channels(timm_file):
    classifier = open_timm_classifier("test_resnet", timm_file, mean=[0.5], std=[0.5])
    assert (classifier.mean, classifier.std) == ((0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def imagenet_folders(tmp_path_factory):
    """Two of ImageNet-1K's classes, the second unknown to ImageNet-22K."""
    root = tmp_path_factory.mktemp("imagenet")
    for wnid in ("n01440764", "n04399382"):
        (root / wnid).mkdir()
        Image.new("RGB", (64, 64)).save(root / wnid / "1.png")
    return root


@pytest.mark.parametrize(("classes", "absent"), [(21841, 1), (11821, 7), (11221, 9), (21842, 0)])
def test_logits_of_a_larger_imagenet(imagenet_folders, tmp_path, classes, absent):
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=classes).eval()
    torch.save(network.state_dict(), tmp_path / "large.pth")
    source = TimmSource("test_resnet", tmp_path / "large.pth", data_root=imagenet_folders)
    classifier = source.open(SweepOptions())
    assert classifier.num_classes == 1000
    found = classifier.scores(pixels(), "cls")
    whole = dataclasses.replace(classifier, columns=None).scores(pixels(), "cls")
    names = ImageNetInfo(infer_imagenet_subset({"num_classes": classes})).label_names()
    for place, wnid in enumerate(ImageNetInfo().label_names()):
        expected = whole[:, names.index(wnid)] if wnid in names else whole.amin(dim=1)
        assert torch.equal(found[:, place], expected)
    assert (classifier.notes == ()) == (not absent)
    assert all(note.startswith(f"{absent} of the 1000 classes") for note in classifier.notes)


def test_own_classes_are_not_cut(tmp_path):
    torch.save(timm.create_model("test_resnet", num_classes=11821).state_dict(), tmp_path / "x.pth")
    for name in "ab":
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / "val" / name / "1.png")
    classifier = TimmSource("test_resnet", tmp_path / "x.pth", data_root=tmp_path / "val").open(
        SweepOptions()
    )
    assert (classifier.columns, classifier.num_classes) == (None, 11821)


def test_a_batch_brings_no_numbers_to_the_device_but_its_pixels(imagenet_folders, tmp_path):
    """Mean, deviation and the columns of its classes are there since the first one."""
    network = timm.create_model("test_resnet", num_classes=11821).eval()
    torch.save(network.state_dict(), tmp_path / "large.pth")
    source = TimmSource("test_resnet", tmp_path / "large.pth", data_root=imagenet_folders)
    classifier = source.open(SweepOptions())
    first = classifier.scores(pixels(), "cls")
    with (
        mock.patch("torch.tensor", side_effect=AssertionError),
        mock.patch("torch.as_tensor", side_effect=AssertionError),
        mock.patch.object(torch.Tensor, "item", side_effect=AssertionError),
    ):
        assert torch.equal(classifier.scores(pixels(), "cls"), first)
