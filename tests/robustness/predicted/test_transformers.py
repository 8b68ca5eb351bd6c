"""Networks of transformers from folders: predictions are the library's own."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import stl_backbones as stl
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.find_model import open_model
from stl_backbones.robustness.predicted.given import Given

transformers = pytest.importorskip("transformers")

NAMES = {0: "ant", 1: "bee", 2: "cow", 3: "dog"}
SMALL = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 32], "depths": [1] * 4,
         "layer_type": "basic"}  # fmt: skip
DETR = {
    "d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "num_queries": 10, "decoder_layers": 1,
}  # fmt: skip


def vit(**settings):
    return transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=64, patch_size=16, **settings,
    )  # fmt: skip


def segformer():
    return transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16, num_labels=5
    )


def detr():
    backbone = transformers.ResNetConfig(**SMALL, out_features=["stage4"])
    return transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=backbone, encoder_layers=1, id2label=NAMES, **DETR,
    )  # fmt: skip


def rtdetr():
    stages = ["stage2", "stage3", "stage4"]
    return transformers.RTDetrConfig(
        backbone_config=transformers.RTDetrResNetConfig(**SMALL, out_features=stages),
        encoder_in_channels=[16, 16, 32], encoder_hidden_dim=32, decoder_in_channels=[32] * 3,
        num_denoising=0, num_labels=4, **DETR,
    )  # fmt: skip


SQUARE = {"height": 64, "width": 64}
SORTS = {
    "vit": (
        lambda: transformers.ViTForImageClassification(vit(id2label=NAMES)),
        lambda: transformers.ViTImageProcessor(size=SQUARE),
    ),
    "segformer": (
        lambda: transformers.SegformerForSemanticSegmentation(segformer()),
        lambda: transformers.SegformerImageProcessor(size=SQUARE),
    ),
    "detr": (
        lambda: transformers.DetrForObjectDetection(detr()),
        lambda: transformers.DetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 90}),
    ),
    "rtdetr": (
        lambda: transformers.RTDetrForObjectDetection(rtdetr()),
        lambda: transformers.RTDetrImageProcessor(size=SQUARE),
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of each sort of model with random weights."""
    root = tmp_path_factory.mktemp("models")
    for name, (network, processor) in SORTS.items():
        torch.manual_seed(0)
        network().save_pretrained(root / name)
        processor().save_pretrained(root / name)
    return root


def noise(seed, height=60, width=90):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Two of one size, which share a batch, and one that comes between them.
IMAGES = [noise(0), noise(1, 50, 70), noise(2)]


def make(folder, task, **said):
    return open_model(f"hf:{folder}", Given(task=task, **said), SweepOptions())


def predict(model, images=IMAGES):
    return model.results([model.prepared(image) for image in images])


def pipeline(task, folder, **settings):
    found = transformers.pipeline(task, model=str(folder), device="cpu")
    return [found(Image.fromarray(image), **settings) for image in IMAGES]


def test_a_classifiers_scores_are_the_pipelines(saved):
    model = make(saved / "vit", "classification")
    for ours, theirs in zip(
        predict(model), pipeline("image-classification", saved / "vit", top_k=4), strict=True
    ):
        scores = ours.softmax(-1).tolist()
        expected = {one["label"]: one["score"] for one in theirs}
        assert scores == pytest.approx([expected[name] for name in NAMES.values()], abs=1e-6)
    assert model.classes == tuple(NAMES.values())
    assert model.name == "vit"
    assert model.parameters == sum(one.numel() for one in SORTS["vit"][0]().parameters())


def test_label_maps_are_the_pipelines(saved, tmp_path):
    """Through a whole sweep, whose truth is what the pipeline finds: all pixels are right."""
    found = pipeline("image-segmentation", saved / "segformer")
    data = []
    for image, masks in zip(IMAGES, found, strict=True):
        label = np.full(image.shape[:2], 255, np.uint8)
        for one in masks:
            label[np.array(one["mask"]) > 0] = int(one["label"].removeprefix("LABEL_"))
        assert len(np.unique(label)) > 1
        data.append((image, label))
    stl.evaluate(
        f"hf:{saved / 'segformer'}", data, classes=list("abcde"), work_dir=tmp_path / "s",
        corruptions=["fog"], severities=[3], mode="fast", progress=False, workers=1,
    )  # fmt: skip
    store = CellStore(tmp_path / "s")
    clean, fog = (store.read(cell).samples["confusion_matrix"] for cell in store.cells())
    for counts, image in zip(clean, IMAGES, strict=True):
        assert np.trace(counts) == image.shape[0] * image.shape[1]
    assert not (clean == fog).all()
    assert store.provenance().inference == "SegformerImageProcessor"


