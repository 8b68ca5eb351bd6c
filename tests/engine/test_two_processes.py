"""What two real processes, each in a folder of its own as on another host, share and stop for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = """
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook
from torch import nn

from stl_backbones.datasets.integrity import check_files, checking_files_by
from stl_backbones.engine.collecting import collect_through_group
from stl_backbones.engine.data_workers import free_cores
from stl_backbones.engine.distributed import Ranks, leave, start_distributed
from stl_backbones.engine.ema import WarmedUpEMA
from stl_backbones.engine.guards import StopOnBadLoss
from stl_backbones.engine.shared_buffers import SharedBuffersHook
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.results.lock import HeldError, locked
from stl_backbones.training.resuming import choose_resume
from stl_backbones.training.runs import work_folder_held

start_distributed("pytorch")
ranks = Ranks()
rank = ranks.rank
out = Path(os.environ["OUT"])
os.chdir(out / str(rank))
found = {}


class Network(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.norm.running_mean.fill_(value)
        self.register_buffer("constant", torch.tensor([0.1, float("-inf")]))
        self.register_buffer("coarse", torch.tensor([value], dtype=torch.bfloat16))
        self.register_buffer("pointer", torch.tensor(int(value)))
        self.register_buffer("flags", torch.tensor([rank == 0, True]))
        self.register_buffer("of_a_size", torch.zeros(1 + rank), persistent=False)


class Runner:
    model = Network(1.0 + 2 * rank)
    optim_wrapper = None
    epoch = iter = 0


hook = EMAHook()
hook.ema_model = WarmedUpEMA(Network(10.0 + rank))
Runner.hooks = [hook]
for point in ("before_val", "before_checkpoint"):
    Runner.model.norm.running_mean.fill_(1.0 + 2 * rank)
    hook.ema_model.module.norm.running_mean.fill_(10.0 + rank)
    getattr(SharedBuffersHook(), point)(Runner)
    found[point] = {
        "mean": Runner.model.norm.running_mean.tolist(),
        "average": hook.ema_model.module.norm.running_mean.tolist(),
    }
found["coarse"] = Runner.model.coarse.float().item()
found["pointer"] = Runner.model.pointer.item()
found["flags"] = Runner.model.flags.tolist()
expected = torch.tensor([0.1, float("-inf")])
found["constant is the same"] = torch.equal(Runner.model.constant, expected)


class Listed(BaseMetric):
    def process(self, batch, samples):
        self.results.extend(samples)

    def compute_metrics(self, results):
        return {"order": results}


collect_through_group(ranks)
metric = Listed(collect_device="cpu", prefix="x")
metric.process(None, [[0, None], [2, None], [4, None]] if rank == 0 else [[1], [3], [0]])
found["collected"] = metric.evaluate(5)["x/order"]
found["files"] = sorted(path.name for path in Path.cwd().iterdir())

calls = []


def check():
    calls.append(rank)
    return [rank]


with checking_files_by(ranks.on_main):
    found["checked"] = check_files(check)
found["calls"] = calls
found["cores"] = free_cores(ranks)
os.sched_getaffinity = lambda pid: {*range(10)}
found["shared cores"] = free_cores(ranks)
os.sched_getaffinity = lambda pid: {*range(10 * rank, 10 * rank + 10)}
found["own cores"] = free_cores(ranks)

guard = StopOnBadLoss()
bad = float("nan") if rank == 1 else 1.0
guard.after_train_iter(Runner, 0, None, {"loss": torch.tensor(bad)})
try:
    guard.before_checkpoint(Runner)
except InputError as error:
    found["stopped"] = [str(error), error.reported_by_main]
# Rank 1 sees another folder, as of another moment.
found["resume"] = []
folders = [[out / "with", out / "without"], [out / "without", out / "with"]]
for folder in folders:
    config = Config({"work_dir": str(folder[rank])})
    try:
        choose_resume(config, "auto", ranks)
        found["resume"].append([config.resume, Path(config.load_from).name])
    except MissingFileError as error:
        found["resume"].append([str(error).split(":")[0], error.reported_by_main])
try:
    with locked(out / "with") if rank == 0 else nullcontext():
        ranks.gather(None)
        with work_folder_held(Config({"work_dir": str(out / "with")}), ranks, None):
            pass
except HeldError as error:
    found["held"] = error.reported_by_main
(out / f"{rank}.json").write_text(json.dumps(found))
leave(0)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory, torchrun):
    """What each of the two processes found."""
    out = tmp_path_factory.mktemp("two")
    for rank in ("0", "1"):
        (out / rank).mkdir()
    for folder in ("with", "without"):
        (out / folder).mkdir()
    torch.save({}, out / "with/iter_4.pth")
    (out / "program.py").write_text(PROGRAM)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, *torchrun, str(out / "program.py")],
        env={**os.environ, "OUT": str(out), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("point", ["before_val", "before_checkpoint"])
def test_statistics_are_the_mean_of_both(found, point):
    """Of the model, 1 and 3, and of the averaged one, 10 and 11."""
    assert [one[point] for one in found] == [{"mean": [2.0, 2.0], "average": [10.5, 10.5]}] * 2
    assert [one["coarse"] for one in found] == [2.0, 2.0]


def test_integers_are_the_main_processs_and_constants_stay(found):
    assert [(one["pointer"], one["flags"]) for one in found] == [(1, [True, True])] * 2
    assert all(one["constant is the same"] for one in found)


def test_results_are_gathered_without_a_shared_folder(found):
    order = [[0, None], [1], [2, None], [3], [4, None]]
    assert [(one["collected"], one["files"]) for one in found] == [(order, [])] * 2


def test_files_are_checked_once_and_the_verdict_is_shared(found):
    assert [(one["checked"], one["calls"]) for one in found] == [([0], [0]), ([0], [])]


def test_processes_share_the_cores_that_both_may_use(found):
    assert [(one["shared cores"], one["own cores"]) for one in found] == [(4, 9), (4, 9)]
    assert [one["cores"] for one in found] == [max(1, len(os.sched_getaffinity(0)) // 2 - 1)] * 2


def test_all_stop_before_a_checkpoint_when_one_has_a_bad_loss(found):
    (message, by_main), (same, on_other) = (one["stopped"] for one in found)
    assert message == same
    assert message.startswith("the loss is nan in epoch 1, step 1")
    assert (by_main, on_other) == (False, True)


def test_the_main_process_chooses_what_to_resume_and_reports_once(found):
    chosen = [True, "iter_4.pth"]
    assert [one["resume"][0] for one in found] == [chosen, chosen]
    (message, by_main), (same, on_other) = (one["resume"][1] for one in found)
    assert (message, by_main, on_other) == ("nothing to resume", False, True)
    assert same == message


def test_no_process_goes_on_in_a_folder_that_another_run_holds(found):
    assert [one["held"] for one in found] == [False, True]
