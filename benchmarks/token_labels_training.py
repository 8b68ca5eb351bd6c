"""Training the labelers of `token_labels.py`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from stl_small_study import Study
from token_labels_data import CROPS
from torch import Tensor

from stl_backbones.config.reading import load_config
from stl_backbones.datasets.two_views import STUDENT
from stl_backbones.engine.checkpointing import find_resume
from stl_backbones.models.hashing import file_sha256
from stl_backbones.models.losses import soft_cross_entropy
from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.pretraining.frozen import TimmGrid
from stl_backbones.registry import MODELS
from stl_backbones.training.train import train as pretrain

CONFIGS = Path(__file__).parents[1] / "configs/cls"
# What is trained: labelers of A.1, and a CNN on class labels. A.1's fourth, 'cls', needs no
# training of its own: with stopped gradients trunk and class head learn from the class token
# alone, so that 'cls' is the network of 'cls_and_gap_stopgrad' with a token head as it was drawn.
STOPPED = "cls_and_gap_stopgrad"
LOSS_MODES = ("gap", "cls_and_gap", STOPPED)
KINDS = (*LOSS_MODES, "cnn")


@MODELS.register_module()
class LocationClassifier(STLClassifier):
    """A timm CNN trained on class labels: the mean of what its head says at each location.

    For a head of pooling and one linear layer these are its own class logits.

    Args:
        arch: timm's name.
        num_classes: Classes K.
        enlarge: The network sees the images enlarged so many times.
        data_preprocessor: As for `STLClassifier`.
        **unused: What a FAN takes.
    """

    def __init__(
        self, arch: str, *, num_classes: int, enlarge: int, data_preprocessor: Any, **unused: Any
    ) -> None:
        del unused
        super(STLClassifier, self).__init__(data_preprocessor=data_preprocessor)
        self._arch, self.enlarge, self.num_classes = arch, enlarge, num_classes
        self.backbone = TimmGrid(timm.create_model(arch, num_classes=num_classes), arch)
        self.memory_format = torch.contiguous_format
        self.last_paths = ()

    @property
    def arch(self) -> str:
        """Timm's name."""
        return self._arch

    def losses(self, inputs: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the class."""
        return {"loss_cls": soft_cross_entropy(self._classify(inputs[STUDENT]), targets)}

    def predictions(
        self, images: Tensor, *, labels: Tensor | None, paths: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        """Class logits of each image, see `STLClassifier`."""
        rows = zip(self._classify(images).float(), labels, paths, strict=True)
        return [{"class_logits": row, "label": label, "path": path} for row, label, path in rows]

    def no_weight_decay(self) -> set[str]:
        """None beyond biases and 1-d parameters."""
        return set()

    def card(self) -> dict[str, Any]:
        """What a checkpoint says about its model."""
        return {"model": type(self).__name__, "arch": self.arch, "num_classes": self.num_classes}

    def _classify(self, images: Tensor) -> Tensor:
        return self.backbone(enlarged(images, self.enlarge)).mean(dim=(2, 3))


def enlarged(images: Tensor, times: int) -> Tensor:
    """Images so many times as large."""
    return F.interpolate(images, scale_factor=times, mode="bilinear") if times > 1 else images


def train(study: Study, kind: str, seed: int, *, workers: int, deadline: float) -> dict[str, Any]:
    """Train a labeler through the suite's own function, or go on where it stopped.

    Args:
        study: Gives settings, data and work folder.
        kind: One of `KINDS`.
        seed: Of the first weights, the order of the crops and all augmentation.
        workers: Processes that read crops; the result does not depend on them.
        deadline: See `stl_small_stages.StopAtDeadline`.

    Returns:
        The stage's record: the checkpoint, its sha256 and minutes.

    Raises:
        TimeIsUpError: If the deadline comes first.
        ValueError: If the training cannot go on.
    """
    config, run = CONFIGS / _config(kind), study.run_folder(kind, seed)
    options = training_options(study, kind, seed, workers=workers)
    options["custom_hooks"] = [
        *load_config(config).custom_hooks,
        {"type": "stl_backbones.StopAtDeadline", "deadline": deadline},
    ]
    begun = time.monotonic()
    try:
        pretrain(
            config,
            work_dir=run,
            resume="auto" if (run / "last_checkpoint").is_file() else None,
            amp=study.settings().amp,
            options=options,
        )
    finally:
        minutes = study.add_minutes(f"{kind}-seed{seed}", (time.monotonic() - begun) / 60)
    checkpoint = find_resume(run)
    return {
        "checkpoint": checkpoint.name,
        "sha256": file_sha256(checkpoint),
        "minutes": minutes,
    }


def _config(kind: str) -> str:
    return f"stl_fan_t_mini_{'classifier' if kind == 'cnn' else 'labeler'}.py"


def training_options(study: Study, kind: str, seed: int, *, workers: int) -> dict[str, Any]:
    """The ``--cfg-options`` of a training: the same for all but for network and loss."""
    settings = study.settings()
    options = {
        "data_root": str(study.data / CROPS),
        "num_classes": settings.classes,
        "batch_size": settings.batch_size,
        "num_workers": workers,
        "seed": seed,
        "lr": settings.lr,
        "epochs": settings.epochs,
        "warmup_epochs": settings.warmup_epochs,
        "val_interval": settings.epochs,  # once, at the end: nothing is chosen by it
        "model.data_preprocessor.erase_prob": settings.erase_prob,
        "model.data_preprocessor.mixup_alpha": settings.mixup_alpha,
        "model.data_preprocessor.cutmix_alpha": settings.cutmix_alpha,
        "train_dataloader.dataset.pipeline.0.size": settings.size,
        "val_dataloader.dataset.pipeline.0.size": settings.size,
        "test_dataloader.dataset.pipeline.0.size": settings.size,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.save_best": None,
    }
    if kind == "cnn":
        network = {"type": "LocationClassifier", "arch": settings.cnn, "enlarge": settings.enlarge}
    else:
        network = {"arch": settings.arch, "loss_mode": kind}
    return options | {f"model.{name}": value for name, value in network.items()}
