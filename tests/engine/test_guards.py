"""Runs that are stopped, and what checkpoints say."""

import math
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn

from stl_backbones.engine.device_numbers import DeviceNumber
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
    return SimpleNamespace(
        model=model, epoch=2, iter=41, train_dataloader=data, optim_wrapper=None, **kwargs
    )


def look_late(guard, run, batch, loss):
    """The step with the loss, and what makes it be read: a good step after it."""
    guard.after_train_iter(run, 0, batch, {"loss": loss})
    run.iter += 1
    guard.after_train_iter(run, 1, None, {"loss": 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_loss_stops_and_names_its_batch(value):
    paths = [f"{number}.jpg" for number in range(10)]
    with pytest.raises(ValueError, match=r"epoch 3, step 42; .*0.jpg, .*7.jpg, ... \(2 more\)"):
        look_late(StopOnBadLoss(), runner(Model(paths=paths)), None,
                  torch.tensor(value, requires_grad=True))  # fmt: skip


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
        look_late(StopOnBadLoss(), runner(nn.Module()), batch, math.nan)


@pytest.mark.parametrize("point", ["before_val", "before_checkpoint", "after_train"])
def test_the_last_loss_is_looked_at_before_anything_is_made_of_it(point):
    guard = StopOnBadLoss()
    guard.after_train_iter(runner(Model()), 0, None, {"loss": torch.tensor(math.nan)})
    with pytest.raises(ValueError, match="the loss is nan in epoch 3, step 42"):
        getattr(guard, point)(runner(Model()))


def test_a_finite_loss_goes_on_and_no_step_waits_for_its_own(reads):
    guard = StopOnBadLoss()
    with reads() as asked:
        guard.after_train_iter(runner(Model()), 0, None, {"loss": torch.tensor(3.0)})
        assert asked == []
        guard.after_train_iter(runner(Model()), 1, None, {"loss": torch.tensor(2.0)})
        assert asked == [3.0]
    guard.before_checkpoint(runner(Model()))


def test_a_number_of_a_gpu_is_waited_for_when_it_is_read():
    with (
        mock.patch.object(torch.Tensor, "is_cuda", True, create=True),
        mock.patch.object(torch.cuda, "Event") as event,
    ):
        number = DeviceNumber(torch.tensor(2.5))
    assert [call[0] for call in event().method_calls] == ["record"]
    assert number.read() == 2.5
    assert [call[0] for call in event().method_calls] == ["record", "synchronize"]


class TestScaledLosses:
    """float16 with torch's own scaler, which leaves out steps whose gradients overflow."""

    @pytest.fixture
    def step(self):
        model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        guard, run = StopOnBadLoss(), runner(model)
        run.optim_wrapper = SimpleNamespace(loss_scaler=scaler)

        def train(factor):
            optimizer.zero_grad()
            loss = (model[0](torch.ones(2, 1)) * factor).sum()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            guard.after_train_iter(run, 0, None, {"loss": loss})

        return train, guard, run

    def test_an_overflow_that_is_left_out_is_no_error(self, step):
        train, guard, run = step
        before = run.model[0].weight.clone()
        for _ in range(4):
            train(math.inf)
        assert torch.equal(run.model[0].weight, before)
        train(1.0)  # so the count begins anew
        for _ in range(4):
            train(math.inf)
        guard.before_checkpoint(run)

    def test_losses_that_stay_bad_stop(self, step):
        train, guard, run = step
        for _ in range(5):
            train(math.nan)
        with pytest.raises(ValueError, match="the loss is nan"):
            guard.before_val(run)

    def test_statistics_that_an_overflow_spoilt_reach_no_checkpoint(self, step):
        train, guard, run = step
        run.model(torch.tensor([[math.inf], [1.0]]))
        train(1.0)
        with pytest.raises(ValueError, match="statistics of '1' are not finite"):
            guard.before_checkpoint(run)


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
