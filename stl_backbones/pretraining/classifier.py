"""A FAN trained on class labels, and what labeler and student share with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from stl_backbones.errors import InputError
from stl_backbones.models import FAN, Variant, clean_state_dict, get_variant
from stl_backbones.models.losses import soft_cross_entropy
from stl_backbones.registry import MODELS

MODES = ("loss", "predict", "tensor")


@MODELS.register_module()
class STLClassifier(BaseModel):
    """FAN without a token head, trained on class labels alone: what STL is compared with.

    Its checkpoints name the network ``backbone.``, so that they go into the ``init_cfg`` of a
    segmentation or detection model as they are.

    Args:
        arch: ``'{tiny,small,base,large}_{hybrid,vit}'``, a released name, or a `Variant`.
        num_classes: Classes K.
        drop_path_rate: Chance to drop a residual branch, the same in every block.
        released_norm: Stem norms as the released weights need them; the downstream model needs
            the same setting.
        channels_last: Keep images and convolutions in torch's ``channels_last`` format.
        with_cp: Recompute activations in the backward pass: less memory, more time.
        compile_network: Run the network through ``torch.compile``.
        data_preprocessor: As for mmengine's ``BaseModel``.

    Raises:
        KeyError: If ``arch`` is unknown.
    """

    token_head = False

    def __init__(
        self,
        arch: str | Variant = "base_hybrid",
        *,
        num_classes: int = 1000,
        drop_path_rate: float = 0.0,
        released_norm: bool = True,
        channels_last: bool = False,
        with_cp: bool = False,
        compile_network: bool = False,
        data_preprocessor: Any = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone: Any = self._make_backbone(
            arch,
            num_classes=num_classes,
            drop_path_rate=drop_path_rate,
            released_norm=released_norm,
        )
        self.num_classes = num_classes
        self.released_norm = released_norm
        self.last_paths: Sequence[str] = ()
        self.backbone.set_grad_checkpointing(with_cp)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        if compile_network:
            self.backbone.compile()

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        targets: Tensor | None = None,
        labels: Tensor | None = None,
        paths: Sequence[str] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Train on, or classify, a batch.

        Args:
            inputs: ``student``: ``(B, 3, H, W)`` normalised images; for a student's training also
                ``labeler``, the clean view of the same geometry.
            targets: ``(B, K)`` soft targets, for ``mode='loss'``.
            labels: ``(B,)`` classes, for ``mode='predict'``.
            paths: The images' names, for errors.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            ``'loss'``: a dict of losses. ``'predict'``: a dict per image with ``class_logits``
            ``(K,)``, ``max_token_logits`` ``(K,)`` where there is a token head, ``label`` and
            ``path``. ``'tensor'``: the logits.

        Raises:
            ValueError: If ``mode`` is unknown, or what it needs is missing or of another shape.
        """
        if mode == "loss":
            self.last_paths = paths or ()
            if targets is None:
                raise InputError("training needs soft targets (B, K) from the data preprocessor")
            return self.losses(inputs, targets)
        images = self._arrange(inputs["student"])
        if mode == "predict":
            return self.predictions(images, labels=labels, paths=paths)
        if mode == "tensor":
            return self.backbone(images)
        raise InputError(f"mode must be one of {', '.join(MODES)}, got '{mode}'")

    def losses(self, inputs: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the class token, Eq. 1."""
        logits = self.backbone(self._arrange(inputs["student"]))
        return {"loss_cls": soft_cross_entropy(logits, targets)}

    def predictions(
        self, images: Tensor, *, labels: Tensor | None, paths: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        """Class logits and the tokens' largest logits of each image, see `forward`."""
        output = self.backbone(images)
        class_logits, token_logits = output if self.token_head else (output, None)
        samples: list[dict[str, Any]] = [{"class_logits": row} for row in class_logits.float()]
        if token_logits is not None:
            for sample, row in zip(samples, token_logits.float().amax(dim=1), strict=True):
                sample["max_token_logits"] = row
        for name, values in (("label", labels), ("path", paths)):
            for sample, value in zip(samples, () if values is None else values, strict=False):
                sample[name] = value
        return samples

    def no_weight_decay(self) -> set[str]:
        """Parameters beyond biases and 1-d ones that get no weight decay."""
        return {f"backbone.{name}" for name in self.backbone.no_weight_decay()}

    def card(self) -> dict[str, Any]:
        """What a checkpoint says about its model: plain data."""
        return {
            "model": type(self).__name__,
            "arch": self.arch,
            "num_classes": self.num_classes,
            "token_head": self.token_head,
            "released_norm": self.released_norm,
        }

    @property
    def arch(self) -> str:
        """The network's name in configs and checkpoints."""
        return self.backbone.variant.arch

    def backbone_weights(self, weights: Mapping[str, Tensor], *, ema: bool) -> dict[str, Tensor]:
        """The network's part of a checkpoint's weights, by today's names.

        Args:
            weights: Parameter name -> tensor, in any wrapping.
            ema: As for `stl_backbones.models.state_dicts.unwrapped`.
        """
        return clean_state_dict(weights, ema=ema)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse data of other classes.

        Raises:
            ValueError: If their number is not ``num_classes``.
        """
        if len(classes) != self.num_classes:
            raise InputError(
                f"the model has {self.num_classes} classes, the data {len(classes)}; "
                f"give --cfg-options num_classes={len(classes)}"
            )

    def _make_backbone(self, arch: str | Variant, **settings: Any) -> Any:
        variant = arch if isinstance(arch, Variant) else get_variant(arch)
        return FAN(variant, token_head=self.token_head, **settings)

    def _arrange(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=self.memory_format)


__all__ = ["STLClassifier"]
