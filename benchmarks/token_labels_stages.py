"""The stages of `token_labels.py`: training the labelers, and labelling the scored crops."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from mmengine.dataset import default_collate
from PIL import Image
from stl_small_study import Study
from token_labels_data import CROPS, MASKS, read_mask
from torch import Tensor, nn

from stl_backbones.config.reading import load_config
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.two_views import (
    LABELER,
    STUDENT,
    CenterCropViews,
    Item,
    PackViews,
    RandAugmentViews,
    RandomFlipViews,
    RandomResizedCropViews,
    TwoViews,
)
from stl_backbones.engine.checkpointing import find_resume
from stl_backbones.metrics.token_labels import foreground_tokens
from stl_backbones.models.hashing import file_sha256
from stl_backbones.models.losses import soft_cross_entropy
from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.pretraining.frozen import FrozenLabeler, TimmGrid, load_labeler
from stl_backbones.pretraining.mixing import Mixing, mix_images
from stl_backbones.pretraining.preprocessor import STLPreprocessor
from stl_backbones.registry import MODELS
from stl_backbones.training.train import train as pretrain

CONFIGS = Path(__file__).parents[1] / "configs/cls"
# What is trained: A.1's ways to train a labeler, and a CNN on class labels.
LOSS_MODES = ("cls", "gap", "cls_and_gap", "cls_and_gap_stopgrad")
KINDS = (*LOSS_MODES, "cnn")
# What labels: the trained ones, and the network of 'cls' with its class head on its patch tokens.
CLASS_HEAD = "cls/class_head"
LABELERS = (CLASS_HEAD, *KINDS)
MASK = "mask"  # the view that shows where the object is
POLICY = "rand-m9-mstd0.5-inc1"  # Table 11, as is all below
ERASE_PROB, MIXUP_ALPHA, CUTMIX_ALPHA = 0.3, 0.8, 1.0
CROP_SCALE = (0.5, 1.0)  # as the mini configs train
BATCH = 60  # crops that are labelled at once


@dataclass(frozen=True)
class View:
    """What the frozen labeler sees, in the strengths of Table 11.

    Attributes:
        shares: Its augmentation beside the spatial one, see
            `stl_backbones.datasets.two_views.AUGMENTATIONS`.
        title: Its name in the table.
    """

    shares: tuple[str, ...]
    title: str


VIEWS = {
    "spatial": View((), "spatial only"),
    "rand_augment": View(("rand_augment",), "+ RandAugment"),
    "erasing": View(("random_erasing",), "+ erasing"),
    "rand_augment_erasing": View(
        ("rand_augment", "random_erasing"), "+ RandAugment, erasing (Table 6, row 2)"
    ),
    "mixup": View(("mixup",), "+ Mixup"),
    "cutmix": View(("cutmix",), "+ CutMix"),
    "all": View(
        ("rand_augment", "random_erasing", "mixup", "cutmix"), "+ all four (Table 6, row 3)"
    ),
}


@MODELS.register_module()
class TimmClassifier(STLClassifier):
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
        nn.Module.__init__(self)
        super(STLClassifier, self).__init__(data_preprocessor=data_preprocessor)
        self.arch, self.enlarge, self.num_classes = arch, enlarge, num_classes
        self.backbone = TimmGrid(timm.create_model(arch, num_classes=num_classes), arch)
        self.memory_format = torch.contiguous_format
        self.last_paths = ()

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
        network = {"type": "TimmClassifier", "arch": settings.cnn, "enlarge": settings.enlarge}
    else:
        network = {"arch": settings.arch, "loss_mode": kind}
    return options | {f"model.{name}": value for name, value in network.items()}


class AddMask:
    """The first step of a pipeline: the crop's mask becomes a view, which colours leave alone."""

    def __call__(self, item: Item) -> Item:
        """Add the view, an image of 255 where the object is."""
        mask = Image.fromarray(read_mask(item["path"]).astype(np.uint8) * 255)
        item["views"][MASK] = mask.convert("RGB")
        return item


