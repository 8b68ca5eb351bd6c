"""From the loader's bytes to a training batch, on the model's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.model import BaseDataPreprocessor
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from stl_backbones.datasets.two_views import LABELER, STUDENT, check_labeler_view
from stl_backbones.errors import InputError
from stl_backbones.pretraining.erasing import draw_rectangles, erase
from stl_backbones.pretraining.mixing import Mixing, draw_mixing, mix_images, mix_targets
from stl_backbones.registry import MODELS

MEAN = tuple(255 * value for value in IMAGENET_DEFAULT_MEAN)
STD = tuple(255 * value for value in IMAGENET_DEFAULT_STD)
_SEED_LIMIT = 2**63


@MODELS.register_module()
class STLPreprocessor(BaseDataPreprocessor):
    """Normalises all views; in training erases, mixes and smooths for the student alone.

    The draws of a training batch depend on (seed, rank, number of the batch) alone. The number is
    the buffer ``batches``: it is saved and loaded with the model's weights, and a resumed run
    draws what the uninterrupted one would have drawn.

    Args:
        num_classes: K.
        labeler_view: What the labeler's view shares with the student's; the same list as for
            `stl_backbones.datasets.two_views.TwoViews`. Here ``'random_erasing'``, ``'mixup'`` and
            ``'cutmix'`` count.
        erase_prob: Chance that an image loses a rectangle.
        mixup_alpha: Of Mixup's Beta distribution; 0 turns it off.
        cutmix_alpha: Of CutMix's; 0 turns it off.
        switch_prob: Chance of CutMix where both are on.
        label_smoothing: Share of the target that is spread over all classes.
        mean: Per channel, for values 0..255; default ImageNet's.
        std: Per channel, for values 0..255; default ImageNet's.
        seed: Another seed, other draws.
        non_blocking: Do not wait for copies to the device; use with pinned memory.

    Attributes:
        last_mixing: How the last batch was mixed.

    Raises:
        ValueError: If a value is out of its range.
    """

    batches: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        labeler_view: Sequence[str] = ("spatial",),
        erase_prob: float = 0.3,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        switch_prob: float = 0.5,
        label_smoothing: float = 0.1,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        seed: int = 0,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        _check_share(
            erase_prob=erase_prob, switch_prob=switch_prob, label_smoothing=label_smoothing
        )
        if min(mixup_alpha, cutmix_alpha) < 0:
            raise InputError(
                f"mixup_alpha and cutmix_alpha must not be negative, got {mixup_alpha} and "
                f"{cutmix_alpha}; 0 turns one off"
            )
        self.num_classes = num_classes
        self.labeler_view = check_labeler_view(labeler_view)
        self.erase_prob = erase_prob
        self.mixing = {
            "mixup_alpha": mixup_alpha, "cutmix_alpha": cutmix_alpha, "switch_prob": switch_prob
        }  # fmt: skip
        self.label_smoothing = label_smoothing
        self.seed = seed
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self._batches = 0  # the same number, without asking the device
        self._noise: torch.Generator | None = None
        self.last_mixing = Mixing()

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Make a batch.

        Args:
            data: ``student`` and, where there are two views, ``labeler``: ``(B, 3, H, W)`` uint8;
                ``label``: ``(B,)``; ``path``: a list.
            training: Erase, mix and smooth.

        Returns:
            ``inputs``: dict of the views, ``(B, 3, H, W)`` float32 on the device; ``targets``:
            ``(B, K)`` float32; ``labels``: ``(B,)`` int64; ``paths``: list.

        Raises:
            ValueError: If a label is not in 0..K - 1; the file is named.
        """
        self._check_labels(data)
        labels = self.cast_data(data["label"]).long()
        inputs = {name: self._normalise(data[name]) for name in (STUDENT, LABELER) if name in data}
        targets = F.one_hot(labels, self.num_classes).float()
        self.last_mixing = Mixing()
        if training:
            targets = self._augment(inputs, targets)
        return {"inputs": inputs, "targets": targets, "labels": labels, "paths": data["path"]}

    def _normalise(self, images: Tensor) -> Tensor:
        return self.cast_data(images).float().sub_(self.mean).div_(self.std)

    def _augment(self, inputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Change the views in place; returns the smoothed and mixed targets."""
        rng = np.random.default_rng((self.seed, get_rank(), self._batches))
        self._batches += 1
        self.batches.fill_(self._batches)
        student = inputs[STUDENT]
        size = (student.shape[-2], student.shape[-1])
        rectangles = draw_rectangles(len(student), size, prob=self.erase_prob, rng=rng)
        noise = self._seed_noise(int(rng.integers(_SEED_LIMIT)))
        erase(self._views(inputs, "random_erasing"), rectangles, noise=noise)
        self.last_mixing = mixing = draw_mixing(size, rng=rng, **self.mixing)
        for view in self._views(inputs, mixing.kind):
            mix_images(view, mixing)
        smoothed = targets * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes
        return mix_targets(smoothed, mixing)

    def _views(self, inputs: dict[str, Tensor], augmentation: str) -> list[Tensor]:
        """The views that an augmentation is for."""
        shared = augmentation in self.labeler_view
        return [view for name, view in inputs.items() if name == STUDENT or shared]

    def _seed_noise(self, seed: int) -> torch.Generator:
        if self._noise is None or self._noise.device != self.mean.device:
            self._noise = torch.Generator(self.mean.device)
        return self._noise.manual_seed(seed)

    def _check_labels(self, data: Mapping[str, Any]) -> None:
        labels = data["label"]  # still on the CPU: nothing waits for the device
        wrong = ((labels < 0) | (labels >= self.num_classes)).nonzero().flatten().tolist()
        if wrong:
            raise InputError(
                f"labels must be in 0..{self.num_classes - 1} (num_classes of the model), got "
                f"{int(labels[wrong[0]])} for '{data['path'][wrong[0]]}'"
            )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._batches = int(self.batches)


def _check_share(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name} must be in 0..1, got {value}")
