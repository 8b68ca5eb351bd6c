"""Runs that are stopped, and what checkpoints say."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn

from stl_backbones.engine.guards import ModelCardHook, StopOnBadLoss


class Model(nn.Module):
    def __init__(self, sha256=None, paths=()):
        super().__init__()
        self.sha256, self.last_paths = sha256, paths

    def card(self):
        return {"labeler": {"file": "now.pth", "sha256": self.sha256} if self.sha256 else None}

    def check_classes(self, classes):
        self.checked = classes


def runner(model, **kwargs):
    data = SimpleNamespace(dataset=SimpleNamespace(metainfo={"classes": ("a", "b")}))
    return SimpleNamespace(model=model, epoch=2, iter=41, train_dataloader=data, **kwargs)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_loss_stops_and_names_its_batch(value):
    paths = [f"{number}.jpg" for number in range(10)]
    with pytest.raises(ValueError, match=r"epoch 3, step 42; .*0.jpg, .*7.jpg, ... \(2 more\)"):
        StopOnBadLoss().after_train_iter(
            runner(Model(paths=paths)), 0, None, {"loss": torch.tensor(value, requires_grad=True)}
        )


@pytest.mark.parametrize(
    ("batch", "named"),
    [
        ({"inputs": [], "data_samples": [{"img_path": "a.jpg"}, {"img_path": "b.jpg"}]},
         r"Batch: a\.jpg, b\.jpg\. "),
        ({"inputs": [], "data_samples": [{"img_id": 3}]}, r"Batch: unknown\. "),
        ({"inputs": []}, r"Batch: unknown\. "),
        (None, r"Batch: unknown\. "),
    ],
)  # fmt: skip
def test_a_detectors_batch_names_its_images(batch, named):
    """Its model keeps no paths; the loader's samples do."""
    if batch and "data_samples" in batch:
        batch["data_samples"] = [DetDataSample(metainfo=info) for info in batch["data_samples"]]
    with pytest.raises(ValueError, match=named):
        StopOnBadLoss().after_train_iter(runner(nn.Module()), 0, batch, {"loss": math.nan})


def test_a_finite_loss_goes_on():
    StopOnBadLoss().after_train_iter(runner(Model()), 0, None, {"loss": torch.tensor(3.0)})


def test_the_card_is_saved():
    checkpoint = {"meta": {}}
    ModelCardHook().before_save_checkpoint(runner(Model("ab")), checkpoint)
    assert checkpoint["meta"]["stl_backbones"]["labeler"]["sha256"] == "ab"


def test_a_run_does_not_change_its_labeler():
    card = {"labeler": {"file": "old.pth", "sha256": "ab"}}
    checkpoint = {"meta": {"stl_backbones": card}}
    hook = ModelCardHook()
    hook.after_load_checkpoint(runner(Model("ab"), _resume=True), checkpoint)
    hook.after_load_checkpoint(runner(Model("cd"), _resume=False), checkpoint)
    with pytest.raises(ValueError, match=r"began with labeler 'old.pth' .*'now.pth' is another"):
        hook.after_load_checkpoint(runner(Model("cd"), _resume=True), checkpoint)
