"""ONNX files run in onnxruntime against torch, what they say of themselves, and what is refused."""

import hashlib
import json
import os
import resource
from unittest import mock

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from stl_backbones.models import FAN, get_variant
from stl_backbones.onnx_export.export import export_onnx
from stl_backbones.onnx_export.networks import Source
from stl_backbones.onnx_export.sources import open_source

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SIZE = (64, 128)
TEN = tuple("abcdefghij")


@pytest.fixture(scope="module")
def config(repo_root):
    return repo_root / "configs/seg/stl_fan_t_mini.py"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.onnx"


def trained(network, seed=0):
    """The network with every parameter and statistic away from its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                noise = 0.1 * torch.randn(value.shape, generator=generator)
                value.add_(noise.abs() if name.endswith("running_var") else noise)
    return network.eval()


def save(network, path, **meta):
    torch.save({"state_dict": network.state_dict(), "meta": meta}, path)
    return path


def run_file(path, image):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {"image": image.numpy()})
    return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def assert_same(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


# -------------------------------------------------------------------- the files' outputs


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        pytest.param("fan_tiny_8_p4_hybrid", ["logits"], marks=pytest.mark.slow),
        ("fan_tiny_12_p16_224_token", ["logits", "token_logits"]),
    ],
)
def test_a_classifiers_file_computes_what_torch_does(target, tmp_path, name, outputs):
    network = trained(timm.create_model(name, num_classes=10))
    weights = save(network, tmp_path / "weights.pth", dataset_meta={"classes": TEN})
    report = export_onnx(name, weights, target, size=SIZE)
    image = draw(1, 3, *SIZE)
    with torch.no_grad():
        expected = network(image)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = run_file(target, image)
    assert list(found) == outputs == list(report.outputs)
    for value, wanted in zip(found.values(), expected, strict=True):
        assert_same(value, wanted)
    assert 0 < report.difference <= 1e-4
    assert json.loads(metadata(target)["classes"]) == list(TEN)


def test_a_backbones_file_gives_the_maps_of_any_size(target, tmp_path):
    network = trained(FAN(get_variant("tiny_hybrid"), num_classes=10))
    weights = save(network, tmp_path / "weights.pth")
    export_onnx("tiny_hybrid", weights, target, size=(50, 71), batch=2, opset=18, backbone=True)
    image = draw(2, 3, 50, 71)
    with torch.no_grad():
        expected = network.forward_dense(image)
    found = run_file(target, image)
    assert list(found) == ["map_0", "map_1", "map_2", "map_3"]
    assert found["map_0"].shape == (2, 128, 13, 18)
    for value, wanted in zip(found.values(), expected, strict=True):
        assert_same(value, wanted)


@pytest.fixture(scope="module")
def segmentation_file(config, mini_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "seg.onnx"
    export_onnx(config, mini_checkpoint, path, size=SIZE)
    return path


@pytest.fixture(scope="module")
def segmentation_logits(config, mini_checkpoint):
    """What torch computes, without mmseg's own way from maps to logits."""
    model = open_source(str(config), mini_checkpoint).network.model.cpu().eval()

    def compute(image):
        with torch.no_grad():
            logits = model.decode_head(model.backbone(image))
        return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=False)

    return compute


def test_a_segmentation_file_gives_logits_at_the_images_size(
    segmentation_file, segmentation_logits
):
    image = draw(1, 3, *SIZE)
    found = run_file(segmentation_file, image)
    assert list(found) == ["logits"]
    assert_same(found["logits"], segmentation_logits(image))


@pytest.mark.slow
def test_a_segmentation_file_gives_labels(config, mini_checkpoint, target, segmentation_logits):
    export_onnx(config, mini_checkpoint, target, size=(32, 48), labels=True)
    image = draw(1, 3, 32, 48)
    labels = segmentation_logits(image).argmax(1)
    assert len(labels.unique()) > 2
    torch.testing.assert_close(run_file(target, image), {"labels": labels})


# -------------------------------------------------------------------- what a file says of itself


def test_the_file_says_what_it_was_made_of(segmentation_file, mini_checkpoint):
    found = metadata(segmentation_file)
    assert found["model"] == "stl_fan_t_mini"
    assert found["checkpoint_sha256"] == hashlib.sha256(mini_checkpoint.read_bytes()).hexdigest()
    assert json.loads(found["input_shape"]) == [1, 3, *SIZE]
    assert json.loads(found["mean"]) == [123.675, 116.28, 103.53]
    assert json.loads(found["std"]) == [58.395, 57.12, 57.375]
    assert found["channel_order"] == "RGB"
    classes = json.loads(found["classes"])
    assert (len(classes), classes[0], classes[18]) == (19, "road", "bicycle")


def test_a_sliding_config_is_told_that_the_file_does_not_slide(config, mini_checkpoint):
    slide = {"mode": "slide", "crop_size": (64, 96), "stride": (48, 48)}
    source = open_source(str(config), mini_checkpoint, options={"model.test_cfg": slide})
    assert "windows of 64x96" in source.note
    assert open_source(str(config), mini_checkpoint).note == ""


def test_a_pretrained_file_says_how_its_norms_were_trained(tmp_path):
    network = trained(FAN(get_variant("tiny_hybrid"), num_classes=10, released_norm=False))
    card = {"stl_backbones": {"released_norm": False}}
    source = open_source("tiny_hybrid", save(network, tmp_path / "own.pth", **card), backbone=True)
    image = draw(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            source.network.eval()(image), tuple(network.forward_dense(image))
        )


