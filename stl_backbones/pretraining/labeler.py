"""Stage 1 of STL: a FAN that learns to label its own patch tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stl_backbones.models import Variant
from stl_backbones.models.losses import (
    LABELER_MODES,
    check_choice,
    labeler_losses,
    stop_patch_gradients,
)
from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.registry import MODELS


@MODELS.register_module()
class TokenLabeler(STLClassifier):
    """FAN-TL, trained by Eq. 2: the class token and the mean patch token get the image's label.

    Args:
        arch: As for `STLClassifier`.
        loss_mode: One of `stl_backbones.models.losses.LABELER_MODES`.
        alpha: Weight of the token loss.
        **kwargs: As for `STLClassifier`.

    Raises:
        ValueError: If ``loss_mode`` is unknown.
    """

    token_head = True

    def __init__(
        self,
        arch: str | Variant = "base_hybrid",
        *,
        loss_mode: str = "cls_and_gap",
        alpha: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_choice("loss_mode", loss_mode, tuple(LABELER_MODES))
        super().__init__(arch, **kwargs)
        self.loss_mode = loss_mode
        self.alpha = alpha

    def losses(self, inputs: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Eq. 2."""
        images = self._arrange(inputs["student"])
        if self.loss_mode == "cls_and_gap_stopgrad":
            tokens = stop_patch_gradients(self.backbone.forward_features(images))
            class_logits, token_logits = self.backbone.forward_head(tokens)
        else:
            class_logits, token_logits = self.backbone(images)
        return labeler_losses(
            class_logits, token_logits, targets, mode=self.loss_mode, alpha=self.alpha
        )

    def card(self) -> dict[str, Any]:
        """What a checkpoint says about its model: plain data."""
        return {**super().card(), "loss_mode": self.loss_mode, "alpha": self.alpha}


__all__ = ["TokenLabeler"]
