"""What the campaign's tools work on: tiny generated data, and networks with drawn weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.forkserver import ROOT

CLASSIFIER = "resnet10t"  # timm's smallest that has a name everyone knows
_PRETRAIN = {
    "epochs": 2,
    "warmup_epochs": 1,
    "val_interval": 2,
    "batch_size": 4,
    "num_workers": 0,
    **{f"{split}_dataloader.dataset.images_per_class": 1 for split in ("train", "val", "test")},
    **{f"{split}_dataloader.dataset.pipeline.0.size": 32 for split in ("val", "test")},
}


@dataclass(frozen=True)
class Material:
    """The data sets and checkpoints of a campaign, and the words by which tools take them.

    Args:
        root: The folder that holds them all.
    """

    root: Path

    @property
    def data(self) -> Path:
        """6 + 4 scenes of 128x64 as ``cityscapes``, ``coco`` and ``imagenet`` folders."""
        return self.root / "data"

    @property
    def classes(self) -> Path:
        """The validation crops in folders named after ten classes of ImageNet."""
        return self.root / "classes"

    def weights(self, kind: str) -> Path:
        """Checkpoint of the ``segmenter``, ``detector``, ``classifier`` or ``labeler``."""
        return self.root / f"{kind}.pth"

    def segmenter(self) -> list[str]:
        """Words that name segmentation config, weights and data, as robustness.py takes them."""
        return [
            str(ROOT / "configs/seg/stl_fan_t_mini.py"),
            str(self.weights("segmenter")),
            "--cfg-options",
            *self.segmentation_options(),
        ]

    def segmentation_options(self) -> list[str]:
        """What makes the mini segmentation config fit the data."""
        return [
            f"data_root={self.data / 'cityscapes'}",
            "img_scale=(128,64)",
            "crop_size=(64,64)",
            "num_workers=0",
        ]

    def detector(self) -> list[str]:
        """Words that name detection config, weights and data."""
        return [
            str(ROOT / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"),
            str(self.weights("detector")),
            "--cfg-options",
            *self.detection_options(),
        ]

    def detection_options(self) -> list[str]:
        """What makes the mini detection config fit the data, and quick."""
        return [
            f"data_root={self.data / 'coco'}/",
            "img_scale=(128,64)",
            "num_workers=0",
            "model.test_cfg.rpn.max_per_img=20",
            "model.test_cfg.rcnn.max_per_img=5",
        ]

    def classifier(self) -> list[str]:
        """Words that name a timm classifier, its weights and data."""
        return [
            "--timm", CLASSIFIER, "--checkpoint", str(self.weights("classifier")),
            "--data-root", str(self.classes), "--input-size", "64", "--allow-missing",
        ]  # fmt: skip

    def pretraining_options(self, kind: str) -> list[str]:
        """What makes a mini pretraining config (``labeler``, ``student``, ``classifier``) short."""
        view = 1 if kind == "student" else 0
        chosen = {**_PRETRAIN, f"train_dataloader.dataset.pipeline.{view}.size": 32}
        if kind == "student":
            chosen["labeler"] = str(self.weights("labeler"))
        words = [f"{name}={value}" for name, value in chosen.items()]
        return [f"data_root={self.data / 'imagenet'}", *words]


def prepare_material(root: Path) -> Material:
    """Generate the data and draw the weights, from fixed seeds."""
    from stl_backbones.datasets.imagenet_classes import imagenet_wnids
    from stl_backbones.datasets.mini import write_mini_data

    material = Material(root)
    write_mini_data(material.data, num_train=6, num_val=4, height=64, width=128)
    folders = sorted((material.data / "imagenet/val").iterdir())
    for wnid, folder in zip(imagenet_wnids(), folders, strict=False):
        shutil.copytree(folder, material.classes / wnid)
    _save(_config_model("seg/stl_fan_t_mini.py", "mmseg"), material.weights("segmenter"))
    _save(_config_model("det/stl_fan_t_cascade_mask_rcnn_mini.py", "mmdet"),
          material.weights("detector"))  # fmt: skip
    _save(_config_model("cls/stl_fan_t_mini_labeler.py", "mmengine"), material.weights("labeler"))
    _save(_classifier(), material.weights("classifier"))
    return material


def _config_model(name: str, scope: str) -> Any:
    import torch
    from mmengine.registry import MODELS, init_default_scope

    from stl_backbones.config.reading import load_config

    config = load_config(ROOT / "configs" / name)
    init_default_scope(scope)
    torch.manual_seed(0)
    return MODELS.build(config.model)


def _classifier() -> Any:
    import timm
    import torch

    torch.manual_seed(0)
    return timm.create_model(CLASSIFIER)


def _save(model: Any, path: Path) -> None:
    import torch

    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
