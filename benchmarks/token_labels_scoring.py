"""What the labelers of `token_labels.py` say about the scored crops, and what is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import default_collate
from PIL import Image
from stl_small_study import Study
from token_labels_data import CROPS, read_mask
from token_labels_training import KINDS, LOSS_MODES, STOPPED, enlarged
from torch import Tensor, nn

from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.two_views import (
    LABELER,
    CenterCropViews,
    Item,
    PackViews,
    RandAugmentViews,
    RandomFlipViews,
    RandomResizedCropViews,
    TwoViews,
)
from stl_backbones.metrics.token_samples import foreground_tokens
from stl_backbones.models import FAN
from stl_backbones.pretraining.frozen import FrozenLabeler, load_labeler
from stl_backbones.pretraining.mixing import Mixing, mix_images
from stl_backbones.pretraining.preprocessor import STLPreprocessor

# The network of 'cls' with its class head on its patch tokens: what a plain classifier says.
CLASS_HEAD = "cls/class_head"
LABELERS = ("cls", CLASS_HEAD, *KINDS)
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


def load_labelers(
    study: Study, seed: int, checkpoints: Mapping[str, Path]
) -> dict[str, FrozenLabeler]:
    """The labelers of a seed, with their averaged weights, by the names of `LABELERS`."""
    settings = study.settings()
    found = {kind: load_labeler(checkpoints[kind]) for kind in LOSS_MODES}
    for name in ("cls", CLASS_HEAD):
        found[name] = load_labeler(checkpoints[STOPPED])
        fan: Any = found[name].network.fan
        fan.aux_head = fan.head if name == CLASS_HEAD else _drawn_head(fan, seed)
    cnn = load_labeler(checkpoints["cnn"], timm_name=settings.cnn)
    found["cnn"] = EnlargedLabeler(cnn, settings.enlarge)
    return {name: found[name] for name in LABELERS}


def _drawn_head(fan: FAN, seed: int) -> nn.Module:
    """A token head that was never trained."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        drawn = FAN(fan.variant, num_classes=fan.num_classes, token_head=True)
    return drawn.aux_head.requires_grad_(False)


def score(study: Study, seed: int, checkpoints: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Label the tokens of the scored crops.

    Args:
        study: Gives settings and data.
        seed: Of the trainings.
        checkpoints: Kind -> its checkpoint.

    Returns:
        ``'<labeler>/probabilities'`` ``(n, h, w, K)`` of each labeler on the crops as they are,
        and ``'view:<view>/probabilities'`` of 'cls_and_gap' on each of `VIEWS`; for each the
        ``labels`` ``(n,)`` and ``foreground`` ``(n, h, w)`` that are right; ``'<labeler>/correct'``
        and ``'<labeler>/pooled_correct'`` ``(n,)``, whether class token and mean token are.
    """
    labelers = load_labelers(study, seed, checkpoints)
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
