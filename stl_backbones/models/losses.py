"""The losses of STL: Eq. 2 of the token labeler, Eq. 5 of its student, and the token labels.

Shapes: B images, N tokens, K classes. Logits are taken to float32 before any softmax.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL),
    sections 3.1, 3.2, 5.2 and A.1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stl_backbones.errors import InputError

# Weights of the class loss and the token loss; A.1 tries the two terms alone.
LABELER_MODES = {
    "cls_and_gap": (1.0, 1.0),
    "cls": (1.0, 0.0),
    "gap": (0.0, 1.0),
    "cls_and_gap_stopgrad": (1.0, 1.0),
    "per_token": (1.0, 1.0),
}
TOKEN_LABELS = ("gumbel", "argmax", "softmax")


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy against soft targets, in float32.

    Args:
        logits: ``(..., K)``.
        targets: ``(..., K)``, each row a distribution.

    Raises:
        ValueError: If the shapes differ.
    """
    if logits.shape != targets.shape:
        raise InputError(
            f"expected soft targets of the logits' shape {tuple(logits.shape)}, "
            f"got {tuple(targets.shape)}; is num_classes that of the data?"
        )
    classes = logits.shape[-1]
    return F.cross_entropy(
        logits.reshape(-1, classes).float(), targets.reshape(-1, classes).float()
    )


def labeler_losses(
    class_logits: Tensor,
    token_logits: Tensor,
    targets: Tensor,
    *,
    mode: str = "cls_and_gap",
    alpha: float = 1.0,
) -> dict[str, Tensor]:
    """Eq. 2: class loss plus alpha times the loss of the pooled token.

    A term that the mode leaves out is there with weight zero, so that every parameter has a
    gradient and processes need not look for those without.

    Args:
        class_logits: ``(B, K)``.
        token_logits: ``(B, N, K)``; for ``'cls_and_gap_stopgrad'`` those of
            `stop_patch_gradients`.
        targets: ``(B, K)`` soft targets.
        mode: One of `LABELER_MODES`; ``'per_token'`` gives every token the image's target.
        alpha: Weight of the token loss.

    Returns:
        ``loss_cls`` and ``loss_token``, weighted; training minimises their sum.

    Raises:
        ValueError: If ``mode`` is unknown or the shapes do not fit.
    """
    check_choice("mode", mode, tuple(LABELER_MODES))
    class_weight, token_weight = LABELER_MODES[mode]
    if mode == "per_token":
        token_targets = targets.unsqueeze(1).expand_as(token_logits)
        token_loss = soft_cross_entropy(token_logits, token_targets)
    else:
        token_loss = soft_cross_entropy(token_logits.float().mean(dim=1), targets)
    return {
        "loss_cls": class_weight * soft_cross_entropy(class_logits, targets),
        "loss_token": alpha * token_weight * token_loss,
    }


def stop_patch_gradients(tokens: Tensor) -> Tensor:
    """Cut the patch tokens, not the class token, of ``(B, 1 + N, C)`` off from the trunk.

    A token head applied to the result still learns; the trunk learns from the class token alone.
    """
    return torch.cat((tokens[:, :1], tokens[:, 1:].detach()), dim=1)


def token_labels(
    token_logits: Tensor,
    *,
    mode: str = "gumbel",
    tau: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Turn a labeler's token logits into labels for the student's tokens.

    Args:
        token_logits: ``(B, N, K)``.
        mode: ``'gumbel'`` draws each token's class from its distribution (Eq. 4, made one-hot),
            ``'argmax'`` takes the likeliest, ``'softmax'`` keeps the distribution.
        tau: Temperature of Eq. 4 and of the softmax. A hard label is the same for every tau.
        generator: Source of the Gumbel noise; default: torch's own.

    Returns:
        Classes ``(B, N)`` int64, or for ``'softmax'`` distributions ``(B, N, K)`` float32.

    Raises:
        ValueError: If ``mode`` is unknown or ``tau`` not positive.
    """
    check_choice("token_labels", mode, TOKEN_LABELS)
    if tau <= 0:
        raise InputError(f"tau must be positive, got {tau}")
    logits = token_logits.float() / tau
    if mode == "softmax":
        return logits.softmax(dim=-1)
    if mode == "gumbel":
        logits = logits + gumbel_noise(logits, generator=generator) / tau
    return logits.argmax(dim=-1)


def gumbel_noise(like: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw standard Gumbel numbers of a tensor's shape: minus the log of exponential ones."""
    return torch.empty_like(like).exponential_(generator=generator).log().neg()


def student_losses(
    class_logits: Tensor,
    token_logits: Tensor,
    targets: Tensor,
    *,
    labels: Tensor,
    smoothing: float = 0.1,
    beta: float = 1.0,
) -> dict[str, Tensor]:
    """Eq. 5: class loss plus beta times the mean loss of all tokens.

    Args:
        class_logits: ``(B, K)``.
        token_logits: ``(B, N, K)``.
        targets: ``(B, K)`` soft targets of the class token.
        labels: Token labels from `token_labels`, ``(B, N)`` or ``(B, N, K)``.
        smoothing: s in t = (1 - s) * label + s / K; the class targets come smoothed already.
        beta: Weight of the token loss.

    Returns:
        ``loss_cls`` and ``loss_token``, weighted; training minimises their sum.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if labels.shape[:2] != token_logits.shape[:2]:
        raise InputError(
            f"expected a label for each of {tuple(token_logits.shape[:2])} tokens, "
            f"got {tuple(labels.shape[:2])}"
        )
    token_loss = F.cross_entropy(
        token_logits.flatten(0, 1).float(), labels.flatten(0, 1), label_smoothing=smoothing
    )
    return {"loss_cls": soft_cross_entropy(class_logits, targets), "loss_token": beta * token_loss}


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse an unknown option.

    Raises:
        ValueError: If ``value`` is none of ``choices``.
    """
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got '{value}'")


__all__ = [
    "LABELER_MODES",
    "TOKEN_LABELS",
    "check_choice",
    "gumbel_noise",
    "labeler_losses",
    "soft_cross_entropy",
    "stop_patch_gradients",
    "student_losses",
    "token_labels",
]
