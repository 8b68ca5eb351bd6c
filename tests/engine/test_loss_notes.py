"""When the losses of a step reach the log's notes, with a GPU that is behind and without one."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub

from stl_backbones.engine.loss_notes import LateRuntimeInfoHook


@pytest.fixture
def runner(request):
    hub = MessageHub(request.node.name)
    return SimpleNamespace(
        hooks=[LoggerHook(interval=3)], message_hub=hub, train_dataloader=[0] * 8
    )


def noted(runner):
    scalars = runner.message_hub.log_scalars
    return scalars["train/loss"].data[0].tolist() if scalars else []


def step(hook, runner, index):
    hook.after_train_iter(runner, index, None, {"loss": torch.tensor(float(index))})


def test_on_the_cpu_each_step_is_noted_at_once(runner):
    hook = LateRuntimeInfoHook()
    for index in range(2):
        step(hook, runner, index)
        assert noted(runner) == list(range(index + 1))


class TestBehind:
    """A GPU that has finished nothing yet when Python asks whether it has."""

    @pytest.fixture(autouse=True)
    def gpu(self):
        with (
            mock.patch.object(torch.Tensor, "is_cuda", True, create=True),
            mock.patch.object(torch.cuda, "Event") as event,
        ):
            event().query.return_value = False
            event().synchronize.reset_mock()
            yield event()

    def test_no_step_waits_but_one_that_is_logged(self, runner, gpu):
        hook = LateRuntimeInfoHook()
        for index in range(2):
            step(hook, runner, index)
        assert (noted(runner), gpu.synchronize.call_count) == ([], 0)
        step(hook, runner, 2)
        assert noted(runner) == [0, 1, 2]

    def test_the_last_step_of_an_epoch_is_noted(self, runner):
        hook = LateRuntimeInfoHook()
        for index in (6, 7):
            step(hook, runner, index)
        assert noted(runner) == [6, 7]

    @pytest.mark.parametrize("point", ["before_val", "before_checkpoint"])
    def test_nothing_is_missing_in_a_checkpoint_or_beside_a_validation(self, runner, point):
        hook = LateRuntimeInfoHook()
        step(hook, runner, 0)
        getattr(hook, point)(runner)
        assert noted(runner) == [0]
