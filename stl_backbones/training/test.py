"""Testing through mmengine's runner, as OpenMMLab's ``tools/test.py`` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stl_backbones.config.data_check import check_data, check_truth, naming_empty_data
from stl_backbones.config.openmmlab import contiguous_maps, with_tta
from stl_backbones.config.reading import building, load_config, running
from stl_backbones.config.tasks import task_of
from stl_backbones.datasets.integrity import checking_files_by
from stl_backbones.engine.data_parallel import bare_model
from stl_backbones.engine.loading import load_model_weights
from stl_backbones.engine.precision import check_tf32, predict_in, repeatable_scoring
from stl_backbones.models import read_checkpoint
from stl_backbones.run_log import open_log
from stl_backbones.training.predictions import check_places, keep_predictions
from stl_backbones.training.pretraining import number_by_checkpoint
from stl_backbones.training.runs import build_runner, prepare_run
from stl_backbones.training.starting import check_parts

_USES = ("test",)


def evaluate(
    config_path: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    amp: str | None = None,
    tf32: bool = False,
    options: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
    launcher: str = "none",
    skip_broken: bool = False,
    ema: bool = True,
    tta: bool = False,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
) -> dict[str, float]:
    """Score a checkpoint on the config's test data.

    Args:
        config_path: The config file, or a config of mmseg or mmdet by its name.
        checkpoint: The model's weights.
        work_dir: Where logs go; default ``work_dirs/<config name>``.
        amp: Mixed precision, see `stl_backbones.engine.precision`.
        tf32: Let a GPU compute float32 in TF32, see `repeatable_scoring` of the same module.
        options: ``--cfg-options``.
        data_root: Where the data set lies instead.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        skip_broken: Leave out broken images instead of refusing the data set.
        ema: Prefer the averaged weights of the checkpoint.
        tta: Test-time augmentation, as the config, or mmdet, states it.
        out: Where predictions go, see `stl_backbones.training.predictions`.
        show_dir: Where drawings of them go.

    Returns:
        Metric name -> value, as the config's test evaluator names and scales them.

    Raises:
        ValueError: If config, data or checkpoint do not fit.
        FileNotFoundError: If one is missing.
    """
    check_tf32(tf32)
    config = load_config(config_path, options=options, data_root=data_root, uses=_USES)
    check_parts(config, "test_dataloader", "test_evaluator")
    check_places(task_of(config), out=out, show_dir=show_dir)
    config = with_tta(config) if tta else config
    ranks = prepare_run(
        config, config_path, work_dir=work_dir, launcher=launcher, uses=_USES,
        skip_broken=skip_broken,
    )  # fmt: skip
    raw = read_checkpoint(checkpoint)  # what cannot be read is reported before anything is built
    config.load_from = str(checkpoint)
    with building("the test run"), naming_empty_data(), checking_files_by(ranks.on_main):
        runner = build_runner(config, _USES)
        runner.test_loop  # noqa: B018  builds the data set: its errors come before any work
    model = bare_model(runner)
    inner = getattr(model, "module", model)  # inside of test-time augmentation
    load_model_weights(inner, checkpoint, ema=ema)
    runner._load_from = None  # mmengine would load them again, and check nothing
    contiguous_maps(model)
    number_by_checkpoint(runner, raw)
    metrics = runner.test_evaluator.metrics
    check_data(model, runner.test_dataloader.dataset, split="test", metrics=metrics)
    check_truth(metrics)
    keep_predictions(runner, task_of(config), out=out, show_dir=show_dir)
    ranks.on_main(lambda: open_log(Path(config.work_dir)))
    with repeatable_scoring(tf32=tf32), predict_in(model, amp), running("the test"):
        return runner.test()


__all__ = ["evaluate"]
