"""Parts of a user's own that raise: file and line, exit code 2, wherever they run."""

import argparse
import re
import sys

import pytest

from stl_backbones.cli.tool import run_tool
from stl_backbones.cli.training import make_training_parser, run_training

OWN = """
from mmcv.transforms import BaseTransform
from mmengine.evaluator import BaseMetric
from mmseg.models import EncoderDecoder
from mmseg.registry import METRICS, MODELS, TRANSFORMS

@TRANSFORMS.register_module(force=True)
class OwnStep(BaseTransform):
    calls = 0

    def transform(self, results):
        OwnStep.calls += 1
        if OwnStep.calls > {calls}:
            raise ValueError("no such band")
        return results

@METRICS.register_module(force=True)
class OwnMetric(BaseMetric):
    def process(self, batch, samples):
        self.results.append(samples[0]["nothing"])

    def compute_metrics(self, results):
        return dict()

@MODELS.register_module(force=True)
class OwnModel(EncoderDecoder):
    def loss(self, inputs, samples):
        return {'loss': inputs.view(7, -1).sum()}
"""


@pytest.fixture
def got(repo_root, tmp_path, mini_option_words, monkeypatch, capsys):
    """Trains the mini config with a part of the user's own; returns code and last line."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(text, calls=0):
        (tmp_path / "own_parts.py").write_text(OWN.replace("{calls}", str(calls)))
        config = tmp_path / "own_config.py"
        config.write_text(
            f"_base_ = ['{repo_root}/configs/seg/stl_fan_t_mini.py']\n"
            "custom_imports = dict(imports=['own_parts', 'stl_backbones.transfer', "
            "'stl_backbones.datasets.cityscapes', 'stl_backbones.datasets.transforms', "
            f"'stl_backbones.evaluation', 'stl_backbones.engine'])\n{text}\n"
        )
        words = [str(config), "--work-dir", str(tmp_path / "run"), "--cfg-options",
                 *mini_option_words, "max_iters=2", "warmup_iters=1", "val_interval=1",
                 "batch_size=2"]  # fmt: skip
        parser: argparse.ArgumentParser = make_training_parser("train", "x.py")
        code = run_tool(parser, run_training, words)
        return code, capsys.readouterr().err.strip().splitlines()[-1]

    yield run
    sys.modules.pop("own_parts", None)


def with_step(workers):
    return (
        f"train_dataloader = dict(num_workers={workers}, dataset=dict(pipeline="
        "[*_base_.train_pipeline[:-1], dict(type='OwnStep'), _base_.train_pipeline[-1]]))"
    )


def test_before_any_work(got):
    code, line = got(with_step(0))
    message = r"a sample of the train data .* own_parts.py:14: ValueError: no such band$"
    assert (code, bool(re.search(message.replace(" own", " .*own"), line))) == (2, True), line


@pytest.mark.parametrize("workers", [0, 1])
def test_in_the_middle_of_a_run(got, workers):
    """The check looks at six images."""
    code, line = got(with_step(workers), calls=7)
    assert code == 2
    assert re.search(r"error: .*own_parts\.py:14: ValueError: no such band$", line), line


def test_a_metric(got):
    code, line = got("val_evaluator = dict(_delete_=True, type='OwnMetric')")
    assert code == 2
    assert re.search(r"error: .*own_parts\.py:20: KeyError: 'nothing'$", line), line


def test_a_model_whose_mistake_a_library_notices(got):
    code, line = got("model = dict(type='OwnModel')")
    assert code == 2
    assert re.search(r"error: .*own_parts\.py:28: RuntimeError: shape '\[7, -1\]'", line), line
