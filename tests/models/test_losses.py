"""STL's losses against numbers computed by hand."""

import math

import pytest
import torch

from stl_backbones.models.losses import (
    LABELER_MODES,
    gumbel_noise,
    labeler_losses,
    soft_cross_entropy,
    stop_patch_gradients,
    student_losses,
    token_labels,
)

LOG2, LOG3 = math.log(2), math.log(3)
# With logits (0, log 3) a softmax gives 1/4 and 3/4: the losses are log 4 and log 4 - log 3.
CLASS = torch.tensor([[0.0, LOG3]])
# Their mean is (0, log 3 / 2).
TOKENS = torch.tensor([[[0.0, LOG3], [0.0, 0.0]]])
TARGET = torch.tensor([[0.25, 0.75]])


def close(value, expected):
    return value.item() == pytest.approx(expected, abs=1e-6)


def pooled():
    return math.log(1 + math.sqrt(3)) - 0.75 * LOG3 / 2


CLASS_LOSS = 2 * LOG2 - 0.75 * LOG3
PER_TOKEN = (CLASS_LOSS + LOG2) / 2


def test_soft_cross_entropy():
    assert close(soft_cross_entropy(CLASS, TARGET), CLASS_LOSS)


def test_soft_cross_entropy_is_float32_under_mixed_precision():
    logits = torch.tensor([[0.0, 3.01]])
    loss = soft_cross_entropy(logits.bfloat16(), TARGET.bfloat16())
    assert loss.dtype == torch.float32
    assert close(loss, soft_cross_entropy(logits.bfloat16().float(), TARGET).item())


def test_soft_cross_entropy_of_other_classes():
    with pytest.raises(ValueError, match=r"shape \(1, 2\), got \(1, 3\)"):
        soft_cross_entropy(CLASS, torch.ones(1, 3) / 3)


@pytest.mark.parametrize(
    ("mode", "cls", "token"),
    [
        ("cls_and_gap", CLASS_LOSS, pooled()),
        ("cls", CLASS_LOSS, 0.0),
        ("gap", 0.0, pooled()),
        ("cls_and_gap_stopgrad", CLASS_LOSS, pooled()),
        ("per_token", CLASS_LOSS, PER_TOKEN),
    ],
)
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_labeler_modes(mode, cls, token, alpha):
    losses = labeler_losses(CLASS, TOKENS, TARGET, mode=mode, alpha=alpha)
    assert close(losses["loss_cls"], cls)
    assert close(losses["loss_token"], alpha * token)


def test_every_mode_is_tested_above():
    assert set(LABELER_MODES) == {"cls_and_gap", "cls", "gap", "cls_and_gap_stopgrad", "per_token"}


def test_unknown_mode():
    with pytest.raises(ValueError, match=r"mode must be one of cls_and_gap, .*, got 'both'"):
        labeler_losses(CLASS, TOKENS, TARGET, mode="both")


def test_a_cut_patch_token_teaches_the_head_and_not_the_trunk():
    trunk = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], requires_grad=True)
    head = torch.eye(2, requires_grad=True)
    tokens = stop_patch_gradients(trunk)
    assert torch.equal(tokens, trunk)
    (tokens[:, 1:] @ head).mean(dim=1)[0, 0].backward()
    assert torch.equal(trunk.grad, torch.zeros_like(trunk))
    assert torch.equal(head.grad, torch.tensor([[4.0, 0.0], [5.0, 0.0]]))  # means of the patches


class TestTokenLabels:
    def test_argmax(self):
        logits = torch.tensor([[[0.0, 1.0, -1.0], [2.0, 1.0, 0.0]]])
        assert token_labels(logits, mode="argmax").tolist() == [[1, 0]]

    @pytest.mark.parametrize(("tau", "second"), [(1.0, 0.75), (0.5, 0.9)])
    def test_softmax(self, tau, second):
        labels = token_labels(CLASS.unsqueeze(1), mode="softmax", tau=tau)
        assert labels.flatten().tolist() == pytest.approx([1 - second, second])

    def test_gumbel_adds_the_generators_noise(self):
        logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
        noise = gumbel_noise(logits, generator=torch.Generator().manual_seed(7))
        labels = token_labels(logits, generator=torch.Generator().manual_seed(7))
        assert torch.equal(labels, (logits + noise).argmax(dim=-1))
        assert not torch.equal(labels, logits.argmax(dim=-1))

    @pytest.mark.parametrize("tau", [0.1, 10.0])
    def test_a_hard_label_is_the_same_for_every_tau(self, tau):
        logits = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0))
        expected = token_labels(logits, generator=torch.Generator().manual_seed(1))
        labels = token_labels(logits, tau=tau, generator=torch.Generator().manual_seed(1))
        assert torch.equal(labels, expected)

    def test_gumbel_draws_classes_as_often_as_the_softmax_says(self):
        draws = 40_000
        logits = CLASS.unsqueeze(1).expand(1, draws, 2)
        labels = token_labels(logits, generator=torch.Generator().manual_seed(0))
        deviation = math.sqrt(0.25 * 0.75 / draws)
        assert labels.float().mean().item() == pytest.approx(0.75, abs=4 * deviation)

    def test_a_sure_token_keeps_its_label(self):
        logits = torch.tensor([[[40.0, 0.0, 0.0]]]).expand(1, 1000, 3)
        labels = token_labels(logits, generator=torch.Generator().manual_seed(0))
        assert labels.sum() == 0

    @pytest.mark.parametrize("tau", [0.0, -1.0])
    def test_tau_must_be_positive(self, tau):
        with pytest.raises(ValueError, match="tau must be positive"):
            token_labels(TOKENS, tau=tau)


class TestStudent:
    def test_hard_labels(self):
        # Token 0 has the label class 1 (log 4 - log 3), token 1 class 0 (log 2).
        losses = student_losses(
            CLASS, TOKENS, TARGET, labels=torch.tensor([[1, 0]]), smoothing=0.0, beta=2.0
        )
        assert close(losses["loss_cls"], CLASS_LOSS)
        assert close(losses["loss_token"], 2 * (2 * LOG2 - LOG3 + LOG2) / 2)

    @pytest.mark.parametrize("soft", [False, True])
    def test_smoothing(self, soft):
        # s = 0.2 of K = 2: targets 0.9 and 0.1. Token 0: log 4 - 0.9 log 3; token 1: log 2.
        labels = torch.tensor([[1, 0]])
        if soft:
            labels = torch.nn.functional.one_hot(labels).float()
        losses = student_losses(CLASS, TOKENS, TARGET, labels=labels, smoothing=0.2)
        assert close(losses["loss_token"], (2 * LOG2 - 0.9 * LOG3 + LOG2) / 2)

    def test_another_number_of_tokens(self):
        with pytest.raises(ValueError, match=r"each of \(1, 2\) tokens, got \(1, 3\)"):
            student_losses(CLASS, TOKENS, TARGET, labels=torch.zeros(1, 3, dtype=torch.long))
