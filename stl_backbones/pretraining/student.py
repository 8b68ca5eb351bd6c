"""Stage 2 of STL: a FAN that learns from class labels and a frozen labeler's token labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from stl_backbones.errors import InputError
from stl_backbones.models import Variant
from stl_backbones.models.losses import TOKEN_LABELS, check_choice, student_losses, token_labels
from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.pretraining.frozen import FrozenLabeler, load_labeler
from stl_backbones.registry import MODELS


@MODELS.register_module()
class STLStudent(STLClassifier):
    """FAN trained by Eq. 5.

    The labeler's weights are no part of the student's checkpoint; the sha256 of its file is.

    Args:
        arch: As for `STLClassifier`.
        labeler: ``dict(checkpoint=FILE)`` of any FAN size, or ``dict(timm_name=NAME,
            checkpoint=FILE)`` for a timm classifier, without a file with the weights that timm
            downloads. It is read when training begins.
        token_labels: ``'gumbel'``, ``'argmax'`` or ``'softmax'``.
        tau: Temperature of the Gumbel-Softmax and the softmax.
        smoothing: Smoothing of the token labels.
        beta: Weight of the token loss.
        **kwargs: As for `STLClassifier`.

    Raises:
        ValueError: If ``token_labels`` is unknown.
    """

    token_head = True

    def __init__(
        self,
        arch: str | Variant = "base_hybrid",
        *,
        labeler: Mapping[str, Any] | None = None,
        token_labels: str = "gumbel",
        tau: float = 1.0,
        smoothing: float = 0.1,
        beta: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_choice("token_labels", token_labels, TOKEN_LABELS)
        super().__init__(arch, **kwargs)
        self.labeler_config = dict(labeler or {})
        self.labeler: FrozenLabeler | None = None
        self.token_labels = token_labels
        self.tau = tau
        self.smoothing = smoothing
        self.beta = beta

    def load_labeler(self) -> FrozenLabeler:
        """Read the labeler, once.

        Raises:
            ValueError: If none is named, it does not fit, or its classes are others in number.
            FileNotFoundError: If its file is missing.
        """
        if self.labeler is None:
            labeler = load_labeler(**self.labeler_config)
            if labeler.num_classes != self.num_classes:
                raise InputError(
                    f"labeler '{labeler.card['file']}' knows {labeler.num_classes} classes, the "
                    f"student {self.num_classes}; both need the same"
                )
            labeler.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
            self.labeler = labeler
        return self.labeler

    def losses(self, inputs: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Eq. 5.

        Raises:
            ValueError: If there is no labeler, or no view for it.
        """
        if "labeler" not in inputs:
            raise InputError(
                "a student's batch needs two views, inputs['student'] and inputs['labeler']; "
                "the pipeline gave one"
            )
        images = self._arrange(inputs["student"])
        clean = self._arrange(inputs["labeler"])
        token_logits = self.load_labeler().token_logits(
            clean, grid=self.backbone.token_grid(images)
        )
        labels = token_labels(token_logits, mode=self.token_labels, tau=self.tau)
        class_logits, own_logits = self.backbone(images)
        return student_losses(
            class_logits,
            own_logits,
            targets,
            labels=labels,
            smoothing=self.smoothing,
            beta=self.beta,
        )

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse data of other classes than the student's and its labeler's.

        Raises:
            ValueError: If number, names or order differ.
        """
        super().check_classes(classes)
        self.load_labeler().check_classes(classes)

    def card(self) -> dict[str, Any]:
        """What a checkpoint says about its model: plain data."""
        return {
            **super().card(),
            "labeler": None if self.labeler is None else self.labeler.card,
            "token_labels": self.token_labels,
            "tau": self.tau,
            "smoothing": self.smoothing,
            "beta": self.beta,
        }


__all__ = ["STLStudent"]
