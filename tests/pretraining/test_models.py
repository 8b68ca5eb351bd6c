"""Classifier, labeler and student: what they minimise, predict and keep."""

import copy
import hashlib
from unittest import mock

import pytest
import torch

from stl_backbones.models import load_checkpoint
from stl_backbones.models.losses import (
    labeler_losses,
    soft_cross_entropy,
    student_losses,
    token_labels,
)
from stl_backbones.pretraining import STLClassifier, STLStudent, TokenLabeler, load_labeler
from stl_backbones.transfer import FANBackbone


@pytest.fixture
def make(small):
    def build(kind, **kwargs):
        torch.manual_seed(0)
        return kind(small, num_classes=3, released_norm=False, **kwargs).eval()

    return build


class TestLoss:
    def test_of_the_classifier(self, make, batch):
        model = make(STLClassifier)
        losses = model(**batch, mode="loss")
        expected = soft_cross_entropy(model.backbone(batch["inputs"]["student"]), batch["targets"])
        assert set(losses) == {"loss_cls"}
        assert torch.equal(losses["loss_cls"], expected)

    @pytest.mark.parametrize("mode", ["cls_and_gap", "gap", "per_token", "cls_and_gap_stopgrad"])
    def test_of_the_labeler(self, make, batch, mode):
        model = make(TokenLabeler, loss_mode=mode, alpha=0.5)
        losses = model(**batch, mode="loss")
        logits = model.backbone(batch["inputs"]["student"])
        expected = labeler_losses(*logits, batch["targets"], mode=mode, alpha=0.5)
        for name, value in expected.items():
            assert torch.allclose(losses[name], value)

    def test_stopgrad_keeps_the_pooled_token_from_the_trunk(self, make, batch):
        model = make(TokenLabeler, loss_mode="cls_and_gap_stopgrad")
        model(**batch, mode="loss")["loss_token"].backward()
        touched = {name for name, p in model.named_parameters() if p.grad is not None and p.any()}
        trunk = {n for n in touched if "head" not in n and model.get_parameter(n).grad.any()}
        assert trunk == set()
        assert model.backbone.aux_head.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            (STLClassifier, {}),
            (TokenLabeler, {"loss_mode": "cls"}),
            (TokenLabeler, {"loss_mode": "gap"}),
            (TokenLabeler, {"loss_mode": "cls_and_gap_stopgrad"}),
        ],
    )
    def test_every_parameter_has_a_gradient(self, make, batch, kind, options):
        """Else distributed training would wait for the missing ones."""
        model = make(kind, **options)
        sum(model(**batch, mode="loss").values()).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []

    @pytest.mark.parametrize("kind", ["argmax", "softmax", "gumbel"])
    def test_of_the_student(self, make, batch, labeler_file, kind):
        model = make(
            STLStudent,
            labeler={"checkpoint": labeler_file},
            token_labels=kind,
            beta=2.0,
            smoothing=0.2,
        )
        torch.manual_seed(7)
        losses = model(**batch, mode="loss")
        torch.manual_seed(7)
        clean = batch["inputs"]["labeler"]
        labels = token_labels(
            load_labeler(labeler_file).token_logits(clean, grid=(2, 3)), mode=kind
        )
        logits = model.backbone(batch["inputs"]["student"])
        expected = student_losses(*logits, batch["targets"], labels=labels, smoothing=0.2, beta=2.0)
        for name, value in expected.items():
            assert torch.allclose(losses[name], value)

    def test_needs_targets(self, make, batch):
        with pytest.raises(ValueError, match="training needs soft targets"):
            make(STLClassifier)(batch["inputs"], mode="loss")

    def test_of_targets_for_other_classes(self, make, batch):
        batch["targets"] = torch.ones(2, 4) / 4
        with pytest.raises(ValueError, match=r"shape \(2, 3\), got \(2, 4\)"):
            make(STLClassifier)(**batch, mode="loss")

    def test_of_a_student_without_the_labelers_view(self, make, batch, labeler_file):
        del batch["inputs"]["labeler"]
        model = make(STLStudent, labeler={"checkpoint": labeler_file})
        with pytest.raises(ValueError, match="needs two views"):
            model(**batch, mode="loss")