class EnlargedLabeler(FrozenLabeler):
    """A labeler that sees the images enlarged.

    Args:
        labeler: The labeler.
        times: How many times.
    """

    def __init__(self, labeler: FrozenLabeler, times: int) -> None:
        super().__init__(
            labeler.network, num_classes=labeler.num_classes, classes=labeler.classes,
            card=labeler.card,
        )  # fmt: skip
        self.times = times

    def token_logits(self, images: Tensor, *, grid: tuple[int, int]) -> Tensor:
        """Classify every location of a grid, see `FrozenLabeler`."""
        return super().token_logits(enlarged(images, self.times), grid=grid)


def load_labelers(study: Study, checkpoints: Mapping[str, Path]) -> dict[str, FrozenLabeler]:
    """The labelers of a seed, with their averaged weights, by the names of `LABELERS`."""
    settings = study.settings()
    labelers = {kind: load_labeler(checkpoints[kind]) for kind in LOSS_MODES}
    labelers[CLASS_HEAD] = load_labeler(checkpoints["cls"])
    fan: Any = labelers[CLASS_HEAD].network.fan
    fan.aux_head = fan.head
    cnn = load_labeler(checkpoints["cnn"], timm_name=settings.cnn)
    return {**labelers, "cnn": EnlargedLabeler(cnn, settings.enlarge)}


