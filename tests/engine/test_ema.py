"""Averaged weights against the recursion written out, and the names of both scores."""

from types import SimpleNamespace

import pytest
from torch import nn
from torch.utils.data import DataLoader

from stl_backbones.engine.ema import EMAWeightsHook, RawAndEMAValLoop, WarmedUpEMA


def network(value):
    model = nn.BatchNorm1d(1)
    nn.init.constant_(model.weight, value)
    model.running_mean.fill_(10 * value)
    model.num_batches_tracked.fill_(int(value))
    return model


def test_the_first_step_copies():
    average = WarmedUpEMA(network(1.0))
    average.update_parameters(network(3.0))
    assert average.module.weight.item() == 3.0


def test_decay_grows_as_in_timm_until_its_value():
    average = WarmedUpEMA(network(1.0), decay=0.6)
    assert average.decay_at(1) == pytest.approx(2 / 11)
    assert average.decay_at(10) == pytest.approx(11 / 20)
    assert average.decay_at(1000) == 0.6


def test_parameters_and_buffers_are_averaged_and_counters_copied():
    average = WarmedUpEMA(network(1.0), decay=0.1)
    average.update_parameters(network(1.0))
    average.update_parameters(network(2.0))  # .1 * 1 + .9 * 2
    average.update_parameters(network(4.0))  # .1 * 1.9 + .9 * 4
    assert average.module.weight.item() == pytest.approx(3.79)
    assert average.module.running_mean.item() == pytest.approx(37.9)
    assert average.module.num_batches_tracked.item() == 4


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_decay_out_of_range(decay):
    with pytest.raises(ValueError, match="decay must be in"):
        WarmedUpEMA(network(1.0), decay=decay)


@pytest.fixture
def runner():
    return SimpleNamespace(
        model=network(1.0),
        iter=0,
        max_iters=5,
        optim_wrapper=SimpleNamespace(_accumulative_counts=2),
    )


def test_updates_once_per_optimizer_step(runner):
    hook = EMAWeightsHook()
    hook.before_run(runner)
    counts = []
    for runner.iter in range(5):
        hook.after_train_iter(runner, runner.iter)
        counts.append(int(hook.ema_model.steps))
    assert counts == [0, 1, 1, 2, 3]  # the last, incomplete one counts too


def test_an_update_asks_the_device_nothing(reads):
    average, fresh = WarmedUpEMA(network(1.0)), network(2.0)
    with reads() as asked:
        average.update_parameters(fresh)
        average.update_parameters(fresh)
    assert asked == []
    assert average.steps.item() == 2


def test_a_resumed_average_goes_on_counting():
    average = WarmedUpEMA(network(1.0), decay=0.5)
    average.update_parameters(network(1.0))
    resumed = WarmedUpEMA(network(9.0), decay=0.5)
    resumed.load_state_dict(average.state_dict())
    for one in (average, resumed):
        one.update_parameters(network(4.0))
    weights = [one.module.weight.item() for one in (resumed, average)]
    assert weights == pytest.approx([1 * 2 / 11 + 4 * 9 / 11] * 2)
    assert resumed.steps.item() == 2


def test_validation_scores_both_and_leaves_the_raw_weights(runner):
    hook = EMAWeightsHook(decay=0.5)
    hook.before_run(runner)
    nn.init.constant_(hook.ema_model.module.weight, 7.0)
    seen = []
    runner.hooks = [hook]
    runner.call_hook = lambda name, **kwargs: seen.append((name, kwargs))
    loop = RawAndEMAValLoop.__new__(RawAndEMAValLoop)
    loop._runner = runner
    loop.run_iter = lambda index, batch: None
    loop.dataloader = DataLoader([0])
    loop.evaluator = SimpleNamespace(evaluate=lambda size: {"w": runner.model.weight.item()})
    assert loop.run() == {"raw/w": 1.0, "ema/w": 7.0}
    assert seen[-2] == ("after_val_epoch", {"metrics": {"raw/w": 1.0, "ema/w": 7.0}})
    assert runner.model.weight.item() == 1.0
    assert hook.ema_model.module.weight.item() == 7.0
