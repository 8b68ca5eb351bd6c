"""A run of two real processes: what differs between them, and what must not."""

import json
import os

import pytest
import torch

from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.models import read_checkpoint

# A config that names none of our hooks, with mmengine's own averaged weights, and a module that
# notes what each process draws and what statistics it has.
CONFIG = """
_base_ = ["{repo}/configs/seg/stl_fan_t_mini.py"]
custom_imports = dict(imports=["own_notes", "stl_backbones.transfer",
    "stl_backbones.datasets.cityscapes", "stl_backbones.datasets.transforms",
    "stl_backbones.evaluation", "stl_backbones.engine"])
custom_hooks = [dict(type="EMAHook"), dict(type="Notes")]
randomness = dict(_delete_=True, seed=5)
"""
NOTES = """
import json
import os
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


def statistics(model):
    return next(b for n, b in model.named_buffers() if n.endswith("running_mean")).tolist()


@HOOKS.register_module()
class Notes(Hook):
    priority = "LOW"

    def note(self, **found):
        folder = Path(os.environ["OUT"], os.environ["RANK"])
        folder.mkdir(exist_ok=True)
        with (folder / "notes").open("a") as file:
            file.write(json.dumps(found) + chr(10))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 0:
            self.note(sampler=runner.train_dataloader.sampler.seed, drawn=torch.rand(()).item())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        average = next(h for h in runner.hooks if type(h).__name__ == "EMAHook").ema_model.module
        self.note(step=runner.iter + 1, model=statistics(runner.model), ema=statistics(average))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.note(validated=statistics(runner.model))
"""
SHORT = ("max_iters=2", "warmup_iters=1", "val_interval=2", "batch_size=2",
         "default_hooks.checkpoint.interval=1")  # fmt: skip


@pytest.fixture(scope="module")
def two(repo_root, tmp_path_factory, mini_option_words, run_tool, torchrun):
    """The work folder of a run of two processes, and what each noted, by its key."""
    out = tmp_path_factory.mktemp("two")
    (out / "own_notes.py").write_text(NOTES)
    (out / "foreign.py").write_text(CONFIG.format(repo=repo_root))
    done = run_tool(
        "train.py", out / "foreign.py", "--work-dir", out / "run",
        "--cfg-options", *mini_option_words, *SHORT,
        launch=torchrun, OUT=str(out), PYTHONPATH=os.pathsep.join((str(out), str(repo_root))),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [(out / rank / "notes").read_text().splitlines() for rank in "01"]
    return out / "run", [[json.loads(line) for line in notes] for notes in lines]


def read(path):
    install_safe_loaders()
    return read_checkpoint(path)


def noted(notes, key):
    return [note[key] for note in notes if key in note]


def test_each_process_draws_its_own_and_the_order_of_images_is_one(two):
    _, notes = two
    assert [noted(one, "sampler") for one in notes] == [[5], [5]]
    (first,), (second,) = (noted(one, "drawn") for one in notes)
    assert first != second


def test_a_checkpoint_holds_the_mean_of_the_statistics(two):
    folder, notes = two
    for step in (1, 2):
        content = read(folder / f"iter_{step}.pth")
        # mmengine's averaged weights take the place of the model's in a file.
        for part, key in (("state_dict", "ema"), ("ema_state_dict", "model")):
            own = [torch.tensor(noted(one, key)[step - 1]) for one in notes]
            saved = next(v for n, v in content[part].items() if n.endswith("running_mean"))
            torch.testing.assert_close(saved, (own[0] + own[1]) / 2, rtol=1e-6, atol=1e-7)
            assert not torch.equal(own[0], own[1])


def test_both_validate_the_same_statistics(two):
    folder, notes = two
    first, second = (noted(one, "validated") for one in notes)
    assert first == second
    # The averaged weights, which mmengine validates.
    saved = read(folder / "iter_2.pth")["state_dict"]
    expected = next(v for n, v in saved.items() if n.endswith("running_mean")).tolist()
    assert first == [expected] * 2  # of four images
