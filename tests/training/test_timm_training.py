"""A network of timm trained by our config, then scored and exported through the tools."""

import numpy as np
import pytest
import torch
from PIL import Image

from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError
from stl_backbones.models import read_checkpoint
from stl_backbones.models.checkpoint import CARD
from stl_backbones.onnx_export.export import TOLERANCE, export_onnx
from stl_backbones.records import CLEAN
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep
from stl_backbones.training.train import train

SIDE = 64
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def config(repo_root):
    return repo_root / "configs/cls/timm_classifier.py"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Four images of noise of each of two classes, and a small network."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{number}.png")
    return {
        "data_root": str(root),
        "arch": "test_resnet",
        "num_classes": 2,
        "epochs": 2,
        "warmup_epochs": 1,
        "val_interval": 2,
        "batch_size": 4,
        "num_workers": 0,
        **{f"{split}_dataloader.persistent_workers": False for split in SPLITS},
        **{f"{split}_dataloader.dataset.pipeline.0.size": SIDE for split in SPLITS},
    }


@pytest.fixture(scope="module")
def trained(config, options, tmp_path_factory):
    return train(config, work_dir=tmp_path_factory.mktemp("train"), options=options)


def test_a_checkpoint_says_which_network_it_holds(trained):
    install_safe_loaders()
    found = read_checkpoint(trained / "epoch_2.pth")
    card = found["meta"][CARD]
    assert (card["model"], card["arch"], card["num_classes"]) == (
        "TimmClassifier",
        "test_resnet",
        2,
    )
    assert {"backbone.conv1.0.weight", "backbone.fc.weight"} & found["state_dict"].keys()


def test_the_checkpoint_is_scored(trained, config, options, tmp_path):
    source = ConfigSource(config, trained / "epoch_2.pth", options=options)
    sweep(
        source, work_dir=tmp_path,
        options=SweepOptions(corruptions=("fog",), severities=(1,), workers=0),
    )  # fmt: skip
    store = CellStore(tmp_path)
    labels = store.read(CLEAN).samples["label"]
    assert labels.tolist() == [0] * 4 + [1] * 4


def test_training_starts_from_a_file_of_the_network(trained, config, options, tmp_path):
    start = {**options, "init": str(trained / "epoch_2.pth"), "lr": 1e-9}
    begun = train(config, work_dir=tmp_path, options=start)
    before, after = (
        read_checkpoint(path)["state_dict"]["backbone.fc.weight"]
        for path in (trained / "epoch_2.pth", begun / "epoch_2.pth")
    )
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


def test_the_checkpoint_of_another_network_is_refused(trained, config, options, tmp_path):
    source = ConfigSource(config, trained / "epoch_2.pth", options={**options, "arch": "test_vit"})
    with pytest.raises(InputError, match="its arch is test_resnet, the config's test_vit"):
        sweep(source, work_dir=tmp_path, options=SweepOptions())


def test_the_network_is_exported(trained, config, options, tmp_path):
    pytest.importorskip("onnx")
    path, target = trained / "epoch_2.pth", tmp_path / "network.onnx"
    report = export_onnx(config, path, target, size=(SIDE, SIDE), options=options)
    assert report.outputs == {"logits": (1, 2)}
    assert report.difference < TOLERANCE
    with pytest.raises(InputError, match="a FAN's maps, not those of timm_classifier's network"):
        export_onnx(config, path, target, size=(SIDE, SIDE), options=options, backbone=True)