def test_a_pretraining_config_brings_classes_and_both_heads(repo_root, tmp_path):
    network = trained(
        FAN(get_variant("tiny_hybrid"), num_classes=10, token_head=True, released_norm=False)
    )
    weights = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path / "labeler.pth"
    torch.save({"state_dict": weights, "meta": {"dataset_meta": {"classes": TEN}}}, path)
    source = open_source(str(repo_root / "configs/cls/stl_fan_t_mini_labeler.py"), path)
    assert source.outputs == ("logits", "token_logits")
    assert source.classes == TEN
    assert source.mean == pytest.approx((123.675, 116.28, 103.53))
    image = draw(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(source.network.cpu()(image), network(image))


# -------------------------------------------------------------------- what is never written


class Scale(nn.Module):
    """A layer that the exporter sees with another factor than the user."""

    def forward(self, image):
        return image * (1.001 if torch.compiler.is_exporting() else 1.0)


@pytest.fixture
def open_small(monkeypatch):
    def use(*layers):
        source = Source("small", nn.Sequential(*layers), ("logits",), "none")
        monkeypatch.setattr("stl_backbones.onnx_export.export.open_source", lambda *_, **__: source)

    return use


def test_sync_batch_norm_is_exported_as_batch_norm(open_small, target):
    norm = trained(nn.SyncBatchNorm(3))
    open_small(norm)
    export_onnx("small", None, target, size=(4, 5))
    image = draw(1, 3, 4, 5)
    with torch.no_grad():
        wanted = F.batch_norm(
            image, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
    assert_same(run_file(target, image)["logits"], wanted)


def test_a_file_that_differs_from_torch_is_not_written(open_small, target):
    target.write_bytes(b"older")
    open_small(Scale())
    with pytest.raises(ValueError, match=r"'logits' in onnxruntime differs by 1\.0e-03 from"):
        export_onnx("small", None, target, size=(4, 5))
    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == {
        "out.onnx": b"older"
    }


def test_values_that_are_not_finite_are_refused(open_small, target):
    conv = nn.Conv2d(3, 1, 1)
    nn.init.constant_(conv.bias, float("nan"))
    open_small(conv)
    with pytest.raises(ValueError, match="'logits' in onnxruntime is not finite"):
        export_onnx("small", None, target, size=(4, 5))
    assert not target.exists()


def test_an_interrupt_while_writing_leaves_nothing(open_small, target):
    open_small(nn.Conv2d(3, 1, 1))
    with (
        mock.patch.object(os, "fsync", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        export_onnx("small", None, target, size=(4, 5))
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_leaves_nothing(open_small, target):
    open_small(nn.Conv2d(3, 1, 1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export_onnx("small", None, target, size=(4, 5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (
            {"model": "resnet50"},
            KeyError,
            "FAN arch 'resnet50'.*or give timm:NAME, or a config",
        ),
        ({"model": "gone.py", "checkpoint": "x"}, FileNotFoundError, "config 'gone.py' does not"),
        ({"model": "configs/seg/stl_fan_t_mini.py"}, ValueError, "needs a checkpoint"),
        ({"checkpoint": "gone.pth"}, FileNotFoundError, "checkpoint 'gone.pth' does not exist"),
        ({"checkpoint": "setup.py"}, ValueError, "truncated or no checkpoint"),
        ({"target": "weights.pth"}, ValueError, r"must end in \.onnx, got 'weights.pth'"),
        (
            {"target": "gone/x.onnx"},
            FileNotFoundError,
            "the ONNX file's folder 'gone' does not exist",
        ),
        ({"size": (0, 64)}, ValueError, "at least 1, got 0x64"),
        ({"size": (16, 64)}, ValueError, "at least 32, got 16x64"),
        ({"batch": 0}, ValueError, "at least 1 image, got 0"),
        ({"opset": 9}, ValueError, r"opset must be in 18\.\.25, got 9"),
        ({"labels": True}, ValueError, "labels are exported of a segmentation model alone"),
        ({"options": {"num_classes": 3}}, ValueError, "cfg-options changes a config"),
        (
            {"model": "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py", "checkpoint": "x"},
            ValueError,
            "is a detector, whose boxes are not exported",
        ),
    ],
)
def test_bad_input_is_refused(target, repo_root, monkeypatch, request_, error, message):
    monkeypatch.chdir(repo_root)
    settings = {
        "model": "tiny_hybrid", "checkpoint": None, "target": target, "size": (32, 32), **request_
    }  # fmt: skip
    with pytest.raises(error, match=message) as caught:
        export_onnx(**settings)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_foreign_checkpoints_are_refused(mini_checkpoint, config, target, tmp_path):
    with pytest.raises(ValueError, match="does not fit timm's 'fan_tiny_8_p4_hybrid'"):
        export_onnx("tiny_hybrid", mini_checkpoint, target, size=SIZE)
    with pytest.raises(ValueError, match="is a segmentation model's or a detector's; give its co"):
        export_onnx("tiny_hybrid", mini_checkpoint, target, size=SIZE, backbone=True)
    foreign = save(nn.Conv2d(3, 4, 1), tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match="fits 0 of the"):
        export_onnx("tiny_hybrid", foreign, target, size=SIZE, backbone=True)
    with pytest.raises(ValueError, match="does not fit the config's model"):
        export_onnx(config, foreign, target, size=SIZE)


def test_images_beyond_all_memory(target):
    with pytest.raises(ValueError, match=r"there is no memory for images of 1x3x9\d+x9\d+"):
        export_onnx("fan_tiny_8_p4_hybrid", None, target, size=(99999999, 99999999))
    assert not target.exists()
