"""A network of timm in the place of FAN."""

import pytest
import timm
import torch
from mmengine.registry import MODELS

from stl_backbones.models.losses import soft_cross_entropy
from stl_backbones.pretraining import TimmClassifier

NAME = "test_resnet"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TimmClassifier(NAME, num_classes=3)


def test_loss_and_predictions_are_those_of_the_network(model, batch):
    model.eval()
    logits = timm.create_model(NAME, num_classes=3).eval()
    logits.load_state_dict(model.backbone.state_dict())
    expected = logits(batch["inputs"]["student"])
    losses = model(batch["inputs"], targets=batch["targets"], mode="loss")
    assert losses.keys() == {"loss_cls"}
    torch.testing.assert_close(losses["loss_cls"], soft_cross_entropy(expected, batch["targets"]))
    found = model(batch["inputs"], labels=batch["labels"], paths=batch["paths"], mode="predict")
    torch.testing.assert_close(found[1]["class_logits"], expected[1])
    assert (found[1]["label"], found[1]["path"]) == (2, "b.jpg")
    assert "max_token_logits" not in found[0]


@pytest.fixture
def small_lv_vit(monkeypatch):
    """timm's name of an LV-ViT that is small enough for loops."""
    from stl_backbones.models import lv_vit

    size = lv_vit.Size(depth=1, dim=24, heads=3, divisor=2.0, crop_pct=0.9)
    make = timm.create_model

    def create(name, num_classes, **settings):
        if name != "lv_vit_t":
            return make(name, num_classes=num_classes, **settings)
        return lv_vit.LVViT(size, num_classes=num_classes, img_size=(32, 48), **settings)

    monkeypatch.setattr(timm, "create_model", create)
    return "lv_vit_t"


def test_tokens_have_a_loss_where_they_have_a_classifier(small_lv_vit, batch):
    torch.manual_seed(0)
    model = TimmClassifier(small_lv_vit, num_classes=3)
    losses = model(batch["inputs"], targets=batch["targets"], mode="loss")
    logits, token_logits = model.backbone(batch["inputs"]["student"])
    token_loss = soft_cross_entropy(token_logits.mean(dim=1), batch["targets"])
    torch.testing.assert_close(
        sum(losses.values()), soft_cross_entropy(logits, batch["targets"]) + token_loss
    )
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    found = model.eval()(batch["inputs"], mode="predict")
    torch.testing.assert_close(
        found[0]["max_token_logits"], model.backbone(batch["inputs"]["student"])[1][0].amax(dim=0)
    )


def test_training_lowers_the_loss(model, batch):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(batch["inputs"], targets=batch["targets"], mode="loss")["loss_cls"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_checkpoint_says_which_network_it_holds(model):
    assert model.card() == {
        "model": "TimmClassifier", "arch": NAME, "num_classes": 3, "token_head": False,
        "released_norm": True,
    }  # fmt: skip


def test_own_and_plain_weights_are_found(model):
    own = model.backbone.state_dict()
    for weights in (model.state_dict(), own, {f"module.{k}": v for k, v in own.items()}):
        assert model.backbone_weights(weights, ema=True).keys() >= own.keys()


def test_what_timm_keeps_from_decaying_does_not_decay():
    model = TimmClassifier("test_vit", num_classes=3)
    assert {"backbone.pos_embed", "backbone.cls_token"} <= model.no_weight_decay()
    assert TimmClassifier(NAME, num_classes=3).no_weight_decay() == set()


def test_it_is_built_by_name():
    config = {"type": "stl_backbones.TimmClassifier", "arch": "test_vit", "num_classes": 3}
    assert MODELS.build({**config, "drop_path_rate": 0.1}).backbone.head.out_features == 3


def test_unknown_names_and_options_are_said():
    with pytest.raises(KeyError, match="timm has no model 'resnet5000'"):
        TimmClassifier("resnet5000")
    with pytest.raises(ValueError, match=r"cannot be built with .*'drop_path_rate': 0.1.*rate=0"):
        TimmClassifier("vgg11", drop_path_rate=0.1)
