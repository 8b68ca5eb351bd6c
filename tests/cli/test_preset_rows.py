"""Every classifier of the paper, built by its preset: images scored, a step of training, ONNX."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from stl_backbones.cli import robustness
from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from stl_backbones.models.presets import PRESETS
from stl_backbones.onnx_export.export import TOLERANCE, export_onnx
from stl_backbones.pretraining import TimmClassifier
from stl_backbones.results import CellStore

ARCHS = {preset.name: preset.timm_name.partition(".")[0] for preset in PRESETS.values()}
OURS = ("lv-vit-t", "rvt-s", "mae-vit-b", "dat-augreg-vit")  # networks that timm has not


@pytest.fixture
def images(tmp_path):
    """An image of each of two classes of ImageNet-1K."""
    rng = np.random.default_rng(0)
    for wnid in imagenet_wnids()[:2]:
        folder = tmp_path / "val" / wnid
        folder.mkdir(parents=True)
        noise = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{wnid}.JPEG")
    return tmp_path / "val"


@pytest.fixture
def weights(tmp_path):
    """Fresh weights of a network in a file, gone after the test."""
    path = tmp_path / "weights.pth"

    def make(name):
        torch.manual_seed(0)
        torch.save({"state_dict": timm.create_model(ARCHS[name]).state_dict()}, path)
        return path

    yield make
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_scores_images(name, images, weights, tmp_path):
    words = [
        "--preset", name, "--checkpoint", weights(name), "--data-root", images, "--allow-missing",
        "--corruptions", "fog", "--severities", 1, "--workers", 0, "--mode", "fast",
        "--work-dir", tmp_path / "sweep",
    ]  # fmt: skip
    parser = make_robustness_parser("x")
    robustness.run(parser.parse_intermixed_args([str(word) for word in words]))
    store = CellStore(tmp_path / "sweep")
    assert store.provenance().model == PRESETS[name].title
    assert [len(store.read(cell).samples["label"]) for cell in store.cells()] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PRESETS if "fan-" not in name])
def test_a_step_of_training_moves_the_network(name):
    torch.manual_seed(0)
    model = TimmClassifier(ARCHS[name], num_classes=3).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    image = torch.randn(2, 3, 224, 224)
    losses = model({"student": image}, targets=torch.eye(3)[:2], mode="loss")
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    sum(losses.values()).backward()
    optimizer.step()
    unused = [key for key, value in model.named_parameters() if value.grad is None]
    assert unused == []
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert len(moved) > 0.25 * len(before)  # some branches begin at zero


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OURS, "xcit-s12"])
def test_a_network_is_exported(name, weights, tmp_path):
    target = tmp_path / "network.onnx"
    report = export_onnx(f"timm:{ARCHS[name]}", weights(name), target, size=(224, 224))
    assert report.outputs["logits"] == (1, 1000)
    assert report.difference < TOLERANCE
