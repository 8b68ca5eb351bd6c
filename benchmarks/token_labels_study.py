"""What `token_labels.py` compares, and its work folder's memory."""

from __future__ import annotations

from dataclasses import dataclass

from stl_small_study import Study

from stl_backbones.errors import InputError

SOURCES = ("generated", "coco")


@dataclass(frozen=True)
class Settings:
    """What decides the figures; a folder holds stages of one such set.

    What is not named here is as the mini configs have it.

    Attributes:
        source: Where the crops come from, one of `SOURCES`.
        classes: Classes; of COCO the commonest so many.
        train_per_class: Training crops of each; at most so many of COCO's.
        test_per_class: Scored crops of each; at most so many of COCO's.
        size: Side of a crop in pixels.
        arch: The FAN of all labelers.
        cnn: The CNN beside them, by timm's name.
        enlarge: The CNN sees the crops enlarged so many times.
        epochs: Length of each training.
        warmup_epochs: The part of it in which the rate rises.
        batch_size: Crops of a step.
        lr: Learning rate at that batch.
        erase_prob: In training, chance that a crop loses a rectangle.
        mixup_alpha: Of Mixup in training; 0 turns it off.
        cutmix_alpha: Of CutMix in training; 0 turns it off.
        amp: Precision of training, as ``--amp`` takes it; labels are made in float32.
        share: A token is on the object if the mask covers at least so much of it.
        data_seed: Of the generated crops, or of the split of COCO's images.
    """

    source: str = "generated"
    classes: int = 5
    train_per_class: int = 160
    test_per_class: int = 100
    size: int = 32
    arch: str = "mini_vit"
    cnn: str = "test_resnet"
    enlarge: int = 4
    epochs: int = 8
    warmup_epochs: int = 1
    batch_size: int = 16
    lr: float = 1e-3
    erase_prob: float = 0.1
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    amp: str = "bfloat16"
    share: float = 0.5
    data_seed: int = 0

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise InputError(f"source must be one of {', '.join(SOURCES)}, got '{self.source}'")
        for name in ("train_per_class", "test_per_class", "epochs", "batch_size", "enlarge"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 2:
            raise InputError(f"classes must be at least 2, got {self.classes}")
        if self.size < 32:
            raise InputError(f"size must be at least 32, got {self.size}")
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"epochs must be more than {self.warmup_epochs} (the warm-up), got {self.epochs}"
            )
        if not 0 < self.share <= 1:
            raise InputError(f"share must be above 0 and at most 1, got {self.share}")


class TokenStudy(Study):
    """A study's folder with `Settings` of its own."""

    settings_type = Settings