def score(study: Study, checkpoints: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Label the tokens of the scored crops.

    Args:
        study: Gives settings and data.
        checkpoints: Kind -> its checkpoint.

    Returns:
        ``'<labeler>/probabilities'`` ``(n, h, w, K)`` of each labeler on the crops as they are,
        and ``'view:<view>/probabilities'`` of 'cls_and_gap' on each of `VIEWS`; for each the
        ``labels`` ``(n,)`` and ``foreground`` ``(n, h, w)`` that are right; ``'<labeler>/correct'``
        and ``'<labeler>/pooled_correct'`` ``(n,)``, whether class token and mean token are.
    """
    labelers = load_labelers(study, checkpoints)
    stl = labelers["cls_and_gap"]
    found: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        for name, labeler in labelers.items():
            found |= {f"{name}/{k}": v for k, v in _label(study, labeler, stl).items()}
            found |= {f"{name}/{k}": v for k, v in _classify(study, labeler).items()}
        for name, view in VIEWS.items():
            found |= {f"view:{name}/{k}": v for k, v in _label(study, stl, stl, view).items()}
    return found


def _label(
    study: Study, labeler: FrozenLabeler, fan: FrozenLabeler, view: View | None = None
) -> dict[str, np.ndarray]:
    parts: list[tuple[np.ndarray, ...]] = []
    for images, labels, masks in batches(study, view):
        grid = tuple(fan.network(images[:1]).shape[-2:])
        logits = labeler.token_logits(images, grid=grid)
        share = study.settings().share
        foreground = np.stack([foreground_tokens(mask, grid, share=share) for mask in masks])
        probabilities = logits.float().softmax(dim=-1).unflatten(1, grid)
        parts.append((probabilities.numpy(), labels, foreground))
    names = ("probabilities", "labels", "foreground")
    return {
        name: np.concatenate(rows)
        for name, rows in zip(names, zip(*parts, strict=True), strict=True)
    }


def _classify(study: Study, labeler: FrozenLabeler) -> dict[str, np.ndarray]:
    """Which crops class token and mean token put into the right class; a CNN has the latter."""
    rows: list[list[Tensor]] = []
    for images, labels, _ in batches(study):
        pooled = labeler.token_logits(images, grid=_own_grid(labeler, images)).mean(dim=1)
        fan = getattr(labeler.network, "fan", None)
        both = (pooled if fan is None else fan(images)[0], pooled)
        rows.append([logits.argmax(dim=1) == torch.from_numpy(labels) for logits in both])
    names = ("correct", "pooled_correct")
    return {
        name: torch.cat(found).numpy()
        for name, found in zip(names, zip(*rows, strict=True), strict=True)
    }


def batches(
    study: Study, view: View | None = None
) -> Iterator[tuple[Tensor, np.ndarray, np.ndarray]]:
    """The scored crops as a labeler sees them, and what is right.

    Two crops of a random order are one batch of the data preprocessor's, with a draw of its own.
    What is right of a mixed view: of Mixup class and mask of the crop with the larger share; of
    CutMix the crop's own class, and the objects of this class where they still show.

    Args:
        study: Gives settings and data.
        view: One of `VIEWS`; default: the crops as they are.

    Yields:
        ``(B, 3, H, W)`` normalised images, ``(B,)`` labels, ``(B, H, W)`` bool masks.
    """
    settings = study.settings()
    data = ImageNetFolder(
        study.data / CROPS, "val", pipeline=_pipeline(settings.size, view), max_broken=0,
        seed=settings.data_seed,
    )  # fmt: skip
    preprocess = _preprocessor(settings.classes, view)
    order = np.random.default_rng(settings.data_seed).permutation(len(data))
    found: list[tuple[Tensor, np.ndarray, np.ndarray]] = []
    for start in range(0, len(order), 2):
        batch = default_collate([data[index] for index in order[start : start + 2].tolist()])
        images = preprocess(batch, training=view is not None)["inputs"][LABELER]
        labels, masks = batch["label"].numpy(), batch[MASK][:, 0].numpy() >= 128
        found.append((images, *_truth(labels, masks, preprocess.last_mixing)))
        if len(found) == BATCH // 2 or start + 2 >= len(order):
            images, labels, masks = zip(*found, strict=True)
            yield torch.cat(images), np.concatenate(labels), np.concatenate(masks)
            found = []


def _pipeline(size: int, view: View | None) -> list[Any]:
    if view is None:
        return [AddMask(), TwoViews(), CenterCropViews(size), PackViews()]
    return [
        AddMask(),
        TwoViews(labeler_view=("spatial", *view.shares)),
        RandomResizedCropViews(size, scale=CROP_SCALE),
        RandomFlipViews(),
        RandAugmentViews(POLICY),
        PackViews(),
    ]


def _preprocessor(num_classes: int, view: View | None) -> STLPreprocessor:
    shares = () if view is None else view.shares
    return STLPreprocessor(
        num_classes,
        labeler_view=("spatial", *shares),
        erase_prob=ERASE_PROB if "random_erasing" in shares else 0.0,
        mixup_alpha=MIXUP_ALPHA if "mixup" in shares else 0.0,
        cutmix_alpha=CUTMIX_ALPHA if "cutmix" in shares else 0.0,
        label_smoothing=0.0,
    )


def _truth(labels: np.ndarray, masks: np.ndarray, mixing: Mixing) -> tuple[np.ndarray, np.ndarray]:
    """Classes ``(B,)`` and masks ``(B, H, W)`` of mixed crops, see `batches`."""
    if mixing.kind == "mixup" and mixing.kept < 0.5:
        return labels[::-1], masks[::-1]
    if mixing.kind == "cutmix":
        classes = torch.from_numpy(np.where(masks, labels[:, None, None], -1))
        shown = mix_images(classes[:, None], mixing)[:, 0].numpy()
        return labels, shown == labels[:, None, None]
    return labels, masks


def _own_grid(labeler: FrozenLabeler, images: Tensor) -> tuple[int, int]:
    seen = enlarged(images[:1], getattr(labeler, "times", 1))
    rows, columns = labeler.network(seen).shape[-2:]
    return rows, columns


__all__ = ["KINDS", "LABELERS", "MASKS", "VIEWS", "TimmClassifier", "batches", "score", "train"]