class TestPredictions:
    def test_of_a_token_network(self, make, batch):
        model = make(TokenLabeler)
        class_logits, token_logits = model.backbone(batch["inputs"]["student"])
        samples = model(**batch, mode="predict")
        assert torch.equal(samples[1]["class_logits"], class_logits[1])
        assert torch.equal(samples[1]["max_token_logits"], token_logits[1].max(dim=0).values)
        assert samples[1]["label"] == 2
        assert samples[1]["path"] == "b.jpg"

    def test_of_a_classifier_have_no_token_logits(self, make, batch):
        assert "max_token_logits" not in make(STLClassifier)(**batch, mode="predict")[0]

    def test_are_the_same_in_channels_last(self, make, batch):
        plain, last = (make(TokenLabeler, channels_last=value) for value in (False, True))
        assert last.backbone.patch_embed.proj[0][0].weight.is_contiguous(
            memory_format=torch.channels_last
        )
        inputs, seen = batch["inputs"], []
        last.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        for a, b in zip(plain(inputs), last(inputs), strict=True):
            assert torch.allclose(a, b, atol=1e-5)
        assert seen[0].is_contiguous(memory_format=torch.channels_last)

    def test_of_an_unknown_mode(self, make, batch):
        with pytest.raises(ValueError, match="mode must be one of loss, predict, tensor"):
            make(STLClassifier)(batch["inputs"], mode="guess")


class TestStudentsLabeler:
    def test_is_no_part_of_the_student(self, make, batch, labeler_file):
        without = make(STLStudent)
        student = make(STLStudent, labeler={"checkpoint": labeler_file}).train()
        student(**batch, mode="loss")
        assert student.state_dict().keys() == without.state_dict().keys()
        assert len(list(student.parameters())) == len(list(without.parameters()))

    def test_stays_as_it_was(self, make, batch, labeler_file):
        student = make(STLStudent, labeler={"checkpoint": labeler_file}).train()
        sum(student(**batch, mode="loss").values()).backward()
        network = student.labeler.network
        fresh = load_labeler(labeler_file).network.state_dict()
        assert not any(module.training for module in network.modules())
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())
        assert all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())

    def test_is_shared_by_the_average(self, make, labeler_file):
        student = make(STLStudent, labeler={"checkpoint": labeler_file})
        student.load_labeler()
        assert copy.deepcopy(student).labeler is student.labeler

    def test_runs_in_bfloat16_under_autocast(self, make, batch, labeler_file):
        student = make(STLStudent, labeler={"checkpoint": labeler_file})
        with torch.autocast("cpu", torch.bfloat16):
            logits = student.load_labeler().token_logits(batch["inputs"]["labeler"], grid=(2, 3))
            losses = student(**batch, mode="loss")
        assert logits.dtype == torch.bfloat16
        assert {loss.dtype for loss in losses.values()} == {torch.float32}

    def test_sha256_is_on_the_card(self, make, labeler_file):
        student = make(STLStudent, labeler={"checkpoint": labeler_file})
        student.load_labeler()
        expected = hashlib.sha256(labeler_file.read_bytes()).hexdigest()
        assert student.card()["labeler"]["sha256"] == expected
        assert student.card()["labeler"]["arch"] == "tiny_vit"

    def test_must_be_named(self, make, batch):
        with pytest.raises(ValueError, match="needs a trained labeler: give --cfg-options labeler"):
            make(STLStudent)(**batch, mode="loss")

    def test_must_know_as_many_classes(self, small, labeler_file):
        student = STLStudent(small, num_classes=4, labeler={"checkpoint": labeler_file})
        with pytest.raises(ValueError, match="knows 3 classes, the student 4"):
            student.load_labeler()


def test_the_data_must_have_as_many_classes(make):
    with pytest.raises(ValueError, match=r"the model has 3 classes, the data 2; .*num_classes=2"):
        make(STLClassifier).check_classes(["a", "b"])


def test_a_students_weights_go_into_a_dense_backbone(tmp_path):
    student = STLStudent("tiny_hybrid", num_classes=3)
    torch.save({"state_dict": student.state_dict(), "meta": {}}, tmp_path / "student.pth")
    backbone = FANBackbone("tiny_hybrid")
    report = load_checkpoint(backbone, tmp_path / "student.pth")
    assert report.missing == ()
    assert all(name.startswith(("head.", "aux_head.")) for name in report.unexpected)
    assert torch.equal(backbone.blocks[3].attn.q.weight, student.backbone.blocks[3].attn.q.weight)


@pytest.mark.parametrize("option", ["with_cp", "channels_last"])
def test_speed_options_change_no_gradient(make, batch, option):
    gradients = []
    for value in (False, True):
        model = make(TokenLabeler, **{option: value}).train()
        sum(model(**batch, mode="loss").values()).backward()
        gradients.append(model.backbone.blocks[0].attn.q.weight.grad)
    assert torch.allclose(*gradients, atol=1e-6)


def test_a_compiled_network_is_the_backbone(make):
    with mock.patch.object(torch.nn.Module, "compile", autospec=True) as compiled:
        model = make(TokenLabeler, compile_network=True)
    compiled.assert_called_once_with(model.backbone)


def test_what_gets_no_weight_decay(make):
    assert make(STLClassifier).no_weight_decay() == {"backbone.cls_token"}
