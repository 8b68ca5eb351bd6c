"""Any network of timm, trained on class labels: what STL is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor

from stl_backbones.errors import InputError, first_sentence
from stl_backbones.models import Variant, unwrapped
from stl_backbones.models.losses import labeler_losses, soft_cross_entropy
from stl_backbones.models.timm_classifiers import check_timm_name
from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.registry import MODELS


@MODELS.register_module()
class TimmClassifier(STLClassifier):
    """A network of timm on class labels: ``dict(type='TimmClassifier', arch='resnet50')``.

    Where it has a classifier for each token too, as LV-ViT, the mean token gets the image's label
    as in Eq. 2 of STL; LV-ViT's own training has a label for each token.

    Args:
        arch: timm's name, without the tag of weights; training starts from fresh ones.
        drop_path_rate: The network's own stochastic depth; 0 leaves it as timm builds it.
        **kwargs: As for `STLClassifier`; ``released_norm`` does not matter.

    Raises:
        KeyError: If timm has no such network.
        ValueError: If the network takes no ``drop_path_rate``.
    """

    def __init__(self, arch: str = "resnet50", **kwargs: Any) -> None:
        super().__init__(arch, **kwargs)
        self.token_head = getattr(self.backbone, "aux_head", None) is not None
        self._arch = arch

    @property
    def arch(self) -> str:
        """Timm's name."""
        return self._arch

    def losses(self, inputs: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the class logits, and of the mean token's where there are any."""
        output = self.backbone(self._arrange(inputs["student"]))
        if self.token_head:
            logits, token_logits = output
            return labeler_losses(logits, token_logits, targets, mode="cls_and_gap", alpha=1.0)
        return {"loss_cls": soft_cross_entropy(output, targets)}

    def no_weight_decay(self) -> set[str]:
        """Parameters beyond biases and 1-d ones that get no weight decay, as timm names them."""
        named: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in named}

    def backbone_weights(self, weights: Mapping[str, Tensor], *, ema: bool) -> dict[str, Tensor]:
        """As of `STLClassifier`; the names are timm's."""
        return unwrapped(weights, self.backbone.state_dict().keys(), ema=ema)

    def _make_backbone(self, arch: str | Variant, **settings: Any) -> Any:
        check_timm_name(str(arch))
        asked: dict[str, Any] = {"num_classes": settings["num_classes"]}
        if settings["drop_path_rate"]:
            asked["drop_path_rate"] = settings["drop_path_rate"]
        try:
            return timm.create_model(str(arch), **asked)
        except TypeError as error:
            raise InputError(
                f"timm's '{arch}' cannot be built with {asked}: "
                f"{first_sentence(error)}; give --cfg-options drop_path_rate=0"
            ) from error


__all__ = ["TimmClassifier"]
