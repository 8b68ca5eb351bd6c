"""What every run through mmengine's runner needs: its processes, its folder, its checkpoint."""

from __future__ import annotations

import inspect
import itertools
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from stl_backbones.collector import collect_as_usual
from stl_backbones.config.formatting import format_once
from stl_backbones.config.settings import without_unused
from stl_backbones.config.walk import innermost_datasets, parts
from stl_backbones.copies.request import choose_workers
from stl_backbones.display import AboveBar, has_bar, is_quiet
from stl_backbones.engine.checkpointing import write_whole_files
from stl_backbones.engine.collecting import collect_through_group
from stl_backbones.engine.data_workers import equip_workers
from stl_backbones.engine.distributed import Ranks, check_own_gpu, start_distributed
from stl_backbones.engine.guards import StopOnBadLoss
from stl_backbones.engine.progress_hook import ProgressHook
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.engine.shared_buffers import SharedBuffersHook
from stl_backbones.errors import InputError
from stl_backbones.results.lock import locked
from stl_backbones.run_log import collect_warnings, open_log

# What mmengine logs that a person at the terminal does not wait for: dumps by how they begin, notes
# on its own parts and on single parameters by what they contain.
_FOR_THE_FILE = (
    "System environment:", "Config:", "Hooks will be executed", "Distributed training is not used",
    "paramwise_",
)  # fmt: skip
_NOTES = (
    "since its requires_grad=False", '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)  # fmt: skip
_RUNS = itertools.count()  # of this process
_MOST_WORKERS = 16  # of one process: more take memory, and rarely feed a network faster
# Hooks of mmengine -> those of ours that do the same, and more.
_OUR_HOOKS = {
    "CheckpointHook": "stl_backbones.SafeCheckpointHook",
    "RuntimeInfoHook": "stl_backbones.LateRuntimeInfoHook",
}


@contextmanager
def work_folder_held(
    config: Config, ranks: Ranks, on_start: Callable[[], object] | None
) -> Iterator[None]:
    """Hold the work folder: one run at a time.

    Args:
        config: Names the folder.
        ranks: The processes of the run; the main one holds it.
        on_start: Called on the main process once it is held: from then on the run can be resumed.

    Raises:
        HeldError: If another process runs in it.
    """
    with ExitStack() as held:

        def hold() -> None:
            held.enter_context(locked(config.work_dir))
            open_log(Path(config.work_dir))
            if on_start is not None:
                on_start()

        ranks.on_main(hold)
        yield


def prepare_run(
    config: Config,
    config_path: str | Path,
    *,
    work_dir: str | Path | None,
    launcher: str,
    uses: Sequence[str],
    skip_broken: bool = False,
) -> Ranks:
    """Join the launcher's processes and make the config fit them and its work folder.

    Returns:
        The processes.

    Raises:
        ValueError: If the launcher did not start this process, the work folder is read-only, or
            processes that train share a GPU.
    """
    collect_as_usual()
    format_once()
    start_distributed(launcher)
    if "train" in uses:
        check_own_gpu()
    ranks = Ranks()
    collect_through_group(ranks)
    install_safe_loaders()
    write_whole_files()
    config.launcher = launcher
    config.work_dir = str(work_dir or config.get("work_dir") or default_work_dir(config_path))
    Path(config.work_dir).mkdir(parents=True, exist_ok=True)
    if not os.access(config.work_dir, os.W_OK):
        raise InputError(f"work folder '{config.work_dir}' is not writable")
    _use_our_hooks(config)
    if launcher != "none" and not torch.cuda.is_available():
        config.model_wrapper_cfg = {"type": "stl_backbones.CPUDistributedDataParallel"}
        for part in parts(config.model):
            if part.get("type") == "SyncBN":
                part["type"] = "BN"  # SyncBN needs GPUs: each process norms its own share
    # Other draws in each process: dropped branches and augmentations; the order of images is one.
    config.randomness = {"seed": None, "diff_rank_seed": True, **(config.get("randomness") or {})}
    workers = min(_MOST_WORKERS, max(1, choose_workers(None, os.environ) - 1))
    for loader in filter(None, (config.get(f"{split}_dataloader") for split in uses)):
        _prepare_loader(loader, workers=workers)
        if skip_broken:
            _skip_broken(loader.dataset, config.get("default_scope"))
    return ranks


def build_runner(config: Config, uses: Sequence[str]) -> Runner:
    """Build mmengine's runner of the splits in use; an incomplete loop of another does not matter.

    The whole config is kept beside the run, so that other tools can take it from there. Whatever
    hooks the config names, a training shares its processes' buffers and stops on a bad loss.
    """
    used = deepcopy(config)
    for name in config.keys() - without_unused(config, uses).keys():
        used.pop(name)
    runner = _OurRunner.from_cfg(used)
    runner.cfg.update({name: config[name] for name in config.keys() - used.keys()})
    if "train" in uses:
        runner.register_hook(SharedBuffersHook())
        if not any(isinstance(hook, StopOnBadLoss) for hook in runner.hooks):
            runner.register_hook(StopOnBadLoss())
    runner.register_hook(ProgressHook())
    runner.dump_config()
    runner.logger.info(f"environment, config and all messages: {runner._log_dir}")
    return runner


def _use_our_hooks(config: Config) -> None:
    stated = config.get("default_hooks") or {}
    config.default_hooks = {"runtime_info": {"type": "RuntimeInfoHook"}, **stated}
    for hook in config.default_hooks.values():
        if isinstance(hook, Mapping) and hook.get("type") in _OUR_HOOKS:
            hook["type"] = _OUR_HOOKS[hook["type"]]


def _prepare_loader(loader: Any, *, workers: int) -> None:
    """State what a config leaves open: workers as there are cores, pinned memory for a GPU."""
    if loader.get("num_workers") is None:
        loader.num_workers = workers
    loader.setdefault("pin_memory", True)
    if not torch.cuda.is_available():
        loader.pin_memory = False  # torch warns about it without a GPU


def _skip_broken(settings: Any, scope: str | None) -> None:
    """Have data sets leave out broken images, or refuse those that cannot."""
    for dataset in innermost_datasets(settings):
        with DATASETS.switch_scope_and_registry(scope) as registry:
            kind = dataset.type if isinstance(dataset.type, type) else registry.get(dataset.type)
        if kind is not None and "skip_broken" not in inspect.signature(kind).parameters:
            raise InputError(
                f"--skip-broken: {kind.__name__} cannot leave out images; those that can are "
                "CheckedCityscapesDataset and CheckedCocoDataset of stl_backbones"
            )
        dataset.skip_broken = True


def default_work_dir(config_path: str | Path) -> Path:
    """OpenMMLab's default: ``work_dirs/<config name>``."""
    return Path("work_dirs") / Path(config_path).stem


class _OurRunner(Runner):
    """mmengine's runner with what several processes need, and with little on the terminal.

    mmengine knows a run's logger by config and second: in one process, two runs begun within a
    second would share it. So a later run of a process has its number in the name.
    """

    def __init__(self, *args: Any, experiment_name: str | None = None, **kwargs: Any) -> None:
        number, config = next(_RUNS), kwargs.get("cfg")
        if number and config is not None:
            stem = experiment_name or Path(config.filename or "run").stem
            experiment_name = f"{stem}_{number}"
        super().__init__(*args, experiment_name=experiment_name, **kwargs)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger of the run: the terminal shows progress and results, its file all."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(
                handler, logging.FileHandler
            ):
                handler.addFilter(_is_for_terminal)
                if is_quiet():
                    handler.setLevel(max(handler.level, logging.WARNING))
                elif has_bar():
                    handler.setStream(AboveBar(sys.stdout))
                    handler.addFilter(lambda record: "  eta: " not in record.getMessage())
        collect_warnings(logger, keep=_is_for_terminal)
        return logger

    def build_dataloader(  # mmengine, which has a static method, calls it on the runner
        self, dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a loader: its sampler has the job's seed, its workers what they need.

        With another seed in each process, mmengine hands samplers none, and each makes its own of
        it: a new one when the run is resumed, or always 0.
        """
        sampler = dataloader.get("sampler") if isinstance(dataloader, Mapping) else None
        if diff_rank_seed and seed is not None and isinstance(sampler, Mapping):
            of_job = {"seed": seed - get_rank(), **sampler}
            dataloader = {**dataloader, "sampler": of_job}
        loader = super().build_dataloader(dataloader, seed, diff_rank_seed)
        imports = (self.cfg.get("custom_imports") or {}).get("imports") or ()
        equip_workers(
            loader,
            modules=[imports] if isinstance(imports, str) else imports,
            scope=self.cfg.get("default_scope"),
            method=multiprocessing.get_start_method(),
        )
        return loader

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint; hooks have ``before_checkpoint`` for what all processes do first.

        mmengine calls ``before_save_checkpoint`` on the main process alone.
        """
        self.call_hook("before_checkpoint")
        super().save_checkpoint(*args, **kwargs)


def _is_for_terminal(record: logging.LogRecord) -> bool:
    message = record.getMessage().lstrip("\n-")
    return not message.startswith(_FOR_THE_FILE) and not any(w in message for w in _NOTES)


__all__ = [
    "build_runner",
    "default_work_dir",
    "prepare_run",
    "work_folder_held",
]