@pytest.mark.parametrize("name", ["detr", "rtdetr"])
def test_boxes_are_the_pipelines(name, saved):
    model = make(saved / name, "detection")
    for ours, theirs in zip(
        predict(model), pipeline("object-detection", saved / name, threshold=0.0), strict=True
    ):
        assert len(ours.boxes) == len(theirs) == 10
        order = np.argsort(-ours.scores.numpy(), kind="stable")
        scores = [one["score"] for one in theirs]
        assert ours.scores.numpy()[order] == pytest.approx(scores, abs=1e-5)
        corners = [tuple(one["box"].values()) for one in theirs]
        whole = ours.boxes.numpy()[order].astype(int)  # as the pipeline's
        assert np.abs(whole - np.array(corners)).max() <= 1
    known = model.classes
    assert known == (tuple(NAMES.values()) if name == "detr" else None)


def test_images_of_a_batch_do_not_change_each_other(saved):
    for name, task in (("vit", "classification"), ("segformer", "segmentation")):
        model = make(saved / name, task)
        alone = [predict(model, [image])[0] for image in IMAGES]
        for one, other in zip(predict(model), alone, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_classifier_without_its_processor_sees_crops_as_timms(saved, tmp_path):
    shutil.copytree(saved / "vit", tmp_path / "vit")
    (tmp_path / "vit/preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"no preprocessor_config\.json.*give size, mean and std"):
        make(tmp_path / "vit", "classification")
    model = make(tmp_path / "vit", "classification", size=64, mean=(0.5,), std=(0.5,))
    assert str(model.view) == "center crop 64 of 73 bilinear"
    image = noise(4, 64, 64)
    expected = predict(make(saved / "vit", "classification"), [image])[0]
    torch.testing.assert_close(predict(model, [image])[0], expected, atol=1e-5, rtol=1e-4)


def test_the_same_weights_with_another_processor_are_another_model(saved, tmp_path):
    shutil.copytree(saved / "vit", tmp_path / "elsewhere")
    models = [make(saved / "vit", "classification"), make(tmp_path / "elsewhere", "classification")]
    file = tmp_path / "elsewhere/preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_std": [0.25] * 3}))
    models.append(make(tmp_path / "elsewhere", "classification"))
    assert len({model.weights_sha256 for model in models}) == 1
    first, second, third = (model.config_sha256 for model in models)
    assert first == second != third


def test_a_config_without_its_head_is_no_classifier(saved, tmp_path):
    transformers.ViTModel(vit()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"a ViTModel, lacks weights .*classifier\.weight"):
        make(tmp_path, "classification")


@pytest.mark.parametrize("kind", ["mask2former", "maskformer"])
@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_networks_of_instances_and_panoptic_maps_are_refused(kind, task, tmp_path):
    text = {"model_type": kind, "architectures": [f"{kind}ForSegments"]}
    (tmp_path / "config.json").write_text(json.dumps(text))
    with pytest.raises(InputError, match=f"a {kind}ForSegments; expected a model for {task}"):
        make(tmp_path, task)


def test_pickled_code_is_not_run(saved, tmp_path):
    shutil.copytree(saved / "vit", tmp_path / "vit")
    (tmp_path / "vit/model.safetensors").unlink()
    torch.save({"weight": os.getcwd}, tmp_path / "vit/pytorch_model.bin")
    with pytest.raises(InputError, match=r"hold pickled code .*expected model\.safetensors"):
        make(tmp_path / "vit", "classification")


def test_code_of_the_repository_is_not_run(saved, tmp_path):
    shutil.copytree(saved / "vit", tmp_path / "vit")
    file = tmp_path / "vit/config.json"
    own = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine"}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **own}))
    (tmp_path / "vit/code.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(InputError, match="custom code"):
        make(tmp_path / "vit", "classification")


def test_an_id_without_a_network(monkeypatch):
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(InputError, match=r"'stl/none' is no folder.*hf download stl/none"):
        make("stl/none", "classification")


@pytest.mark.parametrize(
    ("folder", "task", "said", "message"),
    [
        ("vit", "detection", {}, "a ViTForImageClassification; expected a model for detection"),
        ("detr", "segmentation", {}, "a DetrForObjectDetection; expected a model for segment"),
        ("none", "segmentation", {}, "'.*none' does not exist"),
        (".", "classification", {}, r"config\.json' does not exist"),
        ("vit", "classification", {"checkpoint": "x.pth"}, r"leave 'x\.pth' out"),
        ("vit", "classification", {"size": 64}, "give mean and std"),
        ("detr", "detection", {"mean": (0.5,)}, "boxes of 'detr' belong to its image processor"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(folder, task, said, message, saved):
    with pytest.raises((InputError, MissingFileError), match=message) as caught:
        make(saved / folder, task, **said)
    assert "\n" not in str(caught.value)
